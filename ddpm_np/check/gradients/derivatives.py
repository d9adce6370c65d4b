"""Derivatives in three ways (the tape, the complex step, differences), and what a comparison of them has found."""

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

STEP = 1e-20  # of the complex step: nothing is subtracted, so it may be as small as one likes
STRAIGHT, CURVED = 2.0**-10, 2.0**-16  # of differences: exact where a function is straight; 1e-9 where it is not
LOCATED = 400  # operands with at most so many numbers together are differentiated one by one to name a wrong one

Directions = list[np.ndarray | None]  # one an operand; None where it has no gradient


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩ = Σ a·b."""
    return float(np.sum(np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)))


def magnitude(a: Any, b: Any) -> float:
    """Σ |a·b|: what an error in ⟨a, b⟩ is measured by."""
    return float(np.sum(np.abs(np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64))))


def ratio(difference: float, scale: float) -> float:
    """|difference|/scale, 0 where there is no difference; inf for what is no number, or where the scale is 0."""
    if difference == 0:
        return 0.0
    return abs(difference) / scale if np.isfinite(difference) and scale > 0 else float("inf")


def error(actual: Any, expected: Any, floor: float = 0.0) -> float:
    """The largest difference, in units of the largest expected number, or of `floor` if that is more.

    Raises
    ------
    Failed
        For another shape.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise Failed(f"shape {actual.shape}, expected {expected.shape}")
    if expected.size == 0:
        return 0.0
    difference = float(np.max(np.abs(actual.astype(np.float64) - expected)))
    return ratio(difference, max(floor, float(np.max(np.abs(expected)))))


def is_floating(a: Any) -> bool:
    """Whether an operand has a gradient: an array that is not a condition."""
    return a is not None and a.dtype != bool


def differentiate(op: Op, example: Example, cotangent: np.ndarray, wanted: int | None = None) -> Directions:
    """The gradients of ⟨op(arrays), cotangent⟩ by the tape; None for an operand that has none.

    `wanted` is the number of the only operand that one is asked for; None for all.
    """
    leaves = [Tensor(a, requires_grad=True) if is_floating(a) and wanted in (None, i) else a
              for i, a in enumerate(example.arrays)]
    y = op(*leaves, *example.extra, **example.static)
    found = iter(gradients(y, [x for x in leaves if isinstance(x, Tensor)], cotangent))
    return [next(found) if isinstance(x, Tensor) else None for x in leaves]


def vjp_parts(forward: Callable, example: Example, g: np.ndarray) -> list[np.ndarray]:
    """What a forward's own vjp gives for the floating operands, as arrays of the operands' shapes."""
    parts = forward(*example.inputs, **example.static)[1](g)
    found = []
    for a, part in zip(example.arrays, parts, strict=False):
        if a is not None and is_floating(a):
            grad = np.asarray(part() if callable(part) else part)
            found.append(grad if grad.shape == a.shape else undo_broadcasting(grad, a.shape))
    return found


def complex_step(op: Op, example: Example, directions: Directions) -> np.ndarray:
    """J v, exact to rounding: Im op(x + i·h·v)/h."""
    return np.imag(_moved(op, example, directions, 1j * STEP)) / STEP


def central_difference(op: Op, example: Example, directions: Directions, h: float = STRAIGHT) -> np.ndarray:
    """J v by (op(x + h·v) − op(x − h·v))/2h, |v| ≤ 1."""
    return (_moved(op, example, directions, h) - _moved(op, example, directions, -h)) / (2 * h)


def _moved(op: Op, example: Example, directions: Directions, h: complex) -> Any:
    """op(x + h·v), by its definition."""
    arrays: list[Any] = [a if a is None or v is None else a + h * v
                         for a, v in zip(example.arrays, directions, strict=True)]
    return op.define(*arrays, *example.extra, **example.static)[0]


def random_directions(example: Example, rng: np.random.Generator) -> Directions:
    """A direction for every floating operand, uniform on ±1."""
    return [rng.uniform(-1, 1, a.shape) if a is not None and is_floating(a) else None for a in example.arrays]


def unit_directions(example: Example) -> Iterator[tuple[int, tuple[int, ...], Directions]]:
    """(operand, index, direction) for every single element of every floating operand."""
    shapes = [a.shape if a is not None and is_floating(a) else None for a in example.arrays]
    for i, shape in enumerate(shapes):
        for index in np.ndindex(shape) if shape is not None else ():
            v: Directions = [None if s is None else np.zeros(s) for s in shapes]
            v[i][index] = 1.0  # type: ignore[index]
            yield i, index, v


def gradient_errors(op: Op, example: Example, rng: np.random.Generator, one_by_one: bool = False,
                    step: float | None = None) -> tuple[float, float]:
    """The errors of an op's gradients: ⟨g, J v⟩ against ⟨vjp(g), v⟩ for a random cotangent g.

    The first for two random directions v, in units of Σ|g·J v| + Σ|vjp(g)·v|; the second, if `one_by_one`, for every
    single element, in units of it or, if that is more, of a thousandth of the largest. Where the derivative is next to
    0, as that of SiLU at −1.28, few of its digits are any: the units are no less than a tenth, or a hundredth, of g's
    largest number. J v is by the complex step where the op is analytic, and by differences where it is not, or where
    their `step` is given.
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
    """Of a linear op: ⟨g, op(x)⟩ against ⟨vjp(g), x⟩, in units of Σ|g·op(x)| + Σ|vjp(g)·x|."""
    y = np.asarray(op(*example.inputs, **example.static))
    g = rng.standard_normal(y.shape).astype(y.dtype)  # astype: the cotangent has the output's dtype
    pairs = [(d, a) for d, a in zip(differentiate(op, example, g), example.arrays, strict=True) if d is not None]
    scale = magnitude(g, y) + sum(magnitude(*pair) for pair in pairs)
    return ratio(inner(g, y) - sum(inner(*pair) for pair in pairs), scale)


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


@contextlib.contextmanager
def trying(what: str) -> Iterator[None]:
    """A context in which what is raised says what was tried."""
    try:
        yield
    except Failed:
        raise
    except Exception as error:
        hint = "a vjp writes to what it is given" if "read-only" in str(error) else ""
        raise Failed(f"{what}: it raised {described(error)}", hint) from error


class Findings:
    """What has been found of one thing so far.

    Attributes
    ----------
    worst : float
        The worst error, in units in which `tolerance` is allowed; nan before the first comparison.
    cases : int
        Comparisons made.
    """

    def __init__(self, tolerance: float):
        self.tolerance, self.worst, self.cases = tolerance, float("nan"), 0

    def note(self, found: float, tolerance: float) -> bool:
        """Count an error of which `tolerance` is allowed; whether it is within."""
        right = found <= tolerance
        share = found * (self.tolerance / tolerance) if tolerance else (0.0 if right else float("inf"))
        self.worst = share if np.isnan(self.worst) else max(self.worst, share)
        self.cases += 1
        return right

    def equal(self, what: str, got: Any, want: Any, tolerance: float, floor: float = 0.0,
              mistakes: Callable[[], dict[str, Any]] = dict) -> None:
        """Compare arrays by `error`; raise `Failed` with the first number that is wrong."""
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
    """The first element that is wrong by more than `allowed`, in words, and the mistake that it looks like."""
    hint = next((f"these are the numbers of: {name}" for name, array in (mistakes or {}).items()
                 if np.shape(array) == got.shape and np.allclose(got, array, rtol=1e-7, atol=1e-10)), "")
    wrong = ~(np.abs(got - want) <= allowed)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    at = f"[{', '.join(map(str, index))}]" if index else ""
    return Failed(f"{what}{at} got {nice(got[index])}, expected {nice(want[index])}",
                  hint or known_mistake(got, want), found)


def known_mistake(got: np.ndarray, want: np.ndarray) -> str:
    """Which mistake would turn the right numbers `want` into `got`, if it is one of the common ones."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    scale = np.max(np.abs(want), initial=0.0)
    if got.shape != want.shape or not scale or not np.isfinite(got).all():
        return "it is no finite number" if got.shape == want.shape and not np.isfinite(got).all() else ""

    def like(other: np.ndarray) -> bool:
        size = max(scale, np.max(np.abs(other)))
        return other.shape == got.shape and bool(np.max(np.abs(got - other)) <= 1e-7 * size)

    if like(want):
        return "right to seven digits and more: single precision somewhere, or a small number added"
    if like(0 * want):
        return "nothing arrives: a term, or the path of a gradient, is dropped"
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
        return "wrong by the same number everywhere: a mean that is not taken off, or is taken off twice"
    return ""
