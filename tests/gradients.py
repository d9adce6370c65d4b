"""Helpers of the tests: derivatives by the complex step, memory layouts, and what a closure keeps alive."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import settings

import ddpm_np.kernels  # noqa: F401 - registers the fast twins, which the tests enumerate
from ddpm_np.ops import Op, kernels
from ddpm_np.ops.examples import Example
from ddpm_np.ops.record import reals
from ddpm_np.tensor import Tensor, gradients, undo_broadcasting

STEP = 1e-20  # of the complex step: nothing is subtracted, so it may be as small as one likes

few = settings(deadline=None, max_examples=25, database=None)


def generator(*names: Any) -> np.random.Generator:
    """Random numbers that depend on the names alone."""
    return np.random.default_rng(list("/".join(map(str, names)).encode()))


def leaf(*shape: int, dtype: Any = np.float64, name: str = "leaf") -> Tensor:
    """A Tensor of random numbers to differentiate with respect to."""
    return Tensor(generator(name, shape).standard_normal(shape).astype(dtype), requires_grad=True)


def own_op(name: str, define: Callable) -> Op:
    """An op that is in no registry."""
    return Op(name, define, reals, False, True, ())


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩ = Σ a·b."""
    return float(np.sum(np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)))


def magnitude(a: Any, b: Any) -> float:
    """Σ |a·b|: what an error in ⟨a, b⟩ is measured by."""
    return float(np.sum(np.abs(np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64))))


def error(actual: Any, expected: Any, floor: float = 0.0) -> float:
    """The largest difference, in units of the largest expected number, or of `floor` if that is more."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if expected.size == 0:
        return 0.0
    difference = float(np.max(np.abs(actual.astype(np.float64) - expected)))
    assert np.isfinite(difference), "not finite"
    return _relative(difference, max(floor, float(np.max(np.abs(expected)))))


def is_floating(a: Any) -> bool:
    """Whether an operand has a gradient: an array that is not a condition."""
    return a is not None and a.dtype != bool


def differentiate(op: Op, example: Example, cotangent: np.ndarray) -> list[np.ndarray | None]:
    """The gradients of ⟨op(arrays), cotangent⟩ by the tape; None for an operand that has none."""
    leaves = [Tensor(a, requires_grad=True) if is_floating(a) else a for a in example.arrays]
    y = op(*leaves, *example.extra, **example.static)
    found = iter(gradients(y, [x for x in leaves if isinstance(x, Tensor)], cotangent))
    return [next(found) if isinstance(x, Tensor) else None for x in leaves]


def vjp_parts(forward: Callable, example: Example, g: np.ndarray) -> list[Any]:
    """What a forward's own vjp gives for the floating operands, as arrays of the operands' shapes."""
    parts = forward(*example.inputs, **example.static)[1](g)
    found = []
    for a, part in zip(example.arrays, parts, strict=False):
        if is_floating(a):
            grad = np.asarray(part() if callable(part) else part)
            found.append(grad if grad.shape == a.shape else undo_broadcasting(grad, a.shape))
    return found


def complex_step(op: Op, example: Example, directions: list[np.ndarray | None]) -> np.ndarray:
    """J v, exact to rounding: Im op(x + i·h·v)/h."""
    moved = [a if v is None else a + 1j * STEP * v for a, v in zip(example.arrays, directions, strict=True)]
    return np.imag(op.define(*moved, *example.extra, **example.static)[0]) / STEP


def central_difference(op: Op, example: Example, directions: list[np.ndarray | None]) -> np.ndarray:
    """J v of a function that is straight near x: (op(x + h·v) − op(x − h·v))/2h, |v| ≤ 1."""
    h = 2.0**-10
    ends = [op.define(*(a if v is None else a + s * h * v for a, v in zip(example.arrays, directions, strict=True)),
                      *example.extra, **example.static)[0] for s in (1, -1)]
    return (ends[0] - ends[1]) / (2 * h)


def random_directions(example: Example, rng: np.random.Generator) -> list[np.ndarray | None]:
    """A direction for every floating operand, uniform on ±1."""
    return [rng.uniform(-1, 1, a.shape) if is_floating(a) else None for a in example.arrays]


def unit_directions(example: Example) -> Iterator[tuple[int, tuple[int, ...], list[np.ndarray | None]]]:
    """(operand, index, direction) for every single element of every floating operand."""
    for i, a in enumerate(example.arrays):
        for index in np.ndindex(a.shape) if is_floating(a) else ():
            v: list[np.ndarray | None] = [np.zeros(b.shape) if is_floating(b) else None for b in example.arrays]
            v[i][index] = 1.0  # type: ignore[index]
            yield i, index, v


def gradient_errors(op: Op, example: Example, rng: np.random.Generator,
                    one_by_one: bool = False) -> tuple[float, float]:
    """The errors of an op's gradients: ⟨g, J v⟩ against ⟨vjp(g), v⟩ for a random cotangent g.

    The first for two random directions v, in units of Σ|g·J v| + Σ|vjp(g)·v|; the second, if `one_by_one`, for every
    single element, in units of it or, if that is more, of a thousandth of the largest.
    """
    push = complex_step if op.analytic else central_difference
    g = rng.standard_normal(np.shape(op.define(*example.inputs, **example.static)[0]))
    with kernels("reference"):
        grads = differentiate(op, example, g)
    for a, grad in zip(example.arrays, grads, strict=True):
        assert (grad is None) == (not is_floating(a)), f"{op} {example}: a gradient is missing, or one too many"
    worst, worst_element = 0.0, 0.0
    for v in [random_directions(example, rng) for _ in range(2)]:
        jv = push(op, example, v)
        pairs = [(grad, w) for grad, w in zip(grads, v, strict=True) if w is not None]
        scale = magnitude(g, jv) + sum(magnitude(*pair) for pair in pairs)
        worst = max(worst, _relative(inner(g, jv) - sum(inner(*pair) for pair in pairs), scale))
    for i, index, v in unit_directions(example) if one_by_one else ():
        jv = push(op, example, v)
        scale = max(magnitude(g, jv), 1e-3 * float(np.max(np.abs(grads[i]))))  # far below it, 1 − σ has few digits
        worst_element = max(worst_element, _relative(inner(g, jv) - float(grads[i][index]), scale))
    return worst, worst_element


def _relative(difference: float, scale: float) -> float:
    return abs(difference) / max(scale, 1e-300) if difference else 0.0


def fast_and_reference(op: Op, example: Example, rng: np.random.Generator) -> tuple[float, float]:
    """The errors of the output and of the gradients, computed as usual, against those of the definition."""
    y = op(*example.inputs, **example.static)
    g = rng.standard_normal(np.shape(y)).astype(y.dtype)
    grads = differentiate(op, example, g)
    with kernels("reference"):
        expected_y, expected = op(*example.inputs, **example.static), differentiate(op, example, g)
    pairs = [(a, b) for a, b in zip(grads, expected, strict=True) if b is not None]
    floor = 0.01 * float(np.max(np.abs(g), initial=0.0))  # some gradients are 0 but for rounding
    return error(y, expected_y), max(error(a, b, floor) for a, b in pairs)


# Memory layouts: each gives an array of the same shape. All but the first are read-only.


def contiguous(a: np.ndarray) -> np.ndarray:
    """In C order."""
    return a.copy()


def read_only(a: np.ndarray) -> np.ndarray:
    """In C order, not to be written to."""
    return _freeze(a.copy())


def negative_strides(a: np.ndarray) -> np.ndarray:
    """Backwards along every axis."""
    backwards = (..., *(slice(None, None, -1),) * a.ndim)
    return _freeze(a[backwards].copy()[backwards])


def every_second(a: np.ndarray) -> np.ndarray:
    """Every second element along every axis of an array that holds rubbish in between."""
    buffer = np.full([2 * n for n in a.shape], np.nan if is_floating(a) else True, dtype=a.dtype)
    view = buffer[(..., *(slice(None, None, 2),) * a.ndim)]
    view[...] = a
    return _freeze(view)


def transposed(a: np.ndarray) -> np.ndarray:
    """In Fortran order."""
    return _freeze(np.array(a, order="F"))


def broadcast_first(a: np.ndarray) -> np.ndarray:
    """Stride 0 along the first axis: its first entry, repeated."""
    return np.broadcast_to(a[:1].copy(), a.shape) if a.ndim and a.size else read_only(a)


def broadcast_last(a: np.ndarray) -> np.ndarray:
    """Stride 0 along the last axis: its first entry, repeated."""
    return np.broadcast_to(a[..., :1].copy(), a.shape) if a.ndim and a.size else read_only(a)


def _freeze(a: np.ndarray) -> np.ndarray:
    a.setflags(write=False)
    return a


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    f.__name__: f
    for f in (contiguous, read_only, negative_strides, every_second, transposed, broadcast_first, broadcast_last)
}


def laid_out(example: Example, layout: str, dtype: Any = None) -> Example:
    """The example with its operands in a layout, the floating ones in `dtype` if given."""
    def change(a: np.ndarray | None) -> np.ndarray | None:
        if a is None:
            return None
        return LAYOUTS[layout](a.astype(dtype) if dtype is not None and is_floating(a) else a)

    return example.with_arrays(map(change, example.arrays))


# What a vjp keeps alive


def keeps_arrays(value: Any) -> bool:
    """Whether a value holds an array: itself, in a container, or in the closure of a function."""
    if isinstance(value, (np.ndarray, np.generic)):
        return True
    if isinstance(value, (list, tuple, set)):
        return any(map(keeps_arrays, value))
    if isinstance(value, dict):
        return any(map(keeps_arrays, value.values()))
    return bool(isinstance(value, types.FunctionType) and kept(value))


def kept(function: types.FunctionType) -> set[str]:
    """The names of the free variables and defaults through which a function keeps arrays alive.

    The free variables of functions that it would make when called are among its own.
    """
    assert isinstance(function, types.FunctionType), f"a vjp is a plain function, not a {type(function).__name__}"
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names = {name for name, cell in cells if keeps_arrays(cell.cell_contents)}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return names | {f"default {i}" for i, value in enumerate(defaults) if keeps_arrays(value)}
