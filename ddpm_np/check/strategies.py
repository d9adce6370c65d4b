"""The checker's random cases: schedules, images of any shape, and a step t for each. Failures shrink to fractions.

Hypothesis shrinks a schedule to k = 1/3, 1/2, which gives β = (9/25, 7/16).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddpm_np.check.cases import Batch
from ddpm_np.check.exact import Case, from_ks

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


def short_batches() -> st.SearchStrategy[Batch]:
    """Return a strategy for batches of schedules with at most 8 steps."""
    return batches(schedules(max_T=8))


def later_steps() -> st.SearchStrategy[tuple[Case, np.ndarray]]:
    """Return a strategy for a schedule and three t from 2 to T."""
    return schedules().flatmap(lambda case: st.tuples(st.just(case), steps(case.T, 3, first=2)))


@st.composite
def jumps(draw: Any) -> tuple[Batch, np.ndarray, float]:
    """Draw a batch, an s < t for each of its images, and η."""
    b = draw(batches())
    fractions = draw(st.lists(st.integers(0, 99), min_size=len(b.t), max_size=len(b.t)))
    return b, b.t * np.array(fractions) // 100, draw(st.sampled_from([0.0, 0.5, 1.0]))


def normals() -> st.SearchStrategy[np.ndarray]:
    """Return a strategy for μ₁, ln σ₁², μ₂, ln σ₂²: (4, N, …)."""
    return shapes().flatmap(lambda shape: images((4, *shape)))


def levels_and_means() -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Return a strategy for two levels 0..255, their distances above the mean in σ, and ln σ."""
    halves, quarters = st.integers(-20, 20).map(lambda i: i / 2), st.integers(-20, 4).map(lambda i: i / 4)
    row = st.tuples(st.integers(0, 255), halves, quarters)
    return st.tuples(row, row).map(lambda rows: tuple(np.array(rows).T))


def means_and_scales() -> st.SearchStrategy[tuple[float, float]]:
    """Return a strategy for μ and ln σ."""
    return st.tuples(st.integers(-12, 12).map(lambda i: i / 8), st.integers(-20, 4).map(lambda i: i / 4))
