"""Guidance, interpolation and inpainting."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, rows, schedules

from ddpm_np import Tensor
from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    ancestral,
    guided,
    inpaint,
    interpolate,
    last,
    linear_schedule,
    p_mean_variance,
    p_sample,
    predict,
    q_sample,
    q_step,
)
from ddpm_np.diffusion.oracle import Gaussian

SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def model(x, t):
    """A nonlinear model that differs for every t."""
    return (np.tanh(x) * (0.3 + 0.1 * rows(t, x)) - 0.2).astype(x.dtype)


# Guidance.

def labelled(x, t, y):
    """A labelled model that differs for every t and label."""
    return x * 0.1 + rows(t, x) * 0.01 + rows(y, x) * 0.5


@given(st.floats(-2, 5) | st.sampled_from([0.0, -1.0]), st.integers(1, 4))
def test_guided_is_the_classifier_free_guidance_formula(weight, rank):
    """(1 + w)·ε(y) − w·ε(∅): the conditional prediction at w = 0, the unconditional one at −1."""
    x, t, y, calls = np.linspace(-1, 1, 4).reshape(4, *[1] * (rank - 1)), np.arange(1, 5), np.array([3, 0, 7, 1]), []

    def net(x, t, y):
        calls.append((x, t, y.tolist()))
        return labelled(x, t, y)

    got = guided(net, y, 9, weight)(x, t)
    want = (1 + weight) * labelled(x, t, y) - weight * labelled(x, t, np.full(4, 9))
    assert_close(got, want, 1e-14, scale=1 + abs(want))
    assert [labels for _, _, labels in calls] == [y.tolist()] + ([[9] * 4] if weight else [])
    assert all(seen is x and steps is t for seen, steps, _ in calls)
    if weight == 0:
        assert np.array_equal(got, labelled(x, t, y))
    if weight == -1:
        assert_close(got, labelled(x, t, np.full(4, 9)), 1e-15, scale=1 + abs(want))


@pytest.mark.parametrize("kind", [np.asarray, Tensor])
def test_guidance_leaves_the_learned_variance_alone(kind):
    """Of a net with two outputs, the prediction is extrapolated and the variance is the conditional one."""
    x, t, y = np.linspace(-1, 1, 6).reshape(3, 2), np.array([1, 2, 4]), np.array([3, 0, 7])

    def net(x, t, y):
        return kind(np.concatenate((labelled(x, t, y), np.tanh(rows(y, x) + x)), axis=-1))

    got = guided(net, y, 9, 3.0)(x, t)
    assert isinstance(got, type(kind(x)))
    got = got.data if kind is Tensor else got
    want = 4 * labelled(x, t, y) - 3 * labelled(x, t, np.full(3, 9))
    assert_close(got, np.concatenate((want, np.tanh(rows(y, x) + x)), axis=-1), 1e-14, scale=1.0)
    mean, sigma2, _ = p_mean_variance(Reverse(SHORT, guided(net, y, 9, 3.0), variance="learned_range"), x, t)
    assert np.isfinite(mean.data if kind is Tensor else mean).all()
    sigma2 = sigma2.data if kind is Tensor else sigma2
    assert (sigma2 <= rows(SHORT.beta[t], x) * (1 + 1e-12)).all()


# Interpolation.

@given(schedules(), st.data(), st.sampled_from(["small", "large"]), st.booleans())
def test_interpolation_mixes_latents_and_runs_algorithm_2(c, drawn, variance, clip):
    """(1 − λ)·x_t + λ·y_t, then Algorithm 2 from t on; λ = 0 and 1 decode the two images themselves."""
    s, t = c.schedule, drawn.draw(st.integers(0, c.exact.T))
    x_0, y_0, noise_x, noise_y, *z = np.random.default_rng(0).standard_normal((4 + c.exact.T + 1, 2, 3, 1))
    shares, reverse = np.array([0, 0.25, 1]), Reverse(s, model, variance=variance, clip=clip)

    def noise_at(i):
        assert 2 <= i <= t
        return np.stack([z[i]] * 3)  # the same for every λ

    chain = list(interpolate(reverse, x_0, y_0, t, shares, noise_x, noise_y, noise_at))
    assert [i for i, _, _ in chain] == list(range(t, -1, -1))
    assert chain[0][2] is None
    for (i, before, _), (_, _, x0_hat) in pairwise(chain):
        assert np.array_equal(x0_hat, predict(reverse, before, np.full(3, i)).x0)
    signal, noise = np.sqrt(s.alpha_bar[t]), np.sqrt(s.one_minus_alpha_bar[t])
    x_t, y_t = signal * x_0 + noise * noise_x, signal * y_0 + noise * noise_y
    assert_close(chain[0][1], np.stack([x_t, 0.75 * x_t + 0.25 * y_t, y_t]), 1e-12, scale=10)
    for row, end in ((0, x_t), (2, y_t)):
        alone = [(t, end[None], None), *ancestral(reverse, end[None], lambda i: z[i][None], start=t)]
        got, want = last(iter(chain))[row], alone[-1][1][0]
        assert_close(got, want, 1e-8, scale=1 + abs(want))
    if t == 0:
        assert_close(chain[0][1], np.stack([x_0, 0.75 * x_0 + 0.25 * y_0, y_0]), 1e-15, scale=1.0)


def test_interpolation_keeps_the_dtype_and_takes_any_fraction():
    x_0, y_0, z = np.float32(np.random.default_rng(1).standard_normal((3, 2, 2, 1)))
    reverse = Reverse(SHORT, model)

    def run(fractions):
        return last(interpolate(reverse, x_0, y_0, 3, fractions, z, z, lambda t: np.stack([z] * 3)))

    got = run(np.array([0.0, 0.5, 1.0]))
    assert got.dtype == np.float32
    assert np.array_equal(run([0, 0.5, 1]), got)
    with pytest.raises(ValueError, match=r"expected y_0 of shape \(2, 2, 1\), got \(2, 1, 1\)"):
        next(interpolate(reverse, x_0, y_0[:, :1], 3, [0.5], z, z, None))
    for t in (-1, 5):
        with pytest.raises(ValueError, match=f"the depth t must be from 0 to 4, got {t}"):
            next(interpolate(reverse, x_0, y_0, t, [0.5], z, z, None))


# Filling in.

def asked_noise(seed, shape, asked):
    """Return a noise_at for `inpaint` that gives distinct numbers for each (what, t, k) and records the requests."""
    def noise_at(what, t, k):
        asked.append((what, t, k))
        return np.random.default_rng([seed, len(what), ord(what[0]), t, k]).standard_normal(shape)

    return noise_at


@given(schedules().filter(lambda c: c.exact.T <= 8), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_inpainting_step_by_step(c, repeats, seed, clip):
    """By hand: a step of Algorithm 2, the known part from q, and back, `repeats` times (once at t = 1).

    What is not known is nan and never read; what is known is exactly itself at the end.
    """
    s, T, shape, asked, calls = c.schedule, c.exact.T, (2, 3, 1), [], []
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.5
    image = rng.standard_normal(shape)
    x = x_T = rng.standard_normal(shape)

    def net(x, t):
        calls.append(t.tolist())
        return model(x, t)

    watched, reverse = (Reverse(s, f, variance="large", clip=clip) for f in (net, model))
    known = np.where(mask, image, np.nan)
    chain = list(inpaint(watched, known, mask, x_T, asked_noise(seed, shape, asked), repeats=repeats))
    assert [t for t, _, _ in chain] == list(range(T - 1, -1, -1))
    yielded = {t: (x, x0_hat) for t, x, x0_hat in chain}
    rounds = [(t, k) for t in range(T, 0, -1) for k in range(repeats if t > 1 else 1)]
    assert calls == [[t, t] for t, _ in rounds]
    back = [("back", t, k) for t, k in rounds if t > 1 and k < repeats - 1]
    assert [step for step in asked if step[0] == "back"] == back
    assert {step[1:] for step in asked if step[0] == "step"} == set(rounds)
    z = asked_noise(seed, shape, [])
    for t, k in rounds:
        now, before = np.full(2, t), np.full(2, t - 1)
        drawn, x0_hat = p_sample(reverse, x, now, z("step", t, k)), predict(reverse, x, now).x0
        lower = np.where(mask, q_sample(s, image, before, z("known", t, k)), drawn)
        x = q_step(s, lower, now, z("back", t, k)) if ("back", t, k) in back else lower
        if x is lower:
            assert np.array_equal(yielded[t - 1][0], lower)
            assert np.array_equal(yielded[t - 1][1], x0_hat)
    assert np.array_equal(chain[-1][1][mask], image[mask])


def test_inpainting_an_empty_mask_is_algorithm_2_and_a_full_one_the_image():
    z = np.random.default_rng(0).standard_normal((5, 2, 3))
    reverse = Reverse(SHORT, model)
    nothing = inpaint(reverse, np.full((2, 3), np.nan), np.zeros((2, 3), bool), z[0], lambda _, t, k: z[t], repeats=1)
    want = list(ancestral(reverse, z[0], lambda t: z[t]))
    assert all(s == t and np.array_equal(x, y) and np.array_equal(x0_hat, y0_hat)
               for (s, x, x0_hat), (t, y, y0_hat) in zip(nothing, want, strict=True))
    image = np.float32([[0.5, -1, 1]])
    all_known = inpaint(reverse, image, np.ones((1, 3), bool), np.float32(z[0][:1]),
                        lambda _, t, k: np.float32(z[t][:1]))
    end = last(all_known)
    assert end.dtype == np.float32
    assert np.array_equal(end, image)


def test_inpainting_repeats_ten_times_by_default():
    asked, x = [], np.zeros((1, 2))
    last(inpaint(Reverse(SHORT, model), x, x == 0, x, asked_noise(0, (1, 2), asked)))
    assert sum(what == "back" for what, _, _ in asked) == 9 * 3


def test_inpaint_refuses_invalid_repeats_and_masks():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        next(inpaint(Reverse(SHORT, model), x, x == 0, x, None, repeats=0))
    with pytest.raises(ValueError, match=r"expected the mask of shape \(2, 3\), got \(2, 1\)"):
        next(inpaint(Reverse(SHORT, model), x, x[:, :1] == 0, x, None))


MEAN, COVARIANCE = np.array([0.2, -0.3]), np.array([[1.0, 0.8], [0.8, 1.0]])
KNOWN = 1.5
CONDITIONAL = -0.3 + 0.8 * (KNOWN - 0.2)  # of the second pixel given the first


def filled_in(s, repeats, n=1, z=None):
    """The second of two correlated pixels, given the first, with ε*; without noise this is its exact mean."""
    data = Gaussian.full(s, MEAN, COVARIANCE)
    known = np.broadcast_to([KNOWN, np.nan], (n, 2))
    zero = np.zeros((n, 2))
    noise_at = (lambda *_: zero) if z is None else z
    x = last(inpaint(Reverse(s, data.eps), known, ~np.isnan(known), zero, noise_at, repeats=repeats))
    assert (x[:, 0] == KNOWN).all()
    return x[:, 1]


def test_the_inpainted_mean_approaches_the_conditional_mean_with_repeats():
    """Two pixels of correlation 0.8: the mean of the unknown one approaches its conditional mean with `repeats`.

    A chain with ε* of Gaussian data is affine in its noises, so without any it gives the exact mean.
    """
    s = Schedule.from_betas(np.linspace(0.002, 0.4, 30))
    errors = [abs(filled_in(s, repeats)[0] - CONDITIONAL) for repeats in (1, 2, 5, 10)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.4  # without resampling the known pixel is hardly heard
    assert errors[-1] < 0.07


@pytest.mark.parametrize("repeats", [1, 3])
def test_mean_and_variance_of_the_inpainted_pixels(repeats):
    """By unit vectors of noise, against the exact moments of both pixels carried through the algorithm by matrices."""
    s = linear_schedule(5, 0.1, 0.6)
    keys = [(what, t, k) for t in range(5, 0, -1) for k in range(repeats) for what in ("step", "known", "back")]
    place = {key: i for i, key in enumerate(keys)}
    n = 1 + 2 * len(keys)

    def z(*key):
        noise = np.zeros((n, 2))
        noise[1 + 2 * place[key], 0] = noise[2 + 2 * place[key], 1] = 1
        return noise

    x = filled_in(s, repeats, n, z)
    mean, covariance = np.zeros(2), np.zeros((2, 2))  # x_T = 0
    for t in range(5, 0, -1):
        a, before, b = s.alpha_bar[t], s.alpha_bar[t - 1], s.beta[t]
        marginal = a * COVARIANCE + (1 - a) * np.eye(2)
        k = np.sqrt(a) * COVARIANCE @ np.linalg.inv(marginal)  # E[x₀ | x_t] = m + k·(x_t − √ᾱ·m)
        c0, ct = np.sqrt(before) * b / (1 - a), np.sqrt(1 - b) * (1 - before) / (1 - a)
        step, shift = c0 * k + ct * np.eye(2), c0 * (MEAN - np.sqrt(a) * k @ MEAN)
        for i in range(repeats if t > 1 else 1):
            mean, covariance = step @ mean + shift, step @ covariance @ step.T
            covariance += np.eye(2) * (b * (1 - before) / (1 - a))
            mean[0], covariance[0], covariance[:, 0] = np.sqrt(before) * KNOWN, 0, 0
            covariance[0, 0] = 1 - before
            if t > 1 and i < repeats - 1:
                mean, covariance = np.sqrt(1 - b) * mean, (1 - b) * covariance + b * np.eye(2)
    assert_close(x[0], mean[1], 1e-12)
    assert_close(np.sum((x[1:] - x[0])**2), covariance[1, 1], 1e-12)
