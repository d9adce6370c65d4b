"""Convolution on the CPU: the patches under the kernel as rows of a matrix, a few images at a time, times the kernel.

Each image's rows are one matrix, so that its bits do not depend on its batch, unless images may be taken together. At
stride 1 the backward pass lays out the patches of the output's gradient once and uses them twice: times the flipped
kernel they give the input's gradient (a convolution again), and times the input's pixels the kernel's gradient.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ddpm_np.arguments import is_int
from ddpm_np.autograd.op import Forward, are_images_together, images_in_one
from ddpm_np.autograd.ops.conv import Padding, conv2d, output_size, pad
from ddpm_np.autograd.ops.linear import rows
from ddpm_np.autograd.tape import Gradients
from ddpm_np.kernels.numpy_runs import channel_sums

_PATCHES = 1 << 20  # bytes of patches at a time: measured best of 64 KiB, 256 KiB, 1 MiB and all at once


def patches(padded: np.ndarray, kh: int, kw: int, ho: int, wo: int, stride: int, out: np.ndarray) -> None:
    """Write the kh×kw patch under each of ho×wo positions: (n, H+, W+, C), in C order -> out (n, ho·wo, kh·kw·C)."""
    n, h, w, c = padded.shape
    row, pixel = w * c * padded.itemsize, c * padded.itemsize  # NumPy's own strides of axes of length 1 mean nothing
    windows = as_strided(padded, (n, ho, wo, kh, kw * c),
                         (h * row, row * stride, pixel * stride, row, padded.itemsize))
    out.reshape(n, ho, wo, kh, kw * c)[...] = windows


def chunks(n: int, row_bytes: int) -> Iterator[slice]:
    """Return slices over n images, of as many images as `_PATCHES` bytes hold, and of whole lots."""
    size, lot = max(1, _PATCHES // max(row_bytes, 1)), 1 if are_images_together() else images_in_one(n)
    size = max(lot, size // lot * lot)
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def takes(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> bool:
    """Return whether shapes and dtypes fit and there are elements. All else is left to the definition."""
    return (x.ndim == w.ndim == 4 and x.dtype == w.dtype and x.dtype.char in "fd" and x.size > 0 and w.size > 0
            and x.shape[3] == w.shape[2] and (b is None or b.shape == w.shape[3:]))


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> bool:
    return takes(x, w, b) and is_int(stride) and stride > 0 and min(map(min, padding)) >= 0


@conv2d.kernel("numpy", when=_suits, saves=("gw_from_patches", "gx_and_gw", "w", "x"))
def by_patches(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
               padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """Any convolution."""
    (n, h, width, c), (kh, kw, _, o) = x.shape, w.shape
    ho, wo = output_size(h, kh, stride, padding[0]), output_size(width, kw, stride, padding[1])
    if ho < 1 or wo < 1:
        return conv2d.define(x, w, b, stride=stride, padding=padding)  # raises
    flat_w = np.ascontiguousarray(w).reshape(kh * kw * c, o)
    row_bytes = ho * wo * kh * kw * c * x.itemsize
    y = np.empty((n, ho * wo, o), x.dtype)
    for part in chunks(n, row_bytes):
        block = _patches_of(x[part], padding, kh, kw, ho, wo, stride)  # (k, ho·wo, kh·kw·C)
        np.matmul(rows(block), flat_w, out=rows(y[part]))
        if b is not None:
            y[part] += b

    def gw_from_patches(g: np.ndarray) -> np.ndarray:
        """Return the patches of x times g: (kh, kw, C, O)."""
        total = np.zeros((kh * kw * c, o), g.dtype)
        for part in chunks(n, row_bytes):
            block = _patches_of(x[part], padding, kh, kw, ho, wo, stride)
            total += block.reshape(-1, kh * kw * c).T @ g[part].reshape(-1, o)
        return total.reshape(kh, kw, c, o)

    def gx_and_gw(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the patches of g times the flipped kernel, (N, H, W, C), and times x, (kh, kw, C, O). Stride 1."""
        back = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip((kh, kw), padding, strict=True))
        flipped = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2)).reshape(kh * kw * o, c)
        gx = np.empty((n, h * width, c), g.dtype)
        total = np.zeros((c, kh * kw * o), g.dtype)
        for part in chunks(n, h * width * kh * kw * o * g.itemsize):
            block = _patches_of(g[part], back, kh, kw, h, width, 1)  # (k, H·W, kh·kw·O)
            block = block.reshape(-1, kh * kw * o)
            np.matmul(block, flipped, out=gx[part].reshape(-1, c))
            total += x[part].reshape(-1, c).T @ block
        gw = total.reshape(c, kh, kw, o)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
        return gx.reshape(n, h, width, c), gw

    both = stride == 1 and all(p < k for sides, k in zip(padding, (kh, kw), strict=True) for p in sides)

    def vjp(g: np.ndarray) -> Gradients:
        found: dict[str, np.ndarray] = {}

        def gx() -> np.ndarray:
            if both:
                result, found["gw"] = gx_and_gw(g)
                return result
            return _gx_by_taps(g, w, x.shape, stride, padding)

        return gx, (lambda: found["gw"] if found else gw_from_patches(g)), (lambda: channel_sums(g))

    return y.reshape(n, ho, wo, o), vjp


def _patches_of(x: np.ndarray, padding: Padding, kh: int, kw: int, ho: int, wo: int, stride: int) -> np.ndarray:
    """Return the patches of a few images: (k, H, W, C) -> (k, ho·wo, kh·kw·C)."""
    padded = np.ascontiguousarray(pad(x, padding))
    out = np.empty((x.shape[0], ho * wo, kh * kw * x.shape[3]), x.dtype)
    patches(padded, kh, kw, ho, wo, stride, out)
    return out


def _gx_by_taps(g: np.ndarray, w: np.ndarray, shape: tuple[int, ...], stride: int, padding: Padding) -> np.ndarray:
    """Return the input's gradient at any stride: for each tap, g times the tap, added where the tap met the image."""
    (n, h, width, c), (kh, kw, _, o), (ho, wo) = shape, w.shape, g.shape[1:3]
    (top, bottom), (left, right) = padding
    total = np.zeros((n, h + top + bottom, width + left + right, c), g.dtype)
    each = g.reshape(-1, o) @ np.ascontiguousarray(w).reshape(-1, o).T  # (N·ho·wo, kh·kw·C)
    each = each.reshape(n, ho, wo, kh, kw, c)
    for p in range(kh):
        for q in range(kw):
            total[:, p : p + stride * (ho - 1) + 1 : stride, q : q + stride * (wo - 1) + 1 : stride] += each[
                :, :, :, p, q
            ]
    return total[:, top : top + h, left : left + width]
