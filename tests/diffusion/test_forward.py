"""The forward process, equations (2) and (4): coefficients, composition, and the distribution of T real steps."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import (
    FALSE_ALARM,
    any_schedule,
    assert_close,
    batches,
    case,
    from_ks,
    images,
    pythagorean,
    rows,
    shapes,
)

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import get_backend
from ddpm_np.diffusion import Schedule, linear_schedule, q_sample, q_step

LINEAR = linear_schedule(1000)


def coefficients(function, schedule, first=1):
    """Return the factors by which `function` multiplies its image and its noise at every t from `first` on."""
    t = np.arange(first, schedule.T + 1)
    one, zero = np.ones((len(t), 1)), np.zeros((len(t), 1))
    return function(schedule, one, t, zero)[:, 0], function(schedule, zero, t, one)[:, 0]


def check_coefficients(c, tolerance):
    ts = range(1, c.exact.T + 1)
    for got, want in zip(coefficients(q_sample, c.schedule),
                         zip(*(c.exact.marginal(t) for t in ts), strict=True), strict=True):
        assert_close(got, np.array(want, float), tolerance)


def test_coefficients_of_two_steps_are_rational():
    c = from_ks([Fraction(1, 3), Fraction(1, 2)])
    assert c.exact.beta[1:] == [Fraction(9, 25), Fraction(7, 16)]
    assert c.exact.marginal(1) == (Fraction(4, 5), Fraction(3, 5))
    assert c.exact.marginal(2) == (Fraction(3, 5), Fraction(4, 5))
    check_coefficients(c, 4e-16)


def test_forward_coefficients_of_the_papers_schedule():
    c = case(LINEAR.beta[1:])
    check_coefficients(c, 1e-14)
    want = np.array([c.exact.step(t) for t in range(1, 1001)], float)
    gain, noise = coefficients(q_step, LINEAR)
    assert_close(gain, want[:, 0], 4e-16)
    assert_close(noise, want[:, 1], 4e-16)


@given(pythagorean(min_T=1))
def test_forward_coefficients_against_fractions(c):
    check_coefficients(c, 1e-14)


@given(any_schedule())
def test_forward_coefficients_against_fifty_digits(c):
    check_coefficients(c, 1e-11)
    gain, noise = coefficients(q_step, c.schedule)
    want = np.array([c.exact.step(t) for t in range(1, c.exact.T + 1)], float)
    assert_close(gain, want[:, 0], 1e-15)
    assert_close(noise, want[:, 1], 1e-15)
    assert_close(gain**2 + noise**2, np.ones(c.exact.T), 1e-15)  # variance 1 is kept


@given(any_schedule())
def test_composed_step_coefficients_are_those_of_the_marginal(c):
    """√ᾱ_t = √α_t·√ᾱ_{t−1}, and the variances add: 1 − ᾱ_t = α_t·(1 − ᾱ_{t−1}) + β_t."""
    gain, noise = coefficients(q_step, c.schedule)
    signal, spread = coefficients(q_sample, c.schedule, first=0)
    assert_close(signal[1:], gain * signal[:-1], 1e-11)
    assert_close(spread[1:] ** 2, gain**2 * spread[:-1] ** 2 + noise**2, 1e-11)
    assert (signal[0], spread[0]) == (1, 0)


@given(st.data(), any_schedule(40), shapes())
def test_composed_steps_are_the_closed_form_at_the_composed_noise(data, c, shape):
    """T steps with noises z_s are q_sample with ε = Σ_s w_s·z_s, w_s = √β_s·Π_{r>s} √α_r / √(1 − ᾱ_T)."""
    T, n = c.exact.T, shape[0]
    zs = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((T + 1, *shape))
    x_0 = x = data.draw(images(shape))
    for t in range(1, T + 1):
        x = q_step(c.schedule, x, np.full(n, t), zs[t])
    beta = c.schedule.beta
    w = [math.sqrt(beta[s] * math.prod(1 - beta[s + 1:]) / float(1 - c.exact.alpha_bar[T])) for s in range(1, T + 1)]
    assert_close(math.fsum(v * v for v in w), 1.0)
    eps = sum(v * z for v, z in zip(w, zs[1:], strict=True))
    assert_close(q_sample(c.schedule, x_0, np.full(n, T), eps), x, 1e-12, scale=10 + abs(x))


@given(batches(first=0))
def test_every_image_is_noised_to_its_own_t(b):
    """For any rank, also if the last axis is as long as the batch; an image's bits do not depend on its batch."""
    s = b.case.schedule
    pairs = [b.case.exact.marginal(t) for t in b.t]
    signal, noise = (rows(v, b.x) for v in zip(*pairs, strict=True))
    got = q_sample(s, b.x, b.t, b.y)
    assert_close(got, signal * b.x + noise * b.y, 1e-10, scale=abs(b.x) + abs(b.y))
    t = np.maximum(b.t, 1)
    pairs = np.array([[float(s.beta[i])] for i in t])[:, 0]
    step = q_step(s, b.x, t, b.y)
    assert_close(step, rows(np.sqrt(1 - pairs), b.x) * b.x + rows(np.sqrt(pairs), b.x) * b.y, 1e-14,
                 scale=abs(b.x) + abs(b.y))
    for i in range(len(b.t)):
        one = slice(i, i + 1)
        assert np.array_equal(q_sample(s, b.x[one], b.t[one], b.y[one]), got[one])
        assert np.array_equal(q_step(s, b.x[one], t[one], b.y[one]), step[one])


def test_q_sample_at_t_0_is_the_data():
    x = np.random.default_rng(0).standard_normal((3, 2))
    assert np.array_equal(q_sample(LINEAR, x, np.zeros(3, int), np.ones((3, 2))), x)


def test_inputs_are_left_alone_and_tensors_give_the_same_numbers():
    rng = np.random.default_rng(1)
    x, z, t = rng.standard_normal((4, 2, 4)), rng.standard_normal((4, 2, 4)), np.array([1, 10, 500, 1000])
    keep = x.copy(), z.copy(), t.copy()
    for function in (q_step, q_sample):
        want = function(LINEAR, x, t, z)
        leaf, noise = Tensor(x, requires_grad=True), Tensor(z, requires_grad=True)
        got = function(LINEAR, leaf, t, noise)
        assert np.array_equal(got.data, want)
        g = rng.standard_normal(x.shape)
        got.backward(g)
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        assert_close(leaf.grad, g * function(LINEAR, ones, t, zeros), 1e-15)
        assert_close(noise.grad, g * function(LINEAR, zeros, t, ones), 1e-15)
    assert all(np.array_equal(a, b) for a, b in zip(keep, (x, z, t), strict=True))


def test_noise_of_another_shape_is_refused():
    """Noise that would broadcast is refused, since several pixels would share it."""
    x, t = np.zeros((2, 3, 3, 1)), np.array([1, 2])
    for bad in (np.zeros((2, 3, 3, 2)), np.zeros((2, 3, 3)), np.zeros((1, 3, 3, 1)), np.zeros(())):
        for function in (q_step, q_sample):
            with pytest.raises(ValueError, match=r"expected noise of shape \(2, 3, 3, 1\), got"):
                function(LINEAR, x, t, bad)


def test_simulated_steps_follow_the_marginal_distribution():
    """T steps with random noise have the mean, the variance and the shape of (4).

    With n independent numbers, exactly: the mean is normal, n times the mean square is χ²_n, and the distance of
    the empirical distribution function obeys Dvoretzky–Kiefer–Wolfowitz. n = 200,000 sees 1.4 % of a standard
    deviation in the mean, 2 % in the variance, 0.8 % in the distribution function.
    """
    schedule = Schedule.from_betas([0.02, 0.05, 0.1, 0.3, 0.02])
    n, width, x_0 = 50_000, 4, 0.8
    x = np.full((n, width), x_0)
    for t in range(1, schedule.T + 1):
        x = q_step(schedule, x, np.full(n, t), get_backend().normal(2024, "forward test", t, 0, n, (width,)))
    alpha_bar = math.prod([0.98, 0.95, 0.9, 0.7, 0.98])
    u = np.sort(((x - math.sqrt(alpha_bar) * x_0) / math.sqrt(1 - alpha_bar)).ravel())  # standard normal
    count = u.size
    assert abs(u.mean()) * math.sqrt(count) < stats.norm.isf(FALSE_ALARM / 2)
    square = float(u @ u)
    assert stats.chi2.isf(1 - FALSE_ALARM / 2, count) < square < stats.chi2.isf(FALSE_ALARM / 2, count)
    cdf, grid = stats.norm.cdf(u), np.arange(count + 1) / count
    distance = max((grid[1:] - cdf).max(), (cdf - grid[:-1]).max())
    assert distance < math.sqrt(math.log(2 / FALSE_ALARM) / (2 * count))
