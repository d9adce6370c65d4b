"""3×3 convolution on the CPU by Winograd's F(4×4, 3×3): 36 multiplications for 4×4 outputs, instead of 144.

An image is cut into 6×6 tiles that overlap by two. With Bᵀ, G, Aᵀ of `toom_cook`,

    y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A

for a tile d and one channel. The elementwise product ⊙, summed over channels, is 36 matrix products, one for each of
its places. The transforms are products too: all tiles as the columns of a matrix of 36 rows, times the Kronecker square
of Bᵀ, which runs at BLAS's speed where additions, pass by pass, run at that of memory. So the points need not be small
integers, and are chosen for small errors.

The input's gradient is the same convolution of the output's gradient with the flipped kernel. Its tiles serve the
kernel's gradient as well: ⟨x, gx⟩ is bilinear in x and in the flipped kernel w', so gw' = Gᵀ [Σ (A x Aᵀ) ⊙ (Bᵀ g B)] G,
summed over tiles, with x cut into 4×4 tiles without overlap.

The work is done on a few images at a time, or on a band of a large image. Forward, each image is a matrix of its own,
so that its bits do not depend on its batch, unless images may be taken together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ddpm_np.autograd.op import Forward, are_images_together
from ddpm_np.autograd.ops.conv import Padding, conv2d, output_size
from ddpm_np.autograd.tape import Gradients
from ddpm_np.kernels.numpy_conv import takes
from ddpm_np.kernels.numpy_runs import channel_sums
from ddpm_np.kernels.toom_cook import toom_cook
from ddpm_np.parallel.threads import contiguous_spans

POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)  # of errors in float32 a third of those of 0, ±1, ±2
_TILES = 3 << 20  # bytes of tiles and products at a time

_B, _G, _A = toom_cook(POINTS, 4, 3)
_TO_TILES = np.kron(_B, _B)  # (36, 36): d -> Bᵀ d B
_TO_PLACES = np.kron(_G, _G)  # (36, 9): w -> G w Gᵀ
_FLIPPED = _TO_PLACES[:, ::-1]  # (36, 9): the same of the kernel turned by 180°
_TO_OUTPUTS = np.kron(_A, _A)  # (16, 36): m -> Aᵀ m A
_WITH_BIAS = np.concatenate([_TO_OUTPUTS, np.ones((16, 1))], axis=1)  # (16, 37): a 37th place, added to all outputs


def fits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: int, padding: Padding) -> bool:
    """Return whether F(4×4, 3×3) applies. With more than two zeros of padding the backward pass would have to crop."""
    if w.shape[:2] != (3, 3) or stride != 1 or not takes(x, w, b):
        return False
    _, h, width, _ = x.shape
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    return min(ho, wo) >= 1 and all(0 <= zeros <= 2 for sides in padding for zeros in sides)


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> bool:
    return fits(x, w, b, stride, padding) and min(w.shape[2:]) >= 16 and x.shape[1] >= 4


def kernel_places(w: np.ndarray, matrix: np.ndarray = _TO_PLACES) -> np.ndarray:
    """Return G w Gᵀ at its 36 places, with `_FLIPPED` that of the flipped kernel: (3, 3, C, O) -> (36, C, O)."""
    c, o = w.shape[2:]
    return (matrix.astype(w.dtype) @ np.ascontiguousarray(w).reshape(9, c * o)).reshape(36, c, o)


def _in_rows(count: int, length: int, dtype: np.dtype) -> np.ndarray:
    """Return an array (count, length) whose rows do not start a power of two of bytes apart, where caches collide."""
    return np.empty((count, length + 16 * (length % 512 == 0)), dtype)[:, :length]


class _Tiling:
    """The cut of images into tiles of 4×4 outputs, and the lots to work through: a few images, or a band of one.

    Parameters
    ----------
    n : int
        Number of images.
    ho, wo : int
        The size of their outputs.
    padding : Padding
        Of their inputs.
    channels : int
        Of tiles and products together.
    dtype : dtype
    """

    def __init__(self, n: int, ho: int, wo: int, padding: Padding, channels: int, dtype: np.dtype) -> None:
        self.ho, self.wo, self.padding = ho, wo, padding
        self.th, self.tw = -(-ho // 4), -(-wo // 4)
        row = 36 * self.tw * channels * np.dtype(dtype).itemsize  # bytes of a row of tiles
        most = max(1, _TILES // (self.th * row))
        self.images = contiguous_spans(n, -(-n // most))
        self.bands = contiguous_spans(self.th, -(-self.th * row // _TILES) if most == 1 else 1)
        self.padded: dict[tuple[int, int], np.ndarray] = {}

    def lots(self) -> Iterator[tuple[slice, int, int]]:
        """Yield (slice of the images, first row of tiles, end) of each lot."""
        for start, stop in self.images:
            for first, end in self.bands:
                yield slice(start, stop), first, end

    def overlapping(self, x: np.ndarray, first: int, end: int) -> np.ndarray:
        """Return the 6×6 tiles of rows `first` to `end` of some images: (k, H, W, C) -> (36, k·th·tw·C)."""
        (k, h, width, c), (top, _), (left, _) = x.shape, *self.padding
        th, tw = end - first, self.tw
        low = 4 * first - top  # row of x at the first padded row
        here = x[:, max(0, low) : max(0, min(h, low + 4 * th + 2))]
        padded = self.zeros(k, 4 * th + 2, 4 * tw + 2, c, x.dtype)
        before = max(0, -low)
        padded[:, :before] = 0
        padded[:, before + here.shape[1] :] = 0
        padded[:, before : before + here.shape[1], left : left + width] = here
        image, row, pixel, number = padded.strides
        tiles = _in_rows(36, k * th * tw * c, x.dtype)
        tiles.reshape(6, 6, k, th, tw, c)[...] = as_strided(
            padded, (6, 6, k, th, tw, c), (row, pixel, image, 4 * row, 4 * pixel, number))
        return tiles

    def apart(self, x: np.ndarray, first: int, end: int) -> np.ndarray:
        """Return the 4×4 tiles of rows `first` to `end` of some images: (k, H, W, C) -> (16, k·th·tw·C)."""
        k, h, width, c = x.shape
        th, tw = end - first, self.tw
        here = x[:, 4 * first : 4 * end]
        if here.shape[1:3] != (4 * th, 4 * tw):
            whole = self.zeros(k, 4 * th, 4 * tw, c, x.dtype)
            whole[:, here.shape[1] :] = 0
            whole[:, : here.shape[1], :width] = here
            here = whole
        tiles = _in_rows(16, k * th * tw * c, x.dtype)
        tiles.reshape(4, 4, k, th, tw, c)[...] = here.reshape(k, th, 4, tw, 4, c).transpose(2, 4, 0, 1, 3, 5)
        return tiles

    def zeros(self, k: int, h: int, width: int, c: int, dtype: np.dtype) -> np.ndarray:
        """Return an array for images of this size in which the columns of padding are zeros; the lots use it in turn."""
        shape = (k, h, width, c)
        if shape not in self.padded:
            self.padded[shape] = np.zeros(shape, dtype)
        return self.padded[shape]

    def put(self, tiles: np.ndarray, y: np.ndarray, first: int, end: int) -> None:
        """Write rows `first` to `end` of 4×4 tiles: (16, k·th·tw·O) -> y (k, H', W', O)."""
        k, _, width, o = y.shape
        th, tw = end - first, self.tw
        tiles = tiles.reshape(4, 4, k, th, tw, o).transpose(2, 3, 0, 4, 1, 5)  # (k, th, 4, tw, 4, O)
        here = y[:, 4 * first : 4 * end]
        if here.shape[1] == 4 * th and width == 4 * tw:
            as_strided(here, tiles.shape, (here.strides[0], 4 * here.strides[1], here.strides[1], 4 * here.strides[2],
                                           here.strides[2], here.strides[3]))[...] = tiles
        else:
            here[...] = np.ascontiguousarray(tiles).reshape(k, 4 * th, 4 * tw, o)[:, : here.shape[1], :width]


def _transform(matrix: np.ndarray, columns: np.ndarray, images: int, out: np.ndarray | None = None) -> np.ndarray:
    """Return matrix @ columns, as one product or, where `images` is above 1, as one for each image's columns."""
    if out is None:
        out = _in_rows(matrix.shape[0], columns.shape[1], columns.dtype)
    def each(array: np.ndarray) -> np.ndarray:
        return array.reshape(array.shape[0], images, -1).swapaxes(0, 1)  # (images, places, columns)

    np.matmul(matrix.astype(columns.dtype), each(columns), out=each(out))
    return out


def convolve(x: np.ndarray, places: np.ndarray, padding: Padding, ho: int, wo: int, b: np.ndarray | None = None, *,
             together: bool = True) -> np.ndarray:
    """Return the convolution of x (N, H, W, C) with `kernel_places` (36, C, O): (N, ho, wo, O)."""
    n, (_, c, o) = x.shape[0], places.shape
    y = np.empty((n, ho, wo, o), x.dtype)
    tiling = _Tiling(n, ho, wo, padding, c + o, x.dtype)
    for part, first, end in tiling.lots():
        k = part.stop - part.start
        stack = 1 if together else k  # matrices: one of all images, or one per image
        tiles = _transform(_TO_TILES, tiling.overlapping(x[part], first, end), stack)
        tiling.put(_outputs(tiles, places, b, stack), y[part], first, end)
    return y


def _outputs(tiles: np.ndarray, places: np.ndarray, b: np.ndarray | None, stack: int) -> np.ndarray:
    """Return Aᵀ [places ⊙ tiles] A + b, the product ⊙ summed over channels: (36, T·C) and (36, C, O) -> (16, T·O)."""
    _, c, o = places.shape
    count = tiles.shape[1] // c
    products = _in_rows(36 + (b is not None), count * o, tiles.dtype)
    np.matmul(tiles.reshape(36, stack, -1, c), places[:, None], out=products[:36].reshape(36, stack, -1, o))
    if b is None:
        return _transform(_TO_OUTPUTS, products, stack)
    products[36].reshape(count, o)[...] = b
    return _transform(_WITH_BIAS, products, stack)


def gradients(x: np.ndarray, w: np.ndarray, g: np.ndarray, padding: Padding, *,
              with_input: bool) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the input's gradient (N, H, W, C), unless it is not wanted, and the kernel's (3, 3, C, O)."""
    (n, h, width, c), o = x.shape, w.shape[3]
    back = tuple((2 - before, 2 - after) for before, after in padding)
    gx = np.empty(x.shape, g.dtype) if with_input else None
    flipped = kernel_places(w, _FLIPPED).swapaxes(1, 2) if with_input else None  # (36, O, C)
    total: Any = None
    tiling = _Tiling(n, h, width, back, c + o, x.dtype)
    for part, first, end in tiling.lots():
        tiles = _transform(_TO_TILES, tiling.overlapping(g[part], first, end), 1)  # (36, T·O)
        if gx is not None:
            tiling.put(_outputs(tiles, flipped, None, 1), gx[part], first, end)
        inputs = _transform(_TO_OUTPUTS.T, tiling.apart(x[part], first, end), 1)  # (36, T·C)
        products = np.matmul(inputs.reshape(36, -1, c).swapaxes(1, 2), tiles.reshape(36, -1, o))  # (36, C, O)
        total = products if total is None else np.add(total, products, out=total)
    gw = (_FLIPPED.T.astype(x.dtype) @ total.reshape(36, c * o)).reshape(3, 3, c, o)
    return gx, gw


@conv2d.kernel("numpy", when=_suits, saves=("w", "x"))
def winograd(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
             padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """A 3×3 convolution at stride 1."""
    h, width = x.shape[1:3]
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])

    def vjp(g: np.ndarray) -> Gradients:
        found: list[np.ndarray] = []

        def gx() -> np.ndarray | None:
            result, gw = gradients(x, w, g, padding, with_input=True)
            found.append(gw)
            return result

        return gx, (lambda: found.pop() if found else gradients(x, w, g, padding, with_input=False)[1]), (
            lambda: channel_sums(np.ascontiguousarray(g)))

    return convolve(x, kernel_places(w), padding, ho, wo, b, together=are_images_together()), vjp
