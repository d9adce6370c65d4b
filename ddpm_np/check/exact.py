"""The paper's coefficients from β₁..β_T by its definitions: in fractions, 50 digits or extended-precision sums of logs.

The checker compares targets with these numbers. Nothing here calls `ddpm_np.diffusion`.

A Pythagorean schedule has rational roots: with rational k₁ < k₂ < … < 1, √ᾱ_t = (1 − k²)/(1 + k²) and
√(1 − ᾱ_t) = 2k/(1 + k²), and so every coefficient of (4), (7), (11) and (15) is a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from operator import mul
from typing import Any

import mpmath
import numpy as np

mp50 = mpmath.mp.clone()  # 50 digits, in a context of its own
mp50.dps = 50

LONG = 40  # longer schedules get their tables from sums of logarithms, which is faster and right to 1e-13


def root(x: Any) -> Any:
    """Return √x: exactly for the square of a Fraction, to 50 digits for anything else.

    Parameters
    ----------
    x : Fraction, int or mpmath number
        The number.

    Returns
    -------
    Fraction or mpmath number
        The root.

    Examples
    --------
    >>> root(Fraction(9, 16))
    Fraction(3, 4)
    """
    if isinstance(x, (Fraction, int)):
        x = Fraction(x)
        y = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
        if y * y == x:
            return y
        return mp50.sqrt(mp50.mpf(x.numerator) / x.denominator)
    return mp50.sqrt(x)


class Exact:
    """The coefficients of each equation at a step, in the betas' own type of number."""

    def __init__(self, betas: Sequence[Any]):
        self.T = len(betas)
        self.beta = [0, *betas]
        self.alpha = [1 - b for b in self.beta]
        self.alpha_bar = list(accumulate(self.alpha, mul))

    def step(self, t: int) -> tuple[Any, Any]:
        """Return √α_t and √β_t of equation (2)."""
        return root(self.alpha[t]), root(self.beta[t])

    def marginal(self, t: int) -> tuple[Any, Any]:
        """Return √ᾱ_t and √(1 − ᾱ_t) of equation (4)."""
        return root(self.alpha_bar[t]), root(1 - self.alpha_bar[t])

    def posterior(self, t: int) -> tuple[Any, Any, Any]:
        """Return the coefficients of x₀ and x_t in μ̃_t, and β̃_t, of equation (7)."""
        before, here = self.alpha_bar[t - 1], self.alpha_bar[t]
        x0 = root(before) * self.beta[t] / (1 - here)
        xt = root(self.alpha[t]) * (1 - before) / (1 - here)
        return x0, xt, self.beta[t] * (1 - before) / (1 - here)

    def x0_hat(self, t: int) -> tuple[Any, Any]:
        """Return the coefficients of x_t and ε in x̂₀, equation (15)."""
        signal, noise = self.marginal(t)
        return 1 / signal, -noise / signal

    def mean(self, t: int) -> tuple[Any, Any]:
        """Return the coefficients of x_t and ε in μ_θ, equation (11)."""
        gain = 1 / root(self.alpha[t])
        return gain, -gain * self.beta[t] / root(1 - self.alpha_bar[t])

    def sigma2(self, variance: str, t: int) -> Any:
        """Return σ_t² of "small" and "large": β̃_t and β_t, but β̃₂ for both at t = 1 (β₁ if T = 1)."""
        if t == 1:
            return self.posterior(2)[2] if self.T > 1 else self.beta[1]
        return self.posterior(t)[2] if variance == "small" else self.beta[t]


class Table:
    """The coefficients as float64 tables (T + 1,), each entry rounded once; nan where t = 0 is not defined.

    `alpha_bar_prev` and the like hold the entries of t − 1. `small` and `large` are σ_t², β̃₂ at t = 1; `x0` and `xt`
    are the coefficients of (7).
    """

    def __init__(self, case: Case):
        self.T = case.T
        if case.T > LONG:
            self._by_logs(np.concatenate(([0.0], case.betas)))
        else:
            self._by_definition(case.exact)
        for name in ("alpha_bar", "one_minus_alpha_bar", "sqrt_alpha_bar", "sqrt_one_minus_alpha_bar"):
            setattr(self, name + "_prev", np.concatenate(([np.nan], getattr(self, name)[:-1])))
        first = self.beta_tilde[2:3] if self.T > 1 else self.beta[1:2]
        self.small = np.concatenate(([np.nan], first, self.beta_tilde[2:]))
        self.large = np.concatenate(([np.nan], first, self.beta[2:]))

    def _by_definition(self, exact: Exact) -> None:
        steps, every = range(1, exact.T + 1), range(exact.T + 1)
        self.beta = _floats(exact.beta)
        self.alpha = _floats(exact.alpha)
        self.alpha_bar = _floats(exact.alpha_bar)
        self.one_minus_alpha_bar = _floats(1 - a for a in exact.alpha_bar)
        self.sqrt_alpha, self.sqrt_beta = (_floats(c) for c in zip(*map(exact.step, every), strict=True))
        signal, noise = zip(*map(exact.marginal, every), strict=True)
        self.sqrt_alpha_bar, self.sqrt_one_minus_alpha_bar = _floats(signal), _floats(noise)
        self.x0, self.xt, self.beta_tilde = (
            _floats([float("nan"), *c]) for c in zip(*map(exact.posterior, steps), strict=True))

    def _by_logs(self, beta: np.ndarray) -> None:
        log_alpha = np.log1p(-beta)
        log_alpha_bar = np.cumsum(log_alpha.astype(np.longdouble)).astype(np.float64)
        self.beta, self.alpha, self.alpha_bar = beta, 1 - beta, np.exp(log_alpha_bar)
        self.one_minus_alpha_bar = -np.expm1(log_alpha_bar)
        self.sqrt_alpha, self.sqrt_beta = np.exp(log_alpha / 2), np.sqrt(beta)
        self.sqrt_alpha_bar = np.exp(log_alpha_bar / 2)
        self.sqrt_one_minus_alpha_bar = np.sqrt(self.one_minus_alpha_bar)
        before, here = self.one_minus_alpha_bar[:-1], self.one_minus_alpha_bar[1:]
        self.beta_tilde = np.concatenate(([np.nan], beta[1:] * before / here))
        self.x0 = np.concatenate(([np.nan], self.sqrt_alpha_bar[:-1] * beta[1:] / here))
        self.xt = np.concatenate(([np.nan], self.sqrt_alpha[1:] * before / here))

    alpha_bar_prev: np.ndarray
    one_minus_alpha_bar_prev: np.ndarray
    sqrt_alpha_bar_prev: np.ndarray
    sqrt_one_minus_alpha_bar_prev: np.ndarray


def _floats(values: Any) -> np.ndarray:
    return np.array([float(v) for v in values])


class Rows:
    """The rows t of a Table, each as a column (N, 1, …) that multiplies x (N, …): ``Rows(table, t, x).beta``."""

    def __init__(self, table: Table, t: np.ndarray, x: np.ndarray):
        self._table, self._t, self._shape = table, t, (len(x),) + (1,) * (x.ndim - 1)

    def __getattr__(self, name: str) -> np.ndarray:
        return getattr(self._table, name)[self._t].reshape(self._shape)


class Case:
    """A schedule to check a target on: β₁..β_T and all numbers derived from it.

    Parameters
    ----------
    betas : sequence of Fraction or float
        β₁..β_T.
    """

    def __init__(self, betas: Sequence[Any]):
        self.given = tuple(betas)
        self.betas = np.array([float(b) for b in betas])  # (T,)
        self.T = len(self.betas)

    @cached_property
    def exact(self) -> Exact:
        """Coefficients in Fractions if the betas are Fractions, else in 50 digits from the floats' exact values."""
        return Exact([b if isinstance(b, Fraction) else mp50.mpf(float(b)) for b in self.given])

    @cached_property
    def table(self) -> Table:
        """The coefficients as float64 tables."""
        return Table(self)

    def rows(self, t: np.ndarray, x: np.ndarray) -> Rows:
        """Return the tables' rows t as columns that multiply x.

        Parameters
        ----------
        t : int array of shape (N,)
            The steps.
        x : array of shape (N, …)
            The images.

        Returns
        -------
        Rows
            The rows, by the tables' names.
        """
        return Rows(self.table, t, x)

    def __repr__(self) -> str:
        shown = [str(b) if isinstance(b, Fraction) else f"{float(b):.6g}" for b in self.given[:6]]
        return f"T={self.T}, β=({', '.join(shown)}{', …' if self.T > 6 else ''})"


def from_ks(ks: Sequence[Fraction]) -> Case:
    """Return the Pythagorean schedule of rational k₁, k₂, … in ascending order.

    Parameters
    ----------
    ks : sequence of Fraction
        Numbers between 0 and 1.

    Returns
    -------
    Case
        The schedule.

    Examples
    --------
    >>> from_ks([Fraction(1, 3), Fraction(1, 2)])
    T=2, β=(9/25, 7/16)
    """
    alpha_bar = [Fraction(1), *(((1 - k * k) / (1 + k * k)) ** 2 for k in ks)]
    return Case([1 - b / a for a, b in pairwise(alpha_bar)])
