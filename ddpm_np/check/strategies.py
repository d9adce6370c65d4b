"""The checker's cases: schedules, images of any shape, and a step t for each. Failures shrink to fractions.

Hypothesis shrinks a schedule to k = 1/3, 1/2, which gives β = (9/25, 7/16).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddpm_np.check.exact import Case, Rows, from_ks

BETA_MIN, BETA_MAX = 1e-4, 0.999  # the range of β in every check

_KS = [Fraction(1, 3), Fraction(1, 2)]
_KS += sorted({Fraction(p, q) for q in range(2, 13) for p in range(1, q)} - set(_KS), key=lambda k: k.denominator)


def lists_of_ks(min_T: int = 2, max_T: int = 6) -> st.SearchStrategy[list[Fraction]]:
    """Return a strategy for the rational k₁ < k₂ < … of Pythagorean schedules; they shrink to 1/3, 1/2."""
    return st.lists(st.sampled_from(_KS), min_size=min_T, max_size=max_T, unique=True).map(sorted)


def pythagorean(min_T: int = 2, max_T: int = 6) -> st.SearchStrategy[Case]:
    """Return a strategy for schedules with rational coefficients."""
    return lists_of_ks(min_T, max_T).map(from_ks)


@st.composite
def betas(draw: Any, max_T: int = 1000, min_alpha_bar: float = 0.0) -> np.ndarray:
    """Draw β₁..β_T between BETA_MIN and BETA_MAX with T from 2 to `max_T`.

    They are a short arbitrary list, or long and geometric or random. If ᾱ_T would fall below `min_alpha_bar`, every
    ln α_t is scaled down by the same factor.
    """
    beta = st.floats(BETA_MIN, BETA_MAX)
    if not draw(st.booleans()):
        values = np.array(draw(st.lists(beta, min_size=2, max_size=min(8, max_T))))
    else:
        T = draw(st.integers(2, max_T))
        start, end = draw(beta), draw(beta)
        seed = draw(st.none() | st.integers(0, 2**32 - 1))
        place = np.linspace(0, 1, T) if seed is None else np.random.default_rng(seed).random(T)
        values = np.clip(start * (end / start) ** place, BETA_MIN, BETA_MAX)
    if min_alpha_bar:
        log_alpha = np.log1p(-values)
        shrink = min(1.0, math.log(min_alpha_bar) / log_alpha.sum())
        values = np.maximum(-np.expm1(log_alpha * shrink), BETA_MIN)
    return values


def schedules(max_T: int = 1000, min_alpha_bar: float = 1e-6) -> st.SearchStrategy[Case]:
    """Return a strategy for Pythagorean or arbitrary schedules; failures shrink to a Pythagorean one."""
    return pythagorean() | betas(max_T, min_alpha_bar).map(lambda values: Case(values.tolist()))


@st.composite
def shapes(draw: Any) -> tuple[int, ...]:
    """Draw a shape (N, …) of rank 1 to 4; N often equals the last axis, where wrong broadcasting goes unnoticed."""
    n = draw(st.integers(1, 4))
    rest = draw(st.lists(st.integers(1, 3), max_size=3))
    if rest and draw(st.booleans()):
        rest[-1] = n
    return (n, *rest)


def images(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy for float64 arrays of quarters from −2 to 2, exact in binary, each element drawn separately."""
    return hnp.arrays(np.float64, shape, elements=st.integers(-8, 8).map(lambda i: i / 4), fill=st.nothing())


def steps(T: int, n: int, first: int = 1) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy for int arrays t (n,) from `first` to T."""
    return hnp.arrays(np.intp, (n,), elements=st.integers(first, T), fill=st.nothing())


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
def batches(cases: st.SearchStrategy[Case] | None = None, first: int = 1) -> st.SearchStrategy[Batch]:
    """Return a strategy for a schedule, images of any rank, a second array of their shape, and a t for each.

    Equal arguments give the same strategy object, so that properties can share its random cases.
    """
    return _batches(schedules() if cases is None else cases, first)


@st.composite
def _batches(draw: Any, cases: st.SearchStrategy[Case], first: int) -> Batch:
    case = draw(cases)
    shape = draw(shapes())
    return Batch(case, draw(steps(case.T, shape[0], first)), draw(images(shape)), draw(images(shape)))


# The fixed cases, simplest first: they show a mistake in numbers that one can check by hand.


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
