"""3×3 convolution on the CPU by Winograd's F(2×2, 3×3): 16 multiplications for 2×2 outputs, instead of 36.

An image is cut into 4×4 tiles that overlap by two. With Bᵀ, G, Aᵀ of Lavin & Gray 2016,

    y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A

for a tile d and one channel. The elementwise product ⊙, summed over channels, is sixteen matrix products, one for each
of its places. The input's gradient is the same convolution of the output's gradient with the flipped kernel; the
kernel's is Gᵀ [Σ (Bᵀ d B) ⊙ (A g Aᵀ)] G. B and A hold only 0 and ±1, so their products are additions, done here on a
few images at a time, or on a band of a large image, with even and odd columns apart so that they run along whole rows.
The forward products take one matrix for each image or band, so that an image's bits do not depend on its batch, unless
images may be taken together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ddpm_np.autograd.op import Forward, are_images_together
from ddpm_np.autograd.ops.conv import Padding, conv2d, output_size
from ddpm_np.autograd.tape import Gradients
from ddpm_np.kernels.numpy_conv import takes
from ddpm_np.kernels.numpy_runs import SHORTEST_RUN, channel_sums, long_runs
from ddpm_np.parallel.threads import contiguous_spans

_TILES = 3 << 20  # bytes of tiles at a time: as fast as any of 1, 2, 3, 4, 6, 8, 16 MiB and all at once, or faster

_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_TO_PLACES = np.kron(_G, _G)  # (16, 9): w -> G w Gᵀ
FLIPPED = _TO_PLACES[:, ::-1]  # (16, 9): the same of the kernel turned by 180°
_SIGNS = np.kron([1, 1, 1, -1], [1, 1, 1, -1])  # of A g Aᵀ, whose last row and column are computed without their minus
FROM_PLACES = _TO_PLACES.T * _SIGNS  # (9, 16)


def fits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: int, padding: Padding) -> bool:
    """Return whether F(2×2, 3×3) applies. With more than two zeros of padding the backward pass would have to crop."""
    if w.shape[:2] != (3, 3) or stride != 1 or not takes(x, w, b):
        return False
    _, h, width, _ = x.shape
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    return min(ho, wo, h, width) >= 2 and all(0 <= zeros <= 2 for sides in padding for zeros in sides)


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> bool:
    """Return whether it pays: even sizes, and channels enough that the products saved outweigh the additions.

    Fewer channels are enough where rows are long.
    """
    if not fits(x, w, b, stride, padding):
        return False
    (c, o), (h, width) = w.shape[2:], x.shape[1:3]
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    enough = 16 if wo // 2 * min(c, o) >= SHORTEST_RUN else 24
    return c * o >= enough * (c + o) and min(ho, wo) >= 8 and not (ho | wo | h | width) & 1


def kernel_places(w: np.ndarray, matrix: np.ndarray = _TO_PLACES) -> np.ndarray:
    """Return G w Gᵀ at its sixteen places, with `FLIPPED` that of the flipped kernel: (3, 3, C, O) -> (16, C, O)."""
    c, o = w.shape[2:]
    return (matrix.astype(w.dtype) @ np.ascontiguousarray(w).reshape(9, c * o)).reshape(16, c, o)


def input_places(x: np.ndarray, padding: Padding, th: int, tw: int, split: np.ndarray, rows: np.ndarray,
                 out: np.ndarray) -> None:
    """Write Bᵀ d B of a few images: x (k, H, W, C) -> out (4, 4, k, th, tw, C).

    `split` (k, 2·th + 2, 2, tw + 1, C) receives the padded image with even and odd columns apart, and already holds
    the zeros of the padding; `rows` (4, k, th, 2, tw + 1, C) receives Bᵀ d.
    """
    (top, _), (left, _) = padding
    h = x.shape[1]
    for parity in (0, 1):  # of the padded image's columns
        first = (parity - left) % 2  # the first column of x with that parity
        start = (first + left) // 2
        columns = x[:, :, first::2]
        split[:, top : top + h, parity, start : start + columns.shape[2]] = columns
    d = [split[:, i : i + 2 * th : 2] for i in range(4)]  # (k, th, 2, tw + 1, C): row i of each tile
    np.subtract(d[0], d[2], out=rows[0])
    np.add(d[1], d[2], out=rows[1])
    np.subtract(d[2], d[1], out=rows[2])
    np.subtract(d[1], d[3], out=rows[3])
    e = [rows[:, :, :, j % 2, j // 2 : j // 2 + tw] for j in range(4)]  # (4, k, th, tw, C): column j of each
    np.subtract(e[0], e[2], out=out[:, 0])
    np.add(e[1], e[2], out=out[:, 1])
    np.subtract(e[2], e[1], out=out[:, 2])
    np.subtract(e[1], e[3], out=out[:, 3])


def outputs(places: np.ndarray, rows: np.ndarray, y: np.ndarray) -> None:
    """Write Aᵀ m A of a few images: places (4, 4, k, th, tw, O), overwritten -> y (k, 2·th, 2·tw, O)."""
    np.add(places[0], places[1], out=rows[0])
    rows[0] += places[2]
    np.subtract(places[1], places[2], out=rows[1])
    rows[1] -= places[3]
    spare = places[0, 0]
    for i in (0, 1):
        r = rows[i]  # (4, k, th, tw, O)
        np.add(r[0], r[1], out=spare)
        np.add(spare, r[2], out=y[:, i::2, 0::2])
        np.subtract(r[1], r[2], out=spare)
        np.subtract(spare, r[3], out=y[:, i::2, 1::2])


def gradient_places(g: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Write A g Aᵀ of a few images without the signs `_SIGNS`: g (k, 2·th, 2·tw, O) -> out (4, 4, k, th, tw, O)."""
    k, h, w, o = g.shape
    pairs = g.reshape(k, h // 2, 2, w // 2, 2, o)
    rows[0], rows[3] = pairs[:, :, 0].swapaxes(2, 3), pairs[:, :, 1].swapaxes(2, 3)  # (k, th, 2, tw, O)
    np.add(rows[0], rows[3], out=rows[1])
    np.subtract(rows[0], rows[3], out=rows[2])
    even, odd = rows[:, :, :, 0], rows[:, :, :, 1]  # (4, k, th, tw, O)
    out[:, 0], out[:, 3] = even, odd
    np.add(even, odd, out=out[:, 1])
    np.subtract(even, odd, out=out[:, 2])


class _Workspace:
    """Arrays for the tiles of a few images of one size, or of a band of one image, and the lots to work through."""

    def __init__(self, n: int, th: int, tw: int, c: int, o: int, padding: Padding, dtype: np.dtype) -> None:
        row = 16 * tw * (c + o) * np.dtype(dtype).itemsize  # bytes of a row of tiles
        self.k = k = min(n, max(1, _TILES // (th * row)))
        bands = -(-th // max(1, _TILES // row)) if k == 1 else 1
        self.bands = contiguous_spans(th, bands)  # [first, end) rows of tiles
        self.n, self.padding, self.tw = n, padding, tw
        self.most = most = max(end - first for first, end in self.bands)
        self.split = np.zeros((k, 2 * most + 2, 2, tw + 1, c), dtype)
        self.rows = np.empty((4, k, most, 2, tw + 1, c), dtype)
        self.places = np.empty((4, 4, k, most, tw, c), dtype)
        self.products = np.empty((4, 4, k, most, tw, o), dtype)

    def lots(self) -> Iterator[tuple[slice, int, int, int]]:
        """Yield (slice of the images, how many, first row of tiles, end) of each lot."""
        for i in range(0, self.n, self.k):
            m = min(self.k, self.n - i)
            for band in self.bands:
                yield slice(i, i + m), m, *band

    def of(self, array: np.ndarray, m: int, th: int) -> np.ndarray:
        """Return the part of an array like `products` that a lot fills, in one block of memory."""
        whole = m == self.k and th == self.most
        return array if whole else array.reshape(-1)[: array[:, :, :m, :th].size].reshape(
            *array.shape[:2], m, th, *array.shape[4:])

    def take(self, x: np.ndarray, m: int, first: int, end: int) -> np.ndarray:
        """Return the tiles of m images x at their places, in the given rows: (4, 4, m, end − first, tw, C)."""
        (top, bottom), sides = self.padding
        th = end - first
        before, start = max(0, top - 2 * first), max(0, 2 * first - top)  # rows of zeros, and rows of x above the band
        x = x[:, start : max(start, 2 * end + 2 - top)]
        split = self.split[:m, : 2 * th + 2]
        split[:, :before] = 0
        split[:, before + x.shape[1] :] = 0
        found = self.of(self.places, m, th)
        input_places(x, ((before, bottom), sides), th, self.tw, split, self.rows[:, :m, :th], found)
        return found


def convolve(x: np.ndarray, places: np.ndarray, padding: Padding, ho: int, wo: int, b: np.ndarray | None = None, *,
             together: bool = True) -> np.ndarray:
    """Return the convolution of x (N, H, W, C) with `kernel_places` (16, C, O): (N, ho, wo, O)."""
    n, (_, c, o), th, tw = x.shape[0], places.shape, ho // 2, wo // 2
    y = np.empty((n, ho, wo, o), x.dtype)
    work = _Workspace(n, th, tw, c, o, padding, x.dtype)
    rows = np.empty((2, 4, work.k, work.most, tw, o), x.dtype)
    if b is not None:
        b = np.tile(b, tw)  # (tw·O,)
    with long_runs(tw * min(c, o)):
        for part, m, first, end in work.lots():
            tiles, products = work.take(x[part], m, first, end), work.of(work.products, m, end - first)
            stack = 1 if together else m  # matrices: one of all images, or one per image
            np.matmul(tiles.reshape(16, stack, -1, c), places[:, None], out=products.reshape(16, stack, -1, o))
            if b is not None:  # Aᵀ m A adds this place once to each of the four outputs
                once = products[1, 1].reshape(m, end - first, tw * o)
                once += b
            outputs(products, rows[:, :, :m, : end - first], y[part, 2 * first : 2 * end])
    return y


def kernel_gradient(x: np.ndarray, g: np.ndarray, padding: Padding) -> np.ndarray:
    """Return the kernel's gradient (3, 3, C, O) from x (N, H, W, C) and g (N, ho, wo, O)."""
    (n, ho, wo, o), c = g.shape, x.shape[3]
    th, tw = ho // 2, wo // 2
    work = _Workspace(n, th, tw, c, o, padding, x.dtype)
    rows = np.empty((4, work.k, work.most, 2, tw, o), x.dtype)
    total: Any = None
    with long_runs(tw * min(c, o)):
        for part, m, first, end in work.lots():
            tiles, grads = work.take(x[part], m, first, end), work.of(work.products, m, end - first)
            gradient_places(g[part, 2 * first : 2 * end], rows[:, :m, : end - first], grads)
            count = m * (end - first) * tw
            products = np.matmul(tiles.reshape(16, count, c).swapaxes(1, 2), grads.reshape(16, count, o))  # (16, C, O)
            total = products if total is None else np.add(total, products, out=total)
    return (FROM_PLACES.astype(x.dtype) @ total.reshape(16, c * o)).reshape(3, 3, c, o)


@conv2d.kernel("numpy", when=_suits, saves=("w", "x"))
def winograd(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
             padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """A 3×3 convolution at stride 1."""
    h, width = x.shape[1:3]
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])

    def vjp(g: np.ndarray) -> Gradients:
        def gx() -> np.ndarray:
            back = tuple((2 - before, 2 - after) for before, after in padding)
            return convolve(g, kernel_places(w, FLIPPED).swapaxes(1, 2), back, h, width)

        return gx, (lambda: kernel_gradient(x, np.ascontiguousarray(g), padding)), (lambda: channel_sums(g))

    return convolve(x, kernel_places(w), padding, ho, wo, b, together=are_images_together()), vjp
