"""What the checker says, computed once in a build: of equations, of derivations, of planted mistakes."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

from sphinx.util import logging

from book import exercise
from book.places import ROOT
from ddpm_np.check import PASS, run
from ddpm_np.check.derivations import Derivation, Relation, Verdict, book, prove
from ddpm_np.check.equations import forward  # noqa: F401 - importing the package fills the registry
from ddpm_np.check.registry import EQUATIONS, Equation
from ddpm_np.check.result import Report, Result
from ddpm_np.check.targets import ddpm_np

DERIVATIONS: dict[str, Derivation] = book()

logger = logging.getLogger(__name__)
MISTAKES = ROOT / "tests" / "support"


@cache
def report() -> Report:
    """Return the verdicts on the package."""
    return run(ddpm_np)


@cache
def report_of_exercise() -> Report:
    """Return the verdicts on the exercise's solution."""
    sys.path.insert(0, str(exercise.FOLDER))
    try:
        return run(importlib.import_module("solution").Diffusion)
    finally:
        sys.path.remove(str(exercise.FOLDER))


def verdict(id: str) -> Result:
    """Return the verdict on an equation; a warning, which fails the build, if it is not PASS."""
    result = report()[id]
    if result.verdict != PASS:
        logger.warning("equation (%s) is %s: %s %s", id, result.verdict, result.counterexample, result.hint)
    return result


@cache
def proof(id: str) -> Verdict:
    """Return the proof of a relation; a warning, which fails the build, if it has none."""
    found = prove(relations()[id])
    if not found.proved:
        logger.warning("line %s is not proved: %s", id, found.counterexample)
    return found


def relations() -> dict[str, Relation]:
    """Return the relations of all derivations by id."""
    return {line.id: line for entry in DERIVATIONS.values() for line in entry.relations}


def proofs_of(id: str) -> list[Relation]:
    """Return the relations that belong to an equation."""
    return [line for line in relations().values() if line.equation == id]


def entry_of(id: str) -> Equation:
    """Return an equation of the registry; ValueError if there is none."""
    if id not in EQUATIONS:
        raise ValueError(f"the registry has no equation {id!r}")
    return EQUATIONS[id]


def catalogue() -> Any:
    """Return the module of planted mistakes in this package's functions."""
    if str(MISTAKES) not in sys.path:
        sys.path.insert(0, str(MISTAKES))
    from mistakes import ours

    return ours


@cache
def with_mistake(at: int) -> Report:
    """Return the verdicts with a mistake of the catalogue planted, on the equations that it is known to break."""
    ours = catalogue()
    change = ours.MISTAKES[at]
    with ours.planted(change):
        return run(ddpm_np, change.equations)
