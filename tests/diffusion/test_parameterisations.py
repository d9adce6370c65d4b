"""Noise, data, mean, velocity and score: conversions between them, and nets that predict any of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_schedule, assert_close, batches, case, images, mp50, pythagorean, rows, schedules

from ddpm_np import Tensor
from ddpm_np.diffusion import (
    PREDICTS,
    Reverse,
    eps_from_mean,
    eps_from_score,
    eps_from_velocity,
    jsd_schedule,
    linear_schedule,
    mean_from_eps,
    p_mean_variance,
    posterior_mean,
    predict,
    predict_eps,
    predict_x0,
    q_sample,
    score_from_eps,
    velocity,
    x0_from_mean,
    x0_from_velocity,
)

LINEAR = linear_schedule(1000)


def coefficients(e, t):
    """Return the factors of each function's two images at t, from the paper's definitions alone."""
    signal, noise = e.marginal(t)
    c0, ct, _ = e.posterior(t)
    gain, drift = e.mean(t)
    return {
        velocity: (-noise, signal), x0_from_velocity: (signal, -noise), eps_from_velocity: (noise, signal),
        predict_x0: (1 / signal, -noise / signal), predict_eps: (1 / noise, -signal / noise),
        mean_from_eps: (gain, drift), eps_from_mean: (-gain / drift, 1 / drift), x0_from_mean: (-ct / c0, 1 / c0),
        score_from_eps: (0, -1 / noise), eps_from_score: (0, -noise),
    }


FUNCTIONS = tuple(coefficients(case([0.36, 0.4375]).exact, 1))


def check_coefficients(c, tolerance):
    t = np.arange(1, c.exact.T + 1)
    one, zero = np.ones((len(t), 1)), np.zeros((len(t), 1))
    want = [coefficients(c.exact, int(i)) for i in t]
    for function in FUNCTIONS:
        for k, pair in enumerate(((one, zero), (zero, one))):
            got = function(c.schedule, pair[0], t, pair[1])[:, 0]
            exact = np.array([float(w[function][k]) for w in want])
            assert_close(got, exact, tolerance, scale=np.abs(exact) + (exact == 0))


@given(pythagorean(min_T=1))
def test_every_conversion_against_fractions(c):
    check_coefficients(c, 2e-14)


@given(any_schedule(40))
def test_every_conversion_against_fifty_digits(c):
    check_coefficients(c, 1e-11)


def test_every_conversion_of_the_papers_schedule():
    check_coefficients(case(LINEAR.beta[1:]), 2e-14)


@given(pythagorean(min_T=1))
def test_the_exact_conversions_undo_each_other(c):
    """In Fractions, without rounding: the expected values are consistent with one x₀ and ε."""
    e = c.exact
    for t in range(1, e.T + 1):
        by = {f.__name__: pair for f, pair in coefficients(e, t).items()}

        def apply(name, a, b, by=by):
            return by[name][0] * a + by[name][1] * b

        signal, noise = e.marginal(t)
        for x_0, eps in ((1, 0), (0, 1)):
            x_t = signal * x_0 + noise * eps
            v, mean = apply("velocity", x_0, eps), apply("mean_from_eps", x_t, eps)
            assert mean == e.posterior(t)[0] * x_0 + e.posterior(t)[1] * x_t
            for name, other in (("predict_x0", eps), ("x0_from_mean", mean), ("x0_from_velocity", v)):
                assert apply(name, x_t, other) == x_0
            for name, other in (("predict_eps", x_0), ("eps_from_mean", mean), ("eps_from_velocity", v)):
                assert apply(name, x_t, other) == eps
            assert apply("eps_from_score", x_t, apply("score_from_eps", x_t, eps)) == eps


def truths(s, x_0, x_t, t, eps):
    """Return the output of a net of each prediction type that knows x₀ and ε."""
    return {"eps": eps, "x0": x_0, "mean": posterior_mean(s, x_0, x_t, t), "v": velocity(s, x_0, t, eps)}


def amplified(b):
    """Return the amplification of a rounding error of x_t in x̂₀ and ε̂: the largest coefficient, per image."""
    worst = [max(abs(float(v)) for pair in coefficients(b.case.exact, int(t)).values() for v in pair) for t in b.t]
    return rows(worst, b.x) * 10


@given(batches())
def test_conversions_round_trip_through_every_pair(b):
    s, t = b.case.schedule, b.t
    x_t = q_sample(s, b.x, t, b.y)
    truth, scale = truths(s, b.x, x_t, t, b.y), amplified(b)
    data = (truth["x0"], predict_x0(s, x_t, t, b.y), x0_from_mean(s, x_t, t, truth["mean"]),
            x0_from_velocity(s, x_t, t, truth["v"]))
    noise = (truth["eps"], predict_eps(s, x_t, t, b.x), eps_from_mean(s, x_t, t, truth["mean"]),
             eps_from_velocity(s, x_t, t, truth["v"]),
             eps_from_score(s, x_t, t, score_from_eps(s, x_t, t, b.y)))
    for got in data:
        assert_close(got, b.x, 1e-11, scale)
    for got in noise:
        assert_close(got, b.y, 1e-11, scale)
    assert_close(mean_from_eps(s, x_t, t, b.y), truth["mean"], 1e-11, scale)


@given(batches())
def test_the_velocity_is_the_other_leg_of_a_rotation(b):
    """(x_t, v) is (x₀, ε) rotated by arccos √ᾱ_t: same length, right angle, undone by the inverse rotation."""
    s, t = b.case.schedule, b.t
    x_t, v = q_sample(s, b.x, t, b.y), velocity(s, b.x, t, b.y)
    assert_close(x_t**2 + v**2, b.x**2 + b.y**2, 1e-12, scale=1.0)
    turned = q_sample(s, -b.y, t, b.x), velocity(s, -b.y, t, b.x)  # (x₀, ε) turned by 90° first
    assert_close(turned[0], -v, 1e-12, scale=1.0)
    assert_close(turned[1], x_t, 1e-12, scale=1.0)
    assert_close(x_t * turned[0] + v * turned[1], 0 * v, 1e-12, scale=1.0)
    signal, noise = (rows(w, b.x) for w in zip(*(b.case.exact.marginal(i) for i in t), strict=True))
    assert_close(signal * x_t - noise * v, b.x, 1e-12, scale=1.0)
    assert_close(noise * x_t + signal * v, b.y, 1e-12, scale=1.0)


def test_the_velocity_is_the_derivative_with_respect_to_the_angle():
    """dx_t/dφ with cos φ = √ᾱ_t, by a neighbouring angle: β₁ = sin²φ of a schedule of one step."""
    phi, h = 0.7, 1e-6
    near = [case([float(np.sin(phi + d) ** 2)]).schedule for d in (-h, 0, h)]
    x_0, noise, t = np.array([[0.8]]), np.array([[-0.3]]), np.array([1])
    x = [q_sample(s, x_0, t, noise) for s in near]
    assert_close(velocity(near[1], x_0, t, noise), (x[2] - x[0]) / (2 * h), 1e-9)


@given(st.floats(-2, 2), st.floats(0.05, 2), schedules())
def test_the_score_is_the_gradient_of_the_log_density(m, s, c):
    """For x₀ ~ N(m, s²): ε* = E[ε | x_t] gives ∇ ln q(x_t) = −(x_t − √ᾱ_t·m)/(ᾱ_t·s² + 1 − ᾱ_t)."""
    t = np.arange(1, c.exact.T + 1)
    signal, noise = (np.array(v, float)[:, None] for v in zip(*(c.exact.marginal(int(i)) for i in t), strict=True))
    spread = (signal * s) ** 2 + noise**2
    x_t = np.linspace(-3, 3, len(t))[:, None]
    best = noise * (x_t - signal * m) / spread
    assert_close(score_from_eps(c.schedule, x_t, t, best), -(x_t - signal * m) / spread, 1e-11, scale=5 / spread)


@given(batches())
def test_predict_recovers_eps_and_x0_from_every_prediction_type(b):
    s, t, scale = b.case.schedule, b.t, amplified(b)
    x_t = q_sample(s, b.x, t, b.y)
    assert set(PREDICTS) == {"eps", "x0", "mean", "v"}
    for predicts, output in truths(s, b.x, x_t, t, b.y).items():
        calls = []

        def model(x, steps, output=output, calls=calls):
            calls.append((x, steps))
            return output

        got = predict(Reverse(s, model, predicts), x_t, t)
        assert len(calls) == 1
        assert calls[0][0] is x_t
        assert calls[0][1] is t
        assert_close(got.x0, b.x, 1e-11, scale)
        assert_close(got.eps, b.y, 1e-11, scale**2)
        assert got.variance is None
        assert predicts not in ("eps", "x0") or getattr(got, predicts) is output
        if b.x.ndim > 1:
            two = predict(Reverse(s, lambda x, t, o=output: np.concatenate((o, o + 1), -1), predicts), x_t, t)
            assert np.array_equal(two.variance, output + 1)
            assert np.array_equal(two.x0, got.x0)
            assert np.array_equal(two.eps, got.eps)


@given(batches(), st.data(), st.booleans())
def test_predicted_eps_and_x0_are_consistent_with_x_t(b, data, clip):
    """x_t = √ᾱ_t·x̂₀ + √(1 − ᾱ_t)·ε̂ for any output of any type, with x̂₀ clipped or not."""
    s, t, output = b.case.schedule, b.t, data.draw(images(b.x.shape))
    for predicts in PREDICTS:
        got = predict(Reverse(s, lambda x, t: output, predicts, clip=clip), b.x, t)
        free = predict(Reverse(s, lambda x, t: output, predicts), b.x, t)
        assert np.array_equal(got.x0, np.clip(free.x0, -1, 1) if clip else free.x0)
        assert_close(q_sample(s, got.x0, t, got.eps), b.x, 1e-11, scale=10 + np.abs(got.x0))
        if clip:
            noise = rows([b.case.exact.marginal(i)[1] for i in t], b.x)
            assert_close(got.eps, predict_eps(s, b.x, t, got.x0), 1e-11, scale=1 / noise)


@given(batches(), st.sampled_from(["small", "large"]), st.booleans())
def test_the_reverse_step_is_the_same_for_every_prediction_type(b, variance, clip):
    """A net that implies x̂₀ = 0.4·x_t + t/8 by any of the four outputs gives the same p_θ(x_{t−1} | x_t)."""
    s, scale = b.case.schedule, amplified(b)

    def guise(predicts):
        def model(x, t):
            x_0 = 0.4 * x + rows(t, x) / 8
            return truths(s, x_0, x, t, predict_eps(s, x, t, x_0))[predicts]
        return p_mean_variance(Reverse(s, model, predicts, variance, clip), b.x, b.t)

    want = guise("x0")
    assert np.array_equal(want[2], np.clip(0.4 * b.x + rows(b.t, b.x) / 8, -1 if clip else -9, 1 if clip else 9))
    assert_close(want[0], posterior_mean(s, want[2], b.x, b.t), 1e-15, scale=1.0)
    for predicts in ("eps", "mean", "v"):
        mean, sigma2, x0 = guise(predicts)
        assert_close(x0, want[2], 1e-11, scale**2)
        assert_close(mean, want[0], 1e-11, scale**2)
        assert np.array_equal(sigma2, want[1])
    if not clip:
        assert_close(guise("mean")[0], mean_from_eps(s, b.x, b.t, predict_eps(s, b.x, b.t, want[2])), 1e-11, scale**2)


def test_without_signal_x0_follows_from_every_prediction_but_eps():
    s, t = jsd_schedule(4), np.array([4, 4])
    x_0, noise = np.random.default_rng(0).standard_normal((2, 2, 3))
    for predicts, output in truths(s, x_0, noise, t, noise).items():
        reverse = Reverse(s, lambda x, t, o=output: o, predicts)
        if predicts == "eps":
            with pytest.raises(ValueError, match="ᾱ_t = 0 at t = 4"):
                predict(reverse, noise, t)
            continue
        got = predict(reverse, noise, t)
        assert_close(got.x0, x_0, 1e-14)
        assert_close(got.eps, noise, 1e-14)
    assert_close(eps_from_mean(s, noise, t, posterior_mean(s, x_0, noise, t)), noise, 1e-14)
    assert_close(eps_from_velocity(s, noise, t, velocity(s, x_0, t, noise)), noise, 1e-14)


def test_conversions_of_tensors_and_their_gradients():
    """Each conversion is linear, so its gradients are its coefficients times the cotangent."""
    x, other, g = np.random.default_rng(3).standard_normal((3, 4, 2, 4))
    t = np.array([1, 5, 300, 1000])
    for function in FUNCTIONS:
        a, b = Tensor(x, requires_grad=True), Tensor(other, requires_grad=True)
        got = function(LINEAR, a, t, b)
        assert np.array_equal(got.data, function(LINEAR, x, t, other))
        got.backward(g)
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        assert a.grad is None or np.allclose(a.grad, g * function(LINEAR, ones, t, zeros), rtol=1e-13, atol=0)
        assert (a.grad is None) == (function in (score_from_eps, eps_from_score))
        assert_close(b.grad, g * function(LINEAR, zeros, t, ones), 1e-13)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_the_gradient_of_the_mean_for_every_prediction_type(predicts):
    x, g = np.random.default_rng(4).standard_normal((2, 4, 3))
    t, output = np.array([1, 5, 300, 1000]), Tensor(np.full((4, 3), 0.8), requires_grad=True)
    mean = p_mean_variance(Reverse(LINEAR, lambda x, t: output, predicts), x, t)[0]
    mean.backward(g)
    e = case(LINEAR.beta[1:]).exact
    slopes = {"eps": [e.mean(i)[1] for i in t], "x0": [e.posterior(i)[0] for i in t], "mean": [1] * 4,
              "v": [-e.posterior(i)[0] * mp50.sqrt(1 - e.alpha_bar[i]) for i in t]}
    assert_close(output.grad, g * rows(slopes[predicts], x), 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_every_conversion_keeps_the_dtype(dtype):
    x, t = np.linspace(-1, 1, 12).reshape(3, 2, 2).astype(dtype), np.array([1, 5, 1000])
    for function in FUNCTIONS:
        assert function(LINEAR, x, t, x).dtype == dtype
        assert function(LINEAR, x, t, x).shape == x.shape
    for predicts in PREDICTS:
        got = predict(Reverse(LINEAR, lambda x, t: 0.5 * x, predicts, clip=dtype != "complex128"), x, t)
        assert got.x0.dtype == got.eps.dtype == dtype


def test_unknown_predictions_and_wrong_shapes_are_refused():
    x, t = np.zeros((2, 3, 3, 1)), np.array([1, 2])
    for make in (lambda: Reverse(LINEAR, lambda x, t: x, "noise"),
                 lambda: replace(Reverse(LINEAR, lambda x, t: x), predicts="noise")):
        with pytest.raises(ValueError, match="predicts must be one of 'eps', 'x0', 'mean', 'v', got 'noise'"):
            make()
    for function in FUNCTIONS:
        for bad in (np.zeros((2, 3, 3, 2)), np.zeros((2, 3, 3)), np.zeros((2, 1, 1, 1))):
            with pytest.raises(ValueError, match=r"expected .* of shape \(2, 3, 3, 1\), got"):
                function(LINEAR, x, t, bad)
    for predicts in PREDICTS:
        with pytest.raises(ValueError, match=r"expected a prediction of shape \(2, 3, 3, 1\), got \(2, 3, 3, 3\)"):
            predict(Reverse(LINEAR, lambda x, t: np.zeros((2, 3, 3, 3)), predicts), x, t)
