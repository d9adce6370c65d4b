"""Distribution functions and densities that the checker compares with: normal, binomial, χ² and F.

They are computed by the standard library and by sums of positive terms, and share nothing with the functions that are
checked. A tail is summed on its own side of the mean, so that its relative error stays below 1e-12 however small it is;
the other side is its complement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]  # P(X ≤ x) and the probability above; of the arguments' common shape

_erfc = np.frompyfunc(math.erfc, 1, 1)
_lgamma = np.frompyfunc(math.lgamma, 1, 1)
_FAR = -20.0  # below, Φ is computed by its asymptotic series, 16 of whose terms are enough


def normal_cdf(x: Any) -> np.ndarray:
    """Return Φ(x), the standard normal distribution function.

    Parameters
    ----------
    x : array
        The numbers.

    Returns
    -------
    float64 array
        Φ(x); 0 below −38.6, where it is smaller than the smallest number.

    Examples
    --------
    >>> normal_cdf(0.0)
    np.float64(0.5)
    """
    return np.asarray(_erfc(np.asarray(x, dtype=np.float64) * -math.sqrt(0.5)), dtype=np.float64) / 2


def normal_log_cdf(x: Any) -> np.ndarray:
    """Return ln Φ(x), far out in both tails.

    Parameters
    ----------
    x : array
        The numbers.

    Returns
    -------
    float64 array
        ln Φ(x).

    Examples
    --------
    >>> normal_log_cdf(-40.0).round(9)
    np.float64(-804.608442014)
    """
    x = np.asarray(x, dtype=np.float64)
    with np.errstate(all="ignore"):
        middle = np.where(x > 0, np.log1p(-normal_cdf(-x)), np.log(normal_cdf(x)))
        below = np.minimum(x, _FAR)
        term, series = np.ones_like(x), np.ones_like(x)
        for k in range(1, 32, 2):
            term = -term * k / below**2
            series = series + term
        far = -(below**2) / 2 - np.log(-below) - math.log(2 * math.pi) / 2 + np.log(series)
    return np.where(x < _FAR, far, middle)


def normal_log_density(x: Any, mean: Any = 0.0, sigma: Any = 1.0) -> np.ndarray:
    """Return ln N(x; μ, σ²), elementwise.

    Parameters
    ----------
    x, mean : array
        The numbers, and μ.
    sigma : array
        σ.

    Returns
    -------
    array
        The log density.

    Examples
    --------
    >>> normal_log_density(1.0, 1.0, 1.0).round(12)
    np.float64(-0.918938533205)
    """
    return -0.5 * ((np.asarray(x) - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)


def gaussian_log_density(x: np.ndarray, covariance: np.ndarray) -> float:
    """Return ln N(x; 0, Σ) in d dimensions.

    Parameters
    ----------
    x : array of shape (d,)
        The point.
    covariance : array of shape (d, d)
        Σ.

    Returns
    -------
    float
        The log density.

    Examples
    --------
    >>> round(gaussian_log_density(np.zeros(2), np.eye(2)), 12)
    -1.837877066409
    """
    _, log_determinant = np.linalg.slogdet(covariance)
    return float(-0.5 * (x @ np.linalg.solve(covariance, x) + log_determinant + len(x) * math.log(2 * math.pi)))


def binomial(k: Any, n: int, p: Any) -> Pair:
    """Return P(K ≤ k) and P(K ≥ k) of a binomial distribution.

    Parameters
    ----------
    k : int array
        Counts from 0 to n.
    n : int
        Trials.
    p : array
        Probability of a success, more than 0 and less than 1.

    Returns
    -------
    tuple of array
        The two probabilities, of the shape of k and p together.

    Examples
    --------
    >>> binomial(1, 2, 0.5)
    (array(0.75), array(0.75))
    """
    k, p = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(p, dtype=np.float64))
    here, odds = _binomial_density(k, n - k, p, 1 - p), p / (1 - p)
    low = k <= n * p
    # P(K ≤ k) is the density at k times 1 + k/((n − k + 1)·odds) + …, and P(K ≥ k) the same with the roles exchanged
    a, b, c = np.where(low, k, n - k), np.where(low, n - k, k), np.where(low, 1 / odds, odds)
    tail = here * _sum_of_products(lambda j: np.maximum(a - j, 0) / (b + j + 1) * c, a.shape)
    other = 1 - tail + here
    return np.where(low, tail, other), np.where(low, other, tail)


def chi_squared(degrees: int, x: Any) -> Pair:
    """Return P(X ≤ x) and P(X ≥ x) of a χ² distribution.

    Parameters
    ----------
    degrees : int
        Degrees of freedom.
    x : array
        Numbers of at least 0.

    Returns
    -------
    tuple of array
        The two probabilities, of the shape of x.

    Examples
    --------
    >>> below, above = chi_squared(2, 1.0)
    >>> float(above) == math.exp(-0.5)
    True
    """
    a, y = degrees / 2, np.asarray(x, dtype=np.float64) / 2
    density = _poisson_density(a, y)  # y^a·e^{−y}/Γ(a + 1)
    low = y <= a
    # below: density·(1 + y/(a + 1) + y²/((a + 1)·(a + 2)) + …)
    below = density * _sum_of_products(lambda j: np.where(low, y, 0.0) / (a + 1 + j), y.shape)
    # above: the finite sum density·(a/y)·(1 + (a − 1)/y + …), which ends at Γ(1), or at Γ(½) with erfc √y left
    safe = np.where(low, np.inf, y)
    above = density * np.where(low, 0.0, a / safe) * _sum_of_products(
        lambda j: np.maximum(a - 1 - j, 0.0) / safe * (a - 1 - j > 0.75), y.shape)
    if degrees % 2:
        above = np.where(degrees == 1, 0.0, above) + np.asarray(_erfc(np.sqrt(y)), dtype=np.float64)
    return np.where(low, below, 1 - above), np.where(low, 1 - below, above)


def f_ratio(degrees1: int, degrees2: int, x: Any) -> Pair:
    """Return P(X ≤ x) and P(X ≥ x) of an F distribution, with degrees of freedom of similar size.

    Parameters
    ----------
    degrees1, degrees2 : int
        Degrees of freedom of the numerator and of the denominator.
    x : array
        Positive numbers.

    Returns
    -------
    tuple of array
        The two probabilities, of the shape of x.

    Examples
    --------
    >>> below, above = f_ratio(8, 8, 1.0)
    >>> round(float(below), 12), round(float(above), 12)
    (0.5, 0.5)
    """
    x, n = np.asarray(x, dtype=np.float64), degrees1 + degrees2
    share, rest = degrees1 * x / (degrees1 * x + degrees2), degrees2 / (degrees1 * x + degrees2)
    low = x <= 1
    a, b = np.where(low, degrees1, degrees2) / 2, np.where(low, degrees2, degrees1) / 2
    p, q = np.where(low, share, rest), np.where(low, rest, share)
    # I_p(a, b) = p^a·q^b/(a·B(a, b))·(1 + (a + b)/(a + 1)·p + …)
    tail = 2 * b / n * _binomial_density(a, b, p, q) * _sum_of_products(
        lambda j: (a + b + j) / (a + 1 + j) * p, x.shape)
    return np.where(low, tail, 1 - tail), np.where(low, 1 - tail, tail)


def _sum_of_products(ratio: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return 1 + r₀ + r₀r₁ + r₀r₁r₂ + …, where ``ratio(j)`` is r_j ≥ 0, with j along a first axis."""
    total, last, first, size = np.ones(shape), np.ones(shape), 0, 64
    while True:
        j = np.arange(first, first + size, dtype=np.float64).reshape(-1, *[1] * len(shape))
        products = last * np.cumprod(ratio(j), axis=0)
        total, last = total + products.sum(axis=0), products[-1]
        if not (last > 1e-20 * total).any():
            return total
        first, size = first + size, min(2 * size, 4096)


def _binomial_density(a: np.ndarray, b: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return Γ(a + b + 1)/(Γ(a + 1)·Γ(b + 1))·p^a·q^b, q = 1 − p, by C. Loader's saddle-point expansion (2000)."""
    n = a + b
    with np.errstate(all="ignore"):
        exponent = _stirling(n) - _stirling(a) - _stirling(b) - _deviance(a, n * p) - _deviance(b, n * q)
        inner = np.exp(exponent) * np.sqrt(n / (2 * math.pi * a * b))
        return np.where(a == 0, np.exp(b * np.log1p(-p)), np.where(b == 0, np.exp(a * np.log1p(-q)), inner))


def _poisson_density(a: float, y: np.ndarray) -> np.ndarray:
    """Return y^a·e^{−y}/Γ(a + 1) in the same way."""
    with np.errstate(all="ignore"):
        return np.exp(-_stirling(np.asarray(a)) - _deviance(np.asarray(a), y)) / math.sqrt(2 * math.pi * a)


def _stirling(a: np.ndarray) -> np.ndarray:
    """Return ln Γ(a + 1) − (a + ½)·ln a + a − ½·ln 2π, the error of Stirling's formula; a > 0."""
    i = 1 / (a * a)
    series = (1 / 12 - i * (1 / 360 - i * (1 / 1260 - i * (1 / 1680 - i * (1 / 1188 - i * 691 / 360360))))) / a
    few = np.where((a > 0) & (a < 16), a, 1.0)
    exact = np.asarray(_lgamma(few + 1), dtype=np.float64) - (few + 0.5) * np.log(few) + few - math.log(2 * math.pi) / 2
    return np.where(a < 16, exact, series)


def _deviance(a: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return a·ln(a/μ) − a + μ, without cancellation near a = μ."""
    v = (a - mean) / (a + mean)  # ln(a/μ) = 2·artanh v
    near = np.abs(v) < 0.1
    w = np.where(near, v, 0.0)
    series = sum(w ** (2 * j) / (2 * j + 1) for j in range(8, 0, -1))
    return np.where(near, (a - mean) * v + 2 * a * w * series, a * np.log(a / mean) - a + mean)
