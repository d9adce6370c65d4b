"""The posterior q(x_{t−1} | x_t, x₀), equations (6) and (7): Bayes' rule, total expectation, fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from scipy import stats
from strategies import any_schedule, assert_close, batches, case, from_ks, pythagorean, rows

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.diffusion import Schedule, linear_schedule, posterior_mean, q_posterior

LINEAR = linear_schedule(1000)


def coefficients(schedule):
    """Return the factors of x₀ and x_t in μ̃_t, and the variance, for t = 1..T."""
    t = np.arange(1, schedule.T + 1)
    one, zero = np.ones((len(t), 1)), np.zeros((len(t), 1))
    mean_x0, variance = q_posterior(schedule, one, zero, t)
    mean_xt, again = q_posterior(schedule, zero, one, t)
    assert np.array_equal(variance, again)
    return mean_x0[:, 0], mean_xt[:, 0], variance[:, 0]


def check_coefficients(c, tolerance):
    want = np.array([c.exact.posterior(t) for t in range(1, c.exact.T + 1)], float)
    for got, column in zip(coefficients(c.schedule), want.T, strict=True):
        assert_close(got, column, tolerance)


def test_worked_example_of_two_steps():
    """k = 1/3, 1/2: β = (9/25, 7/16), μ̃₂ = 35/64·x₀ + 27/64·x₂, β̃₂ = 63/256."""
    c = from_ks([Fraction(1, 3), Fraction(1, 2)])
    assert c.exact.posterior(2) == (Fraction(35, 64), Fraction(27, 64), Fraction(63, 256))
    x0, xt, variance = coefficients(c.schedule)
    assert_close(np.array([x0[1], xt[1], variance[1]]), np.array([35 / 64, 27 / 64, 63 / 256]), 4e-16)
    assert [x0[0], xt[0], variance[0]] == [1, 0, 0]


@given(pythagorean(min_T=1))
def test_posterior_coefficients_against_fractions(c):
    for t in range(1, c.exact.T + 1):  # the tower identities hold without rounding
        x0, xt, variance = c.exact.posterior(t)
        (before, spread), (here, spread_here) = c.exact.marginal(t - 1), c.exact.marginal(t)
        assert x0 + xt * here == before
        assert xt**2 * spread_here**2 + variance == spread**2
    check_coefficients(c, 1e-14)


@given(any_schedule())
def test_posterior_coefficients_against_fifty_digits(c):
    check_coefficients(c, 1e-11)


def test_posterior_coefficients_of_the_papers_schedule():
    check_coefficients(case(LINEAR.beta[1:]), 1e-14)


@given(any_schedule())
def test_posterior_satisfies_the_laws_of_total_expectation_and_variance(c):
    """Averaged over q(x_t | x₀), the posterior is q(x_{t−1} | x₀) in mean and variance."""
    x0, xt, variance = coefficients(c.schedule)
    alpha_bar = np.array(c.exact.alpha_bar, float)
    assert_close(x0 + xt * np.sqrt(alpha_bar[1:]), np.sqrt(alpha_bar[:-1]), 1e-11)
    spread = np.array([1 - a for a in c.exact.alpha_bar], float)
    assert_close(xt**2 * spread[1:] + variance, spread[:-1], 1e-11)


@given(any_schedule(60))
def test_posterior_satisfies_bayes_rule(c):
    """ln q(x_t | x_{t−1}) + ln q(x_{t−1} | x₀) = ln q(x_t | x₀) + ln q(x_{t−1} | x_t, x₀), at five points for every t.

    Two normal densities that agree at three points are equal, so this pins the mean and the variance.
    """
    T, beta = c.exact.T, c.schedule.beta
    t = np.arange(2, T + 1)
    alpha_bar = np.array(c.exact.alpha_bar, float)
    spread = np.array([1 - a for a in c.exact.alpha_bar], float)
    x_0, signal = 0.7, np.sqrt(alpha_bar)
    for x_t in (signal[t] * x_0 + z * np.sqrt(spread[t]) for z in (-1.5, 0.25)):
        # Where x_{t−1} may lie: the normal density proportional to q(x_t | x_{t−1})·q(x_{t−1} | x₀), by precisions.
        precision = (1 - beta[t]) / beta[t] + 1 / spread[t - 1]
        centre = (np.sqrt(1 - beta[t]) * x_t / beta[t] + signal[t - 1] * x_0 / spread[t - 1]) / precision
        mean, variance = q_posterior(c.schedule, np.full(T - 1, x_0), x_t, t)
        for place in (-2, -1, 0, 1, 2):
            x = centre + place / np.sqrt(precision)
            terms = [
                stats.norm.logpdf(x_t, np.sqrt(1 - beta[t]) * x, np.sqrt(beta[t])),
                stats.norm.logpdf(x, signal[t - 1] * x_0, np.sqrt(spread[t - 1])),
                -stats.norm.logpdf(x_t, signal[t] * x_0, np.sqrt(spread[t])),
                -stats.norm.logpdf(x, mean, np.sqrt(variance)),
            ]
            # The rounding error of x, in standard deviations of the narrowest density, moves its logarithm.
            scale = 1 + sum(map(abs, terms)) + (abs(x) + abs(x_t) + x_0) * (
                np.sqrt(precision) + 1 / np.sqrt(beta[t]))
            assert_close(sum(terms), np.zeros(T - 1), 1e-12, scale)


@given(batches())
def test_every_image_has_the_posterior_of_its_own_t(b):
    x0, xt, variance = (rows(v, b.x) for v in zip(*(b.case.exact.posterior(t) for t in b.t), strict=True))
    want = x0 * b.x + xt * b.y
    got = q_posterior(b.case.schedule, b.x, b.y, b.t)
    assert_close(got[0], want, 1e-10, scale=abs(b.x) + abs(b.y))
    assert_close(got[1], variance * np.ones_like(b.x), 1e-10)  # of the images' shape
    assert np.array_equal(posterior_mean(b.case.schedule, b.x, b.y, b.t), got[0])


@given(batches())
def test_posterior_at_t_1_is_the_data(b):
    mean, variance = q_posterior(b.case.schedule, b.x, b.y, np.ones_like(b.t))
    assert np.array_equal(mean, b.x)  # to the last bit: a clipped image stays within [−1, 1]
    assert not variance.any()


def test_posterior_variance_in_the_papers_first_steps():
    """β̃_t/β_t is 0, 0.45, 0.61 at t = 1, 2, 3; at t = 1000, β and β̃ are nearly equal."""
    variance = coefficients(LINEAR)[2]
    ratio = variance / LINEAR.beta[1:]
    assert ratio[:3].round(2).tolist() == [0, 0.45, 0.61]
    assert float(f"{1 - ratio[999]:.1g}") == 8e-7


def test_posterior_of_tensors_and_its_gradients():
    rng = np.random.default_rng(0)
    x_0, x_t, g = rng.standard_normal((3, 4, 2))
    t = np.array([1, 2, 30, 1000])
    want, variance = q_posterior(LINEAR, x_0, x_t, t)
    a, b = Tensor(x_0, requires_grad=True), Tensor(x_t, requires_grad=True)
    mean, same = q_posterior(LINEAR, a, b, t)
    assert np.array_equal(mean.data, want)
    assert np.array_equal(same, variance)
    mean.backward(g)
    ones, zeros = np.ones_like(x_0), np.zeros_like(x_0)
    assert_close(a.grad, g * posterior_mean(LINEAR, ones, zeros, t), 1e-15)
    assert_close(b.grad, g * posterior_mean(LINEAR, zeros, ones, t), 1e-15)


def test_wrong_shapes_and_t_0_are_refused():
    schedule, t = Schedule.from_betas([0.1, 0.2]), np.array([1, 2])
    with pytest.raises(ValueError, match=r"expected x_0 of shape \(2, 3\), got \(2, 1\)"):
        q_posterior(schedule, np.zeros((2, 1)), np.zeros((2, 3)), t)
    with pytest.raises(ValueError, match="t counts from 1 to T = 2, got values from 0 to 1"):
        posterior_mean(schedule, np.zeros((2, 3)), np.zeros((2, 3)), t - 1)
