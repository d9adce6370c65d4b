"""DDIM: σ, one step for every η and every pair of steps, the order of a chain, inversion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_schedule, assert_close, batches, mp50, rows, schedules

from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    cosine_schedule,
    ddim,
    ddim_invert,
    ddim_sigma,
    ddim_step,
    jsd_schedule,
    last,
    linear_schedule,
    posterior_mean,
    predict,
    predict_eps,
    predict_x0,
    q_sample,
    timesteps,
    velocity,
)
from ddpm_np.diffusion.oracle import Gaussian, Mixture

LINEAR = linear_schedule(1000)
SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])
etas = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(1e-3, 1)


def model(x, t):
    """A nonlinear model that differs for every t."""
    step = rows(t, x).astype(x.dtype)
    return np.tanh(x) * (0.3 + 0.1 * step) - 0.2


@st.composite
def jumps(draw, cases=None):
    """Draw a Batch and an earlier t for each image, often 0 and often t − 1."""
    b = draw(batches(cases))
    return b, np.array([draw(st.sampled_from([0, t - 1]) | st.integers(0, t - 1)) for t in b.t.tolist()])


def mp(x):
    """Convert a Fraction, an int or a 50-digit number to a 50-digit number."""
    return x if isinstance(x, mp50.mpf) else mp50.mpf(x.numerator) / x.denominator


def exact_sigma(e, t, s, eta):
    here, before = mp(e.alpha_bar[t]), mp(e.alpha_bar[s])
    return mp50.mpf(eta) * mp50.sqrt((1 - before) / (1 - here) * (1 - here / before))


# One step.

@given(jumps(any_schedule()), etas)
def test_sigma_is_equation_16_of_ddim(jump, eta):
    """Equation (16) of the DDIM paper against 50 digits; in float32 to float32's last digit."""
    b, s = jump
    want = rows([exact_sigma(b.case.exact, t, before, eta) for t, before in zip(b.t, s, strict=True)], b.x)
    assert_close(ddim_sigma(b.case.schedule, b.t, s, eta, b.x), want, 1e-11)
    half = ddim_sigma(b.case.schedule, b.t, s, eta, b.x.astype(np.float32))
    assert half.dtype == np.float32
    assert_close(half.astype(float), want, 1e-6)
    assert np.array_equal(2 * ddim_sigma(b.case.schedule, b.t, s, 0.5, b.x),
                          ddim_sigma(b.case.schedule, b.t, s, 1.0, b.x))


def test_float32_sigma_of_consecutive_steps_keeps_its_digits():
    """At η = 1 it is √β̃_t; 1 − ᾱ_t/ᾱ_{t−1} computed in single precision would be off by 5e-4."""
    t = np.arange(1, 1001)
    got = ddim_sigma(LINEAR, t, t - 1, 1.0, np.zeros((1000, 1), np.float32))[:, 0].astype(float)
    assert_close(got, np.sqrt(LINEAR.beta_tilde[1:]), 1e-7)


@given(jumps(), etas, st.booleans())
def test_ddim_step_is_equation_12_of_ddim(jump, eta, clip):
    """x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z; with the clip, ε_θ is that of the clipped x̂₀."""
    b, s = jump
    e = b.case.exact
    z = np.random.default_rng(0).standard_normal(b.x.shape)
    eps = model(b.x, b.t)
    signal, noise = (rows(v, b.x) for v in zip(*(e.marginal(t) for t in b.t), strict=True))
    x0 = (b.x - noise * eps) / signal
    if clip:
        x0 = np.minimum(np.maximum(x0, -1), 1)
        eps = (b.x - signal * x0) / noise
    sigma = [exact_sigma(e, t, before, eta) for t, before in zip(b.t, s, strict=True)]
    left = rows([mp50.sqrt(max(1 - mp(e.alpha_bar[before]) - v * v, 0))
                 for v, before in zip(sigma, s, strict=True)], b.x)
    before = rows([mp50.sqrt(mp(e.alpha_bar[i])) for i in s], b.x)
    want = before * x0 + left * eps + rows(sigma, b.x) * z
    got = ddim_step(Reverse(b.case.schedule, model, clip=clip), b.x, b.t, s, eta, z)
    scale = 1 + before / signal * (abs(b.x) + noise * abs(model(b.x, b.t))) + abs(eps) + (abs(b.x) + signal) / noise
    assert_close(got, want, 1e-7, scale=scale)  # √(1 − ᾱ_s − σ²) may be the root of a rounding error
    if eta <= 0.9:
        assert_close(got, want, 1e-11, scale=scale)


@given(jumps(), etas)
def test_ddim_step_preserves_the_marginals(jump, eta):
    """From x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε and the true ε: mean √ᾱ_s·x₀ and variance 1 − ᾱ_s for every σ."""
    b, s = jump
    schedule, x_t = b.case.schedule, q_sample(b.case.schedule, b.x, b.t, b.y)
    signal, noise = (rows(v, b.x) for v in zip(*(b.case.exact.marginal(t) for t in b.t), strict=True))
    scale = (1 + abs(b.x) + abs(b.y)) / signal / noise

    def step(x_0, eps, z):
        x_t = q_sample(schedule, x_0, b.t, eps)
        return ddim_step(Reverse(schedule, lambda x, t: eps), x_t, b.t, s, eta, z)

    zero, one = np.zeros_like(b.x), np.ones_like(b.x)
    before = rows([b.case.exact.alpha_bar[i] for i in s], b.x)
    assert_close(step(b.x, zero, zero), np.sqrt(before) * b.x, 1e-11, scale=scale)
    assert_close(step(zero, one, zero)**2 + step(zero, zero, one)**2, (1 - before) * one, 1e-9, scale=1 / signal)
    last_step = ddim_step(Reverse(schedule, model), x_t, b.t, np.zeros_like(b.t), eta, np.full_like(b.x, 9.0))
    assert np.array_equal(last_step, predict_x0(schedule, x_t, b.t, model(x_t, b.t)))


@given(jumps())
def test_ddim_step_with_eta_0_ignores_the_noise(jump):
    b, s = jump
    reverse = Reverse(b.case.schedule, model)
    want = ddim_step(reverse, b.x, b.t, s)
    for noise in (None, np.full_like(b.x, np.nan)):
        assert np.array_equal(ddim_step(reverse, b.x, b.t, s, 0.0, noise), want)
    assert ddim_step(reverse, b.x.astype(np.float32), b.t, s).dtype == np.float32


@given(jumps(any_schedule(12, 1e-3)), etas)
def test_ddim_step_is_the_same_for_every_prediction_type(jump, eta):
    b, s = jump
    schedule, z = b.case.schedule, np.cos(b.y)

    def x0(x, t):
        return predict_x0(schedule, x, t, model(x, t))

    nets = {"eps": model, "x0": x0, "mean": lambda x, t: posterior_mean(schedule, x0(x, t), x, t),
            "v": lambda x, t: velocity(schedule, x0(x, t), t, model(x, t))}
    want = ddim_step(Reverse(schedule, model), b.x, b.t, s, eta, z)
    for predicts, net in nets.items():
        got = ddim_step(Reverse(schedule, net, predicts=predicts), b.x, b.t, s, eta, z)
        assert_close(got, want, 1e-7, scale=1 + abs(b.x) + abs(want))


def test_ddim_step_refuses_invalid_eta_noise_and_steps():
    reverse, x, t = Reverse(SHORT, model), np.zeros((2, 3)), np.array([2, 4])
    for eta in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=f"eta must be from 0 to 1, got {eta}"):
            ddim_step(reverse, x, t, t - 1, eta, x)
    with pytest.raises(ValueError, match=r"eta = 0.5 needs noise, standard normal of shape \(2, 3\), got None"):
        ddim_step(reverse, x, t, t - 1, 0.5)
    with pytest.raises(ValueError, match=r"expected noise of shape \(2, 3\), got \(2, 1\)"):
        ddim_step(reverse, x, t, t - 1, 0.5, x[:, :1])
    with pytest.raises(ValueError, match="down to a smaller t_prev"):
        ddim_step(reverse, x, t, np.array([2, 3]))
    with pytest.raises(ValueError, match=r"eta = 1.0 needs noise_at"):
        next(ddim(reverse, x, [4, 1], eta=1.0))
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        next(ddim_invert(reverse, x, [4], iterations=0))


@pytest.mark.parametrize("steps", [[], [5], [0], [2, 0], [1, 2], [3, 3], [4, 2.5], [4, 1, 2]])
def test_steps_that_do_not_descend_within_the_schedule_are_refused(steps):
    reverse = Reverse(SHORT, model)
    for chain in (ddim, ddim_invert):
        with pytest.raises(ValueError, match="steps must descend within 1 to T = 4, got "):
            next(chain(reverse, np.zeros((1, 2)), steps))
    as_array = [x for _, x, _ in ddim(reverse, np.ones((1, 2)), np.array([4, 2]))]
    assert np.array_equal(as_array, [x for _, x, _ in ddim(reverse, np.ones((1, 2)), [4, 2])])


# A chain.

@given(schedules(), st.data(), etas)
def test_ddim_calls_the_model_once_per_step_in_order(c, drawn, eta):
    """One model call per step in order; noise for each step but the last, none with η = 0; yields x_s down to x₀."""
    steps = sorted(drawn.draw(st.sets(st.integers(1, c.exact.T), min_size=1)), reverse=True)
    asked, wanted = [], []

    def net(x, t):
        asked.append((x, t.tolist()))
        return model(x, t)

    def noise_at(t):
        wanted.append(t)
        return np.full((2, 3), 0.1 * t)

    x = np.linspace(-1, 1, 6).reshape(2, 3)
    reverse = Reverse(c.schedule, model)
    chain = list(ddim(Reverse(c.schedule, net), x, steps, noise_at, eta=eta))
    assert [s for s, _, _ in chain] == [*steps[1:], 0]
    assert [t for _, t in asked] == [[t, t] for t in steps]
    assert wanted == (steps[:-1] if eta else [])
    for t, (seen, _), (s, after, x0_hat) in zip(steps, asked, chain, strict=True):
        assert seen is x
        noise = np.full((2, 3), 0.1 * t) if s else np.full((2, 3), 7.0)
        want = ddim_step(reverse, x, np.full(2, t), np.full(2, s), eta, noise)
        assert np.array_equal(after, want)
        assert np.array_equal(x0_hat, predict(reverse, x, np.full(2, t)).x0)
        x = after
    assert np.array_equal(chain[-1][1], chain[-1][2])  # x₀ is the last x̂₀
    without = list(ddim(reverse, np.ones((1, 1)), steps))
    assert np.array_equal(without[-1][1], last(ddim(reverse, np.ones((1, 1)), steps, eta=0.0)))


def test_ddim_clips_x0_hat_only_on_request():
    x = np.linspace(-3, 3, 8).reshape(2, 4)
    assert abs(last(ddim(Reverse(SHORT, model, clip=True), x, [4, 2]))).max() <= 1
    assert all(abs(x0_hat).max() <= 1 for _, _, x0_hat in ddim(Reverse(SHORT, model, clip=True), x, [4, 2]))
    assert abs(last(ddim(Reverse(SHORT, model), x, [4, 2]))).max() > 1


def test_ddim_starts_from_pure_noise_with_an_x0_model():
    """β_T = 1: x_T holds nothing of x₀, and a net that predicts x₀ begins there all the same."""
    s = jsd_schedule(5)
    reverse = Reverse(s, lambda x, t: 0.25 + 0 * x, predicts="x0")
    chain = {t: x for t, x, _ in ddim(reverse, np.full((1, 2), 2.0), [5, 3, 1])}
    assert_close(chain[3], 0.25 * s.sqrt_alpha_bar[3] + s.sqrt_one_minus_alpha_bar[3] * np.full((1, 2), 2.0), 1e-14)
    assert np.array_equal(chain[0], np.full((1, 2), 0.25))


# The inverse.

def test_ddim_recovers_the_image_that_was_inverted():
    """An image to its noise and back: the error falls with every iteration until only rounding is left."""
    data = Mixture(LINEAR, [0.4, 0.6], np.array([[0.5, -0.5], [-0.4, 0.2]]), [0.1, 0.2])
    reverse = Reverse(LINEAR, data.eps)
    x_0, steps = data.sample(5, dtype="float64"), timesteps(1000, 10)
    errors = []
    for iterations in (1, 2, 4, 60):
        up = list(ddim_invert(reverse, x_0, steps, iterations=iterations))
        assert [t for t, _ in up] == steps[::-1]
        errors.append(abs(last(ddim(reverse, up[-1][1], steps)) - x_0).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-3
    assert errors[2] < errors[1] / 3
    assert errors[-1] < 1e-6


def test_ddim_retraces_every_step_of_the_inversion():
    """With iterations enough, `ddim` passes through the same points on its way down."""
    reverse = Reverse(SHORT, Gaussian(SHORT, 0.3, 0.5).eps)
    x_0 = np.random.default_rng(0).standard_normal((3, 2))
    up = dict(ddim_invert(reverse, x_0, [4, 2, 1], iterations=100)) | {0: x_0}
    for s, x, _ in ddim(reverse, up[4], [4, 2, 1]):
        assert_close(x, up[s], 1e-10, scale=1 + abs(up[s]))


def test_one_iteration_inverts_exactly_if_the_prediction_does_not_depend_on_x():
    """On Gaussian data its error falls with the step size: by about five for five times as many steps."""
    def drift(x, t):
        return np.sin(rows(t, x)) + 0 * x

    reverse = Reverse(SHORT, drift)
    x_0, steps = np.random.default_rng(1).standard_normal((3, 2)), [4, 3, 1]
    (_, x_T) = list(ddim_invert(reverse, x_0, steps))[-1]
    assert_close(last(ddim(reverse, x_T, steps)), x_0, 1e-13, scale=1 + abs(x_0))
    s = cosine_schedule(400)
    reverse, errors = Reverse(s, Gaussian(s, 0.0, 0.25).eps), []
    for n in (8, 40, 200):
        steps = [t for t in timesteps(400, n) if t < 350]
        x_t = last(ddim_invert(reverse, x_0, steps))
        errors.append(abs(last(ddim(reverse, x_t, steps)) - x_0).max())
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_ddim_invert_calls_the_model_iterations_times_per_step():
    """At each t from the lowest up: first at x_s, then at each x_t that results."""
    asked = []

    def net(x, t):
        asked.append((x, t.tolist()))
        return model(x, t)

    x_0 = np.ones((2, 3))
    up = list(ddim_invert(Reverse(SHORT, net), x_0, [3, 1], iterations=2))
    assert [t for _, t in asked] == [[1, 1], [1, 1], [3, 3], [3, 3]]
    assert asked[0][0] is x_0
    assert asked[2][0] is up[0][1]
    for i, (t, s, x_s) in enumerate([(1, 0, x_0), (3, 1, up[0][1])]):
        for k, found in ((0, asked[2 * i + 1][0]), (1, up[i][1])):
            eps = model(asked[2 * i + k][0], np.full(2, t))
            x0 = (x_s - SHORT.sqrt_one_minus_alpha_bar[s] * eps) / SHORT.sqrt_alpha_bar[s]
            assert_close(found, SHORT.sqrt_alpha_bar[t] * x0 + SHORT.sqrt_one_minus_alpha_bar[t] * eps, 1e-13)
    of_x0 = Reverse(SHORT, lambda x, t: predict_x0(SHORT, x, t, model(x, t)), predicts="x0")
    x0_net = last(ddim_invert(of_x0, x_0, [3, 1]))
    assert_close(x0_net, last(ddim_invert(Reverse(SHORT, model), x_0, [3, 1])), 1e-12)
    assert_close(predict_eps(SHORT, x0_net, np.full(2, 3), x0_net), x0_net * (1 - SHORT.sqrt_alpha_bar[3])
                 / SHORT.sqrt_one_minus_alpha_bar[3], 1e-12)
