"""The bound's weights of a prediction's error, and the variance that is best for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from strategies import assert_close, batches

from ddpm_np.diffusion import (
    Gaussian,
    Reverse,
    bound_weight,
    eq12_weight,
    linear_schedule,
    mean_mismatch,
    optimal_variance,
    target,
    vlb_term,
)

LINEAR = linear_schedule(1000)
T = np.array([2, 100, 500, 1000])


@given(batches(first=2))
def test_the_weighted_error_is_the_mean_mismatch_whatever_the_net_predicts(b):
    """½‖μ̃_t − μ_θ‖²/σ_t² is the weight times the squared error of ε, x₀, v or μ̃."""
    s, eps = b.case.schedule, b.y
    x_t = s.at(b.t, like=b.x).sqrt_alpha_bar * b.x + s.at(b.t, like=b.x).sqrt_one_minus_alpha_bar * eps
    for predicts in ("eps", "x0", "v", "mean"):
        right = target(s, b.x, x_t, b.t, eps, predicts)
        reverse = Reverse(s, lambda x, t, right=right: right + 0.5, predicts)
        want = mean_mismatch(reverse, b.x, x_t, b.t)
        got = bound_weight(s, b.t, predicts=predicts) * 0.25
        assert_close(got, want, 1e-8, scale=got * (1 + np.abs(right).reshape(len(b.t), -1).max(axis=1) ** 2))


def test_the_weights_of_the_papers_schedule():
    snr = LINEAR.alpha_bar[1:] / LINEAR.one_minus_alpha_bar[1:]
    assert_close(bound_weight(LINEAR, T, predicts="x0"), (snr[T - 2] - snr[T - 1]) / 2, 1e-9)
    assert_close(bound_weight(LINEAR, T, predicts="v"), snr[T - 2] * LINEAR.beta[T] / 2, 1e-12)
    assert_close(bound_weight(LINEAR, T, "large"), eq12_weight(LINEAR, T, "large"), 1e-14)
    # latent-diffusion's weight of x₀ is 1.8e-4 of the bound's at t = 2, and 3,860 times it at t = 1000
    signal = LINEAR.sqrt_alpha_bar[T]
    ratio = 0.5 * signal / (2 * 1 - LINEAR.alpha_bar[T]) / bound_weight(LINEAR, T, predicts="x0")
    assert_close(ratio, np.array([1.8e-4, 4.8, 155, 3860]), 0.03)


def test_the_optimal_variance_is_that_of_the_exact_reverse_step():
    for variance in (0.0, 0.25, 1.0):
        data = Gaussian(LINEAR, 0.3, variance)
        errors = {"eps": data.eps_variance[T], "x0": data.x0_variance[T]}
        for predicts, error in errors.items():
            assert_close(optimal_variance(LINEAR, T, error, predicts=predicts), data.reverse_variance[T], 1e-9)
    assert_close(optimal_variance(LINEAR, T, np.ones(4)), LINEAR.beta[T] / LINEAR.alpha[T], 1e-9)


def test_the_bound_is_least_at_the_optimal_variance():
    """With an error of 0.3 at every x_t, a term of (5) is larger for any other σ²."""
    x, t = np.array([[0.2]]), np.array([500])

    def term(sigma2):
        reverse = Reverse(LINEAR, lambda x_t, t: 0.3 + x_t, variance=np.full(1001, sigma2))
        x_t = LINEAR.sqrt_alpha_bar[t] * x  # of noise 0, so ε_θ − ε = 0.3 + x_t
        return vlb_term(reverse, x, x_t, t, levels=None)[0]

    error = (0.3 + LINEAR.sqrt_alpha_bar[t] * x) ** 2
    best = optimal_variance(LINEAR, t, error).item()
    assert term(best) < min(term(best * 1.01), term(best / 1.01))


def test_unknown_predictions_and_steps_are_refused():
    with pytest.raises(ValueError, match="predicts must be"):
        bound_weight(LINEAR, T, predicts="noise")
    with pytest.raises(ValueError, match="predicts must be"):
        optimal_variance(LINEAR, T, np.ones(4), predicts="noise")
    with pytest.raises(ValueError, match=r"a mean squared error is at least 0, got -0\.5"):
        optimal_variance(LINEAR, T, np.array([1.0, -0.5, 0.0, 0.0]))
    with pytest.raises(ValueError, match="t counts from 1"):
        bound_weight(LINEAR, np.array([0]))
    with pytest.raises(ValueError, match="t counts from 1"):
        optimal_variance(LINEAR, np.array([0]), np.ones(1))
