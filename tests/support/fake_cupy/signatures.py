"""CuPy's names, parameters and the dtypes of each ufunc's loops, as recorded from it."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RECORD: dict[str, Any] = json.loads((Path(__file__).parent / "signatures.json").read_text(encoding="utf-8"))
MODULE, SPECIAL, NDARRAY = RECORD["module"], RECORD["special"], RECORD["ndarray"]
INTERNAL: dict[str, str] = RECORD["internal ufuncs"]  # those of where and clip, which are functions
VERSION: str = RECORD["cupy"]


@functools.cache
def signature(parameters: str) -> inspect.Signature:
    """The signature that ``"a, axis=, *, copy="`` states."""
    kind, found = inspect.Parameter.POSITIONAL_OR_KEYWORD, []
    for part in filter(None, parameters.split(", ")):
        if part == "/":
            found = [p.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for p in found]
        elif part == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif part.startswith("**"):
            found.append(inspect.Parameter(part[2:], inspect.Parameter.VAR_KEYWORD))
        elif part.startswith("*"):
            found.append(inspect.Parameter(part[1:], inspect.Parameter.VAR_POSITIONAL))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            default = None if part.endswith("=") else inspect.Parameter.empty
            found.append(inspect.Parameter(part.rstrip("="), kind, default=default))
    return inspect.Signature(found)


@functools.cache
def _misfit(parameters: str, count: int, keywords: tuple[str, ...]) -> str | None:
    """What Python says of a call with so many positional arguments and these keywords; None where it fits."""
    try:
        signature(parameters).bind(*range(count), **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return None


def check_call(name: str, parameters: str, args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise TypeError, as Python does, where CuPy's `name` does not take these arguments."""
    misfit = _misfit(parameters, len(args), tuple(kwargs))
    if misfit is not None:
        raise TypeError(f"cupy.{name}({parameters}): {misfit}")


def checked(name: str, parameters: str, function: Callable) -> Callable:
    """`function`, which may be called only as CuPy's `name` may."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        check_call(name, parameters, args, kwargs)
        return function(*args, **kwargs)

    call.__name__ = name
    return call


class Loop:
    """One line of a ufunc's table of types: what it takes and what it gives."""

    def __init__(self, types: str):
        taken, _, given = types.partition("->")
        self.inputs, self.outputs = [np.dtype(c) for c in taken], [np.dtype(c) for c in given]


@functools.cache
def loops(types: str) -> tuple[Loop, ...]:
    """A ufunc's loops, in the order in which CuPy tries them."""
    return tuple(Loop(t) for t in types.split())


Operand = tuple[np.dtype, type | None]  # its dtype; for a Python number, the kind that gives way to an array's


def _kind_score(kind: str) -> int:
    return {"b": 0, "i": 1, "u": 1}.get(kind, 2)


@functools.cache
def find_loop(name: str, types: str, operands: tuple[Operand, ...], out_dtype: np.dtype | None) -> Loop:
    """The first loop that these operands can be cast to safely (CuPy's rule), or that gives `out_dtype`.

    Python numbers are weak: beside an array of their kind or a higher one they take the loop's dtype.
    """
    if out_dtype is not None:
        for loop in loops(types):
            if all(t == out_dtype for t in loop.outputs):
                return loop
        raise TypeError(f"Wrong type ({out_dtype}) of arguments for cupy_{name}")
    weak = [_kind_score(np.dtype(w).kind) for _, w in operands if w is not None]
    strong = [_kind_score(d.kind) for d, w in operands if w is None]
    use_weak = bool(weak) and bool(strong) and max(strong) >= max(weak)
    for loop in loops(types):
        for (dtype, kind), wanted in zip(operands, loop.inputs, strict=True):
            if np.can_cast(dtype, wanted):
                continue
            if not (use_weak and kind is not None and np.result_type(kind(0), wanted) == wanted):
                break
        else:
            return loop
    raise TypeError(f"Wrong type ({tuple(str(d) for d, _ in operands)}) of arguments for cupy_{name}")
