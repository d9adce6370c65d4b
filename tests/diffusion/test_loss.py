"""L_simple, equation (14)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from strategies import assert_close, batches, from_ks, rows

from ddpm_np import Tensor
from ddpm_np.diffusion import linear_schedule, simple_loss

LINEAR = linear_schedule(1000)


def model(x, t, scale=1.0):
    """A nonlinear, analytic model that differs for every t."""
    return scale * (x * x * 0.25 - x * rows(np.sqrt(t), x)) + rows(t, x) * 0.01


@given(batches())
def test_simple_loss_is_the_mean_square_error_of_each_image(b):
    """The mean over an image's elements of (ε − ε_θ(√ᾱ_t·x₀ + √(1 − ᾱ_t)·ε, t))², one number per image."""
    signal, spread = (rows(v, b.x) for v in zip(*(b.case.exact.marginal(t) for t in b.t), strict=True))
    residual = b.y - model(signal * b.x + spread * b.y, b.t)
    want = np.array([float(np.mean(residual[i] ** 2)) for i in range(len(b.t))])
    got = simple_loss(b.case.schedule, model, b.x, b.t, b.y)
    assert got.shape == (len(b.x),)
    assert_close(got, want, 1e-9, scale=abs(want) + 1e-3)
    tensor = simple_loss(b.case.schedule, lambda x, t: Tensor(model(x, t)), b.x, b.t, b.y)
    assert isinstance(tensor, Tensor)
    assert_close(tensor.data, got, 1e-15)


def test_simple_loss_by_hand():
    """k = 1/3, 1/2, t = 2: x_t = 3/5·x₀ + 4/5·ε, so ε_θ = x_t leaves ε/5 − 3/5·x₀; x₀ = 1, ε = ±1: −2/5 and −4/5."""
    schedule = from_ks([Fraction(1, 3), Fraction(1, 2)]).schedule
    loss = simple_loss(schedule, lambda x, t: x, np.ones((1, 2)), np.array([2]), np.array([[1.0, -1.0]]))
    assert_close(loss, np.array([(4 / 25 + 16 / 25) / 2]), 1e-15)


def test_simple_loss_calls_the_model_once_at_x_t_and_t():
    calls = []
    t = np.array([7, 900])
    x = np.random.default_rng(0).standard_normal((2, 3))
    simple_loss(LINEAR, lambda x_t, t: calls.append((x_t, t)) or 0 * x_t, x, t, -x)
    assert len(calls) == 1
    assert np.array_equal(calls[0][1], t)
    a = LINEAR.alpha_bar[t][:, None]
    assert_close(calls[0][0], (np.sqrt(a) - np.sqrt(1 - a)) * x, 1e-12)


def test_simple_loss_of_perfect_and_zero_predictions():
    rng = np.random.default_rng(1)
    x, noise, t = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 2, 3)), np.array([1, 2, 500, 1000])
    assert not simple_loss(LINEAR, lambda x, t: noise, x, t, noise).any()
    assert_close(simple_loss(LINEAR, lambda x, t: 0 * x, x, t, noise), np.mean(noise**2, axis=(1, 2)), 1e-15)


def test_gradient_of_simple_loss_against_the_complex_step():
    """∂(mean loss)/∂scale by the tape, and by f(s + ih)/h with h = 1e-30, where no digit cancels."""
    rng = np.random.default_rng(2)
    x, noise, t = rng.standard_normal((5, 2, 2, 1)), rng.standard_normal((5, 2, 2, 1)), np.array([1, 3, 50, 400, 1000])
    scale = Tensor(np.array([0.7]), requires_grad=True)
    loss = simple_loss(LINEAR, lambda x, t: model(x, t, scale), x, t, noise)
    weights = rng.standard_normal(5)  # not the same for every image
    loss.backward(weights)
    h = 1e-30
    complex_loss = simple_loss(LINEAR, lambda x, t: model(x, t, 0.7 + 1j * h), x, t, noise)
    assert_close(loss.data, complex_loss.real, 1e-14)
    assert_close(scale.grad, np.array([weights @ (complex_loss.imag / h)]), 1e-13)


def test_gradient_of_simple_loss_reaches_x_0():
    """As needed where an encoder before it is trained."""
    x = np.random.default_rng(3).standard_normal((2, 3))
    t, noise = np.array([10, 600]), x[::-1].copy()
    leaf = Tensor(x, requires_grad=True)
    loss = simple_loss(LINEAR, lambda x, t: 0.5 * x, leaf, t, noise)
    loss.backward(np.ones(2))
    signal, spread = (np.sqrt(v)[:, None] for v in (LINEAR.alpha_bar[t], 1 - LINEAR.alpha_bar[t]))
    residual = noise - 0.5 * (signal * x + spread * noise)
    assert_close(leaf.grad, -2 / 3 * residual * 0.5 * signal, 1e-11)


def test_a_prediction_of_another_shape_is_refused():
    x, t = np.zeros((2, 3, 3, 1)), np.array([1, 2])
    for bad in (np.zeros((2, 3, 3, 2)), np.zeros((2, 3, 3)), np.zeros((2, 1, 1, 1))):
        for output in (bad, Tensor(bad)):
            with pytest.raises(ValueError, match=r"prediction of shape \(2, 3, 3, 1\), got"):
                simple_loss(LINEAR, lambda x, t, output=output: output, x, t, x)
