"""The verdict for each equation, and the report of a run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

PASS, FAIL, PRECISION, CONVENTION, UNVERIFIED = VERDICTS = ("PASS", "FAIL", "PRECISION", "CONVENTION", "UNVERIFIED")


@dataclass(frozen=True)
class Result:
    """The result of checking one equation.

    Parameters
    ----------
    equation : str
        Id in the registry, such as ``"7"`` or ``"ddim-12"``.
    title : str
        Title of the equation.
    verdict : str
        PASS; FAIL; PRECISION: the right formula with the error of the declared single precision; CONVENTION: right, by
        a convention that the target declares; UNVERIFIED: the target lacks a method needed to verify it.
    error : float
        The worst relative error; nan if nothing was compared, inf if a result was not an array of finite numbers of the
        right shape.
    tolerance : float
        The error allowed.
    cases : int
        Number of cases compared.
    counterexample : str
        For a FAIL, the smallest counterexample found; otherwise empty.
    hint : str
        For a FAIL the likely mistake, if one is known; for UNVERIFIED the missing methods; otherwise the declarations
        used.
    method : str
        Method by which the expected numbers were computed.
    seconds : float
        Time taken.
    note : str
        For what is right: the options that the target offers and that were asked, and those that it lacks; empty if it
        lacks none.
    """

    equation: str
    title: str
    verdict: str
    error: float
    tolerance: float
    cases: int
    counterexample: str
    hint: str
    method: str
    seconds: float
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; an error that is not finite becomes None (nothing compared) or the string "inf".

        Returns
        -------
        dict
            The attributes by name.
        """
        error = None if math.isnan(self.error) else "inf" if math.isinf(self.error) else self.error
        return {**asdict(self), "error": error}


@dataclass(frozen=True)
class Report:
    """The results of one run, in the registry's order.

    Parameters
    ----------
    target : str
        Name of the target.
    results : list of Result
        A result for each equation.
    seed : int
        Seed of the random cases.
    seconds : float
        Time taken.
    advice : str
        If equations are UNVERIFIED, names of the target that may be meant for methods that it lacks; if all are, the
        reason. Otherwise empty.
    notes : tuple of str
        What the target's adapter says of itself: what it replaced, or found by trying.

    Examples
    --------
    >>> from ddpm_np.check import run
    >>> from ddpm_np.check.targets import ddpm_np
    >>> report = run(ddpm_np, equations=["7"])
    >>> report.failed, report["7"].verdict
    (False, 'PASS')
    """

    target: str
    results: list[Result]
    seed: int
    seconds: float
    advice: str = ""
    notes: tuple[str, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether there is a verdict other than UNVERIFIED.

        Returns
        -------
        bool
            False if no equation could be verified.
        """
        return any(result.verdict != UNVERIFIED for result in self.results)

    @property
    def failed(self) -> bool:
        """Whether the verdict on any equation is FAIL.

        Returns
        -------
        bool
            True if an equation failed.
        """
        return any(result.verdict == FAIL for result in self.results)

    def __getitem__(self, equation: str) -> Result:
        for result in self.results:
            if result.equation == equation:
                return result
        raise KeyError(f"the run has no result for equation {equation!r}")

    def count(self, verdict: str) -> int:
        """Return the number of equations with the given verdict.

        Parameters
        ----------
        verdict : str
            The verdict.

        Returns
        -------
        int
            The number of equations.
        """
        return sum(result.verdict == verdict for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values.

        Returns
        -------
        dict
            Target, seed, time, numbers of verdicts and results.
        """
        return {"target": self.target, "failed": self.failed, "seed": self.seed, "seconds": round(self.seconds, 3),
                "advice": self.advice, "notes": list(self.notes),
                "verdicts": {verdict: self.count(verdict) for verdict in VERDICTS},
                "results": [result.as_dict() for result in self.results]}
