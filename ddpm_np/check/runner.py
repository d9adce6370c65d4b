"""Run the properties of every equation on a target and give a verdict on each equation.

A property is tried on its fixed cases first, then on random cases from Hypothesis. The first wrong number ends it: the
fixed cases are already simple, and a failure found by Hypothesis is shrunk briefly. An exception in the target ends one
property, never the run; one of CUDA ends the run.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ddpm_np.check.advice import misnamed, nothing_verified
from ddpm_np.check.calls import Missing, Wrong
from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import TOLERANCE, Check, Failed, attempt
from ddpm_np.check.offered import NotOffered
from ddpm_np.check.registry import Equation, Property, chosen
from ddpm_np.check.result import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, Report, Result
from ddpm_np.check.target import Target

EXAMPLES = 8  # random cases for each property, beyond the fixed ones


def run(factory: Callable[[np.ndarray], Any], equations: Iterable[Any] | None = None, seed: int = 0,
        examples: int | None = None, progress: Callable[[Result], None] | None = None) -> Report:
    """Check an implementation equation by equation.

    Parameters
    ----------
    factory : callable
        betas (T,) float64 -> an object with any of the methods of a check target (docs/checker.md).
    equations : iterable of str or None
        Ids such as ``["7", "ddim-12"]``; None: all.
    seed : int
        Seed of the random cases: the same seed gives the same report.
    examples : int or None
        Random cases for each property, beyond the fixed ones; None: `EXAMPLES`.
    progress : callable or None
        Called with each result as it comes.

    Returns
    -------
    Report
        The verdicts. Errors of the target are part of the report and do not raise.

    Raises
    ------
    TypeError
        If the factory is not callable, or needs other arguments than betas.
    ValueError
        If an equation is unknown or `examples` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> class Mine:
    ...     def __init__(self, betas):
    ...         self.a = np.cumprod(np.concatenate(([1.0], 1 - betas)))
    ...     def q_sample(self, x_0, t, noise):
    ...         a = self.a[t].reshape(-1, *[1] * (x_0.ndim - 1))
    ...         return np.sqrt(a) * x_0 + (1 - a) * noise
    >>> result = run(Mine, equations=["4"]).results[0]
    >>> print(result.verdict, result.counterexample, result.hint, sep="; ")
    FAIL; T=2, β=(9/25, 7/16), t=2, x₀=0, ε=1: x_t got 16/25, expected 4/5;
    these are the numbers of (1 − ᾱ_t)·ε: a missing root
    """
    import ddpm_np.check.equations  # noqa: F401 - fills the registry

    if not callable(factory):
        raise TypeError(f"a target must be a factory, betas -> object, got {type(factory).__name__}")
    check_signature(factory)
    if examples is not None and examples < 0:
        raise ValueError(f"examples must be at least 0, got {examples}")
    started, results = time.perf_counter(), []
    targets: dict[int, Target] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for entry in chosen(equations):
            check = Check(factory, targets)
            results.append(verify(entry, check, seed, EXAMPLES if examples is None else examples))
            if progress is not None:
                progress(results[-1])
    return Report(_name(factory), results, seed, time.perf_counter() - started, _advice(results, targets),
                  tuple(getattr(factory, "notes", ())))


def _name(factory: Any) -> str:
    return getattr(factory, "__name__", type(factory).__name__)


def check_signature(factory: Callable[[np.ndarray], Any]) -> None:
    """Check that a factory can be called with betas alone, and returns an object at once.

    Parameters
    ----------
    factory : callable
        The factory.

    Raises
    ------
    TypeError
        If not.
    """
    if inspect.iscoroutinefunction(factory) or inspect.isgeneratorfunction(factory):
        raise TypeError(f"the factory {_name(factory)} is a coroutine or a generator: return the object")
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # built-in functions can lack a signature
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(f"the factory {_name(factory)}{signature} must take betas and nothing else: {error}") from None


def _advice(results: list[Result], targets: dict[int, Target]) -> str:
    """Return a line on names of the target that may be meant for those that it lacks, and on a run without verdicts."""
    found = next(iter(targets.values()), None)
    if not any(result.verdict == UNVERIFIED for result in results):
        return ""
    if any(result.verdict != UNVERIFIED for result in results):
        return misnamed(found.object) if found is not None else ""
    if found is None:  # the factory has no schedule that was asked for
        return f"no equation could be verified: {results[0].hint}"
    return nothing_verified(found.object, {need for entry in chosen([result.equation for result in results])
                                           for prop in entry.properties for need in prop.needs})


def verify(entry: Equation, check: Check, seed: int, examples: int) -> Result:
    """Check one equation.

    Parameters
    ----------
    entry : Equation
        The equation.
    check : Check
        The target.
    seed : int
        Seed of the random cases.
    examples : int
        Random cases for each property.

    Returns
    -------
    Result
        The verdict.
    """
    started = time.perf_counter()
    missing: dict[str, list[Missing]] = {}
    tried: list[Property] = []
    failure: Failed | None = None
    for prop in entry.properties:
        try:
            try_property(prop, check, seed, examples)
            tried.append(prop)
        except Missing as error:
            missing.setdefault(prop.aspect, []).append(error)
        except Failed as error:
            failure = error
        except Wrong as error:
            failure = Failed(str(error))
        if failure is not None:
            break
    if failure is None:
        try:
            check.again()
        except (Missing, Wrong) as error:
            failure = Failed(str(error))
    verified = {prop.aspect for prop in tried if not any(map(check.offered.whole, prop.needs))}
    for prop in tried:
        missing.setdefault(prop.aspect, []).extend(
            Missing(check.offered.lacking(method)) for method in prop.needs if check.offered.whole(method))
    lacking = _lacking(check, [errors for aspect, errors in missing.items() if aspect not in verified], bool(verified))
    single_precision = check.single
    if failure is not None:
        verdict, hint = FAIL, failure.hint
    elif single_precision is not None and check.tolerance == TOLERANCE:
        failure, verdict = single_precision, FAIL
        hint = (f"right to {check.worst:.1g}: tables in float32, or a small number added. If single precision is "
                "meant, declare conventions = {'precision': 'float32'}")
    elif not verified or lacking:
        verdict, hint = UNVERIFIED, f"the target lacks {', '.join(lacking)}" if lacking else ""
    elif single_precision is not None:
        verdict, hint = PRECISION, f"right to {check.worst:.1g}, in the declared single precision"
    elif check.used:
        verdict, hint = CONVENTION, f"declared: {check.declared.describe()}" if check.declared is not None else ""
    else:
        verdict, hint = PASS, ""
    worst = failure.error if failure is not None and np.isinf(failure.error) else check.worst
    methods = dict.fromkeys(prop.method for prop in entry.properties)
    return Result(entry.id, entry.title, verdict, float(worst), check.tolerance, check.cases,
                  failure.counterexample if failure is not None else "", hint, ", ".join(methods),
                  time.perf_counter() - started, check.offered.note() if verdict not in (FAIL, UNVERIFIED) else "")


def _lacking(check: Check, aspects: list[list[Missing]], verified: bool) -> list[str]:
    """Return what keeps an equation from being verified: what the aspects lack that no property could be tried of.

    An aspect may lack options of methods that were asked with others, if that leaves anything verified: this narrows
    the verdict. A refusal that no option explains does keep it.
    """
    found: list[str] = []
    for errors in aspects:
        first = next((e for e in errors if isinstance(e, NotOffered)), errors[0])
        narrowed = any(isinstance(e, NotOffered) and not check.offered.whole(e.method) for e in errors)
        if not verified or not narrowed:
            found.append(check.offered.lacking(first.method) if isinstance(first, NotOffered) else str(first))
    return list(dict.fromkeys(filter(None, [*found, check.offered.unexplained()])))


def try_property(prop: Property, check: Check, seed: int, examples: int) -> None:
    """Try a property on its fixed and random cases; raise `Missing`, `Wrong` or `Failed`.

    If nothing could be compared because of options that the target lacks, that is the first `NotOffered`.
    """
    for method in prop.needs:
        if not check(plain_cases()[0]).has(method):
            raise Missing(method)
    before, check.refused = check.compared, None
    for drawn in prop.first():
        attempt(prop.test, check, drawn)
    _stop_if_nothing_is_offered(check, before)
    if prop.draws is None or not examples:
        return
    from ddpm_np.check import search  # and Hypothesis with it, which takes longer to import than everything else

    draws = prop.draws()
    if examples <= EXAMPLES:
        try:
            for drawn in search.shared(draws, seed, examples):
                attempt(prop.test, check, drawn)
        except (Failed, Wrong) as error:
            search.worst(prop.test, draws, check, seed, examples, error)
    else:
        search.worst(prop.test, draws, check, seed, examples)
    _stop_if_nothing_is_offered(check, before)


def _stop_if_nothing_is_offered(check: Check, before: int) -> None:
    if check.refused is not None and check.compared == before:
        raise check.refused


def false_alarm(equations: Iterable[Any] | None = None) -> float:
    """Return an upper bound on the probability that a run on correct code fails a statistical property.

    Parameters
    ----------
    equations : iterable of str or None
        Ids; None: all.

    Returns
    -------
    float
        The sum of the properties' probabilities.
    """
    import ddpm_np.check.equations  # noqa: F401 - fills the registry

    return sum(prop.false_alarm for entry in chosen(equations) for prop in entry.properties)
