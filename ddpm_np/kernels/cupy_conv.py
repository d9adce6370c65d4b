"""Convolution on a GPU: the patches under the kernel as the rows of one matrix, by one strided copy, times the kernel.

At stride 1 the backward pass lays out the patches of the output's gradient once and uses them twice, as on the CPU:
times the flipped kernel they give the input's gradient, and times the input's pixels the kernel's gradient.
"""

from __future__ import annotations

from ddpm_np.arguments import is_int
from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.conv import Padding, conv2d, output_size, pad, upsample_conv2d
from ddpm_np.autograd.ops.shape import upsample_nearest
from ddpm_np.autograd.tape import Gradients, Into
from ddpm_np.backend import Array, of
from ddpm_np.kernels.cupy_dense import column_sums, fits, is_pointwise, pointwise, product


def patches(x: Array, padding: Padding, kh: int, kw: int, ho: int, wo: int, stride: int) -> Array:
    """Return the kh×kw patch under each of ho×wo positions as a row: (N, H, W, C) -> (N·ho·wo, kh·kw·C)."""
    xp, (n, _, _, c) = of(x), x.shape
    padded = xp.ascontiguousarray(pad(x, padding))  # (N, H+, W+, C)
    image, row, pixel, number = padded.strides
    windows = xp.lib.stride_tricks.as_strided(padded, (n, ho, wo, kh, kw * c),
                                              (image, row * stride, pixel * stride, row, number))
    return xp.reshape(windows, (n * ho * wo, kh * kw * c))


def _suits(x: Array, w: Array, b: Array | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> bool:
    if not (x.ndim == w.ndim == 4 and x.shape[3] == w.shape[2] and fits(x, w, b) and is_int(stride) and stride > 0
            and min(map(min, padding)) >= 0):
        return False
    kh, kw = w.shape[:2]
    return min(output_size(x.shape[1], kh, stride, padding[0]), output_size(x.shape[2], kw, stride, padding[1])) > 0


@conv2d.kernel("cupy", when=_suits, saves=("gw_from_patches", "gx_and_gw", "w", "x"))
def by_patches(x: Array, w: Array, b: Array | None = None, *, stride: int = 1,
               padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """Any convolution."""
    xp, (n, h, width, c), (kh, kw, _, o) = of(x), x.shape, w.shape
    ho, wo = output_size(h, kh, stride, padding[0]), output_size(width, kw, stride, padding[1])
    y = xp.matmul(patches(x, padding, kh, kw, ho, wo, stride), xp.reshape(w, (kh * kw * c, o)))  # (N·ho·wo, O)
    if b is not None:
        y += b

    def gw_from_patches(g: Array, out: Array | None) -> Array:
        """Return the patches of x times g: (kh, kw, C, O)."""
        under = patches(x, padding, kh, kw, ho, wo, stride)  # (N·ho·wo, kh·kw·C)
        return xp.reshape(product(under.T, xp.reshape(g, (-1, o)), out), w.shape)

    def gx_and_gw(g: Array) -> tuple[Array, Array]:
        """Return the patches of g times the flipped kernel, (N, H, W, C), and times x, (kh, kw, C, O). Stride 1."""
        back = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip((kh, kw), padding, strict=True))
        under = patches(g, back, kh, kw, h, width, 1)  # (N·H·W, kh·kw·O)
        flipped = xp.reshape(xp.permute_dims(w[::-1, ::-1, :, :], (0, 1, 3, 2)), (kh * kw * o, c))
        gx = xp.reshape(xp.matmul(under, flipped), x.shape)
        gw = xp.reshape(xp.matmul(xp.reshape(x, (-1, c)).T, under), (c, kh, kw, o))
        return gx, xp.permute_dims(gw[:, ::-1, ::-1, :], (1, 2, 0, 3))

    both = stride == 1 and all(p < k for sides, k in zip(padding, (kh, kw), strict=True) for p in sides)

    def vjp(g: Array) -> Gradients:
        g = xp.ascontiguousarray(g)  # once, since each product would copy a slice of another gradient
        found: dict[str, Array] = {}

        def gx() -> Array:
            if both:
                result, found["gw"] = gx_and_gw(g)
                return result
            return _gx_by_taps(g, w, x.shape, stride, padding)

        def gw(out: Array | None) -> Array:
            if not found:
                return gw_from_patches(g, out)
            if out is None:
                return found["gw"]
            out[...] = found["gw"]
            return out

        return gx, Into(gw), Into(lambda out: column_sums(g, out))

    return xp.reshape(y, (n, ho, wo, o)), vjp


# After the general kernel, so that it is chosen first.
conv2d.kernel("cupy", when=is_pointwise, saves=("through_dense", "w"))(pointwise)


def _gx_by_taps(g: Array, w: Array, shape: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return the input's gradient at any stride: for each tap, g times the tap, added where the tap met the image."""
    xp, (n, h, width, c), (kh, kw, _, o), (ho, wo) = of(g), shape, w.shape, g.shape[1:3]
    (top, bottom), (left, right) = padding
    total = xp.zeros((n, h + top + bottom, width + left + right, c), dtype=g.dtype)
    each = xp.matmul(xp.reshape(g, (-1, o)), xp.reshape(w, (kh * kw * c, o)).T)  # (N·ho·wo, kh·kw·C)
    each = xp.reshape(each, (n, ho, wo, kh, kw, c))
    for p in range(kh):
        for q in range(kw):
            total[:, p : p + stride * (ho - 1) + 1 : stride, q : q + stride * (wo - 1) + 1 : stride, :] += each[
                :, :, :, p, q, :]
    return total[:, top : top + h, left : left + width, :]


def _is_for_kernels(x: Array, w: Array, b: Array | None = None) -> bool:
    return x.ndim == w.ndim == 4 and x.shape[3] == w.shape[2] and w.shape[:2] == (3, 3) and fits(x, w, b)


@upsample_conv2d.kernel("cupy", when=_is_for_kernels, saves=("through_conv",))
def in_two_steps(x: Array, w: Array, b: Array | None = None) -> Forward:
    """The large image, then its convolution by the kernel above."""
    large, through_upsample = upsample_nearest.define(x, factor=2)
    y, through_conv = by_patches(large, w, b, stride=1, padding=((1, 1), (1, 1)))

    def vjp(g: Array) -> Gradients:
        gx, gw, gb = through_conv(g)
        return (lambda: through_upsample(gx())[0]), gw, gb

    return y, vjp
