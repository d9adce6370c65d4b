"""Elementwise functions: CuPy's choice of dtype, NumPy's arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from fake_cupy import device, writes
from fake_cupy.signatures import INTERNAL, MODULE, SPECIAL, find_loop

UFUNCS: dict[str, str] = {**SPECIAL["ufuncs"], **MODULE["ufuncs"], **INTERNAL}
_INTERNAL: dict[str, Callable] = {
    "where": np.where,
    "clip": lambda a, low, high: np.where(low > high, high, np.where(a < low, low, np.where(a > high, high, a))),
}
_SHIFTS = ("left_shift", "right_shift", "bitwise_left_shift", "bitwise_right_shift")
_CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")


_WEAK = {bool: (np.dtype(bool), None), float: (np.dtype(float), float), complex: (np.dtype(complex), complex)}


def _operand(x: Any, array: type) -> tuple[np.dtype, type | None]:
    """The dtype of an operand, and its kind if it is a Python number that takes an array's dtype."""
    kind = type(x)
    if kind is array:
        return x._a.dtype, None
    if kind is int:
        return np.dtype(np.uint64 if x >= 2**63 else np.int64), int
    if kind in _WEAK:
        return _WEAK[kind]
    if isinstance(x, np.generic):
        return device.supported(x.dtype), None
    raise device.unsupported(x)


def call(name: str, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
    """``cupy.name(*args)``: a fresh array, or `out` with the result in it."""
    from fake_cupy.array import ndarray, wrap

    implementation = _INTERNAL.get(name) or getattr(np, name, None) or getattr(scipy.special, name)
    taken = UFUNCS[name].index("-")  # "dd->d" takes two
    if len(args) > taken and out is None:
        args, out = args[:taken], args[taken]
    if casting not in _CASTINGS:
        raise ValueError(f"casting must be one of {_CASTINGS}, got {casting!r}")
    if isinstance(out, tuple):
        (out,) = out
    if out is not None and not isinstance(out, ndarray):
        raise device.unsupported(out)
    operands = tuple(_operand(x, ndarray) for x in args)
    loop = find_loop(name, UFUNCS[name], operands, None if dtype is None else np.dtype(dtype))
    arrays = [writes.cast(x._a, t) if isinstance(x, ndarray) else writes.cast(np.asarray(x), t)
              if isinstance(x, np.generic) else np.asarray(x, dtype=t) for x, t in zip(args, loop.inputs, strict=True)]
    if name in _SHIFTS and (arrays[1] < 0).any() | (arrays[1] >= 8 * arrays[0].itemsize).any():
        raise ValueError(f"{name} of {arrays[0].dtype} by more bits than it has, or by less than none: C++ leaves it "
                         "undefined")
    with np.errstate(all="ignore"):  # a device raises no floating-point warnings
        results = implementation(*arrays)
    if len(loop.outputs) > 1:
        return tuple(wrap(device.lay_out(np.asarray(r, dtype=t))) for r, t in zip(results, loop.outputs, strict=True))
    result = np.asarray(results).astype(loop.outputs[0], copy=False)
    if out is None:
        return wrap(device.lay_out(result))
    if not np.can_cast(result.dtype, out.dtype, casting):
        raise TypeError(f"output (typecode {result.dtype.char!r}) could not be coerced to provided output parameter "
                        f"(typecode {out.dtype.char!r}) according to the casting rule {casting!r}")
    if result.shape != out.shape:
        raise ValueError(f"non-broadcastable output operand with shape {out.shape} doesn't match the broadcast shape "
                         f"{result.shape}")
    writes.write(out._a, result, "a result")  # CuPy copies operands that overlap with `out`
    return out


def make(name: str) -> Callable:
    """The function ``cupy.name``."""

    def ufunc(*args: Any, **kwargs: Any) -> Any:
        unknown = kwargs.keys() - {"out", "dtype", "casting"}
        if unknown:
            raise TypeError(f"Wrong arguments {sorted(unknown)} for cupy.{name}: it takes out, dtype and casting")
        return call(name, *args, **kwargs)

    ufunc.__name__ = name
    return ufunc
