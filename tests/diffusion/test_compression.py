"""Progressive lossy compression: rate and distortion at each step."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, batches, pythagorean, rows

from ddpm_np.diffusion import (
    Received,
    Reverse,
    Schedule,
    distortion,
    linear_schedule,
    predict_x0,
    prior_kl,
    q_sample,
    send,
    vlb,
    vlb_term,
    x0_from_velocity,
)
from ddpm_np.diffusion.oracle import Gaussian

SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def model(x, t):
    """A nonlinear model that differs for every t."""
    return (np.tanh(x) * (0.3 + 0.1 * rows(t, x)) - 0.2).astype(x.dtype)


@given(batches(pythagorean(min_T=1)), st.sampled_from(["small", "large"]), st.booleans(), st.sampled_from([9, 17]))
def test_rate_and_distortion_of_every_step(b, variance, clip, levels):
    """rate_t = L_T + Σ_{s>t} L_{s−1}: L_T at T and the whole bound at 0; it never falls.

    The model is asked once a step; the distortion is the root of the mean square of x₀ − x̂₀ in levels.
    """
    x_0, s, T, asked = np.clip(b.x, -1, 1), b.case.schedule, b.case.exact.T, []
    noises = np.random.default_rng(T).standard_normal((T + 1, *b.x.shape))
    noises[0] = np.nan

    def net(x, t):
        asked.append(t.tolist())
        return model(x, t)

    sent = list(send(Reverse(s, net, variance=variance, clip=clip), x_0, lambda t: noises[t], levels=levels))
    reverse = Reverse(s, model, variance=variance, clip=clip)
    assert all(isinstance(step, Received) for step in sent)
    assert [step.t for step in sent] == list(range(T, -1, -1))
    assert asked == [[t] * len(x_0) for t in range(T, 0, -1)]
    rate = prior_kl(s, x_0)
    for step in sent[:-1]:
        now = np.full(len(x_0), step.t)
        x_t = q_sample(s, x_0, now, noises[step.t])
        x0_hat = predict_x0(s, x_t, now, model(x_t, now))
        estimate = np.minimum(np.maximum(x0_hat, -1), 1) if clip else x0_hat
        assert np.array_equal(step.estimate, estimate)
        square = ((x_0 - estimate) * (levels - 1) / 2)**2
        want = np.sqrt(square.reshape(len(x_0), -1).mean(axis=1))
        assert_close(step.distortion, want, 1e-12, scale=want + 1e-12)
        assert_close(step.rate, rate, 1e-13, scale=1 + rate)
        rate = rate + vlb_term(reverse, x_0, x_t, now, levels=levels)
    assert np.array_equal(sent[0].rate, prior_kl(s, x_0))
    assert_close(sent[-1].rate, vlb(reverse, x_0, noises, levels=levels), 1e-13, scale=1 + abs(rate))
    assert np.array_equal(sent[-1].estimate, x_0)
    assert not sent[-1].distortion.any()
    assert sent[-1].distortion.shape == (len(x_0),)
    rates = np.array([step.rate for step in sent])
    assert (np.diff(rates, axis=0) >= 0).all()  # a KL divergence, and at last the −log of a probability


def test_distortion_is_the_root_mean_square_error_in_levels():
    """0..255 for bytes: one level off everywhere is 1, black for white 255, a quarter of the pixels off by 2 is 1."""
    byte = np.array([[0, 17, 254, 100], [0, 0, 0, 0], [10, 20, 30, 40]])
    other = np.array([[1, 18, 255, 99], [255, 255, 255, 255], [10, 20, 32, 40]])
    got = distortion(byte / 127.5 - 1, other / 127.5 - 1)
    assert_close(got, np.array([1.0, 255, 1]), 1e-12)
    images = np.random.default_rng(0).integers(0, 17, (2, 3, 4, 4, 1))
    want = np.sqrt(np.mean((images[0] - images[1]) ** 2.0, axis=(1, 2, 3)))
    assert_close(distortion(images[0] / 8 - 1, images[1] / 8 - 1, 17), want, 1e-12)
    assert distortion(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)).dtype == np.float32


def test_defaults_of_send_are_those_of_the_bound():
    rng = np.random.default_rng(1)
    x = (rng.integers(0, 256, (2, 3, 3, 1)) / 127.5 - 1).astype(np.float32)
    noises = rng.standard_normal((5, *x.shape)).astype(np.float32)
    reverse = Reverse(SHORT, model)
    sent = list(send(reverse, x, lambda t: noises[t]))
    assert sent[-1].rate.dtype == sent[1].distortion.dtype == np.float32
    assert_close(sent[-1].rate, vlb(reverse, x, noises), 1e-6)
    assert_close(sent[1].distortion, distortion(x, sent[1].estimate, 256), 0)
    reverse = Reverse(SHORT, model, predicts="v")
    v = list(send(reverse, x, lambda t: noises[t]))
    assert_close(v[-1].rate, vlb(reverse, x, noises), 1e-6)
    t = np.full(2, 4)
    x_t = q_sample(SHORT, x, t, noises[4])
    assert np.array_equal(v[0].estimate, x0_from_velocity(SHORT, x_t, t, model(x_t, t)))


def test_send_with_a_learned_variance():
    """The second output, for σ², enters the rate; the estimate uses the first."""
    rng = np.random.default_rng(2)
    x, noises = rng.integers(0, 9, (2, 3, 1)) / 4 - 1, rng.standard_normal((5, 2, 3, 1))

    def net(x, t):
        return np.concatenate((model(x, t), np.cos(x)), axis=-1)

    reverse = Reverse(SHORT, net, variance="learned_range")
    sent = list(send(reverse, x, lambda t: noises[t], levels=9))
    assert_close(sent[-1].rate, vlb(reverse, x, noises, levels=9), 1e-13)
    plain = list(send(Reverse(SHORT, model), x, lambda t: noises[t], levels=9))
    assert all(np.array_equal(a.estimate, b.estimate) for a, b in zip(sent, plain, strict=True))
    assert (abs(sent[-1].rate - plain[-1].rate) > 0.01).all()


def test_rates_of_gaussian_data_equal_the_closed_form():
    """N(0.2, 0.3²), ε*, σ² = β: the mean rate by step t is the closed form; x₀ = m ± s and ε = ±1 average exactly.

    The distortion falls as the rate grows.
    """
    s = linear_schedule(50, 1e-3, 0.3)
    data = Gaussian(s, 0.2, 0.09)
    x_0 = np.repeat([[0.5], [-0.1]], 2, axis=0)
    noise = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    sent = list(send(Reverse(s, data.eps, variance=s.beta), x_0, lambda t: noise))
    terms = data.vlb(s.beta) / math.log(2)  # L₀, L₁, …, L_T
    for step in sent[:-1]:
        assert_close(step.rate.mean(), terms[step.t:].sum(), 1e-11)
        assert_close(np.mean(step.distortion**2), data.x0_variance[step.t] * 127.5**2, 1e-9)
    squares = [np.mean(step.distortion**2) for step in sent]
    assert squares == sorted(squares, reverse=True)
