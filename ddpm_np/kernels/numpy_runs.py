"""NumPy's loops along long runs of numbers, and sums as products.

An operation on arrays that are not contiguous, or one of which is broadcast, goes through NumPy's iterator. Where the
run of neighbouring numbers is shorter than the iterator's buffer, it copies runs into buffers and the result out of
them, which takes three times as long. So kernels arrange their work in runs of `RUN` numbers and more, repeating
vectors of one number per channel to that length, and set buffers no longer than their runs. Sums over pixels would be
loops over a few channels each; as matrix products they run at the speed of memory.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np

RUN = 512  # measured: as fast as longer runs, for vectors repeated to that length
SHORTEST_RUN = 256  # measured: the shortest that is faster without a buffer


def long_runs(run: int = RUN) -> contextlib.AbstractContextManager[None]:
    """Return a context for operations on runs of `run` numbers, in which NumPy does not buffer long ones."""
    return _Unbuffered(RUN if run >= RUN else SHORTEST_RUN) if run >= SHORTEST_RUN else contextlib.nullcontext()


class _Unbuffered(contextlib.AbstractContextManager[None]):
    """Buffers of `size` numbers in this thread and context; NumPy's own context restores the size from before."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = np.errstate()
        self.before.__enter__()
        np.setbufsize(self.size)

    def __exit__(self, *error: Any) -> None:
        self.before.__exit__(*error)


@functools.cache
def pixels_in_a_run(pixels: int, channels: int) -> int:
    """Return how many pixels make a long run: a divisor of their number, or 1 where repeating vectors costs more.

    >>> pixels_in_a_run(28 * 28, 32), pixels_in_a_run(4 * 4, 64), pixels_in_a_run(16 * 16, 256)
    (16, 1, 1)
    """
    if pixels < 64 or channels > 128:
        return 1
    return next((r for r in range(1, pixels // 4 + 1) if pixels % r == 0 and r * channels >= RUN), 1)


def repeated(vectors: np.ndarray, times: int) -> np.ndarray:
    """Return each vector repeated `times` times: (k, 1, C) -> (k, 1, times·C)."""
    if times == 1:
        return vectors
    k, _, c = vectors.shape
    out = np.empty((k, times, c), vectors.dtype)
    out[...] = vectors
    return out.reshape(k, 1, times * c)


@functools.lru_cache(64)
def _ones(length: int, dtype: np.dtype) -> np.ndarray:
    """Return a row of ones, (1, length), read-only since it is shared."""
    ones = np.ones((1, length), dtype)
    ones.setflags(write=False)
    return ones


def pixel_sums(x: np.ndarray) -> np.ndarray:
    """Return Σ over the pixels of each image, a product with a row of ones: (k, M, C) -> (k, 1, C)."""
    return np.matmul(_ones(x.shape[1], x.dtype), x)


def channel_sums(x: np.ndarray) -> np.ndarray:
    """Return Σ over all but the last axis: (…, C) -> (C,)."""
    flat = x.reshape(1, -1, x.shape[-1])
    return pixel_sums(flat)[0, 0]


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return the matrix A B in the given shape, written into `out` where there is one."""
    if out is None:
        return np.matmul(a, b).reshape(shape)
    if out.flags.c_contiguous:
        np.matmul(a, b, out=out.reshape(a.shape[0], b.shape[1]))
    else:
        out[...] = np.matmul(a, b).reshape(shape)
    return out
