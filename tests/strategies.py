"""What the tests of the mathematics draw, and the exact numbers that they compare with.

A Pythagorean schedule has rational roots: with rational k₁ < k₂ < … < 1, √ᾱ_t = (1 − k²)/(1 + k²) and
√(1 − ᾱ_t) = 2k/(1 + k²), and so every coefficient of (4), (7), (11) and (15) is a fraction. k = 1/3, 1/2 gives
β = (9/25, 7/16), where Hypothesis ends when it shrinks a failure.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate, pairwise
from operator import mul
from typing import Any, NamedTuple

import mpmath
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddpm_np.diffusion import Schedule

BETA_MIN, BETA_MAX = 1e-4, 0.999  # the range that every check draws from
FALSE_ALARM = 1e-9  # the chance that a statistical test fails on right code

mp50 = mpmath.mp.clone()  # 50 digits, in a context of its own
mp50.dps = 50

few = settings(deadline=None, max_examples=25)


def root(x: Any) -> Any:
    """√x: of a Fraction exactly (its parts must be squares), of anything else to 50 digits."""
    if not isinstance(x, (Fraction, int)):
        return mp50.sqrt(x)
    x = Fraction(x)
    y = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
    assert y * y == x, f"{x} is not the square of a fraction"
    return y


class Exact:
    """The numbers of the paper from β₁..β_T by its definitions alone, in Fractions or in 50 digits."""

    def __init__(self, betas: Any):
        self.T = len(betas)
        self.beta = [0, *betas]
        self.alpha = [1 - b for b in self.beta]
        self.alpha_bar = list(accumulate(self.alpha, mul))

    def step(self, t: int) -> tuple[Any, Any]:
        """Equation (2): √α_t and √β_t."""
        return root(self.alpha[t]), root(self.beta[t])

    def marginal(self, t: int) -> tuple[Any, Any]:
        """Equation (4): √ᾱ_t and √(1 − ᾱ_t)."""
        return root(self.alpha_bar[t]), root(1 - self.alpha_bar[t])

    def posterior(self, t: int) -> tuple[Any, Any, Any]:
        """Equation (7): what x₀ and x_t are multiplied by in μ̃_t, and β̃_t."""
        before, here = self.alpha_bar[t - 1], self.alpha_bar[t]
        x0 = root(before) * self.beta[t] / (1 - here)
        xt = root(self.alpha[t]) * (1 - before) / (1 - here)
        return x0, xt, self.beta[t] * (1 - before) / (1 - here)

    def x0_hat(self, t: int) -> tuple[Any, Any]:
        """Equation (15): what x_t and ε are multiplied by in x̂₀."""
        signal, noise = self.marginal(t)
        return 1 / signal, -noise / signal

    def mean(self, t: int) -> tuple[Any, Any]:
        """Equation (11): what x_t and ε are multiplied by in μ_θ."""
        gain = 1 / root(self.alpha[t])
        return gain, -gain * self.beta[t] / root(1 - self.alpha_bar[t])

    def sigma2(self, variance: str, t: int) -> Any:
        """σ_t² of "small" and "large": β̃_t and β_t, but β̃₂ for both at t = 1 (β₁ where T = 1)."""
        if t == 1:
            return self.posterior(2)[2] if self.T > 1 else self.beta[1]
        return self.posterior(t)[2] if variance == "small" else self.beta[t]


class Case(NamedTuple):
    """A schedule of the package, and the same numbers exactly."""

    schedule: Schedule
    exact: Exact

    def __repr__(self) -> str:
        shown = [str(b) if isinstance(b, Fraction) else repr(float(b)) for b in self.exact.beta[1:7]]
        return f"Case(T={self.exact.T}, β=({', '.join(shown)}{', …' if self.exact.T > 6 else ''}))"


def case(betas: Any) -> Case:
    """The Case of some betas: Fractions stay Fractions, floats are taken at their exact value."""
    exact = [b if isinstance(b, Fraction) else mp50.mpf(float(b)) for b in betas]
    return Case(Schedule.from_betas([float(b) for b in betas]), Exact(exact))


def from_ks(ks: Any) -> Case:
    """The Pythagorean schedule of rational k₁ < k₂ < …"""
    alpha_bar = [Fraction(1), *(((1 - k * k) / (1 + k * k)) ** 2 for k in ks)]
    return case([1 - b / a for a, b in pairwise(alpha_bar)])


_KS = [Fraction(1, 3), Fraction(1, 2)]
_KS += sorted({Fraction(p, q) for q in range(2, 13) for p in range(1, q)} - set(_KS), key=lambda k: k.denominator)


def pythagorean(min_T: int = 2, max_T: int = 6) -> st.SearchStrategy[Case]:
    """Schedules with rational coefficients; they shrink to k = 1/3, 1/2."""
    ks = st.lists(st.sampled_from(_KS), min_size=min_T, max_size=max_T, unique=True)
    return ks.map(lambda ks: from_ks(sorted(ks)))


@st.composite
def betas(draw: Any, max_T: int = 1000, min_alpha_bar: float = 0.0) -> np.ndarray:
    """β₁..β_T between BETA_MIN and BETA_MAX, T from 2 to `max_T`: a short list of any, or a long line or scatter.

    Where ᾱ_T would fall below `min_alpha_bar`, the logarithms of all α_t are shrunk alike until it does not.
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


def any_schedule(max_T: int = 1000, min_alpha_bar: float = 1e-60) -> st.SearchStrategy[Case]:
    """Schedules of arbitrary β, with 50-digit numbers to compare with."""
    return betas(max_T, min_alpha_bar).map(case)


def schedules() -> st.SearchStrategy[Case]:
    """Pythagorean or arbitrary; failures shrink to a Pythagorean one."""
    return pythagorean() | any_schedule(40, 1e-12)


@st.composite
def shapes(draw: Any) -> tuple[int, ...]:
    """(N, …) of rank 1 to 4; often N equals the last axis, where a batch is mistaken for a row of pixels."""
    n = draw(st.integers(1, 4))
    rest = draw(st.lists(st.integers(1, 3), max_size=3))
    if rest and draw(st.booleans()):
        rest[-1] = n
    return (n, *rest)


def images(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """float64 arrays of quarters from −2 to 2, which are exact in binary; every element is drawn on its own."""
    return hnp.arrays(np.float64, shape, elements=st.integers(-8, 8).map(lambda i: i / 4), fill=st.nothing())


def steps(T: int, n: int, first: int = 1) -> st.SearchStrategy[np.ndarray]:
    """Int arrays t (n,) from `first` to T."""
    return hnp.arrays(np.int64, (n,), elements=st.integers(first, T), fill=st.nothing())


class Batch(NamedTuple):
    """One draw: a Case, t (N,) and two arrays (N, …)."""

    case: Case
    t: np.ndarray
    x: np.ndarray
    y: np.ndarray


@st.composite
def batches(draw: Any, cases: st.SearchStrategy[Case] | None = None, first: int = 1) -> Batch:
    """A schedule, images of any rank, noise (or other images) of the same shape, and a t for each."""
    drawn = draw(schedules() if cases is None else cases)
    shape = draw(shapes())
    t = draw(steps(drawn.exact.T, shape[0], first))
    return Batch(drawn, t, draw(images(shape)), draw(images(shape)))


def rows(values: Any, x: np.ndarray) -> np.ndarray:
    """One number an image, as float64 (N, 1, …): what an image of x is to be multiplied by."""
    return np.array([float(v) for v in values]).reshape(len(x), *[1] * (x.ndim - 1))


def error(got: Any, want: Any, scale: Any = None) -> float:
    """The greatest |got − want|/scale, scale being |want|; shapes must be equal, and 0 counts where both are 0."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"expected shape {want.shape}, got {got.shape}"
    assert np.isfinite(got).all(), f"expected finite numbers, got {got}"
    difference = np.abs(got - want)
    scale = np.broadcast_to(np.abs(want) if scale is None else np.asarray(scale), want.shape)
    ratio = np.divide(difference, scale, out=np.where(difference > 0, np.inf, 0.0), where=scale > 0)
    return float(ratio.max(initial=0.0))


def assert_close(got: Any, want: Any, tolerance: float = 1e-12, scale: Any = None) -> None:
    """Equal shapes, finite, and `error` at most the tolerance."""
    worst = error(got, want, scale)
    assert worst <= tolerance, f"error {worst:.3g} above {tolerance:.3g}\ngot      {got}\nexpected {want}"
