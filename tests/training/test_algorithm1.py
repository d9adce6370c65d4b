"""Algorithm 1's gradient: against its equation, and by parts of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import BETAS, assert_gradients_close, batch, net

from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.backend import get_backend
from ddpm_np.diffusion import Schedule, simple_loss
from ddpm_np.training.algorithm1 import gradient_of_batch

SCHEDULE = Schedule.from_betas(BETAS)


def test_the_gradient_of_a_batch_is_algorithm_1_written_out():
    """In float64, with the closed form of q(x_t | x₀) and dropout's own draws."""
    model, x_0, seed, step = net("float64"), batch(0, dtype=np.float64), 11, 4
    loss, grads = gradient_of_batch(model, SCHEDULE, simple_loss, x_0, seed=seed, step=step)
    device = get_backend("numpy")
    t = device.integers(seed, "t", step, 0, 6, 1, 20)
    noise = device.normal(seed, "noise", step, 0, 6, (8, 8, 1))
    signal = np.cumprod(1 - BETAS)[t - 1][:, None, None, None]
    with randomness(seed, step):
        expected = ((Tensor(noise) - model(np.sqrt(signal) * x_0 + np.sqrt(1 - signal) * noise, t)) ** 2).mean()
    assert loss.shape == ()
    np.testing.assert_allclose(loss, expected.data, rtol=1e-13)
    assert_gradients_close(grads, gradients(expected, model.parameters()), 1e-13)


def test_gradients_are_written_into_arrays():
    model = net()
    into = [np.full(p.shape, 7, np.float32) for p in model.parameters()]
    loss, written = gradient_of_batch(model, SCHEDULE, simple_loss, batch(1), seed=1, step=2, into=into)
    again, grads = gradient_of_batch(model, SCHEDULE, simple_loss, batch(1), seed=1, step=2, recompute=True)
    assert loss == again
    for a, b, c in zip(into, written, grads, strict=True):
        assert a is b
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("ends", [[6], [1, 6], [2, 3, 6]])
def test_gradients_of_parts_sum_to_that_of_the_batch(ends):
    """Draws belong to images, so that a part sees the t, noise and dropout of the whole batch."""
    model, x_0 = net("float64"), batch(2, dtype=np.float64)
    loss, grads = gradient_of_batch(model, SCHEDULE, simple_loss, x_0, seed=3, step=0)
    parts = [gradient_of_batch(model, SCHEDULE, simple_loss, x_0[first:end], seed=3, step=0, first=first, batch_size=6)
             for first, end in zip([0, *ends], ends, strict=False)]
    np.testing.assert_allclose(sum(part for part, _ in parts), loss, rtol=1e-13)
    assert_gradients_close([sum(g) for g in zip(*(g for _, g in parts), strict=True)], grads, 1e-13)
