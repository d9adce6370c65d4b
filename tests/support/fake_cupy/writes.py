"""Writes to the pretend device's memory, and casts: what NumPy defines and a device does not is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["OverlappingWrite", "UndefinedCast", "cast", "check_copy", "check_destination", "overlap", "same_elements",
           "write"]


class OverlappingWrite(ValueError):
    """A write whose result depends on the order in which a device's threads run."""


class UndefinedCast(ValueError):
    """A cast of NaN, infinity or a number out of range to an integer, which C++ leaves undefined."""


def cast(a: np.ndarray, dtype: np.dtype, order: str = "K") -> np.ndarray:
    """`a` in another dtype: itself if it has it already. Imaginary parts are dropped, as CuPy does."""
    if a.dtype == dtype:
        return a
    if a.dtype.kind == "c" and dtype.kind != "c":
        a = a.real
    if a.dtype.kind == "f" and dtype.kind in "iu" and a.size:
        info = np.iinfo(dtype)
        whole = np.trunc(a.astype(np.float64))
        wrong = ~((whole >= float(info.min)) & (whole < float(info.max + 1)))
        if wrong.any():
            raise UndefinedCast(f"{a[wrong].flat[0]} is no {dtype}: on a device the result of this cast is undefined")
    with np.errstate(all="ignore"):
        return a.astype(dtype, order=order)


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have an element in common."""
    if not (a.size and b.size and np.may_share_memory(a, b)):
        return False
    return np.shares_memory(a, b)


def bounds_overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays' blocks of memory overlap: CuPy copies the operands of ufuncs where they do."""
    return bool(a.size and b.size and np.may_share_memory(a, b))


def same_elements(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether each element of `a` is the element of `b` at the same position."""
    def of(x: np.ndarray) -> tuple[Any, ...]:
        steps = tuple(s for s, n in zip(x.strides, x.shape, strict=True) if n > 1)
        return x.shape, steps, x.__array_interface__["data"][0], x.itemsize

    return of(a) == of(b)


def check_destination(a: np.ndarray, what: str = "an assignment") -> None:
    """Raise where an array has one element at two positions, as broadcast arrays do and some of `as_strided`."""
    if a.size == 0:
        return
    steps = sorted((abs(s), n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1)
    reach, doubtful = a.itemsize, False
    for step, n in steps:
        doubtful = doubtful or step < reach
        reach += step * (n - 1)
    if doubtful:
        places = np.zeros(a.shape, np.int64)
        for axis, (step, n) in enumerate(zip(a.strides, a.shape, strict=True)):
            places += (np.arange(n) * step).reshape(-1, *[1] * (a.ndim - axis - 1))
        if (np.diff(np.sort(places, axis=None)) < a.itemsize).any():
            raise OverlappingWrite(f"{what} to an array of shape {a.shape} and strides {a.strides}, some of whose "
                                   "elements are the same: on a device any of the values may stay")


def check_copy(destination: np.ndarray, source: np.ndarray) -> None:
    """Raise where CuPy copies with cudaMemcpy from memory that overlaps with the destination."""
    if bounds_overlap(destination, source) and not same_elements(destination, source):
        raise OverlappingWrite("an assignment from overlapping memory, which CuPy copies as one block without a "
                               "temporary: take a copy() first")


def write(destination: np.ndarray, values: Any, what: str = "an assignment") -> None:
    """Write values that a kernel has computed."""
    check_destination(destination, what)
    values = np.asarray(values) if isinstance(values, (np.ndarray, np.generic)) else np.asarray(
        values, dtype=destination.dtype)
    with np.errstate(all="ignore"):
        destination[...] = cast(values, destination.dtype)
