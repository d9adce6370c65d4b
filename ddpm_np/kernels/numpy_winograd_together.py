"""Winograd's F(2×2, 3×3) for a batch whose images may be taken together; the mathematics is in `numpy_winograd`.

The image index stands next to the channels, (H, W, N, C). Then a pixel is a run of N·C numbers, every addition of the
transforms runs along at least that, and the products have a row for each tile of each image: one 8×8 image with 32
channels is too small for it, thirty-two together are not. It costs a copy of the input and one of the output. An odd
output is computed as an even one, whose last row or column is dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.conv import Padding, conv2d, output_size
from ddpm_np.autograd.tape import Gradients
from ddpm_np.kernels.numpy_runs import RUN, channel_sums, long_runs
from ddpm_np.kernels.numpy_winograd import FLIPPED, FROM_PLACES, fits, kernel_places
from ddpm_np.parallel.threads import contiguous_spans

_TILES = 1 << 22  # bytes of tiles and products at a time


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> bool:
    """Return whether it pays: small images, enough of them for long runs and to outweigh the kernel's transforms.

    With odd sizes, the products saved must also outweigh those for the row and the column that are dropped.
    """
    if not fits(x, w, b, stride, padding):
        return False
    (n, h, width, _), (c, o) = x.shape, w.shape[2:]
    sizes = h, width, output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    if any(size & 1 for size in sizes) and (min(sizes) < 7 or c * o < 32 * (c + o)):
        return False
    least = min(c, o)
    return max(h, width) <= 14 and least >= 32 and n * least >= RUN and n * h * width >= 4 * least


def _lots(n: int, th: int, tw: int, c: int, o: int, itemsize: int) -> list[tuple[slice, int]]:
    """Return (slice of the images, how many) of each lot: about equal lots of at most `_TILES` bytes."""
    most = max(1, min(n, _TILES // (16 * th * tw * (c + o) * itemsize)))
    count = -(-n // most)
    return [(slice(first, end), end - first) for first, end in contiguous_spans(n, count)]


def input_places(x: np.ndarray, padding: Padding, th: int, tw: int, padded: np.ndarray, rows: np.ndarray,
                 out: np.ndarray) -> None:
    """Write Bᵀ d B of a few images: x (k, H, W, C) -> out (4, 4, th, tw, k, C).

    `padded` (2·th + 2, 2·tw + 2, k, C) already holds the zeros of the padding; `rows` (4, th, 2·tw + 2, k, C) receives
    Bᵀ d.
    """
    (top, _), (left, _) = padding
    padded[top : top + x.shape[1], left : left + x.shape[2]] = x.transpose(1, 2, 0, 3)
    d = [padded[i : i + 2 * th : 2] for i in range(4)]  # (th, 2·tw + 2, k, C): row i of each tile
    np.subtract(d[0], d[2], out=rows[0])
    np.add(d[1], d[2], out=rows[1])
    np.subtract(d[2], d[1], out=rows[2])
    np.subtract(d[1], d[3], out=rows[3])
    e = [rows[:, :, j : j + 2 * tw : 2] for j in range(4)]  # (4, th, tw, k, C): column j of each
    np.subtract(e[0], e[2], out=out[:, 0])
    np.add(e[1], e[2], out=out[:, 1])
    np.subtract(e[2], e[1], out=out[:, 2])
    np.subtract(e[1], e[3], out=out[:, 3])


def outputs(places: np.ndarray, rows: np.ndarray, turned: np.ndarray, y: np.ndarray) -> None:
    """Write Aᵀ m A of a few images: places (4, 4, th, tw, k, O), overwritten -> y (k, H', W', O), through `turned`."""
    np.add(places[0], places[1], out=rows[0])
    rows[0] += places[2]
    np.subtract(places[1], places[2], out=rows[1])
    rows[1] -= places[3]
    spare = places[0, 0]
    for i in (0, 1):
        r = rows[i]  # (4, th, tw, k, O)
        np.add(r[0], r[1], out=spare)
        np.add(spare, r[2], out=turned[i::2, 0::2])
        np.subtract(r[1], r[2], out=spare)
        np.subtract(spare, r[3], out=turned[i::2, 1::2])
    y[...] = turned[: y.shape[1], : y.shape[2]].transpose(2, 0, 1, 3)


def gradient_places(g: np.ndarray, turned: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Write A g Aᵀ of a few images without the signs in `FROM_PLACES`: g (k, H', W', O) -> out (4, 4, th, tw, k, O).

    `turned` (2·th, 2·tw, k, O) already holds zeros in the row and column beyond an odd g.
    """
    turned[: g.shape[1], : g.shape[2]] = g.transpose(1, 2, 0, 3)
    rows[0], rows[3] = turned[0::2], turned[1::2]  # (th, 2·tw, k, O)
    np.add(rows[0], rows[3], out=rows[1])
    np.subtract(rows[0], rows[3], out=rows[2])
    even, odd = rows[:, :, 0::2], rows[:, :, 1::2]  # (4, th, tw, k, O)
    out[:, 0], out[:, 3] = even, odd
    np.add(even, odd, out=out[:, 1])
    np.subtract(even, odd, out=out[:, 2])


def _tiles(x: np.ndarray, k: int, padding: Padding, th: int, tw: int, spaces: dict[int, Any]) -> np.ndarray:
    """Return the tiles of k images at their places, (4, 4, th, tw, k, C), in arrays that are kept in `spaces`."""
    c = x.shape[3]
    if k not in spaces:
        spaces[k] = (np.zeros((2 * th + 2, 2 * tw + 2, k, c), x.dtype),
                     np.empty((4, th, 2 * tw + 2, k, c), x.dtype), np.empty((4, 4, th, tw, k, c), x.dtype))
    padded, rows, out = spaces[k]
    input_places(x, padding, th, tw, padded, rows, out)
    return out


def convolve(x: np.ndarray, places: np.ndarray, padding: Padding, ho: int, wo: int,
             b: np.ndarray | None = None) -> np.ndarray:
    """Return the convolution of x (N, H, W, C) with `kernel_places` (16, C, O): (N, ho, wo, O)."""
    n, (_, c, o), th, tw = x.shape[0], places.shape, -(-ho // 2), -(-wo // 2)
    y = np.empty((n, ho, wo, o), x.dtype)
    spaces: dict[int, Any] = {}
    for part, k in _lots(n, th, tw, c, o, x.itemsize):
        with long_runs(k * min(c, o)):
            tiles = _tiles(x[part], k, padding, th, tw, spaces)
            products = np.matmul(tiles.reshape(16, -1, c), places).reshape(4, 4, th, tw, k, o)
            if b is not None:  # Aᵀ m A adds this place once to each of the four outputs
                once = products[1, 1].reshape(th * tw, k * o)
                once += np.tile(b, k)
            rows, turned = np.empty((2, 4, th, tw, k, o), x.dtype), np.empty((2 * th, 2 * tw, k, o), x.dtype)
            outputs(products, rows, turned, y[part])
    return y


def kernel_gradient(x: np.ndarray, g: np.ndarray, padding: Padding) -> np.ndarray:
    """Return the kernel's gradient (3, 3, C, O) from x (N, H, W, C) and g (N, ho, wo, O)."""
    (n, ho, wo, o), c = g.shape, x.shape[3]
    th, tw = -(-ho // 2), -(-wo // 2)
    total: Any = None
    spaces: dict[int, Any] = {}
    for part, k in _lots(n, th, tw, c, o, x.itemsize):
        with long_runs(k * min(c, o)):
            tiles = _tiles(x[part], k, padding, th, tw, spaces)
            rows, grads = np.empty((4, th, 2 * tw, k, o), g.dtype), np.empty((4, 4, th, tw, k, o), g.dtype)
            gradient_places(g[part], np.zeros((2 * th, 2 * tw, k, o), g.dtype), rows, grads)
        products = np.matmul(tiles.reshape(16, -1, c).swapaxes(1, 2), grads.reshape(16, -1, o))  # (16, C, O)
        total = products if total is None else np.add(total, products, out=total)
    return (FROM_PLACES.astype(x.dtype) @ total.reshape(16, c * o)).reshape(3, 3, c, o)


@conv2d.kernel("numpy", when=_suits, saves=("w", "x"), together=True)
def winograd_together(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
                      padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """A 3×3 convolution at stride 1."""
    h, width = x.shape[1:3]
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])

    def vjp(g: np.ndarray) -> Gradients:
        def gx() -> np.ndarray:
            back = tuple((2 - before, 2 - after) for before, after in padding)
            return convolve(g, kernel_places(w, FLIPPED).swapaxes(1, 2), back, h, width)

        return gx, (lambda: kernel_gradient(x, g, padding)), (lambda: channel_sums(np.ascontiguousarray(g)))

    return convolve(x, kernel_places(w), padding, ho, wo, b), vjp
