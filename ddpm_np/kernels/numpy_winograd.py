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

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ddpm_np.autograd.op import Forward, are_images_together, images_in_one
from ddpm_np.autograd.ops.conv import Padding, conv2d, output_size
from ddpm_np.autograd.tape import Gradients, Into
from ddpm_np.kernels import costs, fixed
from ddpm_np.kernels.numpy_conv import takes
from ddpm_np.kernels.numpy_runs import channel_sums, product
from ddpm_np.kernels.toom_cook import toom_cook
from ddpm_np.parallel.threads import contiguous_spans

IMAGES = 16  # for which a scheme is chosen where the number of images may not decide
_KEPT = 16 * 16  # outputs of an image, up to which the kernel's transform counts beside that of the tiles


class Scheme:
    """The constant matrices of F(m×m, 3×3), in the order and the parts in which they are used.

    The finite points but 0 come in pairs ±p, and B's rows of p and −p have the same even columns and opposite odd ones.
    So the products with even and with odd rows of a tile are formed once for each pair: half of the multiplications.

    Parameters
    ----------
    m : int
        Outputs in a row of a tile.
    points : tuple of float
        0, p, …, −p, …: the finite points.

    Attributes
    ----------
    m, points
    n : int
        m + 2, the inputs in a row of a tile.
    even, odd : array of shape (n²/2, n²/2)
        From the even rows of a tile, the odd ones, to their part of the places 0, p, … and p, …, ∞ of each column.
    to_places, flipped : array of shape (n², 9)
        w -> G w Gᵀ, and the same of the kernel turned by 180°.
    to_outputs : array of shape (m², n²)
        M -> Aᵀ M A.
    with_bias : array of shape (m², n² + 1)
        The same with one more place, which is added to all outputs.
    """

    def __init__(self, m: int, points: tuple[float, ...]) -> None:
        b, g, a = toom_cook(points, m, 3)
        pairs = m // 2
        self.m, self.n, self.points = m, m + 2, points
        self.even = np.kron(b[: pairs + 1, 0::2], b)
        self.odd = np.kron(b[[*range(1, pairs + 1), -1], 1::2], b)
        self.to_places = np.kron(g, g)
        self.flipped = self.to_places[:, ::-1]
        self.to_outputs = np.kron(a, a)
        self.with_bias = np.concatenate([self.to_outputs, np.ones((m * m, 1))], axis=1)


F4 = Scheme(4, (0, 5 / 8, 3 / 2, -5 / 8, -3 / 2))  # points whose errors in float32 are half of those of 0, ±1, ±2
F2 = Scheme(2, (0, 1, -1))


def fits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: int, padding: Padding) -> bool:
    """Return whether F(m×m, 3×3) applies. With more than two zeros of padding the backward pass would have to crop."""
    if w.shape[:2] != (3, 3) or stride != 1 or not takes(x, w, b):
        return False
    _, h, width, _ = x.shape
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    return min(ho, wo) >= 1 and all(0 <= zeros <= 2 for sides in padding for zeros in sides)


def kernel_places(w: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return G w Gᵀ at its n² places, for `Scheme.to_places`, or that of the flipped kernel: -> (n², C, O)."""
    c, o = w.shape[2:]
    return (matrix.astype(w.dtype) @ np.ascontiguousarray(w).reshape(9, c * o)).reshape(-1, c, o)


def _in_rows(count: int, length: int, dtype: np.dtype) -> np.ndarray:
    """Return an array (count, length) whose rows do not start a power of two of bytes apart, where caches collide."""
    return np.empty((count, length + 16 * (length % 512 == 0)), dtype)[:, :length]


class _Tiling:
    """The cut of images into tiles of m×m outputs, and the lots to work through: a few images, or a band of one.

    Parameters
    ----------
    scheme : Scheme
    n : int
        Number of images.
    ho, wo : int
        The size of their outputs.
    padding : Padding
        Of their inputs.
    channels : int
        Of tiles and products together.
    dtype : dtype
    lot : int
        Images that stay together; their number divides n.
    """

    def __init__(self, scheme: Scheme, n: int, ho: int, wo: int, padding: Padding, channels: int,
                 dtype: np.dtype, lot: int = 1) -> None:
        self.m, self.n, self.padding = scheme.m, scheme.n, padding
        self.th, self.tw = -(-ho // self.m), -(-wo // self.m)
        row = self.n**2 * self.tw * channels * np.dtype(dtype).itemsize  # bytes of a row of tiles
        most, count, whole = costs.rates().tiles, n // lot, lot * self.th * row  # lots, bytes of one
        spans = contiguous_spans(count, -(-count // max(1, most // whole)))
        self.images = [(first * lot, end * lot) for first, end in spans]
        self.bands = contiguous_spans(self.th, -(-whole // most))
        self.padded: dict[tuple[int, ...], np.ndarray] = {}

    def lots(self) -> Iterator[tuple[slice, int, int]]:
        """Yield (slice of the images, first row of tiles, end) of each lot."""
        for start, stop in self.images:
            for first, end in self.bands:
                yield slice(start, stop), first, end

    def overlapping(self, x: np.ndarray, first: int, end: int) -> np.ndarray:
        """Return the n×n tiles of rows `first` to `end` of some images: (k, H, W, C) -> (n², k·th·tw·C).

        A tile's even rows stand before its odd ones.
        """
        (k, h, width, c), (top, _), (left, _) = x.shape, *self.padding
        th, tw, m, n = end - first, self.tw, self.m, self.n
        low = m * first - top  # row of x at the first padded row
        here = x[:, max(0, low) : max(0, min(h, low + m * th + 2))]
        padded = self.zeros(k, m * th + 2, m * tw + 2, c, x.dtype)
        before = max(0, -low)
        padded[:, :before] = 0
        padded[:, before + here.shape[1] :] = 0
        padded[:, before : before + here.shape[1], left : left + width] = here
        image, row, pixel, number = padded.strides
        tiles = _in_rows(n * n, k * th * tw * c, x.dtype)
        tiles.reshape(2, n // 2, n, k, th, tw, c)[...] = as_strided(
            padded, (2, n // 2, n, k, th, tw, c), (row, 2 * row, pixel, image, m * row, m * pixel, number))
        return tiles

    def disjoint(self, x: np.ndarray, first: int, end: int) -> np.ndarray:
        """Return the m×m tiles of rows `first` to `end` of some images: (k, H, W, C) -> (m², k·th·tw·C)."""
        k, _, width, c = x.shape
        th, tw, m = end - first, self.tw, self.m
        here = x[:, m * first : m * end]
        if here.shape[1:3] != (m * th, m * tw):
            whole = self.zeros(k, m * th, m * tw, c, x.dtype)
            whole[:, here.shape[1] :] = 0
            whole[:, : here.shape[1], :width] = here
            here = whole
        tiles = _in_rows(m * m, k * th * tw * c, x.dtype)
        tiles.reshape(m, m, k, th, tw, c)[...] = here.reshape(k, th, m, tw, m, c).transpose(2, 4, 0, 1, 3, 5)
        return tiles

    def zeros(self, k: int, h: int, width: int, c: int, dtype: np.dtype) -> np.ndarray:
        """Return an array for images of this size, in which the columns of padding are zeros, for all lots in turn."""
        shape = (k, h, width, c)
        if shape not in self.padded:
            self.padded[shape] = np.zeros(shape, dtype)
        return self.padded[shape]

    def put(self, tiles: np.ndarray, y: np.ndarray, first: int, end: int) -> None:
        """Write rows `first` to `end` of m×m tiles: (m², k·th·tw·O) -> y (k, H', W', O)."""
        k, _, width, o = y.shape
        th, tw, m = end - first, self.tw, self.m
        tiles = tiles.reshape(m, m, k, th, tw, o).transpose(2, 3, 0, 4, 1, 5)  # (k, th, m, tw, m, O)
        here = y[:, m * first : m * end]
        if here.shape[1] == m * th and width == m * tw:
            image, row, pixel, number = here.strides
            as_strided(here, tiles.shape, (image, m * row, row, m * pixel, pixel, number))[...] = tiles
        else:
            here[...] = np.ascontiguousarray(tiles).reshape(k, m * th, m * tw, o)[:, : here.shape[1], :width]


def _transform(matrix: np.ndarray, columns: np.ndarray, parts: int, out: np.ndarray | None = None) -> np.ndarray:
    """Return matrix @ columns, as one product for each of so many equal parts of the columns."""
    if out is None:
        out = _in_rows(matrix.shape[0], columns.shape[1], columns.dtype)

    def each(array: np.ndarray) -> np.ndarray:
        return array.reshape(array.shape[0], parts, -1).swapaxes(0, 1)  # (parts, places, columns)

    np.matmul(matrix.astype(columns.dtype), each(columns), out=each(out))
    return out


def _to_places(scheme: Scheme, tiles: np.ndarray, matrices: int) -> np.ndarray:
    """Return Bᵀ d B of tiles as `overlapping` returns them: (n², T·C) -> (n², T·C)."""
    count, columns = tiles.shape
    places, half, n = _in_rows(count, columns, tiles.dtype), count // 2, scheme.n
    _transform(scheme.even, tiles[:half], matrices, places[:half])
    _transform(scheme.odd, tiles[half:], matrices, places[half:])
    plus, minus = places[n:half], places[half : 2 * half - n]  # the even and the odd part of p, …
    difference = plus - minus
    plus += minus
    minus[...] = difference
    return places


def _outputs(scheme: Scheme, tiles: np.ndarray, places: np.ndarray, b: np.ndarray | None,
             matrices: int) -> np.ndarray:
    """Return Aᵀ [places ⊙ tiles] A + b, the product ⊙ summed over channels: (n², T·C) and (n², C, O) -> (m², T·O)."""
    count, c, o = places.shape
    rows = tiles.shape[1] // c
    products = _in_rows(count + (b is not None), rows * o, tiles.dtype)
    np.matmul(tiles.reshape(count, matrices, -1, c), places[:, None],
              out=products[:count].reshape(count, matrices, -1, o))
    if b is None:
        return _transform(scheme.to_outputs, products, matrices)
    products[count].reshape(rows, o)[...] = b
    return _transform(scheme.with_bias, products, matrices)


def convolve(scheme: Scheme, x: np.ndarray, places: np.ndarray, padding: Padding, ho: int, wo: int,
             b: np.ndarray | None = None, *, lot: int = 0) -> np.ndarray:
    """Return the convolution of x (N, H, W, C) with `kernel_places` (n², C, O): (N, ho, wo, O).

    `lot` images are multiplied as one matrix, or with 0 all that are worked on at once.
    """
    n, (_, c, o) = x.shape[0], places.shape
    y = np.empty((n, ho, wo, o), x.dtype)
    tiling = _Tiling(scheme, n, ho, wo, padding, c + o, x.dtype, lot or 1)
    for part, first, end in tiling.lots():
        matrices = (part.stop - part.start) // lot if lot else 1
        tiles = _to_places(scheme, tiling.overlapping(x[part], first, end), matrices)
        tiling.put(_outputs(scheme, tiles, places, b, matrices), y[part], first, end)
    return y


def gradients(scheme: Scheme, x: np.ndarray, w: np.ndarray, g: np.ndarray, padding: Padding, *,
              with_input: bool) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the input's gradient (N, H, W, C), unless it is not wanted, and the kernel's at its places (n², C·O)."""
    (n, h, width, c), o = x.shape, w.shape[3]
    back = tuple((2 - before, 2 - after) for before, after in padding)
    gx = np.empty(x.shape, g.dtype) if with_input else None
    flipped = kernel_places(w, scheme.flipped).swapaxes(1, 2) if with_input else None  # (n², O, C)
    total: Any = None
    tiling = _Tiling(scheme, n, h, width, back, c + o, x.dtype)
    for part, first, end in tiling.lots():
        tiles = _to_places(scheme, tiling.overlapping(g[part], first, end), 1)  # (n², T·O)
        if gx is not None and flipped is not None:
            tiling.put(_outputs(scheme, tiles, flipped, None, 1), gx[part], first, end)
        inputs = _transform(scheme.to_outputs.T, tiling.disjoint(x[part], first, end), 1)  # (n², T·C)
        count = scheme.n**2
        products = np.matmul(inputs.reshape(count, -1, c).swapaxes(1, 2), tiles.reshape(count, -1, o))  # (n², C, O)
        total = products if total is None else np.add(total, products, out=total)
    return gx, total.reshape(-1, c * o)


def _is_kept(w: np.ndarray, ho: int, wo: int) -> bool:
    """Return whether the kernel's transform is computed once, in a context of `FixedWeights.in_use`."""
    return ho * wo <= _KEPT and fixed.will_keep(w, F4.n**2 * w.nbytes // 9)


def scheme_for(x: np.ndarray, w: np.ndarray, padding: Padding) -> Scheme | None:
    """Return the scheme that takes the least time on this machine, or None where patches take less.

    Where each image is a matrix of its own, the number of images may not decide, or its bits would depend on it.
    """
    (n, h, width, _), (c, o) = x.shape, w.shape[2:]
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    images = n if are_images_together() else IMAGES
    m = costs.least(images, ho, wo, c, o, kept=_is_kept(w, ho, wo), rates=costs.rates())
    return {4: F4, 2: F2, 0: None}[m]


def _suits(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
           padding: Padding = ((0, 0), (0, 0))) -> bool:
    return fits(x, w, b, stride, padding) and scheme_for(x, w, padding) is not None


@conv2d.kernel("numpy", when=_suits, saves=("w", "x"))
def winograd(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, *, stride: int = 1,
             padding: Padding = ((0, 0), (0, 0))) -> Forward:
    """A 3×3 convolution at stride 1."""
    h, width = x.shape[1:3]
    ho, wo = output_size(h, 3, 1, padding[0]), output_size(width, 3, 1, padding[1])
    scheme = scheme_for(x, w, padding) or F4

    def transformed() -> np.ndarray:
        return kernel_places(w, scheme.to_places)

    def vjp(g: np.ndarray) -> Gradients:
        found: list[np.ndarray] = []

        def gx() -> np.ndarray | None:
            result, at_places = gradients(scheme, x, w, g, padding, with_input=True)
            found.append(at_places)
            return result

        def gw(out: np.ndarray | None) -> np.ndarray:
            at_places = found.pop() if found else gradients(scheme, x, w, g, padding, with_input=False)[1]
            return product(scheme.flipped.T.astype(x.dtype), at_places, out, w.shape)

        return gx, Into(gw), lambda: channel_sums(np.ascontiguousarray(g))

    places = fixed.kept(w, scheme.m, transformed) if _is_kept(w, ho, wo) else transformed()
    return convolve(scheme, x, places, padding, ho, wo, b,
                    lot=0 if are_images_together() else images_in_one(len(x))), vjp
