"""Compare got and expected: the worst error, the simplest wrong number, and the mistake that would produce it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from ddpm_np.check.calls import Missing, Wrong, described, stop_if_gpu_failed
from ddpm_np.check.exact import Case
from ddpm_np.check.offered import NotOffered, Offered
from ddpm_np.check.target import Declared, First, Target

TOLERANCE = 1e-9  # for float64: correct code has errors of 1e-12, and every wrong formula exceeds it
SINGLE = 2e-3  # for tables computed in float32; tables only stored in float32 are right to 2e-4
AGAIN, AGAIN_SINGLE = 1e-12, 1e-5  # for a call that is repeated: a library may add in another order
Mistakes = Callable[[], dict[str, Any]] | dict[str, Any] | None


class Failed(Exception):
    """A wrong number, with a counterexample and perhaps the likely mistake.

    Parameters
    ----------
    counterexample : str
        The smallest numbers that show it.
    hint : str
        The likely mistake; empty if unknown.
    error : float
        The relative error.
    """

    def __init__(self, counterexample: str, hint: str = "", error: float = np.inf):
        super().__init__(counterexample)
        self.counterexample, self.hint, self.error = counterexample, hint, error


class Check:
    """The state of checking one equation: the target for each case, comparisons, and the errors found so far.

    Parameters
    ----------
    factory : callable
        The target's factory, betas -> object.
    targets : dict or None
        Cache of targets, shared between equations.

    Attributes
    ----------
    worst : float
        The worst error so far; nan before the first comparison.
    latest : float
        The worst error of the current draw, which guides the search for the worst case.
    single : Failed or None
        The first error that single precision would explain.
    cases : int
        Number of cases of which something was compared.
    compared : int
        Number of comparisons.
    offered : Offered
        Which options the target offers, as far as they were asked for.
    refused : NotOffered or None
        The first call of the current property that the target does not offer.
    """

    def __init__(self, factory: Callable[[np.ndarray], Any], targets: dict[int, Target] | None = None):
        self.factory = factory
        self.targets = {} if targets is None else targets  # shared between equations
        self.worst, self.latest, self.cases, self.compared = np.nan, 0.0, 0, 0
        self.offered = Offered()
        self.refused: NotOffered | None = None
        self.single: Failed | None = None
        self.used: set[str] = set()
        self.first: dict[str, First] = {}  # the first call of each method for this equation
        self.declared: Declared | None = None

    def __call__(self, case: Case) -> Target:
        """Return the target for a case, made once and cached.

        Parameters
        ----------
        case : Case
            The schedule.

        Returns
        -------
        Target
            The target.
        """
        target = self.targets.get(id(case))
        if target is None:
            target = Target(self.factory, case)
            if len(self.targets) > 64:
                self.targets.clear()
            self.targets[id(case)] = target  # the target holds the case, so that its id is not reused
        target.declared.used, target.first, target.offered = self.used, self.first, self.offered
        self.declared = target.declared
        return target

    @contextlib.contextmanager
    def if_offered(self) -> Iterator[None]:
        """Leave out the rest of the block where the target lacks an option that it asks for, and note that."""
        try:
            yield
        except NotOffered as error:
            self.refused = self.refused or error
            self.offered.refuse(error)

    def again(self) -> None:
        """Repeat the first call of each method, which must give the same numbers; raise `Wrong` otherwise."""
        for method, (target, *_) in list(self.first.items()):
            target.again(method, AGAIN if self.tolerance == TOLERANCE else AGAIN_SINGLE)

    @property
    def tolerance(self) -> float:
        """Tolerance for the target's declared precision."""
        single = self.declared is not None and self.declared.values["precision"] == "float32"
        return SINGLE if single else TOLERANCE

    def equal(self, name: str, got: Any, want: Any, *, case: Case | None = None, at: dict[str, Any] | None = None,
              scale: Any = None, mistakes: Mistakes = None, slack: float = 1.0) -> None:
        """Compare two arrays; raise `Failed` for an error that rounding cannot explain.

        Parameters
        ----------
        name : str
            Name of the quantity in a counterexample: ``"μ̃_t"``.
        got : array
            The target's result.
        want : array
            The expected numbers, of the same shape.
        case : Case or None
            The schedule, shown in a counterexample.
        at : dict or None
            Arrays that broadcast to that shape by name: further numbers that a counterexample shows.
        scale : array or None
            Unit of the errors: the sum of the magnitudes of the terms that `want` adds up. None: |want|.
        mistakes : dict, callable or None
            Expected numbers of known mistakes by description, or a function that returns them: the hint if one equals
            `got`.
        slack : float
            Factor on the tolerance, for results with that many more roundings.
        """
        self.compared += 1
        got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
        if got.shape != want.shape:
            raise Wrong(f"{name} has shape {got.shape}, expected {want.shape}")
        errors = relative(got, want, scale) / slack
        error = float(errors.max(initial=0.0))
        self.worst = error if np.isnan(self.worst) else max(self.worst, error)
        self.latest = max(self.latest, error)
        if error <= TOLERANCE:
            return
        wrong = errors > (SINGLE if error > SINGLE else TOLERANCE)
        index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)  # the first, as draws start with the simplest
        numbers = {key: np.broadcast_to(_aligned(value, want), want.shape)[index] for key, value in (at or {}).items()}
        text = "".join(f"{key}={nice(value)}, " for key, value in numbers.items())
        text = f"{repr(case) + ', ' if case is not None else ''}{text}".rstrip(", ")
        text = f"{text}: {name} got {nice(got[index])}, expected {nice(want[index])}".removeprefix(": ")
        failed = Failed(text, self._named(got, want, error, mistakes), error)
        if error > SINGLE or (failed.hint and self.tolerance == TOLERANCE):
            raise failed
        if self.single is None:
            self.single = failed

    def true(self, condition: Any, counterexample: str, hint: str = "") -> None:
        """Raise `Failed` unless the condition holds.

        Parameters
        ----------
        condition : bool
            The condition.
        counterexample : str
            The numbers that violate it.
        hint : str
            The likely mistake.
        """
        self.compared += 1
        if np.isnan(self.worst):
            self.worst = 0.0
        if not condition:
            raise Failed(counterexample, hint)

    @staticmethod
    def _named(got: np.ndarray, want: np.ndarray, error: float, mistakes: Mistakes) -> str:
        """Name the mistakes that give these numbers: a thousand times nearer to `got` than `want` is."""
        with np.errstate(all="ignore"):
            known = mistakes() if callable(mistakes) else mistakes or {}
        found, floor = [], 1e-3 * np.abs(want).max(initial=0.0)  # scale for numbers that are 0 up to rounding
        for what, numbers in known.items():
            values = np.broadcast_to(np.asarray(numbers, dtype=np.float64), want.shape)
            apart = relative(got, values, np.maximum(np.abs(values), floor)).max(initial=0.0)
            if np.isfinite(values).all() and apart < min(1e-7, error / 1000):
                found.append(what)
        return f"these are the numbers of {' or of '.join(found[:3])}" if found else ""


def attempt(test: Callable[[Check, Any], None], check: Check, drawn: Any, count: bool = True) -> None:
    """Try a property on one case, of which what the target does not offer is left out.

    Any exception but the checker's own means that the target's result cannot be compared. A case counts unless nothing
    of it was offered.
    """
    before, check.cases = check.compared, check.cases + count
    try:
        with check.if_offered():
            test(check, drawn)
    except (Failed, Missing, Wrong):
        raise
    except Exception as error:
        stop_if_gpu_failed(error)
        raise Wrong(f"the target's result cannot be compared: {described(error)}") from error
    if check.refused is not None and check.compared == before:
        check.cases -= count


def relative(got: np.ndarray, want: np.ndarray, scale: Any = None) -> np.ndarray:
    """Return |got − want|/scale elementwise: 0 where both are equal, else inf where the scale is 0.

    Parameters
    ----------
    got : array
        The target's result.
    want : array
        The expected numbers, of the same shape.
    scale : array or None
        Unit of the errors; None: |want|.

    Returns
    -------
    array
        The relative errors.
    """
    difference = np.abs(got - want)
    scale = np.broadcast_to(np.abs(want if scale is None else np.asarray(scale)), want.shape)
    return np.divide(difference, scale, out=np.where(difference > 0, np.inf, 0.0), where=scale > 0)


def nice(value: Any) -> str:
    """Format a number as a person would: a fraction with a small denominator, or ten digits.

    Parameters
    ----------
    value : number
        The number.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> nice(0.4375), nice(3.14159265358979)
    ('7/16', '3.141592654')
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (int, str)):
        return str(value)
    if np.isfinite(value):
        fraction = Fraction(value).limit_denominator(20_000)
        if fraction.denominator != 1 and abs(float(fraction) - value) <= 1e-14 * abs(value):
            return str(fraction)
    return f"{value:.10g}"


def _aligned(value: Any, like: np.ndarray) -> np.ndarray:
    """Return (N,) numbers as a column (N, 1, …), even if the last axis has length N too."""
    value = np.asarray(value)
    return value.reshape(value.shape + (1,) * (like.ndim - 1)) if value.ndim == 1 and like.ndim > 1 else value
