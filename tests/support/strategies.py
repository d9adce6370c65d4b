"""Hypothesis strategies for diffusion: the checker's cases with this package's schedule beside the exact numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from ddpm_np.check import exact
from ddpm_np.check.exact import Exact, mp50, root
from ddpm_np.check.strategies import BETA_MAX, BETA_MIN, betas, images, lists_of_ks, shapes, steps
from ddpm_np.diffusion import Schedule

__all__ = [
    "BETA_MAX", "BETA_MIN", "FALSE_ALARM", "Batch", "Case", "Exact", "any_schedule", "assert_close", "batches", "betas",
    "case", "error", "from_ks", "images", "mp50", "pythagorean", "root", "rows", "schedules", "shapes", "steps",
]

FALSE_ALARM = 1e-9  # the chance that a statistical test fails on right code


class Case(NamedTuple):
    """A schedule of the package and its exact numbers."""

    schedule: Schedule
    exact: Exact

    def __repr__(self) -> str:
        return f"Case({exact.Case(self.exact.beta[1:])!r})"


def case(betas: Any) -> Case:
    """Return the Case of some betas: Fractions stay Fractions, floats are taken at their exact value."""
    found = exact.Case(betas)
    return Case(Schedule.from_betas(found.betas), found.exact)


def from_ks(ks: Any) -> Case:
    """Return the Pythagorean schedule of rational k₁ < k₂ < …"""
    return case(exact.from_ks(ks).given)


def pythagorean(min_T: int = 2, max_T: int = 6) -> st.SearchStrategy[Case]:
    """Draw schedules with rational coefficients; they shrink to k = 1/3, 1/2."""
    return lists_of_ks(min_T, max_T).map(from_ks)


def any_schedule(max_T: int = 1000, min_alpha_bar: float = 1e-60) -> st.SearchStrategy[Case]:
    """Draw schedules of arbitrary β, with 50-digit numbers beside them."""
    return betas(max_T, min_alpha_bar).map(case)


def schedules() -> st.SearchStrategy[Case]:
    """Draw Pythagorean or arbitrary schedules; failures shrink to a Pythagorean one."""
    return pythagorean() | any_schedule(40, 1e-12)


class Batch(NamedTuple):
    """One draw: a Case, t (N,) and two arrays (N, …)."""

    case: Case
    t: np.ndarray
    x: np.ndarray
    y: np.ndarray


@st.composite
def batches(draw: Any, cases: st.SearchStrategy[Case] | None = None, first: int = 1) -> Batch:
    """Draw a schedule, images of any rank, noise (or other images) of the same shape, and a t for each."""
    drawn = draw(schedules() if cases is None else cases)
    shape = draw(shapes())
    t = draw(steps(drawn.exact.T, shape[0], first))
    return Batch(drawn, t, draw(images(shape)), draw(images(shape)))


def rows(values: Any, x: np.ndarray) -> np.ndarray:
    """Return one number per image as float64 (N, 1, …), to multiply images by."""
    return np.array([float(v) for v in values]).reshape(len(x), *[1] * (x.ndim - 1))


def error(got: Any, want: Any, scale: Any = None) -> float:
    """Return the largest |got − want|/scale, scale being |want|; shapes must be equal, and 0/0 counts as 0."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"expected shape {want.shape}, got {got.shape}"
    assert np.isfinite(got).all(), f"expected finite numbers, got {got}"
    difference = np.abs(got - want)
    scale = np.broadcast_to(np.abs(want) if scale is None else np.asarray(scale), want.shape)
    ratio = np.divide(difference, scale, out=np.where(difference > 0, np.inf, 0.0), where=scale > 0)
    return float(ratio.max(initial=0.0))


def assert_close(got: Any, want: Any, tolerance: float = 1e-12, scale: Any = None) -> None:
    """Assert equal shapes, finite numbers, and `error` at most the tolerance."""
    worst = error(got, want, scale)
    assert worst <= tolerance, f"error {worst:.3g} above {tolerance:.3g}\ngot      {got}\nexpected {want}"
