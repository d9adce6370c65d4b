"""What a check says: a verdict for each equation, and the report of a run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

PASS, FAIL, PRECISION, CONVENTION, UNVERIFIED = VERDICTS = ("PASS", "FAIL", "PRECISION", "CONVENTION", "UNVERIFIED")


@dataclass(frozen=True)
class Result:
    """What was found about one equation.

    Attributes
    ----------
    equation : str
        The id in the registry, such as ``"7"`` or ``"ddim-12"``.
    title : str
    verdict : str
        PASS; FAIL; PRECISION: the right formula with the declared single precision's error; CONVENTION: right, by a
        convention that the target declares; UNVERIFIED: the target lacks a method that would show it.
    error : float
        The worst relative error found (nan where nothing was compared, inf where what came was no number of the
        right shape).
    tolerance : float
        What was allowed.
    cases : int
        How many draws were compared.
    counterexample : str
        For a FAIL: the smallest found, in numbers. Empty otherwise.
    hint : str
        For a FAIL the likely mistake, where one is known; for UNVERIFIED what is missing; else what was declared.
    method : str
        By what the expected numbers were found.
    seconds : float
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

    def as_dict(self) -> dict[str, Any]:
        """For JSON, where numbers that are not finite become null (nothing compared) or the string "inf"."""
        error = None if math.isnan(self.error) else "inf" if math.isinf(self.error) else self.error
        return {**asdict(self), "error": error}


@dataclass(frozen=True)
class Report:
    """The results of one run, in the registry's order.

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

    @property
    def failed(self) -> bool:
        """Whether any equation's verdict is FAIL."""
        return any(result.verdict == FAIL for result in self.results)

    def __getitem__(self, equation: str) -> Result:
        for result in self.results:
            if result.equation == equation:
                return result
        raise KeyError(f"the run has no result for equation {equation!r}")

    def count(self, verdict: str) -> int:
        """How many equations have the verdict."""
        return sum(result.verdict == verdict for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"target": self.target, "failed": self.failed, "seed": self.seed, "seconds": round(self.seconds, 3),
                "verdicts": {verdict: self.count(verdict) for verdict in VERDICTS},
                "results": [result.as_dict() for result in self.results]}
