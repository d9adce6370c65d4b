"""Equation (13), the discretised decoder, against 50 digits: middle levels, edges and tails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, mp50

from ddpm_np import Tensor
from ddpm_np.diffusion import decoder_log_likelihood

LEVELS = (2, 17, 256)


def tail(z):
    """Φ(−z) = P(Z > z)."""
    return mp50.erfc(z / mp50.sqrt(2)) / 2


def ends(x, mean, log_scale, levels):
    """Return (δ₋ − μ)/σ and (δ₊ − μ)/σ of (13), infinite at the edges; x is taken as its nearest level."""
    half, sigma = mp50.mpf(1) / (levels - 1), mp50.exp(mp50.mpf(float(log_scale)))
    x, mean = mp50.mpf(float(x)), mp50.mpf(float(mean))
    low = -mp50.inf if x < -1 + half / 2 else (x - half - mean) / sigma
    high = mp50.inf if x > 1 - half / 2 else (x + half - mean) / sigma
    return low, high


def probability(low, high):
    """Return Φ(high) − Φ(low), computed in the tail where both are small."""
    return tail(low) - tail(high) if low + high > 0 else tail(-high) - tail(-low)


def exact(x, mean, log_scale, levels):
    return float(mp50.log(probability(*ends(x, mean, log_scale, levels))))


def exact_gradient(x, mean, log_scale, levels):
    """∂/∂μ = −(φ(b) − φ(a))/(σ·P) and ∂/∂ln σ = −(b·φ(b) − a·φ(a))/P."""
    a, b = ends(x, mean, log_scale, levels)
    phi = [mp50.mpf(0) if mp50.isinf(z) else mp50.exp(-z * z / 2) / mp50.sqrt(2 * mp50.pi) for z in (a, b)]
    moment = [mp50.mpf(0) if mp50.isinf(z) else z * p for z, p in zip((a, b), phi, strict=True)]
    p, sigma = probability(a, b), mp50.exp(mp50.mpf(float(log_scale)))
    return float(-(phi[1] - phi[0]) / (sigma * p)), float(-(moment[1] - moment[0]) / p)


@st.composite
def decoders(draw):
    """Draw a number of levels, some of the levels, and a mean and a ln σ for each."""
    levels = draw(st.sampled_from(LEVELS))
    n = draw(st.integers(1, 5))
    index = np.array(draw(st.lists(st.sampled_from([0, 1, levels - 1]) | st.integers(0, levels - 1), min_size=n,
                                   max_size=n)))
    mean = np.array(draw(st.lists(st.floats(-2, 2), min_size=n, max_size=n)))
    log_scale = np.array(draw(st.lists(st.floats(-6, 3), min_size=n, max_size=n)))
    return levels, np.linspace(-1, 1, levels)[index], mean, log_scale


@given(st.sampled_from(LEVELS), st.floats(-3, 3), st.floats(-6, 3), st.sampled_from(["float64", "float32"]))
def test_probabilities_of_all_levels_sum_to_one(levels, mean, log_scale, dtype):
    x = np.linspace(-1, 1, levels).astype(dtype)
    got = decoder_log_likelihood(x, np.full(levels, mean, dtype), np.full(levels, log_scale, dtype), levels)
    assert got.dtype == dtype
    assert got.max() <= (1e-15 if dtype == "float64" else 1e-6)
    assert abs(np.exp(got.astype(np.float64)).sum() - 1) < (1e-12 if dtype == "float64" else 2e-5)


@given(decoders())
def test_decoder_log_likelihood_against_fifty_digits(d):
    levels, x, mean, log_scale = d
    want = np.array([exact(*row, levels) for row in zip(x, mean, log_scale, strict=True)])
    got = decoder_log_likelihood(x, mean, log_scale, levels)
    assert_close(got, want, 1e-12, scale=1 + abs(want))
    assert_close(decoder_log_likelihood(-x, -mean, log_scale, levels), got, 1e-14, scale=1 + abs(want))
    narrow = [a.astype(np.float32) for a in (x, mean, log_scale)]
    single = decoder_log_likelihood(*narrow, levels)
    want = np.array([exact(*row, levels) for row in zip(*narrow, strict=True)])
    assert single.dtype == np.float32
    assert_close(single.astype(np.float64), want, 1e-4, scale=1 + abs(want))


def far_out():
    """Return x, μ and ln σ with the level 0 to 300 σ from the mean on either side; 256 levels."""
    grid, rows = np.linspace(-1, 1, 256), []
    for i in (0, 1, 2, 77, 128, 253, 254, 255):
        for z in (0, 0.5, 3, 7, 8, 9, 10, 40, 300):
            for log_scale in (-5.0, -3.0, -1.0):
                rows += [(grid[i], grid[i] + side * z * math.exp(log_scale), log_scale) for side in (-1, 1)]
    return np.array(rows).T


def test_decoder_keeps_its_digits_far_out_in_the_tails():
    """From 7 to 300 σ, where Φ is 0 or 1 in floating point: −log P reaches 45,000 and keeps twelve digits."""
    x, mean, log_scale = far_out()
    want = np.array([exact(*row, 256) for row in zip(x, mean, log_scale, strict=True)])
    assert want.min() < -4e4
    assert_close(decoder_log_likelihood(x, mean, log_scale), want, 1e-12, scale=np.maximum(1, abs(want)))
    certain = (x == 1) & (mean > 1)
    assert certain.any()
    assert_close(decoder_log_likelihood(x, mean, log_scale)[certain], want[certain], 1e-12)  # and log P ≈ 0 its own
    single = decoder_log_likelihood(*(a.astype(np.float32) for a in (x, mean, log_scale)))
    assert np.isfinite(single).all()


def test_decoder_gradients_at_every_level_and_in_the_tails():
    """By μ and by ln σ, with a cotangent of no special value."""
    x, mean, log_scale = far_out()
    cotangent = np.random.default_rng(0).standard_normal(x.shape)
    m, s = Tensor(mean, requires_grad=True), Tensor(log_scale, requires_grad=True)
    decoder_log_likelihood(x, m, s).backward(cotangent)
    want = np.array([exact_gradient(*row, 256) for row in zip(x, mean, log_scale, strict=True)])
    z = 1 + abs(x - mean) * np.exp(-log_scale)  # what a gradient is of the order of, in units of 1/σ and of 1
    assert_close(m.grad, cotangent * want[:, 0], 1e-10, scale=abs(cotangent) * z * np.exp(-log_scale))
    assert_close(s.grad, cotangent * want[:, 1], 1e-10, scale=abs(cotangent) * z * z)


@given(decoders())
def test_decoder_gradients_against_fifty_digits(d):
    levels, x, mean, log_scale = d
    m, s = Tensor(mean, requires_grad=True), Tensor(log_scale, requires_grad=True)
    y = decoder_log_likelihood(x, m, s, levels)
    assert np.array_equal(y.data, decoder_log_likelihood(x, mean, log_scale, levels))
    y.backward(np.ones_like(x))
    want = np.array([exact_gradient(*row, levels) for row in zip(x, mean, log_scale, strict=True)])
    z = 1 + (1 + abs(x - mean)) * np.exp(-log_scale)
    assert_close(m.grad, want[:, 0], 1e-9, scale=z * np.exp(-log_scale))
    assert_close(s.grad, want[:, 1], 1e-9, scale=z * z)


@given(decoders())
def test_decoder_accepts_the_complex_step(d):
    """The forward takes complex means, so that losses built on it can be checked without cancellation."""
    levels, x, mean, log_scale = d
    m = Tensor(mean, requires_grad=True)
    decoder_log_likelihood(x, m, log_scale, levels).backward(np.ones_like(x))
    got = decoder_log_likelihood(x, mean + 1e-20j, log_scale, levels)
    z = 1 + (1 + abs(x - mean)) * np.exp(-log_scale)
    assert_close(got.imag / 1e-20, m.grad, 1e-9, scale=z * np.exp(-log_scale))


def test_decoder_of_two_levels_is_a_bernoulli_distribution():
    """levels = 2: −1 and 1, separated at 0, so P(1) = Φ(μ/σ) and P(−1) = Φ(−μ/σ)."""
    got = decoder_log_likelihood(np.array([1.0, -1.0]), np.array([0.6, 0.6]), np.log(np.array([2.0, 2.0])), 2)
    assert_close(np.exp(got), np.array([0.6179114221889526, 0.3820885778110474]), 1e-14)


def test_decoder_broadcasts_log_sigma_over_an_image():
    """ln σ may be a number or (N, 1, …); x₀ may be a Tensor; the default is 256 levels."""
    rng = np.random.default_rng(1)
    x, mean = np.linspace(-1, 1, 256)[rng.integers(0, 256, (3, 2, 2))], rng.standard_normal((3, 2, 2))
    whole = decoder_log_likelihood(x, mean, np.full(x.shape, -1.5), 256)
    assert np.array_equal(decoder_log_likelihood(x, mean, -1.5), whole)
    assert np.array_equal(decoder_log_likelihood(x, mean, np.full((3, 1, 1), -1.5)), whole)
    assert np.array_equal(decoder_log_likelihood(Tensor(x), mean, -1.5).data, whole)
    assert decoder_log_likelihood(x.astype(np.float32), mean.astype(np.float32), -1.5).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_decoder_tolerates_rounding_of_the_levels(dtype):
    """Bytes scaled by a formula that misses the grid slightly: the first and the last level still count as edges."""
    grid = np.linspace(-1, 1, 256)
    want = decoder_log_likelihood(grid, np.zeros(256), 0.0)
    for nudge in (-1e-6, 0, 1e-6):
        got = decoder_log_likelihood((grid + nudge).astype(dtype), np.zeros(256, dtype), np.full(256, 0.0, dtype))
        assert_close(got.astype(np.float64), want, 1e-4, scale=1 + abs(want))
