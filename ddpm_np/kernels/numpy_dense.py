"""Dense layers and 1×1 convolutions on the CPU: one product forward, two back, in place."""

from __future__ import annotations

import numpy as np

from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.conv import Padding, conv2d
from ddpm_np.autograd.ops.linear import linear, rows
from ddpm_np.autograd.tape import Gradients, Into
from ddpm_np.kernels.numpy_runs import channel_sums, product


def _fits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> bool:
    return (x.dtype == w.dtype and x.dtype.char in "fd" and x.size > 0 and w.size > 0 and x.shape[-1:] == w.shape[:1]
            and (b is None or b.shape == w.shape[1:]))


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> bool:
    return x.ndim >= 2 and w.ndim == 2 and _fits(x, w, b)


@linear.kernel("numpy", when=_suits, saves=("x", "w"))
def dense(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> Forward:
    """y = x W + b on the last axis."""
    c, o = w.shape
    y = np.matmul(rows(x), w)  # (N, M, O)
    if b is not None:
        y += b

    def vjp(g: np.ndarray) -> Gradients:
        flat = g.reshape(-1, o)  # (N·M, O)
        return ((lambda: (flat @ w.T).reshape(x.shape)),
                Into(lambda out: product(x.reshape(-1, c).T, flat, out, w.shape)), (lambda: channel_sums(flat)))

    return y.reshape(*x.shape[:-1], o), vjp


def _is_pointwise(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
                  padding: Padding = ((0, 0), (0, 0))) -> bool:
    return (w.ndim == x.ndim == 4 and w.shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0))
            and _fits(x, w[0, 0], b))


@conv2d.kernel("numpy", when=_is_pointwise, saves=("through_dense", "w"))
def pointwise(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
              padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """A 1×1 convolution: a dense layer on the channels of each pixel."""
    y, through_dense = dense(x, w[0, 0], b)

    def vjp(g: np.ndarray) -> Gradients:
        gx, through_w, gb = through_dense(g)

        def gw(out: np.ndarray | None) -> np.ndarray:
            if out is None:
                return through_w().reshape(w.shape)
            through_w.write(out[0, 0])
            return out

        return gx, Into(gw), gb

    return y, vjp
