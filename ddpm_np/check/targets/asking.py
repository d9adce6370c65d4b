"""Conventions of a target, found by asking the checker: which of them lets an equation hold?

A convention is taken if an equation holds on the fixed cases with it and with no other. If none or several fit it is
left at ours, and the equations that depend on it fail or pass by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import numpy as np

from ddpm_np.check.result import FAIL, UNVERIFIED
from ddpm_np.check.runner import run
from ddpm_np.check.target import CONVENTIONS

PLAIN = ("4", "7", "15", "eps")  # equations that show the base of t and the precision
BASE = (*PLAIN, "timesteps", "algorithm-1")  # and those that show the base alone


class _Trial:
    """A factory whose targets declare conventions that are tried."""

    def __init__(self, factory: Callable[[np.ndarray], Any], conventions: dict[str, Any]):
        self._factory, self._conventions = factory, conventions

    def __call__(self, betas: np.ndarray) -> Any:
        made = self._factory(betas)
        made.declare(self._conventions)
        return made


def verdicts(factory: Callable[[np.ndarray], Any], conventions: dict[str, Any], equations: Iterable[str]) -> list[str]:
    """Return the verdicts on equations of a target that declares these conventions, on the fixed cases."""
    return [result.verdict for result in run(_Trial(factory, conventions), equations, examples=0).results]


def fits(factory: Callable[[np.ndarray], Any], conventions: dict[str, Any], *equations: str) -> bool:
    """Return whether equations hold for a target that declares these conventions: none fails, not all are missing."""
    found = verdicts(factory, conventions, equations)
    return FAIL not in found and any(verdict != UNVERIFIED for verdict in found)


def conventions_of(factory: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """Find a target's conventions.

    Parameters
    ----------
    factory : callable
        betas -> an object with a method ``declare(conventions)``, after which it keeps to them and has them as its
        attribute ``conventions``.

    Returns
    -------
    dict
        Those that differ from ours.
    """
    known: dict[str, Any] = {"precision": "float32"}

    def only(equations: Iterable[str], *names: str) -> bool:
        """Take the one choice that fits; ours, the first, without a look at the others, which could not change it."""
        choices = product(*(CONVENTIONS[name] for name in names))
        ours, *others = (dict(zip(names, values, strict=True)) for values in choices)
        if fits(factory, {**known, **ours}, *equations):
            return True
        fitting = [choice for choice in others if fits(factory, {**known, **choice}, *equations)]
        if len(fitting) == 1:
            known.update(fitting[0])
        return len(fitting) == 1

    base = next((equation for equation in BASE if only([equation], "index_base")), None)
    if base in PLAIN and fits(factory, {**known, "precision": "float64"}, base):
        known["precision"] = "float64"
    only(["sigma"], "first_variance")
    only(["clip"], "range")
    only(["time-embedding"], "embedding")
    for equations in (["L_T", "8", "14"], ["8"], ["L_T"]):
        if UNVERIFIED not in verdicts(factory, known, equations) and only(equations, "unit", "reduction"):
            break
    else:
        only(["14"], "reduction")
    return {name: value for name, value in known.items() if value != CONVENTIONS[name][0]}
