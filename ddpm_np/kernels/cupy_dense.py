"""Dense layers and 1×1 convolutions on a GPU: one matrix of all images, and sums over rows as products.

CuPy multiplies two matrices by one call of cuBLAS, with either of them transposed, and into a given array; for stacks
of matrices it copies transposed operands first. What is kept of an image's result in another batch is its value to
rounding, since cuBLAS may add in another order for another number of rows.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.conv import Padding
from ddpm_np.autograd.ops.linear import linear
from ddpm_np.autograd.tape import Gradients, Into
from ddpm_np.backend import Array, of


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """Return the matrix A B, written into `out` where that is one block of memory, in any shape of its size."""
    xp = of(a)
    if out is None:
        return xp.matmul(a, b)
    shape = (a.shape[0], b.shape[1])
    if out.flags.c_contiguous:
        xp.matmul(a, b, out=xp.reshape(out, shape))
    else:
        out[...] = xp.reshape(xp.matmul(a, b), out.shape)
    return out


@functools.lru_cache(64)
def _ones(xp: Any, device: int, length: int, dtype: Any) -> Array:
    """Return a row of ones, (1, length), which nobody writes to."""
    return xp.ones((1, length), dtype=dtype)


def column_sums(x: Array, out: Array | None = None) -> Array:
    """Return Σ over all but the last axis, a product with a row of ones: (…, C) -> (C,)."""
    xp, c = of(x), x.shape[-1]
    m = math.prod(x.shape[:-1])
    ones = _ones(xp, xp.cuda.runtime.getDevice(), m, x.dtype)
    return xp.reshape(product(ones, xp.reshape(x, (m, c)), out), (c,))


def fits(x: Array, w: Array, b: Array | None) -> bool:
    """Return whether dtypes agree and there are elements. All else is left to the definition."""
    return (x.dtype == w.dtype and x.dtype.char in "fd" and x.size > 0 and w.size > 0
            and (b is None or (b.dtype == w.dtype and b.shape == w.shape[-1:])))


def _suits(x: Array, w: Array, b: Array | None = None) -> bool:
    return x.ndim >= 2 and w.ndim == 2 and x.shape[-1] == w.shape[0] and fits(x, w, b)


@linear.kernel("cupy", when=_suits, saves=("x", "w"))
def dense(x: Array, w: Array, b: Array | None = None) -> Forward:
    """y = x W + b on the last axis."""
    xp, (c, o) = of(x), w.shape
    flat = xp.reshape(x, (-1, c))  # (M, C)
    y = xp.matmul(flat, w)  # (M, O)
    if b is not None:
        y += b

    def vjp(g: Array) -> Gradients:
        rows = xp.ascontiguousarray(xp.reshape(g, (-1, o)))  # (M, O): once, since each product would copy a slice
        return (lambda: xp.reshape(xp.matmul(rows, w.T), x.shape), Into(lambda out: product(flat.T, rows, out)),
                Into(lambda out: column_sums(rows, out)))

    return xp.reshape(y, (*x.shape[:-1], o)), vjp


def is_pointwise(x: Array, w: Array, b: Array | None = None, *, stride: int = 1,
                  padding: Padding = ((0, 0), (0, 0))) -> bool:
    return (w.ndim == x.ndim == 4 and w.shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0))
            and x.shape[3] == w.shape[2] and fits(x, w, b))


def pointwise(x: Array, w: Array, b: Array | None = None, *, stride: int = 1,
              padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """A 1×1 convolution: a dense layer on the channels of each pixel."""
    y, through_dense = dense(x, w[0, 0, :, :], b)

    def vjp(g: Array) -> Gradients:
        gx, gw, gb = through_dense(g)
        return gx, Into(lambda out: of(g).reshape(gw.write(out), w.shape)), gb

    return y, vjp
