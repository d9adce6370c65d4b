"""Langevin dynamics: the stationary distribution, exactly, and the annealed chain in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gaussians import gaussians
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, batches, rows

from ddpm_np.backend import get_backend
from ddpm_np.data import digits
from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    annealed_langevin,
    first_noise,
    jsd_schedule,
    langevin_step,
    last,
    linear_schedule,
    predict,
    predict_x0,
    score_from_eps,
    step_noise,
    timesteps,
)
from ddpm_np.diffusion.oracle import Gaussian, atoms

LINEAR = linear_schedule(1000)
SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def model(x, t):
    """A nonlinear model that differs for every t."""
    return np.tanh(x) * (0.3 + 0.1 * rows(t, x)) - 0.2


# One step.

@given(batches(), st.floats(1e-4, 3))
def test_langevin_step_is_its_formula(b, delta):
    """x + δ/2·s + √δ·z, where δ is a number or one per image."""
    z = np.cos(b.x + b.y)
    want = b.x + delta / 2 * b.y + math.sqrt(delta) * z
    assert_close(langevin_step(b.x, b.y, delta, z), want, 1e-14, scale=1 + abs(b.x) + abs(b.y))
    each = rows(delta * np.arange(1, len(b.x) + 1), b.x)
    want = b.x + each / 2 * b.y + np.sqrt(each) * z
    assert_close(langevin_step(b.x, b.y, each, z), want, 1e-14, scale=1 + (1 + each) * (abs(b.x) + abs(b.y)))
    single = [a.astype(np.float32) for a in (b.x, b.y, z)]
    assert langevin_step(*single[:2], delta, single[2]).dtype == np.float32


def test_langevin_refuses_wrong_shapes_and_settings():
    x, flat = np.zeros((2, 3)), np.zeros((2, 1))
    with pytest.raises(ValueError, match=r"expected a score of shape \(2, 3\), got \(2, 1\)"):
        langevin_step(x, flat, 0.1, x)
    with pytest.raises(ValueError, match=r"expected noise of shape \(2, 3\), got \(2, 1\)"):
        langevin_step(x, x, 0.1, flat)
    for wrong in ({"per_level": 0}, {"size": 0}, {"size": 4}, {"size": -1}, {"size": math.nan}):
        with pytest.raises(ValueError, match=r"per_level must be at least 1, got 0|size must be positive and below 4"):
            next(annealed_langevin(Reverse(SHORT, model), x, [4], lambda t, k: x, **wrong))
    with pytest.raises(ValueError, match="steps must descend within 1 to T = 4"):
        next(annealed_langevin(Reverse(SHORT, model), x, [1, 2], lambda t, k: x))


@pytest.mark.parametrize("delta", [1e-3, 0.1, 1.0, 2.0, 3.5])
def test_stationary_variance_of_langevin_steps(delta):
    """On N(0, 1) it is 1/(1 − δ/4) exactly, from any start. Unit vectors give the factors of x and z."""
    x, z = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    gain, noise = langevin_step(x, -x, delta, z)
    assert_close(noise**2 / (1 - gain**2), 1 / (1 - delta / 4), 1e-11)
    variance = 9.0
    for _ in range(math.ceil(40 / min(delta, 4 - delta))):
        variance = gain**2 * variance + noise**2
    assert_close(variance, 1 / (1 - delta / 4), 1e-11)


# The annealed chain.

def gaussian_end(data, steps, per_level, size):
    """Return mean and variance of x₀ for N(m, s²) by the docstring's formulas, in the deviation u = x − √ᾱ·m."""
    s, before = data.schedule, None
    mean, variance = 0.0 * data.mean, np.ones_like(data.variance)  # of x
    for t in steps:
        signal, noise = math.sqrt(s.alpha_bar[t]), 1 - s.alpha_bar[t]
        v = s.alpha_bar[t] * data.variance + noise
        if before is not None:
            mean, variance = mean * (signal / before), variance * (signal / before)**2
        before, shrink = signal, 1 - size * noise / (2 * v)
        for _ in range(per_level):
            mean = signal * data.mean + shrink * (mean - signal * data.mean)
            variance = shrink**2 * variance + size * noise
    k = signal * data.variance / v
    return data.mean + k * (mean - signal * data.mean), k**2 * variance


@given(st.data(), st.integers(1, 3), st.floats(0.01, 3.9))
def test_annealed_langevin_of_gaussian_data_ends_at_the_closed_form(drawn, per_level, size):
    """Mean and variance of x₀ from unit vectors: no noise, x_T = 1, and each z = 1 in turn."""
    data = drawn.draw(gaussians(least=1e-3))
    s, dims = data.schedule, data.mean.shape
    steps = sorted(drawn.draw(st.sets(st.integers(1, s.T), min_size=1, max_size=5)), reverse=True)
    image = {(t, k): 2 + i * per_level + k for i, t in enumerate(steps) for k in range(per_level)}
    n = 2 + len(image)
    x_T = np.zeros((n, *dims))
    x_T[1] = 1

    def noise_at(t, k):
        z = np.zeros((n, *dims))
        z[image[t, k]] = 1
        return z

    x = last(annealed_langevin(Reverse(s, data.eps), x_T, steps, noise_at, per_level=per_level, size=size))
    mean, variance = gaussian_end(data, steps, per_level, size)
    assert_close(x[0], mean, 1e-9, scale=1 + abs(data.mean))
    assert_close(np.sum((x[1:] - x[0])**2, axis=0), variance, 1e-9, scale=variance + 1e-6)


def test_more_steps_per_level_end_nearer_to_the_data():
    """All 1,000 levels of the paper's schedule and N(0.3, 0.5²): the chain lags behind the falling noise."""
    data, x = Gaussian(LINEAR, 0.3, 0.25), np.zeros((1, 1))
    ends = [gaussian_end(data, range(1000, 0, -1), per_level, 0.1) for per_level in (1, 5, 25)]
    assert np.allclose([math.sqrt(v) for _, v in ends], [0.5875, 0.5273, 0.5090], atol=5e-5)
    chain = annealed_langevin(Reverse(LINEAR, data.eps), x, range(1000, 0, -1), lambda t, k: x, per_level=1)
    assert_close(last(chain), np.full((1, 1), ends[0][0]), 1e-10)


def test_langevin_with_the_exact_eps_of_twenty_digits_ends_on_them():
    """Every chain ends on one of the twenty images, and the chains end on different ones."""
    images = digits().images[:20] / 8.0 - 1
    data, backend = atoms(LINEAR, images), get_backend("numpy")

    def noise_at(t, k):
        return step_noise(backend, 0, 0, 8, (8, 8, 1), "float64", purpose=f"langevin/{k}")(t)

    x_T = first_noise(backend, 0, LINEAR, 0, 8, (8, 8, 1), "float64")
    end = last(annealed_langevin(Reverse(LINEAR, data.eps), x_T, [*timesteps(1000, 100), 1], noise_at, per_level=3))
    distance = abs(end[:, None] - images[None]).max(axis=(2, 3, 4))  # (8, 20)
    assert distance.min(axis=1).max() < 1e-6
    assert len(set(distance.argmin(axis=1).tolist())) >= 3


@given(st.sets(st.integers(1, 4), min_size=1), st.integers(1, 3), st.booleans(),
       st.sampled_from(["float32", "float64"]))
def test_annealed_langevin_calls_the_model_in_order(levels, per_level, clip, dtype):
    """Level by level, `per_level` steps each, one model call per step, and one more for the last x̂₀."""
    steps, asked, wanted = sorted(levels, reverse=True), [], []

    def net(x, t):
        assert x.dtype == dtype
        asked.append((x, t.tolist()))
        return model(x, t).astype(x.dtype)

    def noise_at(t, k):
        wanted.append((t, k))
        return np.full((2, 3), 0.1 * t + 0.01 * k, dtype)

    x = np.linspace(-1, 1, 6).reshape(2, 3).astype(dtype)
    size = 0.3
    chain = list(annealed_langevin(Reverse(SHORT, net, clip=clip), x, steps, noise_at, per_level=per_level, size=size))
    assert [t for t, _, _ in chain] == [*steps, 0]
    assert wanted == [(t, k) for t in steps for k in range(per_level)]
    assert [t for _, t in asked] == [[t, t] for t in steps for _ in range(per_level)] + [[steps[-1]] * 2]
    assert asked[0][0] is x
    before, reverse = None, Reverse(SHORT, lambda x, t: model(x, t).astype(x.dtype), clip=clip)
    for i, (t, (_, after, x0_hat)) in enumerate(zip(steps, chain, strict=False)):
        now, signal, noise = np.full(2, t), SHORT.sqrt_alpha_bar[t], SHORT.one_minus_alpha_bar[t]
        x = x if before is None else x * (signal / before)
        before = signal
        for k in range(per_level):
            eps = model(x, now)
            if clip:
                held = np.minimum(np.maximum(predict_x0(SHORT, x, now, eps.astype(x.dtype)), -1), 1)
                eps = (x - signal * held) / math.sqrt(noise)
            score = score_from_eps(SHORT, x, now, eps)
            x = x + size * noise / 2 * score + math.sqrt(size * noise) * (0.1 * t + 0.01 * k)
        assert_close(after.astype(float), x, 1e-12 if dtype == "float64" else 1e-3, scale=1 + abs(x))
        assert np.array_equal(x0_hat, predict(reverse, asked[(i + 1) * per_level - 1][0], now).x0)
        x = after
    end = predict_x0(SHORT, x, now, model(x, now).astype(dtype))
    assert np.array_equal(chain[-1][1], np.clip(end, -1, 1) if clip else end)
    assert np.array_equal(chain[-1][2], chain[-1][1])


def test_defaults_of_annealed_langevin():
    """Five steps per level, step size a tenth of the noise's variance, no clip."""
    def noise_at(t, k):
        return np.full((2, 3), 0.1 * t - 0.05 * k)

    x = np.full((2, 3), 1.5)
    reverse, told = Reverse(SHORT, model), Reverse(SHORT, model, predicts="eps", clip=False)
    want = last(annealed_langevin(reverse, x, [4, 2], noise_at))
    assert np.array_equal(want, last(annealed_langevin(told, x, [4, 2], noise_at, per_level=5, size=0.1)))
    of_x0 = Reverse(SHORT, lambda x, t: predict_x0(SHORT, x, t, model(x, t)), predicts="x0")
    assert_close(last(annealed_langevin(of_x0, x, [4, 2], noise_at)), want, 1e-12)


def test_annealed_langevin_starts_from_pure_noise_with_an_x0_model():
    """β_T = 1: there is no signal at T to rescale, so x is kept as it is."""
    s, x = jsd_schedule(3), np.full((1, 2), 2.0)
    reverse = Reverse(s, lambda x, t: 0 * x, predicts="x0")
    chain = {t: after for t, after, _ in annealed_langevin(reverse, x, [3, 2], lambda t, k: 0 * x, per_level=1)}
    assert_close(chain[3], 0.95 * x, 1e-15)  # the score is −x/(1 − ᾱ) and a step 0.1·(1 − ᾱ)
    assert_close(chain[2], 0.95 * 0.95 * x, 1e-15)
    assert not chain[0].any()
