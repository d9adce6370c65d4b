"""Derivatives by the tape, the complex step and differences, and the findings of comparing them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import ddpm_np.kernels  # noqa: F401 - registers the fast twins, which are checked too
from ddpm_np.autograd.ops import Op, kernels
from ddpm_np.autograd.ops.examples import Example
from ddpm_np.autograd.tape import undo_broadcasting
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.comparison import Failed, nice
from ddpm_np.check.target import described

STEP = 1e-20  # of the complex step, which subtracts nothing and so can be arbitrarily small
STRAIGHT, CURVED = 2.0**-10, 2.0**-16  # steps of differences: exact for a linear function; 1e-9 for a curved one
LOCATED = 400  # operands with at most this many numbers are differentiated one by one to name a wrong one

Directions = list[np.ndarray | None]  # one for each operand; None if it has no gradient


def inner(a: Any, b: Any) -> float:
    """Return ⟨a, b⟩ = Σ a·b."""
    return float(np.sum(np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)))


def magnitude(a: Any, b: Any) -> float:
    """Return Σ |a·b|, the unit of errors in ⟨a, b⟩."""
    return float(np.sum(np.abs(np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64))))


def ratio(difference: float, scale: float) -> float:
    """Return |difference|/scale: 0 for no difference, inf for a difference that is not finite or a scale of 0."""
    if difference == 0:
        return 0.0
    return abs(difference) / scale if np.isfinite(difference) and scale > 0 else float("inf")


def error(actual: Any, expected: Any, floor: float = 0.0) -> float:
    """Return the largest difference in units of the largest expected number, or of `floor` if that is larger.

    Raises
    ------
    Failed
        If the shapes differ.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise Failed(f"shape {actual.shape}, expected {expected.shape}")
    if expected.size == 0:
        return 0.0
    difference = float(np.max(np.abs(actual.astype(np.float64) - expected)))
    return ratio(difference, max(floor, float(np.max(np.abs(expected)))))


def is_floating(a: Any) -> bool:
    """Return whether an operand has a gradient, as every array but a boolean one does."""
    return a is not None and a.dtype != bool


def differentiate(op: Op, example: Example, cotangent: np.ndarray, wanted: int | None = None) -> Directions:
    """Return the gradients of ⟨op(arrays), cotangent⟩ by the tape; None for an operand without one.

    `wanted` is the index of the only operand to differentiate by; None: all of them.
    """
    leaves = [Tensor(a, requires_grad=True) if is_floating(a) and wanted in (None, i) else a
              for i, a in enumerate(example.arrays)]
    y = op(*leaves, *example.extra, **example.static)
    found = iter(gradients(y, [x for x in leaves if isinstance(x, Tensor)], cotangent))
    return [next(found) if isinstance(x, Tensor) else None for x in leaves]


def vjp_parts(forward: Callable, example: Example, g: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of a forward's own vjp for the floating operands, in the operands' shapes."""
    parts = forward(*example.inputs, **example.static)[1](g)
    found = []
    for a, part in zip(example.arrays, parts, strict=False):
        if a is not None and is_floating(a):
            grad = np.asarray(part() if callable(part) else part)
            found.append(grad if grad.shape == a.shape else undo_broadcasting(grad, a.shape))
    return found


def complex_step(op: Op, example: Example, directions: Directions) -> np.ndarray:
    """Return J v up to rounding by the complex step, Im op(x + i·h·v)/h."""
    return np.imag(_moved(op, example, directions, 1j * STEP)) / STEP


def central_difference(op: Op, example: Example, directions: Directions, h: float = STRAIGHT) -> np.ndarray:
    """Return J v by (op(x + h·v) − op(x − h·v))/2h, for |v| ≤ 1."""
    return (_moved(op, example, directions, h) - _moved(op, example, directions, -h)) / (2 * h)


def _moved(op: Op, example: Example, directions: Directions, h: complex) -> Any:
    """Return op(x + h·v) by the op's definition."""
    arrays: list[Any] = [a if a is None or v is None else a + h * v
                         for a, v in zip(example.arrays, directions, strict=True)]
    return op.define(*arrays, *example.extra, **example.static)[0]


def random_directions(example: Example, rng: np.random.Generator) -> Directions:
    """Draw a direction for each floating operand, uniform on ±1."""
    return [rng.uniform(-1, 1, a.shape) if a is not None and is_floating(a) else None for a in example.arrays]


def unit_directions(example: Example) -> Iterator[tuple[int, tuple[int, ...], Directions]]:
    """Yield (operand, index, direction) for each element of each floating operand."""
    shapes = [a.shape if a is not None and is_floating(a) else None for a in example.arrays]
    for i, shape in enumerate(shapes):
        for index in np.ndindex(shape) if shape is not None else ():
            v: Directions = [None if s is None else np.zeros(s) for s in shapes]
            v[i][index] = 1.0  # type: ignore[index]
            yield i, index, v


def gradient_errors(op: Op, example: Example, rng: np.random.Generator, one_by_one: bool = False,
                    step: float | None = None) -> tuple[float, float]:
    """Compare ⟨g, J v⟩ with ⟨vjp(g), v⟩ for a random cotangent g; return two errors of an op's gradients.

    The first is for two random directions v, in units of Σ|g·J v| + Σ|vjp(g)·v|. The second, if `one_by_one`, is for
    each single element, in units of the element or, if that is larger, of a thousandth of the largest. A derivative
    near 0, such as SiLU's at −1.28, has few correct digits, so the units are at least a tenth (first error) or a
    hundredth (second) of g's largest number. J v is computed by the complex step if the op is analytic, and by
    differences otherwise or if their `step` is given.
    """
    def push(op: Op, example: Example, v: Directions) -> np.ndarray:
        if op.analytic and step is None:
            return complex_step(op, example, v)
        return central_difference(op, example, v, step or STRAIGHT)

    g = rng.standard_normal(np.shape(op.define(*example.inputs, **example.static)[0]))
    with kernels("reference"):
        grads = differentiate(op, example, g)
    largest = float(np.max(np.abs(g), initial=0.0))
    worst, worst_element = 0.0, 0.0
    for v in [random_directions(example, rng) for _ in range(2)]:
        jv = push(op, example, v)
        pairs = [(grad, w) for grad, w in zip(grads, v, strict=True) if w is not None]
        scale = magnitude(g, jv) + sum(magnitude(*pair) for pair in pairs)
        worst = max(worst, ratio(inner(g, jv) - sum(inner(*pair) for pair in pairs), max(scale, 0.1 * largest)))
    for i, index, v in unit_directions(example) if one_by_one else ():
        jv, grad = push(op, example, v), grads[i]
        assert grad is not None
        scale = max(magnitude(g, jv), 1e-3 * float(np.max(np.abs(grad))), 0.01 * largest)
        worst_element = max(worst_element, ratio(inner(g, jv) - float(grad[index]), scale))
    return worst, worst_element


def adjoint_error(op: Op, example: Example, rng: np.random.Generator) -> float:
    """Compare ⟨g, op(x)⟩ with ⟨vjp(g), x⟩ of a linear op, in units of Σ|g·op(x)| + Σ|vjp(g)·x|."""
    y = np.asarray(op(*example.inputs, **example.static))
    g = rng.standard_normal(y.shape).astype(y.dtype)  # astype: the cotangent has the output's dtype
    pairs = [(d, a) for d, a in zip(differentiate(op, example, g), example.arrays, strict=True) if d is not None]
    scale = magnitude(g, y) + sum(magnitude(*pair) for pair in pairs)
    return ratio(inner(g, y) - sum(inner(*pair) for pair in pairs), scale)


def fast_and_reference(op: Op, example: Example, rng: np.random.Generator) -> tuple[float, float]:
    """Return the errors of the usual output and gradients against those of the op's definition."""
    y = op(*example.inputs, **example.static)
    g = rng.standard_normal(np.shape(y)).astype(y.dtype)
    grads = differentiate(op, example, g)
    with kernels("reference"):
        expected_y, expected = op(*example.inputs, **example.static), differentiate(op, example, g)
    pairs = [(a, b) for a, b in zip(grads, expected, strict=True) if b is not None]
    floor = 0.01 * float(np.max(np.abs(g), initial=0.0))  # some gradients are 0 up to rounding
    return error(y, expected_y), max(error(a, b, floor) for a, b in pairs)


@contextlib.contextmanager
def trying(what: str) -> Iterator[None]:
    """Turn exceptions in the context into `Failed` with a description of what was tried."""
    try:
        yield
    except Failed:
        raise
    except Exception as error:
        hint = "a vjp writes to its arguments" if "read-only" in str(error) else ""
        raise Failed(f"{what}: it raised {described(error)}", hint) from error


class Findings:
    """The findings about one part so far.

    Parameters
    ----------
    tolerance : float
        The part's tolerance.

    Attributes
    ----------
    worst : float
        The worst error, rescaled so that `tolerance` is its limit; nan before the first comparison.
    cases : int
        Comparisons made.
    """

    def __init__(self, tolerance: float):
        self.tolerance, self.worst, self.cases = tolerance, float("nan"), 0

    def note(self, found: float, tolerance: float) -> bool:
        """Record an error with its own tolerance; return whether it is within."""
        right = found <= tolerance
        share = found * (self.tolerance / tolerance) if tolerance else (0.0 if right else float("inf"))
        self.worst = share if np.isnan(self.worst) else max(self.worst, share)
        self.cases += 1
        return right

    def equal(self, what: str, got: Any, want: Any, tolerance: float, floor: float = 0.0,
              mistakes: Callable[[], dict[str, Any]] = dict) -> None:
        """Compare arrays by `error`; raise `Failed` with the first wrong number."""
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            raise Failed(f"{what} has shape {got.shape}, expected {want.shape}")
        found = error(got, want, floor)
        if not self.note(found, tolerance):
            raise located(what, got, want, found, tolerance * max(floor, float(np.max(np.abs(want)))), mistakes())

    def true(self, condition: Any, counterexample: str, hint: str = "") -> None:
        """Raise `Failed` unless the condition holds."""
        self.note(0.0, self.tolerance)
        if not condition:
            raise Failed(counterexample, hint)


def located(what: str, got: np.ndarray, want: np.ndarray, found: float, allowed: float,
            mistakes: dict[str, Any] | None = None) -> Failed:
    """Describe the first element that is wrong by more than `allowed`, and the mistake that it looks like."""
    hint = next((f"these are the numbers of: {name}" for name, array in (mistakes or {}).items()
                 if np.shape(array) == got.shape and np.allclose(got, array, rtol=1e-7, atol=1e-10)), "")
    wrong = ~(np.abs(got - want) <= allowed)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    at = f"[{', '.join(map(str, index))}]" if index else ""
    return Failed(f"{what}{at} got {nice(got[index])}, expected {nice(want[index])}",
                  hint or known_mistake(got, want), found)


def known_mistake(got: np.ndarray, want: np.ndarray) -> str:
    """Name a common mistake that would turn the correct numbers `want` into `got`; empty if there is none."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    scale = np.max(np.abs(want), initial=0.0)
    if got.shape != want.shape or not scale or not np.isfinite(got).all():
        return "it is not finite" if got.shape == want.shape and not np.isfinite(got).all() else ""

    def like(other: np.ndarray) -> bool:
        size = max(scale, np.max(np.abs(other)))
        return other.shape == got.shape and bool(np.max(np.abs(got - other)) <= 1e-7 * size)

    if like(want):
        return "right to at least seven digits: single precision somewhere, or a small number added"
    if like(0 * want):
        return "all zeros: a term, or the path of a gradient, is dropped"
    factor = float(np.sum(got * want) / np.sum(want * want))
    if like(factor * want):
        whole = round(factor) if abs(factor) >= 1 else round(1 / factor)
        if abs(max(abs(factor), abs(1 / factor)) - abs(whole)) > 1e-6:
            return f"{factor:.6g} times the expected: a factor is missing" if want.size > 1 else ""
        named = {-1: "the sign", 2: "twice the expected: a factor 2"} if abs(factor) >= 1 else {
            2: "half the expected: a factor 2"}
        count = f"{whole} times the expected" if abs(factor) > 1 else f"1/{whole} of the expected"
        return named.get(whole, f"{count}: a count n that a mean divides by, or a number counted n times")
    if want.ndim >= 2 and like(np.swapaxes(want, -1, -2)):
        return "these are the numbers of a transposed matrix"
    for axes in [(axis,) for axis in range(want.ndim)] + [(0, 1)] * (want.ndim > 1):
        if like(np.flip(want, axes)):
            return f"these are the numbers in reverse along axis {', '.join(map(str, axes))}"
    for axis in range(want.ndim):
        if want.shape[axis] > 2 and any(like(np.roll(want, s, axis)) for s in (1, -1)):
            return f"these are the numbers shifted by one along axis {axis}"
    if want.size > 2 and like(want + np.mean(got - want)):
        return "wrong by the same number everywhere: a mean is not subtracted, or subtracted twice"
    return ""
