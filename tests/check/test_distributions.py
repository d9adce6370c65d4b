"""The distributions that the checker compares with, beside SciPy and sums in 40 digits; and mistakes in them.

SciPy's functions of the binomial have nine digits for large n, and those of χ² eight far below the mean: there the
tests sum the terms with mpmath.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType

import mpmath
import numpy as np
import pytest
from mistakes import Change, source_of
from scipy import special, stats

from ddpm_np.check import distributions

LIMIT = 1e-12
mp = mpmath.mp.clone()
mp.dps = 40
Z = np.array([-12.0, -7.0, -4.0, -2.0, -0.5, -0.01, 0.01, 0.5, 2.0, 4.0, 7.0, 12.0])  # standard deviations from the mean
TRIALS = [1, 2, 10, 1000, 99_999, 200_000, 1_000_000]
SHARES = [1e-6, 6e-5, 1e-3, 1 / 6, 0.5, 0.9, 0.999999]
DEGREES = [1, 2, 3, 4, 5, 63, 64, 1001, 16_384, 491_520, 1_000_001]
PAIRS = [(1, 1), (2, 2), (8, 8), (3, 40), (255, 257), (1000, 30_000), (32_768, 32_768)]


def assert_near(got, want, what: str) -> None:
    """Assert that relative errors are small where numbers have all their digits."""
    got, want = np.asarray(got), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    whole = want > 1e-290
    np.testing.assert_allclose(got[whole], want[whole], rtol=LIMIT, err_msg=what)
    assert (got[~whole] < 1e-289).all(), what


def summed(first, ratio) -> float:
    """Return first·(1 + r₀ + r₀r₁ + …) in 40 digits; a ratio of 0 ends it."""
    term, total, j = first, first, 0
    while term > total * mp.mpf(10) ** -20:
        term *= ratio(j)
        total, j = total + term, j + 1
    return float(total)


@cache
def exact_binomial(k: int, n: int, p: float) -> tuple[float, float]:
    """Return P(K ≤ k) and P(K ≥ k), the smaller as a sum of the binomial's terms."""
    p = mp.mpf(p)
    odds = p / (1 - p)
    here = mp.exp(mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1) + k * mp.log(p)
                  + (n - k) * mp.log(1 - p))
    if k <= n * p:
        below = summed(here, lambda j: (k - j) / ((n - k + j + 1) * odds))
        return below, float(1 - below + here)
    above = summed(here, lambda j: (n - k - j) * odds / (k + j + 1))
    return float(1 - above + here), above


def test_normal_distribution_function():
    x = np.concatenate([np.linspace(-38, 38, 3001), [-np.inf, np.inf, 1e-300, 0.0]])
    assert_near(distributions.normal_cdf(x), special.ndtr(x), "Φ")


def test_logarithm_of_the_normal_distribution_function():
    """On both sides of the border of the two formulas at −20, where Φ itself is 0, and where 1 − Φ is."""
    x = np.concatenate([np.linspace(-60, 37, 3001), [-1e4, -20.0, np.nextafter(-20.0, -21), -40.0, 1e-300]])
    assert_near(-distributions.normal_log_cdf(x), -special.log_ndtr(x), "ln Φ")
    assert distributions.normal_log_cdf([-np.inf, np.inf, np.nan]).tolist()[:2] == [-np.inf, 0.0]
    assert np.isnan(distributions.normal_log_cdf(np.nan))


def test_log_densities():
    rng = np.random.default_rng(0)
    x, mean, sigma = 30 * rng.standard_normal(500), rng.standard_normal(500), np.exp(3 * rng.standard_normal(500))
    np.testing.assert_allclose(distributions.normal_log_density(x, mean, sigma), stats.norm.logpdf(x, mean, sigma), LIMIT)
    root = rng.standard_normal((4, 4))
    for point in rng.standard_normal((5, 4)):
        np.testing.assert_allclose(distributions.gaussian_log_density(point, root @ root.T),
                                   stats.multivariate_normal.logpdf(point, cov=root @ root.T), LIMIT)


def compare_binomial() -> None:
    for n in TRIALS:
        for p in SHARES:
            k = np.unique(np.clip(np.rint(n * p + Z * np.sqrt(n * p * (1 - p))), 0, n))
            want = np.array([exact_binomial(int(i), n, p) for i in k]).T
            for got, exact, side in zip(distributions.binomial(k, n, p), want, "≤≥", strict=True):
                assert_near(got, exact, f"P(K {side} k), n = {n}, p = {p}")


@cache
def exact_chi_squared(degrees: int, x: float) -> tuple[float, float]:
    a, y = mp.mpf(degrees) / 2, mp.mpf(x) / 2
    if x <= degrees:
        below = summed(mp.exp(a * mp.log(y) - y - mp.loggamma(a + 1)), lambda j: y / (a + j + 1))
        return below, float(1 - mp.mpf(below))
    above = mp.mpf(0)
    if degrees > 1:
        above += summed(mp.exp((a - 1) * mp.log(y) - y - mp.loggamma(a)), lambda j: max(a - 1 - j - (
            degrees % 2) * mp.mpf(1) / 2, 0) and (a - 1 - j) / y)
    if degrees % 2:
        above += mp.erfc(mp.sqrt(y))
    return float(1 - above), float(above)


def compare_chi_squared() -> None:
    for degrees in DEGREES:
        x = np.unique(np.maximum(degrees + Z * np.sqrt(2 * degrees), 0.01))
        want = np.array([exact_chi_squared(degrees, v) for v in x]).T
        for got, exact, side in zip(distributions.chi_squared(degrees, x), want, "≤≥", strict=True):
            assert_near(got, exact, f"P(X {side} x), {degrees} degrees of freedom")
        if degrees <= 1001:
            assert_near(distributions.chi_squared(degrees, x)[0], special.chdtr(degrees, x), "SciPy's")


def compare_f_ratio() -> None:
    for a, b in PAIRS:
        x = np.exp(Z * np.sqrt(2 / a + 2 / b))
        below, above = distributions.f_ratio(a, b, x)
        assert_near(below, special.fdtr(a, b, x), f"P(X ≤ x), {a} and {b} degrees of freedom")
        assert_near(above, special.fdtrc(a, b, x), f"P(X ≥ x), {a} and {b} degrees of freedom")


@pytest.mark.parametrize("compare", [compare_binomial, compare_chi_squared, compare_f_ratio])
def test_distribution(compare):
    compare()


def test_binomial_with_a_probability_for_each_count():
    k, p = np.arange(5), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    below, above = distributions.binomial(k, 4, p)
    np.testing.assert_allclose(below, stats.binom.cdf(k, 4, p), LIMIT)
    np.testing.assert_allclose(above, stats.binom.sf(k - 1, 4, p), LIMIT)


MISTAKES = [Change(place, new, old, new, (compare,)) for place, old, new, compare in [
    ("normal_cdf", "/ 2", "/ 2.000001", "normal_distribution_function"),
    ("normal_cdf", "-math.sqrt(0.5)", "math.sqrt(0.5)", "normal_distribution_function"),
    ("normal_log_cdf", "range(1, 32, 2)", "range(1, 4, 2)", "logarithm"),
    ("normal_log_cdf", "- math.log(2 * math.pi) / 2", "- math.log(2 * math.pi)", "logarithm"),
    ("normal_log_cdf", "np.where(x > 0, np.log1p(-normal_cdf(-x)), np.log(normal_cdf(x)))", "np.log(normal_cdf(x))",
     "logarithm"),
    ("normal_log_density", "- np.log(sigma)", "- np.log(sigma) / 2", "log_densities"),
    ("gaussian_log_density", "+ log_determinant", "- log_determinant", "log_densities"),
    ("binomial", "1 - tail + here", "1 - tail", "binomial"),
    ("binomial", "(b + j + 1)", "(b + j)", "binomial"),
    ("binomial", "np.where(low, 1 / odds, odds)", "odds", "binomial"),
    ("binomial", "k <= n * p", "k <= n", "binomial"),
    ("chi_squared", "degrees / 2", "(degrees - 1) / 2", "chi_squared"),
    ("chi_squared", "(a + 1 + j)", "(a + j)", "chi_squared"),
    ("chi_squared", "> 0.75", "> 0.25", "chi_squared"),
    ("chi_squared", "np.where(degrees == 1, 0.0, above)", "above", "chi_squared"),
    ("chi_squared", "if degrees % 2", "if not degrees % 2", "chi_squared"),
    ("f_ratio", "(a + b + j)", "(a + b - 1 + j)", "f_ratio"),
    ("f_ratio", "2 * b / n", "b / n", "f_ratio"),
    ("f_ratio", "np.where(low, rest, share)", "rest", "f_ratio"),
    ("_sum_of_products", "last > 1e-20 * total", "last > 1e-8 * total", "chi_squared"),
    ("_sum_of_products", "last * np.cumprod", "np.cumprod", "chi_squared"),
    ("_binomial_density", "- _stirling(b)", "", "binomial"),
    ("_binomial_density", "np.log1p(-p)", "-p", "binomial"),
    ("_poisson_density", "2 * math.pi * a", "2 * math.pi * (a + 1)", "chi_squared"),
    ("_stirling", "a < 16, exact", "a < 2, exact", "chi_squared"),
    ("_stirling", "(1 / 360 -", "(1 / 180 -", "chi_squared"),
    ("_deviance", "range(8, 0, -1)", "range(2, 0, -1)", "chi_squared"),
]]
COMPARISONS = {
    "normal_distribution_function": test_normal_distribution_function, "log_densities": test_log_densities,
    "logarithm": test_logarithm_of_the_normal_distribution_function, "binomial": compare_binomial,
    "chi_squared": compare_chi_squared, "f_ratio": compare_f_ratio}


@pytest.mark.parametrize("change", [pytest.param(change, id=str(change)) for change in MISTAKES])
def test_a_mistake_in_a_distribution_is_found(change, monkeypatch):
    function: FunctionType = getattr(distributions, change.place)
    names = dict(function.__globals__)
    exec(compile(change.applied(source_of(function)), f"<{change}>", "exec"), names)
    monkeypatch.setattr(function, "__code__", names[change.place].__code__)
    with pytest.raises(AssertionError):
        COMPARISONS[change.equations[0]]()
