"""The checker's fixed cases, simplest first: they show a mistake in numbers that one can check by hand.

The random cases are in `strategies`: to import Hypothesis takes longer than all else, and a run on fixed cases does
without.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np

from ddpm_np.check.exact import Case, Rows, from_ks


class Batch(NamedTuple):
    """A case to check: a schedule, t (N,), and two arrays (N, …)."""

    case: Case
    t: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @property
    def rows(self) -> Rows:
        """The schedule's coefficients at each image's t, as columns."""
        return self.case.rows(self.t, self.x)

    def where(self, keep: np.ndarray) -> Batch:
        """Return the images for which `keep` (N,) is true."""
        return Batch(self.case, self.t[keep], self.x[keep], self.y[keep])


@cache
def plain_cases() -> tuple[Case, ...]:
    """Return schedules of two and of six rational steps, the paper's thousand, and one of very large and small β."""
    return (from_ks([Fraction(1, 3), Fraction(1, 2)]),
            from_ks([Fraction(1, k) for k in (9, 7, 5, 4, 3, 2)]),
            Case(np.linspace(1e-4, 0.02, 1000).tolist()),
            Case([0.5, 0.999, 1e-4, 0.9, 0.03]))


@cache
def plain_batches(first: int = 1) -> tuple[Batch, ...]:
    """Return fixed cases: every t of two steps with ones and zeros, then other ranks and longer schedules.

    Among them are an N equal to the last axis and the ends of the paper's thousand steps.
    """
    two, six, long, rough = plain_cases()
    rng = np.random.default_rng(0)

    def batch(case: Case, t: list[int], *rest: int) -> Batch:
        shape = (len(t), *rest)
        return Batch(case, np.array(t), *(rng.integers(-8, 9, shape) / 4 for _ in range(2)))

    steps = [t for t in (2, 2, 2, 1, 1, 1) if t >= first]
    one = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])[: len(steps), None]  # (N, 1)
    other = np.array([0.0, 1.0, -1.0, 0.0, 1.0, -1.0])[: len(steps), None]
    found = [Batch(two, np.array(steps), one, other),
             batch(six, list(range(first, 7))),
             batch(six, [4, 6, first], 3),
             batch(six, [3, first, 6], 2, 2, 3),
             batch(long, [t for t in (1, 2, 3, 10, 487, 999, 1000) if t >= first], 2),
             batch(rough, [t for t in (1, 2, 3, 4, 5) if t >= first], 1, 2)]
    return tuple(found)
