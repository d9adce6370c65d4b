"""Tests for mutants that survived the other tests: input checks, Tensors beside arrays, defaults."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from ddpm_np import Tensor
from ddpm_np.diffusion import (
    SCHEDULES,
    Gaussian,
    Reverse,
    Schedule,
    ddim,
    ddim_invert,
    ddim_step,
    guided,
    last,
    linear_schedule,
    q_posterior,
    target,
    vlb_terms,
)
from ddpm_np.diffusion.oracle.arguments import host_numbers

SCHEDULE = linear_schedule(5)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_function_defaults_to_the_papers_endpoints(name):
    parameters = inspect.signature(SCHEDULES[name]).parameters
    assert (parameters["start"].default, parameters["end"].default) == (1e-4, 0.02)


def test_ddim_invert_calls_the_model_once_per_step_by_default():
    asked = []
    reverse = Reverse(SCHEDULE, lambda x, t: asked.append(int(t[0])) or 0 * x)
    last(ddim_invert(reverse, np.ones((1, 2)), [5, 3, 1]))
    assert asked == [1, 3, 5]


def test_ddim_refuses_steps_beyond_T():
    with pytest.raises(ValueError, match="within 1 to T = 5"):
        last(ddim(Reverse(SCHEDULE, lambda x, t: x), np.ones((1, 2)), [6, 1]))


def test_guidance_keeps_both_outputs_on_the_last_axis():
    """At any rank."""
    def model(x, t, y):
        return np.concatenate([x * (1 + y[0]), x + 7], axis=-1)  # (N, H, W, 2C)

    x = RNG.standard_normal((2, 3, 4, 2))
    got = guided(model, np.array([1, 1]), 0, 0.5)(x, np.array([1, 2]))
    assert got.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(got[..., 2:], x + 7)


def test_target_refuses_noise_of_another_shape():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="expected noise of shape"):
        target(SCHEDULE, x, x, np.array([1, 2]), np.ones((2, 1)), "eps")


def test_q_posterior_of_a_tensor_and_an_array():
    x, t = RNG.standard_normal((2, 3)), np.array([2, 4])
    mean, variance = q_posterior(SCHEDULE, x, x, t)
    for x_0, x_t in ((x, Tensor(x)), (Tensor(x), x)):
        tensor_mean, tensor_variance = q_posterior(SCHEDULE, x_0, x_t, t)
        assert isinstance(tensor_variance, np.ndarray)
        np.testing.assert_array_equal(tensor_mean.data, mean)
        np.testing.assert_array_equal(tensor_variance, variance)


def test_vlb_terms_of_a_tensor():
    x, noise = RNG.standard_normal((2, 3)), RNG.standard_normal((6, 2, 3))
    reverse = Reverse(SCHEDULE, lambda x, t: 0.1 * x)
    want = [term for _, term in vlb_terms(reverse, x, lambda t: noise[t], levels=None)]
    got = [term for _, term in vlb_terms(reverse, Tensor(x), lambda t: noise[t], levels=None)]
    np.testing.assert_allclose([term.data for term in got], want, rtol=1e-12)


def test_symmetry_of_a_covariance_is_judged_relative_to_its_scale():
    large, small = np.array([[4e6, 0.0], [1e-7, 3e6]]), np.array([[4e-6, 0.0], [1e-13, 3e-6]])
    assert Gaussian.full(SCHEDULE, [0.0, 0.0], large).marginal_variance.shape[1:] == (2,)
    with pytest.raises(ValueError, match="symmetric"):
        Gaussian.full(SCHEDULE, [0.0, 0.0], small)


def test_means_of_an_oracle_broadcast_along_axes_of_length_one():
    x, t = RNG.standard_normal((4, 2, 3)), np.array([1, 2, 3, 4])
    one = Gaussian(SCHEDULE, np.array([[0.1, 0.2, 0.3]]), 0.5).eps(x, t)  # (1, 3) beside (2, 3)
    np.testing.assert_allclose(one, Gaussian(SCHEDULE, np.array([[0.1, 0.2, 0.3]] * 2), 0.5).eps(x, t))
    with pytest.raises(ValueError, match="expected images that go with parameters"):
        Gaussian(SCHEDULE, np.zeros((5, 3)), 0.5).eps(x, t)


def test_ddim_end_refuses_a_negative_eta():
    with pytest.raises(ValueError, match="eta"):
        Gaussian(SCHEDULE, 0.0, 1.0).ddim_end(-0.5)


def test_parameters_of_an_oracle_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        host_numbers("mean", [1.0, 2.0])[0] = 3.0


def test_a_degenerate_gaussian_has_no_density_at_t_0():
    data = Gaussian(SCHEDULE, np.zeros(2), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="t counts from 1"):
        data.log_q(np.zeros((1, 2)), np.array([0]))
    assert np.isfinite(data.log_q(np.zeros((1, 2)), np.array([1]))).all()


def test_a_ddim_step_from_pure_noise_has_no_negative_variance():
    """With ᾱ_T = 0 and η = 1, 1 − ᾱ_s − σ² is 0, and rounding may make it negative."""
    x = RNG.standard_normal((1, 3)).astype(np.float32)
    for k in range(200):
        schedule = Schedule.from_betas([*np.random.default_rng(k).uniform(0.05, 0.6, 3), 1.0])
        reverse = Reverse(schedule, lambda x, t: 0.5 * x, predicts="x0")
        got = ddim_step(reverse, x, np.array([4]), np.array([3]), 1.0, x)
        assert np.isfinite(got).all()
