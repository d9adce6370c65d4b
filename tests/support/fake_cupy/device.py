"""The fake device: its counters, its errors, and the layouts of its results."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np


class HiddenTransfer(RuntimeError):
    """What would wait for a real device and copy from it, without saying so."""


class DuplicateIndices(IndexError):
    """An assignment that writes one element twice: on a device it is not defined which value stays."""


@dataclass
class Counts:
    """Copies between host and device since the last `reset`.

    Attributes
    ----------
    uploads
        Host to device: `asarray` and `array` of anything that is not on the device yet.
    transfers
        Device to host: `asnumpy`.
    hidden_uploads
        Host to device inside CuPy, which nobody asked for: the addresses of many arrays that are joined, a number
        that is assigned to indexed elements.
    """

    uploads: int = 0
    transfers: int = 0
    hidden_uploads: int = 0

    def reset(self) -> None:
        """Count from 0."""
        self.uploads = self.transfers = self.hidden_uploads = 0


counts = Counts()
LAYOUTS = ("awkward", "plain")
_turn = itertools.count()
_layouts = "awkward"
_user: int | None = None  # the process that has used the device


def reset(layouts: str = "awkward") -> None:
    """Start as a fresh device does: nothing counted, no process's yet, the first layout next."""
    global _turn, _layouts, _user
    if layouts not in LAYOUTS:
        raise ValueError(f"layouts must be one of {LAYOUTS}, got {layouts!r}")
    counts.reset()
    _turn, _layouts, _user = itertools.count(), layouts, None


def use() -> None:
    """Note that this process uses the device; raise CUDA's error where it is a child of one that did before."""
    global _user
    process = os.getpid()
    if _user is None:
        _user = process
    elif process != _user:
        from fake_cupy.machine import CUDARuntimeError

        raise CUDARuntimeError(3)


def junk(dtype: np.dtype) -> Any:
    """What memory holds that nobody has written: NaN, or the largest integer."""
    if dtype.kind in "fc":
        return np.nan
    return True if dtype.kind == "b" else np.iinfo(dtype).max


def lay_out(a: np.ndarray) -> np.ndarray:
    """A fresh result: in C order where layouts are plain, as CuPy's are, else in the next of three, none of them that.

    Fortran order; every other element of a longer last axis, junk between; the first axis backwards. Who takes a
    result's strides for granted finds out. Who needs strides that a GPU would never give finds out in plain layouts.
    """
    if _layouts == "plain":
        return np.array(a, order="C", copy=None)
    if a.ndim < 2 or a.size < 2:
        return a
    kind = next(_turn) % 3
    if kind == 0:
        return a.copy(order="F")
    if kind == 1:
        wide = np.full((*a.shape[:-1], 2 * a.shape[-1] + 1), junk(a.dtype), dtype=a.dtype)
        spaced = wide[..., 1::2]
        spaced[...] = a
        return spaced
    return a[::-1].copy()[::-1]


def keep_layout(a: np.ndarray) -> np.ndarray:
    """A fresh result that has its operand's layout on a device, such as that of astype."""
    return a if _layouts == "plain" else lay_out(a)


def supported(dtype: Any) -> np.dtype:
    """The dtype, if CuPy has it."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc" or dtype.char in "gG":
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def is_scalar(x: Any) -> bool:
    """Whether CuPy takes `x` as a kernel's argument: a Python or NumPy number, and no array."""
    return isinstance(x, np.generic) or type(x) in (int, float, complex, bool)


def unsupported(x: Any) -> TypeError:
    """CuPy's error for an operand that is neither on the device nor a number."""
    return TypeError(f"Unsupported type {type(x)}")
