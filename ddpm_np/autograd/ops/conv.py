"""Two-dimensional convolution."""

from __future__ import annotations

from functools import reduce
from operator import add

from ddpm_np.arguments import count
from ddpm_np.autograd.op import Forward, op
from ddpm_np.autograd.ops.linear import rows
from ddpm_np.autograd.ops.shape import upsample_nearest
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, of

Padding = tuple[tuple[int, int], ...]  # zeros around an image: ((top, bottom), (left, right))


def output_size(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> int:
    """Return the number of positions of a kernel along one axis: ⌊(size + padding − kernel)/stride⌋ + 1.

    Parameters
    ----------
    size, kernel, stride : int
    padding : tuple of int
        Zeros before and after.

    Returns
    -------
    int
    """
    return (size + sum(padding) - kernel) // stride + 1


def pad(x: Array, padding: Padding) -> Array:
    """Return x with zeros around each image, or x itself where there are none to add.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    padding : ((top, bottom), (left, right))

    Returns
    -------
    array of shape (N, top + H + bottom, left + W + right, C)
    """
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    n, h, w, c = x.shape
    out = of(x).zeros((n, h + top + bottom, w + left + right, c), dtype=x.dtype)
    out[:, top : top + h, left : left + w, :] = x
    return out


@op(saves=("x_padded", "w"))
def conv2d(x: Array, w: Array, b: Array | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """y[n,i,j,o] = b[o] + Σ_{p,q,c} x̄[n, s·i+p, s·j+q, c]·w[p,q,c,o], x̄ being x with zeros around.

    A sum over the taps (p, q) of a 1×1 convolution of the image shifted by (p, q). The gradients are the same sum read
    the other two ways.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    w : array of shape (kh, kw, C, O)
    b : array of shape (O,), optional
    stride : int
        The s of the equation.
    padding : ((top, bottom), (left, right))

    Returns
    -------
    y : array of shape (N, H', W', O)
        With H' and W' the `output_size` of H and W.

    Raises
    ------
    ValueError
        If the channels of x and w differ, an axis of w is empty, the stride is not positive or the padding negative, or
        the padded image is smaller than the kernel.
    """
    xp = of(x, w)
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(f"expected w of shape (kh, kw, C, O), each at least 1, got {w.shape}")
    if b is not None and b.shape != w.shape[3:]:
        raise ValueError(f"expected b of shape ({w.shape[3]},), got {b.shape}")
    count("stride", stride)
    for zeros in (*padding[0], *padding[1]):
        count("padding", zeros, 0)
    kh, kw, c, o = w.shape
    if x.ndim != 4 or x.shape[3] != c:
        raise ValueError(f"expected x of shape (N, H, W, {c}), got {x.shape}")
    n, h, width, _ = x.shape
    ho = output_size(h, kh, stride, padding[0])
    wo = output_size(width, kw, stride, padding[1])
    if ho < 1 or wo < 1:
        raise ValueError(f"an image of {h}×{width} is smaller than the {kh}×{kw} kernel: use a larger image")
    x_padded = pad(x, padding)  # (N, H+, W+, C)

    def tap(p: int, q: int) -> tuple[slice, ...]:
        """Return the slice of the padded image that meets the kernel's element (p, q): (N, H', W', C)."""
        return (slice(None), slice(p, p + stride * (ho - 1) + 1, stride),
                slice(q, q + stride * (wo - 1) + 1, stride), slice(None))

    taps = [(p, q) for p in range(kh) for q in range(kw)]
    y = reduce(add, (xp.matmul(rows(x_padded[tap(p, q)]), w[p, q, :, :]) for p, q in taps))  # (N, H'·W', O)
    if b is not None:
        y = y + b

    def vjp(g: Array) -> Gradients:
        g_rows, g_flat = rows(g), xp.reshape(g, (-1, o))  # (N, H'·W', O), (N·H'·W', O)

        def gx() -> Array:
            total = xp.zeros(x_padded.shape, dtype=g.dtype)
            for p, q in taps:
                total[tap(p, q)] += xp.reshape(xp.matmul(g_rows, w[p, q, :, :].T), (n, ho, wo, c))
            top, left = padding[0][0], padding[1][0]
            return total[:, top : top + h, left : left + width, :]

        def gw() -> Array:
            total = xp.zeros(w.shape, dtype=g.dtype)
            for p, q in taps:
                total[p, q, :, :] = xp.matmul(xp.reshape(x_padded[tap(p, q)], (-1, c)).T, g_flat)
            return total

        return gx, gw, (lambda: xp.sum(g_flat, axis=0))

    return xp.reshape(y, (n, ho, wo, o)), vjp


@op(saves=("through_conv",))
def upsample_conv2d(x: Array, w: Array, b: Array | None = None) -> Forward:
    """y = conv2d(upsample_nearest(x), w, b) with a border of one zero: one op, so that a kernel may do both at once.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    w : array of shape (3, 3, C, O)
    b : array of shape (O,), optional

    Returns
    -------
    y : array of shape (N, 2H, 2W, O)
    """
    large, through_upsample = upsample_nearest.define(x, factor=2)
    y, through_conv = conv2d.define(large, w, b, stride=1, padding=((1, 1), (1, 1)))

    def vjp(g: Array) -> Gradients:
        gx, gw, gb = through_conv(g)
        return (lambda: through_upsample(gx())[0]), gw, gb

    return y, vjp
