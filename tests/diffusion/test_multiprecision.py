"""All of `diffusion` in 50 digits: the same code equals the definitions to 40, and float64 equals it to its rounding.

`python tests/diffusion/test_multiprecision.py` prints the rounding errors of docs/design/measurements.md.
"""

from __future__ import annotations

import functools
import math
import operator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from definitions import DEFINITIONS, Definitions
from diffusion_calls import CALLS, arrays, model, results

from ddpm_np import diffusion as d
from ddpm_np.backend import of, real_dtype, to_host
from ddpm_np.check.exact import Exact, from_ks, mp50
from ddpm_np.check.multiprecision import MPMATH, MpArray, difference, fifty, rounded, rounding, schedule_50

# Functions that take every step of the schedule, so that in the tests it is one of 20.
CHAINS = {"Trajectory", "ancestral", "discretised bound", "discretised trajectory", "inpaint", "last", "q_trajectory",
          "sample_with", "send", "vlb", "vlb_terms"}

# Bounds of float64's rounding, about four times what is measured; the default where nothing cancels.
ROUNDING = 2e-14
CANCELS = {
    "bound_loss": 1.2e-13, "mean_mismatch": 6e-14, "mean_mismatch_from_noise": 1.2e-13,  # squares of small differences
    "mean_mismatch_simplified": 2e-13, "vlb_term": 6e-14, "vlb_terms": 4e-13, "Trajectory": 8e-14,
    "predict": 3e-13, "p_mean_log_variance": 4e-13,  # x̂₀ from a prediction of the mean: (μ − c_t·x_t)/c₀
    "decoder_log_likelihood": 8e-14,  # a bin's two ends
    "ddim_sigma": 6e-13,  # 1 − ᾱ_t/ᾱ_{t−1}
    "log_variance": 3e-12,  # ln(1 + β) of a table 1 + β that was rounded
    "mismatch_constant": 2e-9,  # 2e-13 nats at T = 1000: the square of the difference of two logarithms
}


def rough(seed: int) -> np.ndarray:
    """β of a chain of six steps that is neither smooth nor monotone."""
    return np.random.default_rng([1, seed]).uniform(1e-4, 0.9, 6)


def linear(T: int) -> np.ndarray:
    """The paper's β at T = 1000; its ends at every T."""
    return d.linear_schedule(T).beta[1:]


def measured(name: str, betas: np.ndarray, dtype: Any, seed: int = 0, n: int = 12) -> float:
    """The rounding error of one function at t = 1, 2, T and other t."""
    T = len(betas)
    values = arrays(np.random.default_rng(seed), T, (n, 3), dtype)
    values["t"][:3] = [1, 2, T][:n]
    return rounding(lambda s, a: results(name, s, a), betas, values)


def measured_rounding(name: str, seed: int = 0) -> dict[str, float]:
    """The rounding errors of one function on a rough schedule and on the paper's, of 1000 steps."""
    n = 1 if name in CHAINS else 12
    return {f"{schedule} {dtype}": measured(name, betas, np.dtype(dtype), seed, n) for dtype in ("float64", "float32")
            for schedule, betas in (("rough", rough(seed)), ("linear", linear(1000)))}


# The array itself.


def test_arithmetic_of_mparrays_with_arrays_and_numbers():
    """Against Fractions, with an MpArray, NumPy's arrays and Python's numbers on either side."""
    x = [Fraction(1, 3), Fraction(-5, 7)]
    numbers = (Fraction(3, 8), 0.375, np.float32(0.375), MpArray(0.375), np.array([0.375]))
    for f in (operator.add, operator.sub, operator.mul, operator.truediv):
        for y in numbers:
            for found, expected in ((f(MpArray(x), y), [f(v, Fraction(3, 8)) for v in x]),
                                    (f(y, MpArray(x)), [f(Fraction(3, 8), v) for v in x])):
                assert difference(found, MpArray(expected)) < 1e-49
    assert difference(MpArray(x) ** 2, MpArray([v * v for v in x])) < 1e-49
    assert difference(2 ** MpArray(x), MpArray([mp50.mpf(2) ** v for v in MpArray(x).values])) < 1e-49
    assert difference(-abs(MpArray(x)), MpArray([-abs(v) for v in x])) < 1e-49
    assert MpArray("0.1") != MpArray(0.1)
    with pytest.raises(TypeError, match="unsupported operand"):
        MpArray(x) + "1"


def test_comparisons_of_mparrays_are_numpys():
    x = MpArray([[1, 2], [3, float("nan")]])
    for f in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        plain, two = np.array([[1, 2], [3, np.nan]]), np.array([2.0, 2.0])
        for found, expected in ((f(x, 2), f(plain, 2)), (f(two, x), f(2, plain)), (f(x, x), f(plain, plain))):
            assert found.dtype == bool
            np.testing.assert_array_equal(found, expected)


def test_shape_dtype_and_indexing_of_mparrays():
    x = MpArray(np.arange(6.0).reshape(2, 3))
    assert (x.shape, x.ndim, x.size, len(x), x.dtype, real_dtype(x)) == ((2, 3), 2, 6, 2, "mpf", "mpf")
    assert of(x) is of(1.0, np.zeros(3), x) is MPMATH
    assert MPMATH.name == "mpmath"
    np.testing.assert_array_equal(rounded(x[:, np.array([2, 0])]), [[2, 0], [5, 3]])
    assert isinstance(x[0, 1], MpArray)
    assert x[0, 1].shape == ()
    y = x.copy()
    y[0, 0] = 7
    assert (rounded(y)[0, 0], rounded(x)[0, 0]) == (7, 0)
    y.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        y[0, 0] = 1


def test_mparrays_are_never_converted_silently():
    x = MpArray([1, 2])
    for leave in (np.asarray, to_host, lambda x: np.zeros(2) + np.array(x), lambda x: of(np.zeros(2)).exp(x)):
        with pytest.raises(TypeError):
            leave(x)
    with pytest.raises(TypeError):
        float(x[0])
    for dtype in (np.float64, "float32"):
        with pytest.raises(TypeError, match="dtype 'mpf', got"):
            MPMATH.astype(x, dtype)


def test_mpmath_functions_and_their_inverses():
    x = MpArray([Fraction(1, 3), Fraction(-1, 7)])
    back = {"exp": "log", "expm1": "log1p"}
    for there, again in back.items():
        assert difference(getattr(MPMATH, again)(getattr(MPMATH, there)(x)), x) < 1e-48
    assert difference(MPMATH.sqrt(MPMATH.square(x)), abs(x)) < 1e-49
    assert difference(MPMATH.tanh(x), 1 - 2 / (MPMATH.exp(2 * x) + 1)) < 1e-48
    assert np.isnan(rounded(MPMATH.log(x))).tolist() == [False, True]
    small = MpArray("1e-30")
    assert difference(MPMATH.expm1(small), small + small**2 / 2) < 1e-49
    assert difference(MPMATH.log1p(small), small - small**2 / 2) < 1e-49


def test_log_ndtr_against_quadrature():
    """Against quadrature; far up, where Φ = 1 − Q, ln Φ = −Q − Q²/2 − … keeps the digits of Q."""
    def density(u, at=0.0):
        return mp50.exp((at * at - u * u) / 2) / mp50.sqrt(2 * mp50.pi)  # over its size at `at`

    for x in (-1.5, 0.0, 0.75):
        expected = mp50.log(0.5 + mp50.quad(density, [0, x]))
        assert difference(MPMATH.log_ndtr(MpArray(x)), MpArray(expected)) < 1e-45
    q = mp50.quad(lambda u: density(u, 12), [12, 13, 15, 20]) / mp50.exp(72)
    assert difference(MPMATH.log_ndtr(MpArray(12)), MpArray(-q - q * q / 2)) < 1e-45
    assert difference(MPMATH.log_ndtr(MpArray(-12)), MpArray(mp50.log(q))) < 1e-45


def test_difference_is_relative_to_the_largest_element_of_a_row():
    exact = MpArray([[1, 1000], [2, 4]])
    assert difference(np.array([[1.0, 1000], [2, 4]]), exact) == 0
    assert difference(np.array([[1.5, 1000], [2, 4]]), exact) == 5e-4  # of the row's greatest
    assert difference(np.array([[1.0, 1000], [2, 5]]), exact) == 0.25
    assert difference(np.array([0.0, 3.0]), MpArray([0, 3])) == 0
    assert difference(np.array([1.0, np.nan]), MpArray([1, 1])) == math.inf
    for wrong in (np.ones((2, 2)), MpArray([1])):
        with pytest.raises(TypeError, match="expected 50 digits of shape"):
            difference(np.ones((2, 2)), wrong)


# Rounding.


@pytest.mark.parametrize("name", sorted(CALLS))
def test_float64_and_float32_are_within_their_rounding(name):
    """float64 is as near as its 53 bits allow, and float32, in which every one of these rounds, as its 24."""
    paper = linear(20 if name in CHAINS else 1000)
    bound = CANCELS.get(name, ROUNDING)
    for betas in (rough(0), paper):
        n = 2 if name in CHAINS else 8
        assert measured(name, betas, np.float64, n=n) < bound
        assert 1e-8 < measured(name, betas, np.float32, n=n) < max(bound * 2.0**29, 1e-5)


# Against the definitions.

PYTHAGOREAN = from_ks([Fraction(1, 5), Fraction(2, 7), Fraction(1, 2), Fraction(5, 8), Fraction(6, 7)]).given
PAPER = tuple(mp50.mpf(b) for b in linear(1000))


@functools.cache
def inputs(T: int) -> dict[str, Any]:
    """Arrays for five images, with t at both ends; 17 levels, which have exact bins."""
    rng = np.random.default_rng(T)
    a = arrays(rng, T, (5, 3), np.float64)
    a["t"] = np.array([1, 2, 3, T // 2 + 1, T])
    a["levels"] = rng.integers(0, 17, (5, 3)) / 8 - 1
    a["levels"][0] = -1, 0.125, 1
    return {name: fifty(x) for name, x in a.items()}


@pytest.mark.parametrize("betas", [PYTHAGOREAN, PAPER], ids=["Pythagorean", "linear"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_functions_equal_their_definitions_to_forty_digits(name, betas):
    call, definition = DEFINITIONS[name]
    a = inputs(len(betas))
    found, expected = call(schedule_50(betas), a), definition(Definitions(betas, a))
    pairs = list(zip(found, expected, strict=True)) if isinstance(found, (tuple, list)) else [(found, expected)]
    # ln(1 − ᾱ_T) is so small there that `kl` takes a series, as
    # test_kl_of_nearly_equal_variances_has_the_digits_of_float64 says
    bound = 1e-24 if name == "prior_kl" and betas is PAPER else 1e-40
    for got, want in pairs:
        assert difference(got, want) < bound


@pytest.mark.parametrize(("variance", "levels"), [("small", 17), ("large", 17), ("small", None), ("large", None)])
def test_vlb_equals_its_definition_to_forty_digits(variance, levels):
    a = inputs(len(PYTHAGOREAN))
    found = d.vlb(schedule_50(PYTHAGOREAN), model, a["levels"], a["noises"], variance=variance, levels=levels)
    assert difference(found, Definitions(PYTHAGOREAN, a).bound(a["levels"], variance, levels)) < 1e-40


@pytest.mark.parametrize("betas", [PYTHAGOREAN, PAPER], ids=["Pythagorean", "linear"])
def test_tables_equal_their_definitions_to_forty_digits(betas):
    s, e = schedule_50(betas), Exact(betas)
    assert difference(s.alpha_bar, MpArray(e.alpha_bar)) < 1e-40
    assert difference(s.one_minus_alpha_bar[1:], MpArray([1 - a for a in e.alpha_bar[1:]])) < 1e-40
    assert difference(s.beta_tilde[2:], MpArray([e.posterior(t)[2] for t in range(2, e.T + 1)])) < 1e-40
    some = sorted({2, e.T // 2 + 1, e.T})
    fewer = d.respace(s, model, some)[0]
    assert difference(fewer.alpha_bar[1:], MpArray([e.alpha_bar[t] for t in some])) < 1e-40


TABLES = {  # bounds of the relative error of each entry
    **dict.fromkeys(("alpha", "one_minus_alpha_bar", "sqrt_alpha", "sqrt_beta", "sqrt_one_minus_alpha_bar",
                     "beta_tilde", "posterior_mean_xt"), 2e-15),
    **dict.fromkeys(("alpha_bar", "sqrt_alpha_bar", "posterior_mean_x0"), 2e-14),  # exp of a sum of T logarithms
    **dict.fromkeys(("posterior_log_variance_clipped", "log_beta_clipped", "log_beta"), 3e-13),  # ln β, β near 1
}


@pytest.mark.parametrize("betas", [rough(0), linear(1000)], ids=["rough", "linear"])
def test_float64_tables_are_within_their_rounding(betas):
    """Of a schedule, and of some of its steps."""
    some = [1, 2, len(betas) // 2, len(betas)]
    whole = d.Schedule.from_betas(betas), schedule_50(betas)
    for plain, exact in (whole, [d.respace(s, model, some)[0] for s in whole]):
        for name, bound in TABLES.items():
            assert difference(getattr(plain, name)[1:], getattr(exact, name)[1:]) < bound, name


def test_kl_of_nearly_equal_variances_has_the_digits_of_float64():
    """Below |d| = 0.01 `kl` takes eᵈ − 1 − d from a series, to float64's digits: all that its 50 digits lack."""
    ds = MpArray([0.0099, -0.0099, 1e-3, -1e-6, 1e-9])
    found = d.kl(0 * ds, ds, 0 * ds, 0 * ds)
    with mp50.workdps(80):
        expected = MpArray(np.frompyfunc(lambda x: (mp50.exp(x) - 1 - x) / 2, 1, 1)(ds.values))
    assert 1e-18 < difference(found, expected) < 2e-16
    for beyond in (MpArray([0.0101]), MpArray([-0.0101])):
        found = d.kl(0 * beyond, beyond, 0 * beyond, 0 * beyond)
        assert difference(found, (MPMATH.expm1(beyond) - beyond) / 2) < 1e-45


if __name__ == "__main__":
    for each in sorted(CALLS):
        print(f"{each:28s}", "  ".join(f"{k} {error:.1e}" for k, error in measured_rounding(each).items()), flush=True)
