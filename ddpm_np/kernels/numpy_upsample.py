"""Each pixel repeated 2×2, then a 3×3 convolution, on the CPU: from the small image, with 4/9 of the multiplications.

Under the kernel at an even row 2i of the large image lie rows i − 1, i, i of the small one, at an odd row 2i + 1 rows
i, i, i + 1. So the outputs of one parity of row and column are a 2×2 convolution of the small image, whose taps are
sums of the kernel's: with R₀ = [[1, 0, 0], [0, 1, 1]] and R₁ = [[1, 1, 0], [0, 0, 1]], the kernel of parities (a, b) is
R_a w R_bᵀ. In the backward pass, a small pixel met the outputs of rows 2i − 1 .. 2i + 2, with the taps of F w Fᵀ, 4×4:
its gradient is a convolution of the output's gradient at stride 2, and gw is Fᵀ G F, G that convolution's own gradient.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.conv import conv2d, pad, upsample_conv2d
from ddpm_np.autograd.ops.linear import rows
from ddpm_np.autograd.ops.shape import upsample_nearest
from ddpm_np.autograd.tape import Gradients
from ddpm_np.kernels.numpy_conv import chunks, patches, takes
from ddpm_np.kernels.numpy_runs import channel_sums, long_runs

_R = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
_PARITIES = np.concatenate([np.kron(_R[a], _R[b]) for a in (0, 1) for b in (0, 1)])  # (16, 9): w -> R_a w R_bᵀ
_F = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
_STRIDED = np.kron(_F, _F)  # (16, 9): w -> F w Fᵀ
_AROUND = ((1, 1), (1, 1))
_LARGE = {"stride": 1, "padding": _AROUND}


def _is_for_kernels(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> bool:
    return takes(x, w, b)


@upsample_conv2d.kernel("numpy", when=_is_for_kernels, saves=("through_conv",))
def in_two_steps(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> Forward:
    """The large image, then its convolution by the kernel that is chosen for it."""
    large, through_upsample = upsample_nearest.define(x, factor=2)
    y, through_conv = conv2d.choose([large, w, b], _LARGE)(large, w, b, **_LARGE)

    def vjp(g: np.ndarray) -> Gradients:
        gx, gw, gb = through_conv(g)
        return (lambda: through_upsample(gx())[0]), gw, gb

    return y, vjp


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> bool:
    """Return whether transforming the kernel costs little beside using it: many pixels, or few channels."""
    enough = w.shape[2] <= 128 or x.shape[1] * x.shape[2] >= 64
    return takes(x, w, b) and w.shape[:2] == (3, 3) and enough


@upsample_conv2d.kernel("numpy", when=_suits, saves=("gx_and_gw",))
def by_parities(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> Forward:
    """Four 2×2 convolutions of the small image."""
    (n, h, width, c), o = x.shape, w.shape[3]
    flat_w = np.ascontiguousarray(w).reshape(9, c * o)
    kernels = (_PARITIES.astype(w.dtype) @ flat_w).reshape(4, 1, 4 * c, o)
    y = np.empty((n, h, 2, width, 2, o), x.dtype)
    row_bytes = h * width * 16 * c * x.itemsize
    for part in chunks(n, row_bytes):
        block = _parity_patches(x[part])  # (4, k, h·w, 4·C)
        products = np.stack([np.matmul(rows(block[i]), kernels[i, 0]) for i in range(4)])
        if b is not None:
            with long_runs(width * o):
                in_rows = products.reshape(-1, width * o)
                in_rows += np.tile(b, width)
        k = block.shape[1]
        y[part] = products.reshape(2, 2, k, h, width, o).transpose(2, 3, 0, 4, 1, 5)

    def gx_and_gw(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the patches of g at stride 2, times F w Fᵀ, (N, H, W, C), and times x, (3, 3, C, O)."""
        turned = flat_w.reshape(9, c, o).swapaxes(1, 2).reshape(9, o * c)  # (9, O·C)
        strided = (_STRIDED.astype(w.dtype) @ turned).reshape(16 * o, c)
        gx = np.empty((n, h * width, c), g.dtype)
        total = np.zeros((c, 16 * o), g.dtype)
        for part in chunks(n, h * width * 16 * o * g.itemsize):
            padded = pad(g[part], _AROUND)
            block = np.empty((padded.shape[0], h * width, 16 * o), g.dtype)
            patches(padded, 4, 4, h, width, 2, block)
            block = block.reshape(-1, 16 * o)
            np.matmul(block, strided, out=gx[part].reshape(-1, c))
            total += x[part].reshape(-1, c).T @ block
        gw = np.matmul(_STRIDED.T.astype(g.dtype), total.reshape(c, 16, o))  # (C, 9, O)
        return gx.reshape(x.shape), gw.swapaxes(0, 1).reshape(w.shape)

    def vjp(g: np.ndarray) -> Gradients:
        found: dict[str, np.ndarray] = {}

        def both() -> dict[str, np.ndarray]:
            if not found:
                found["gx"], found["gw"] = gx_and_gw(np.ascontiguousarray(g))
            return found

        return (lambda: both()["gx"]), (lambda: both()["gw"]), (lambda: channel_sums(g))

    return y.reshape(n, 2 * h, 2 * width, o), vjp


def _parity_patches(x: np.ndarray) -> np.ndarray:
    """Return the 2×2 patches of each parity of a few images: (k, H, W, C) -> (4, k, H·W, 4·C)."""
    k, h, w, c = x.shape
    padded = pad(x, _AROUND)  # (k, H + 2, W + 2, C)
    image, row, pixel, number = padded.strides
    out = np.empty((4, k, h, w, 2, 2 * c), x.dtype)
    for i, (a, b) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        out[i] = as_strided(padded[:, a:, b:], (k, h, w, 2, 2 * c), (image, row, pixel, row, number))
    return out.reshape(4, k, h * w, 4 * c)
