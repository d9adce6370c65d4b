"""The rules that every op and kernel must keep, for any numbers in any memory layout.

No input is written to; no writable gradient shares memory with another array; the same inputs give the same bits; a vjp
keeps alive exactly the arrays that the op's record names. See `ddpm_np.autograd.op`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ddpm_np.autograd.ops import Op
from ddpm_np.autograd.ops.examples import Example
from ddpm_np.check.comparison import Failed
from ddpm_np.check.gradients.derivatives import is_floating, vjp_parts

# Memory layouts: each returns an array of the same shape. All but the first are read-only.


def contiguous(a: np.ndarray) -> np.ndarray:
    """Copy an array in C order."""
    return a.copy()


def read_only(a: np.ndarray) -> np.ndarray:
    """Copy an array in C order, read-only."""
    return _freeze(a.copy())


def negative_strides(a: np.ndarray) -> np.ndarray:
    """Copy an array with negative strides along every axis."""
    return _freeze(np.flip(np.flip(a).copy()))


def every_second(a: np.ndarray) -> np.ndarray:
    """Copy an array with stride 2 along every axis, into a buffer with invalid numbers in between."""
    buffer = np.full([2 * n for n in a.shape], np.nan if is_floating(a) else True, dtype=a.dtype)
    every: tuple[Any, ...] = (..., *(slice(None, None, 2),) * a.ndim)
    view = buffer[every]
    view[...] = a
    return _freeze(view)


def transposed(a: np.ndarray) -> np.ndarray:
    """Copy an array in Fortran order."""
    return _freeze(np.array(a, order="F"))


def broadcast_first(a: np.ndarray) -> np.ndarray:
    """Repeat the first entry along the first axis, with stride 0."""
    return np.broadcast_to(a[:1].copy(), a.shape) if a.ndim and a.size else read_only(a)


def broadcast_last(a: np.ndarray) -> np.ndarray:
    """Repeat the first entry along the last axis, with stride 0."""
    return np.broadcast_to(a[..., :1].copy(), a.shape) if a.ndim and a.size else read_only(a)


def _freeze(a: np.ndarray) -> np.ndarray:
    a.setflags(write=False)
    return a


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    f.__name__: f
    for f in (contiguous, read_only, negative_strides, every_second, transposed, broadcast_first, broadcast_last)
}


def laid_out(example: Example, layout: str, dtype: Any = None) -> Example:
    """Return the example with its operands in a memory layout, the floating ones in `dtype` if given."""
    def change(a: np.ndarray | None) -> np.ndarray | None:
        if a is None:
            return None
        return LAYOUTS[layout](a.astype(dtype) if dtype is not None and is_floating(a) else a)

    return example.with_arrays(map(change, example.arrays))


# Arrays that a vjp keeps alive


def keeps_arrays(value: Any) -> bool:
    """Return whether a value is an array, or holds one in a container or in the closure of a function."""
    if isinstance(value, (np.ndarray, np.generic)):
        return True
    if isinstance(value, (list, tuple, set)):
        return any(map(keeps_arrays, value))
    if isinstance(value, dict):
        return any(map(keeps_arrays, value.values()))
    return bool(isinstance(value, types.FunctionType) and kept(value))


def kept(function: Any) -> set[str]:
    """Return the names of the free variables and defaults through which a function keeps arrays alive.

    They include the free variables of functions defined inside it.
    """
    if not isinstance(function, types.FunctionType):
        raise Failed(f"a vjp must be a plain function, got a {type(function).__name__}")
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names = {name for name, cell in cells if keeps_arrays(cell.cell_contents)}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return names | {f"default {i}" for i, value in enumerate(defaults) if keeps_arrays(value)}


# The rules


def forwards(op: Op) -> Iterator[tuple[str, Callable, Callable[..., bool], tuple[str, ...]]]:
    """Yield (name, forward, condition on the inputs, saves) of an op's definition and of each NumPy kernel."""
    yield op.name, op.define, lambda *inputs, **static: True, op.saves
    for kernel in op.kernels.get("numpy", ()):
        yield f"{op.name} by {kernel.forward.__name__}", kernel.forward, kernel.when, kernel.saves


def cotangent(forward: Callable, example: Example, rng: np.random.Generator) -> np.ndarray:
    """Draw a random cotangent, read-only as the tape passes it."""
    y = np.asarray(forward(*example.inputs, **example.static)[0])
    return _freeze(rng.standard_normal(y.shape).astype(y.dtype))


def writes_to_nothing(forward: Callable, example: Example, g: np.ndarray) -> None:
    """Check that operands, output and cotangent have the same bits after all gradients are computed."""
    before = [None if a is None else a.tobytes() for a in example.arrays]
    kept_g = g.tobytes()
    y, vjp = forward(*example.inputs, **example.static)
    kept_y = np.asarray(y).tobytes()
    for part in vjp(g):
        if callable(part):
            part()
    for i, (a, bits) in enumerate(zip(example.arrays, before, strict=True)):
        if a is not None and a.tobytes() != bits:
            raise Failed(f"{example}: operand {i} was written to")
    if np.asarray(y).tobytes() != kept_y:
        raise Failed(f"{example}: the vjp wrote to the output")
    if g.tobytes() != kept_g:
        raise Failed(f"{example}: the vjp wrote to the cotangent")


def shares_no_writable_memory(forward: Callable, example: Example, g: np.ndarray) -> None:
    """Check that a writable gradient shares memory with no operand, output, cotangent or other gradient."""
    y, vjp = forward(*example.inputs, **example.static)
    parts = [part() if callable(part) else part for part in vjp(g)]
    others = {**{f"operand {i}": a for i, a in enumerate(example.arrays)}, "the output": y, "the cotangent": g}
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray) and part.flags.writeable:
            beside = {f"the gradient of operand {j}": p for j, p in enumerate(parts) if j != i}
            for name, other in {**others, **beside}.items():
                if isinstance(other, np.ndarray) and np.shares_memory(part, other):
                    raise Failed(f"{example}: the gradient of operand {i} shares writable memory with {name}")


def gives_the_same_bits_again(forward: Callable, example: Example, g: np.ndarray) -> None:
    """Check that a second call gives the same bits, of the output and of the gradients."""
    first, second = forward(*example.inputs, **example.static), forward(*example.inputs, **example.static)
    if np.asarray(first[0]).tobytes() != np.asarray(second[0]).tobytes():
        raise Failed(f"{example}: the output has different bits the second time")
    for a, b in zip(vjp_parts(forward, example, g), vjp_parts(forward, example, g), strict=True):
        if a.tobytes() != b.tobytes():
            raise Failed(f"{example}: a gradient has different bits the second time")


def keeps_what_it_says(forward: Callable, cases: list[Example], saves: tuple[str, ...]) -> None:
    """Check that the vjp's free variables that hold arrays, over all cases with an axis, are those in `saves`."""
    found: set[str] = set()
    for example in cases:
        y, vjp = forward(*example.inputs, **example.static)
        if np.ndim(y):
            found |= kept(vjp)
    if set(saves) != found or len(set(saves)) != len(saves):
        raise Failed(f"the op declares that its vjp saves {sorted(saves)}, but the closure holds {sorted(found)}")
