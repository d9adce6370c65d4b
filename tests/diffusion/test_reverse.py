"""The reverse step p_θ(x_{t−1} | x_t): equations (11) and (15), variances and the clip."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_schedule, assert_close, batches, case, pythagorean, rows, schedules

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    linear_schedule,
    log_variance,
    mean_from_eps,
    p_mean_variance,
    posterior_mean,
    predict_eps,
    predict_x0,
    q_sample,
)

LINEAR = linear_schedule(1000)


def test_a_reverse_process_is_frozen_and_compared_by_identity():
    """So a table of σ², which has no single truth value when compared, makes no trouble."""
    reverse = Reverse(LINEAR, np.tanh)
    assert (reverse.predicts, reverse.variance, reverse.clip) == ("eps", "small", False)
    with pytest.raises(FrozenInstanceError):
        reverse.clip = True
    one, other = (replace(reverse, variance=LINEAR.beta, clip=True) for _ in range(2))
    assert (one.schedule, one.model, one.predicts, one.clip) == (LINEAR, np.tanh, "eps", True)
    assert one.variance is LINEAR.beta
    assert one != other
    assert len({reverse, one, other, one}) == 3


def coefficients(function, schedule):
    """Return the factors of x_t and of the other array in `function(schedule, x_t, t, other)`, for t = 1..T."""
    t = np.arange(1, schedule.T + 1)
    one, zero = np.ones((len(t), 1)), np.zeros((len(t), 1))
    return np.stack([function(schedule, one, t, zero)[:, 0], function(schedule, zero, t, one)[:, 0]])


def check_coefficients(c, tolerance):
    e, ts = c.exact, range(1, c.exact.T + 1)
    marginal = [e.marginal(t) for t in ts]
    for function, want in ((predict_x0, [e.x0_hat(t) for t in ts]), (mean_from_eps, [e.mean(t) for t in ts]),
                           (predict_eps, [(1 / noise, -signal / noise) for signal, noise in marginal])):
        assert_close(coefficients(function, c.schedule), np.array(want, float).T, tolerance)


def test_reverse_coefficients_of_the_papers_schedule():
    check_coefficients(case(LINEAR.beta[1:]), 1e-14)


@given(pythagorean(min_T=1))
def test_reverse_coefficients_against_fractions(c):
    check_coefficients(c, 1e-14)


@given(any_schedule())
def test_reverse_coefficients_against_fifty_digits(c):
    check_coefficients(c, 1e-11)


def weight(b):
    """Return (1 + √(1 − ᾱ_t))/√ᾱ_t per image: how much (15) amplifies a rounding error of x_t or ε."""
    gain, noise = zip(*(b.case.exact.x0_hat(t) for t in b.t), strict=True)
    return rows(gain, b.x) - rows(noise, b.x)


@given(batches())
def test_predict_x0_and_predict_eps_invert_q_sample(b):
    """(15) inverts (4), from the noise and from the data."""
    s = b.case.schedule
    x_t = q_sample(s, b.x, b.t, b.y)
    assert_close(predict_x0(s, x_t, b.t, b.y), b.x, 1e-11, scale=4 * weight(b))
    noise = rows([b.case.exact.marginal(t)[1] for t in b.t], b.x)
    assert_close(predict_eps(s, x_t, b.t, b.x), b.y, 1e-11, scale=4 / noise)


@given(batches(), st.booleans())
def test_mean_from_eps_equals_posterior_mean_at_predicted_x0(b, at_one):
    """(11) is (7) at the x̂₀ of (15), for unrelated x_t and ε and at t = 1 too."""
    s, t = b.case.schedule, np.ones_like(b.t) if at_one else b.t
    want = posterior_mean(s, predict_x0(s, b.x, t, b.y), b.x, t)
    got = mean_from_eps(s, b.x, t, b.y)
    gain = rows([b.case.exact.mean(i)[0] for i in t], b.x)
    assert_close(got, want, 1e-11, scale=gain * (abs(b.x) + abs(b.y)))


@given(batches())
def test_p_mean_variance_is_equation_11_with_one_model_call(b):
    s, calls = b.case.schedule, []

    def model(x, t):
        calls.append((x, t))
        return 0.25 * x + rows(t, x) / 8 + b.y

    mean, variance, x0_hat = p_mean_variance(Reverse(s, model), b.x, b.t)
    assert len(calls) == 1
    assert calls[0][0] is b.x
    assert np.array_equal(calls[0][1], b.t)
    eps = 0.25 * b.x + rows(b.t, b.x) / 8 + b.y
    gain, drift = (rows(v, b.x) for v in zip(*(b.case.exact.mean(t) for t in b.t), strict=True))
    assert_close(mean, gain * b.x + drift * eps, 1e-10, scale=gain * (abs(b.x) + abs(eps)))
    assert_close(x0_hat, predict_x0(s, b.x, b.t, eps), 1e-14, scale=weight(b) * (1 + abs(b.x) + abs(eps)))
    assert mean.shape == variance.shape == x0_hat.shape == b.x.shape


@given(batches())
def test_variance_is_beta_tilde_beta_or_a_table(b):
    """β̃_t and β_t, both β̃₂ at t = 1; or the numbers of a table, whose index 0 is unused."""
    s, e = b.case.schedule, b.case.exact
    table = np.array([np.nan, *np.linspace(0.1, 3, e.T)])
    for variance, want in (("small", [e.sigma2("small", t) for t in b.t]), (table, table[b.t]),
                           ("large", [e.sigma2("large", t) for t in b.t])):
        sigma2 = rows(want, b.x)
        got = p_mean_variance(Reverse(s, lambda x, t: x, variance=variance), b.x, b.t)[1]
        assert_close(got, sigma2 * np.ones_like(b.x), 1e-12)
        assert_close(log_variance(s, variance, b.t, b.x), np.log(sigma2), 1e-12, scale=1.0)
    default, small = Reverse(s, lambda x, t: x), Reverse(s, lambda x, t: x, variance="small")
    assert np.array_equal(p_mean_variance(default, b.x, b.t)[1], p_mean_variance(small, b.x, b.t)[1])


def test_variances_of_the_papers_schedule():
    t = np.array([1, 2, 1000])
    small, large = (np.exp(log_variance(LINEAR, name, t, np.zeros(3))) for name in ("small", "large"))
    assert [f"{v:.5g}" for v in small] == ["5.4532e-05", "5.4532e-05", "0.02"]
    assert_close(large, np.array([LINEAR.beta_tilde[2], 1e-4 + 0.0199 / 999, 0.02]), 1e-15)
    assert small[2] < large[2]


def test_variance_of_a_single_step_is_its_beta():
    schedule, one = Schedule.from_betas([0.36]), np.ones((1, 1))
    for variance in ("small", "large"):
        mean, sigma2, _ = p_mean_variance(Reverse(schedule, lambda x, t: x, variance=variance), one, np.array([1]))
        assert_close(sigma2, np.array([[0.36]]), 1e-15)
        assert_close(mean, np.array([[(1 - 0.6) / 0.8]]), 1e-14)


@given(schedules(), st.sampled_from(["small", "large"]))
def test_clip_acts_on_x0_hat_and_not_on_the_mean(c, variance):
    """x̂₀ is clipped to [−1, 1], then enters (7); x_t = 3 leaves the mean out of range where that is right."""
    s, t = c.schedule, np.repeat(np.arange(1, c.exact.T + 1), 4)
    wanted_x0 = np.tile([-0.5, 0.9, 1.75, -40.0], c.exact.T)  # inside, inside, outside, far outside
    x_t = np.tile([3.0, -0.25, 3.0, -3.0], c.exact.T)

    def model(x, steps):
        return predict_eps(s, x, steps, wanted_x0)

    free, open_sigma2, open_x0 = p_mean_variance(Reverse(s, model, variance=variance), x_t, t)
    mean, sigma2, x0_hat = p_mean_variance(Reverse(s, model, variance=variance, clip=True), x_t, t)
    rounding = np.array([float(1 / c.exact.marginal(i)[0]) for i in t]) * 100
    assert_close(open_x0, wanted_x0, 1e-12, rounding)
    inside = np.tile([True, True, False, False], c.exact.T)
    assert np.array_equal(x0_hat[inside], open_x0[inside])
    assert np.array_equal(mean[inside], free[inside])
    assert np.array_equal(x0_hat[~inside], np.tile([1.0, -1.0], c.exact.T))
    assert np.array_equal(mean, posterior_mean(s, x0_hat, x_t, t))
    assert not np.any(mean[~inside] == free[~inside])
    assert np.array_equal(sigma2, open_sigma2)


def test_the_mean_with_clip_may_lie_out_of_range():
    clipped = Reverse(LINEAR, lambda x, t: 0 * x, clip=True)
    mean, _, x0_hat = p_mean_variance(clipped, np.full((1, 1), 3.0), np.array([1000]))
    assert x0_hat[0, 0] == 1
    assert mean[0, 0] > 2.9


@pytest.mark.parametrize(("variance", "words"), [
    ("medium", r"'small' \(β̃_t\), 'large' \(β_t\), 'learned', 'learned_range' or a table of T \+ 1 numbers, got"),
    ("Small", "got 'Small'"),
    (np.ones(2), r"table of T \+ 1 = 3 numbers, got shape \(2,\)"),
    (np.ones((3, 1)), r"table of T \+ 1 = 3 numbers, got shape \(3, 1\)"),
    (None, r"table of T \+ 1 = 3 numbers, got None"),
    ([0.1, 0.1, 0.1], r"table of T \+ 1 = 3 numbers, got \[0.1"),
    (np.array([1.0, 1.0, -0.5]), "every σ² must be positive, got -0.5 at t = 2"),
    (np.array([1.0, 0.0, 1.0]), "every σ² must be positive, got 0.0 at t = 1"),
])
def test_invalid_variances_are_refused(variance, words):
    schedule = Schedule.from_betas([0.1, 0.2])
    with pytest.raises(ValueError, match=words):
        p_mean_variance(Reverse(schedule, lambda x, t: x, variance=variance), np.zeros((1, 2)), np.array([1]))


def test_a_prediction_of_another_shape_is_refused():
    x, t = np.zeros((2, 3, 3, 1)), np.array([1, 2])
    for bad in (np.zeros((2, 3, 3, 3)), np.zeros((2, 3, 3)), np.zeros((2, 1, 1, 1))):
        words = r"prediction.* of shape \(2, 3, 3, 1\), got"
        for call in (lambda bad=bad: p_mean_variance(Reverse(LINEAR, lambda x, t: bad), x, t),
                     lambda bad=bad: predict_x0(LINEAR, x, t, bad), lambda bad=bad: mean_from_eps(LINEAR, x, t, bad)):
            with pytest.raises(ValueError, match=words):
                call()
    with pytest.raises(ValueError, match=r"expected x_0 of shape \(2, 3, 3, 1\), got \(2, 3, 3, 2\)"):
        predict_eps(LINEAR, x, t, np.zeros((2, 3, 3, 2)))


def test_predictions_of_tensors_and_their_gradients():
    rng = np.random.default_rng(3)
    x, eps, g = rng.standard_normal((3, 4, 2, 4))
    t = np.array([1, 5, 300, 1000])
    for function in (predict_x0, predict_eps, mean_from_eps):
        a, b = Tensor(x, requires_grad=True), Tensor(eps, requires_grad=True)
        got = function(LINEAR, a, t, b)
        assert np.array_equal(got.data, function(LINEAR, x, t, eps))
        got.backward(g)
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        assert_close(a.grad, g * function(LINEAR, ones, t, zeros), 1e-14)
        assert_close(b.grad, g * function(LINEAR, zeros, t, ones), 1e-14)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("x_too", [False, True])
def test_gradients_of_the_reverse_mean(clip, x_too):
    """∂μ_θ/∂ε is −β_t/(√α_t·√(1 − ᾱ_t)); with the clip, only where x̂₀ is within range."""
    rng = np.random.default_rng(4)
    x, t, weights = rng.standard_normal((4, 3)), np.array([1, 5, 300, 1000]), Tensor(np.full((4, 3), 0.8), True)
    x_t = Tensor(x, requires_grad=True) if x_too else x
    mean, sigma2, x0_hat = p_mean_variance(Reverse(LINEAR, lambda x, t: weights * x, clip=clip), x_t, t)
    wanted = p_mean_variance(Reverse(LINEAR, lambda x, t: 0.8 * x, clip=clip), x, t)
    for got, want in zip((mean.data, sigma2, x0_hat.data), wanted, strict=True):
        assert np.array_equal(got, want)
    mean.backward(np.ones_like(x))
    inside = abs(predict_x0(LINEAR, x, t, 0.8 * x)) <= 1
    assert clip is False or 0 < inside.sum() < inside.size
    slope = mean_from_eps(LINEAR, np.zeros_like(x), t, x)
    assert_close(weights.grad, slope * inside if clip else slope, 1e-12, scale=abs(slope))
    if x_too:
        whole = mean_from_eps(LINEAR, np.ones_like(x), t, np.full_like(x, 0.8))
        held = posterior_mean(LINEAR, np.zeros_like(x), np.ones_like(x), t)
        assert_close(x_t.grad, np.where(inside, whole, held) if clip else whole, 1e-11, scale=1.0)
