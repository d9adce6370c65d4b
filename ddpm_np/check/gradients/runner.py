"""Gradients as equations: every op, the tape, every layer, the nets, the losses and Adam, each with its verdict.

`gradient_results` runs them. An op passes if its value is NumPy's or SciPy's; if ⟨g, J v⟩ = ⟨vjp(g), v⟩ for random g
and v, with J v by the complex step (exact up to rounding) and by differences; if every gradient is independent of which
others are computed and of the kernel; and if it keeps the rules of `gradients.rules`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from ddpm_np.autograd.ops import REGISTRY, Op, kernels
from ddpm_np.autograd.ops.examples import Example
from ddpm_np.check.comparison import Failed, nice
from ddpm_np.check.gradients.derivatives import (
    CURVED,
    LOCATED,
    STRAIGHT,
    Findings,
    adjoint_error,
    central_difference,
    complex_step,
    differentiate,
    error,
    gradient_errors,
    inner,
    located,
    trying,
    unit_directions,
    vjp_parts,
)
from ddpm_np.check.gradients.examples import cases, numbers
from ddpm_np.check.gradients.mistakes import GRADIENTS_MISTAKEN, VALUES_MISTAKEN
from ddpm_np.check.gradients.reference_ops import EXACT, EXPECTED, VALUE
from ddpm_np.check.gradients.rules import (
    LAYOUTS,
    cotangent,
    forwards,
    gives_the_same_bits_again,
    keeps_what_it_says,
    laid_out,
    shares_no_writable_memory,
    writes_to_nothing,
)
from ddpm_np.check.result import FAIL, PASS, UNVERIFIED, Result
from ddpm_np.parallel.threads import single_threaded_blas

PAIRED = 5e-15  # error of ⟨g, Jv⟩ against ⟨vjp(g), v⟩, in units of their terms' magnitudes; at most 7e-16 occurs
PAIRED_OF = {
    "log_ndtr": 1e-12,  # the exponent x²/2 is 450 at x = 30
    "clip": 1e-11,  # by differences
}
ELEMENT = 1e-13  # relative error of one element's gradient: subtractions such as 1 − y² and x − mean lose digits
ADJOINT = 1e-14
DIFFERENCES = 1e-6  # error of differences, which the complex step has already confirmed
KERNEL = {"float64": 1e-13, "float32": 1e-4}  # error of a kernel against its definition; float32: at a mean of 10
SMALL = 64  # operands with at most this many numbers are differentiated one by one
LARGE = 5000  # with more, kernels and rules are tried in one memory layout, and no differences are taken

Check = Callable[[Findings, np.random.Generator], None]


class Part(NamedTuple):
    """A part of the package whose gradient is checked.

    Attributes
    ----------
    title : str
        Title in the report.
    tolerance : float
        The error allowed.
    method : str
        Method by which the expected numbers are computed.
    check : callable
        ``check(findings, generator)``, which raises `Failed`.
    """

    title: str
    tolerance: float
    method: str
    check: Check


def gradient_results(seed: int = 0, names: Iterable[str] | None = None,
                     progress: Callable[[Result], None] | None = None) -> list[Result]:
    """Check the gradients of this package.

    Parameters
    ----------
    seed : int
        Seed of the random cases: the same seed gives the same results.
    names : iterable of str or None
        Ids such as ``["grad-conv2d", "adam"]``; None: all.
    progress : callable or None
        Called with each result as it comes.

    Returns
    -------
    list of Result
        A result for every op in the registry (``"grad-conv2d"``), the tape (``"grad-tape"``), every layer
        (``"grad-layer-linear"``), the nets, the losses, ``"adam"``, ``"norm-clip"`` and ``"ema"``. The error is the
        worst one, each rescaled by its own tolerance to that of the part.

    Raises
    ------
    ValueError
        If a name is unknown.

    Examples
    --------
    >>> [(r.equation, r.title, r.verdict) for r in gradient_results(names=["grad-silu"])]
    [('grad-silu', '∂ silu', 'PASS')]
    """
    results = []
    with single_threaded_blas():  # the arrays are small
        for name, part in chosen(names).items():
            results.append(verdict(name, part, np.random.default_rng([seed, *name.encode()])))
            if progress is not None:
                progress(results[-1])
    return results


def parts() -> dict[str, Part]:
    """Return all parts whose gradients are checked, by id."""
    from ddpm_np.check.gradients.nets import NETS
    from ddpm_np.check.gradients.tape import check_tape
    from ddpm_np.check.gradients.training import TRAINING

    by_op = {f"grad-{name}": Part(
        f"∂ {name}", PAIRED_OF.get(name, PAIRED),
        "complex step, differences, NumPy/SciPy" if op.analytic else "differences, adjoint, NumPy/SciPy",
        lambda found, rng, op=op: check_op(op, found, rng),  # type: ignore[misc]
    ) for name, op in sorted(REGISTRY.items())}
    tape = Part("∂ of a graph", PAIRED, "complex step", check_tape)
    others = {name: Part(*entry) for name, entry in (*NETS.items(), *TRAINING.items())}
    return {**by_op, "grad-tape": tape, **others}


def chosen(names: Iterable[str] | None) -> dict[str, Part]:
    """Return the parts with the given ids (None: all) in registry order; raise `ValueError` for an unknown one."""
    every = parts()
    if names is None:
        return every
    wanted = {names} if isinstance(names, str) else set(names)
    for name in wanted - set(every):
        close = get_close_matches(name, every, 1)
        raise ValueError(f"no gradient is called {name!r}: "
                         + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(every)}"))
    return {name: part for name, part in every.items() if name in wanted}


def verdict(name: str, part: Part, rng: np.random.Generator) -> Result:
    """Check one part and return its result."""
    started, found, failure = time.perf_counter(), Findings(part.tolerance), None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            with trying(part.title):
                part.check(found, rng)
        except Failed as error:
            failure = error
    result = FAIL if failure is not None else PASS if found.cases else UNVERIFIED
    worst = found.worst
    if failure is not None and not found.worst > part.tolerance:  # the failure is not a number that is off
        worst = float("inf")
    return Result(name, part.title, result, float(worst), part.tolerance, found.cases,
                  failure.counterexample if failure is not None else "", failure.hint if failure is not None else "",
                  part.method, time.perf_counter() - started)


# Ops


def check_op(op: Op, found: Findings, rng: np.random.Generator) -> None:
    """Check an op's values, gradients, rules and kernels on its examples, the smallest first."""
    tried = cases(op.name, rng)
    for example in tried:
        with trying(f"{op.name} of shapes {example}"):
            check_value(op, example, found)
            check_derivative(op, example, found, rng)
            check_each_alone(op, example, found, rng)
    for name, forward, when, saves in forwards(op):
        reached = [example for example in tried if when(*example.inputs, **example.static)]
        found.true(reached, f"no example reaches {name}")
        for example in reached:
            for layout in ("contiguous", "read_only")[: 1 if numbers(example) > LARGE else 2]:
                check_rules(name, forward, laid_out(example, layout), found, rng)
        try:
            keeps_what_it_says(forward, reached, saves)
        except Failed as error:
            raise Failed(f"{name}: {error}") from None
        if forward is not op.define:
            for layout, dtype in [*((layout, "float64") for layout in LAYOUTS), ("contiguous", "float32")]:
                for example in (laid_out(e, layout, dtype) for e in reached):
                    small = numbers(example) <= LARGE or layout == "contiguous"
                    if small and when(*example.inputs, **example.static):
                        check_kernel(f"{name} on {example}, {layout}", forward, op, example, found, rng)


def check_value(op: Op, example: Example, found: Findings) -> None:
    """Check the definition's and the kernel's output against NumPy's or SciPy's."""
    if op.name not in EXPECTED:
        raise Failed(f"there is no reference for {op.name}: add it to check/gradients/reference_ops.py")
    want = np.asarray(EXPECTED[op.name](*example.inputs, **example.static))
    for choice in ("reference", "fast"):
        with kernels(choice):
            got = op(*example.inputs, **example.static)
        found.true(got.dtype == want.dtype, f"{op.name} of {example} gives {got.dtype}, expected {want.dtype}")
        found.equal(f"{op.name} of {at(example)}: y", got, want, 0.0 if op.name in EXACT else VALUE, 1.0,
                    lambda: VALUES_MISTAKEN[op.name](*example.inputs, **example.static) if op.name in VALUES_MISTAKEN
                    else {})


def check_derivative(op: Op, example: Example, found: Findings, rng: np.random.Generator) -> None:
    """Check ⟨g, J v⟩ = ⟨vjp(g), v⟩ along random directions and each element, and the adjoint identity if linear."""
    compared: list[tuple[str, float, float]] = []
    if op.name != "astype":  # it rounds, so only its adjoint is checked
        paired, element = gradient_errors(op, example, rng, numbers(example) <= SMALL)
        compared += [("⟨g, J v⟩ and ⟨vjp(g), v⟩", paired, PAIRED_OF.get(op.name, PAIRED)),
                     ("an element of J and of vjp", element, PAIRED_OF.get(op.name, ELEMENT))]
        if op.analytic and numbers(example) <= LARGE:
            by_differences = gradient_errors(op, example, rng, step=CURVED)[0]
            compared.append(("⟨g, J v⟩ by differences and ⟨vjp(g), v⟩", by_differences, DIFFERENCES))
    if op.linear:
        compared.append(("⟨g, op(x)⟩ and ⟨vjp(g), x⟩", adjoint_error(op, example, rng), ADJOINT))
    wrong = [(what, by) for what, by, allowed in compared if not found.note(by, allowed)]
    if wrong:
        what, by = wrong[0]
        found_where = wrong_gradient(op, example, rng)
        raise found_where or Failed(f"{op.name} of {at(example)}: {what} differ by {by:.1e}", "", by)


def wrong_gradient(op: Op, example: Example, rng: np.random.Generator) -> Failed | None:
    """Find the first wrong element of a gradient by differentiating each element alone; None if there are too many."""
    if numbers(example) > LOCATED:
        return None
    shape = np.shape(op.define(*example.inputs, **example.static)[0])
    g = np.ones(shape) if shape == () else rng.standard_normal(shape)
    with kernels("reference"):
        grads = differentiate(op, example, g)
    want = [np.zeros(a.shape) if a is not None else np.zeros(0) for a in example.arrays]
    for i, index, v in unit_directions(example):
        jv = complex_step(op, example, v) if op.analytic else central_difference(op, example, v, STRAIGHT)
        want[i][index] = inner(g, jv)
    for i, (a, b) in enumerate(zip(grads, want, strict=True)):
        if a is not None and error(a, b) > 1e-9:
            what = f"∂{op.name}/∂(operand {i}) at {at(example)}" + (", g = 1," if shape == () else "")
            known = GRADIENTS_MISTAKEN[op.name](example.arrays[0], g) if op.name in GRADIENTS_MISTAKEN else {}
            return located(what, a, b, error(a, b), 1e-9 * float(np.max(np.abs(b), initial=0.0)), known)
    return None


def at(example: Example) -> str:
    """Describe an example by its numbers if they are few, else by its shapes."""
    if numbers(example) > 3 or numbers(example) == 0:
        return f"shapes {example}"
    shown = [", ".join(nice(x) for x in a.ravel()) for a in example.arrays if a is not None]
    return f"x = {' and '.join(shown)}" + "".join(f", {extra}" for extra in example.extra)


def check_each_alone(op: Op, example: Example, found: Findings, rng: np.random.Generator) -> None:
    """Check that a gradient is the same alone as with the others, by the kernel and by the definition."""
    y = np.asarray(op(*example.inputs, **example.static))
    g = rng.standard_normal(y.shape).astype(y.dtype)
    with kernels("reference"):
        together = differentiate(op, example, g)
    floor = float(np.max(np.abs(g), initial=0.0))  # some gradients are 0 up to rounding
    for i, want in enumerate(together):
        if want is not None:
            alone = differentiate(op, example, g, wanted=i)[i]
            found.equal(f"{op.name} of {example}: the gradient of operand {i}, computed alone,", alone, want,
                        max(KERNEL["float64"], PAIRED_OF.get(op.name, 0.0)), floor)


def check_rules(name: str, forward: Callable, example: Example, found: Findings, rng: np.random.Generator) -> None:
    """Check the rules of `gradients.rules` on one example."""
    for rule in (writes_to_nothing, shares_no_writable_memory, gives_the_same_bits_again):
        try:
            with trying(str(example)):
                rule(forward, example, cotangent(forward, example, rng))
        except Failed as error:
            raise Failed(f"{name} of shapes {error}", error.hint) from None
        found.note(0.0, PAIRED)


def check_kernel(what: str, forward: Callable, op: Op, example: Example, found: Findings,
                 rng: np.random.Generator) -> None:
    """Check a kernel's output and gradients against the definition's."""
    y, want = (np.asarray(f(*example.inputs, **example.static)[0]) for f in (forward, op.define))
    tolerance = KERNEL[str(want.dtype)]
    found.equal(f"{what}: y", y, want, tolerance)
    g = rng.standard_normal(y.shape).astype(y.dtype)
    g.setflags(write=False)
    pairs = zip(vjp_parts(forward, example, g), vjp_parts(op.define, example, g), strict=True)
    for i, (got, expected) in enumerate(pairs):
        found.true(got.dtype == expected.dtype, f"{what}: a gradient is {got.dtype}, expected {expected.dtype}")
        found.equal(f"{what}: gradient {i}", got, expected, tolerance,
                    float(np.max(np.abs(g), initial=0.0)))
