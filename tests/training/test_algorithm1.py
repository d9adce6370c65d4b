"""Algorithm 1's gradient: against its equation, by parts, and by several workers."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator
from small_run import BETAS, batch, net

from ddpm_np.autograd import ops
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.backend import get_backend
from ddpm_np.diffusion import Schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.training.adam import Adam
from ddpm_np.training.algorithm1 import gradient_of_batch
from ddpm_np.training.ema import EMA
from ddpm_np.training.sharding import AddTask, ShardedGradient, ShardTask, UpdateTask

SCHEDULE = Schedule.from_betas(BETAS)


def assert_near(found, expected, tolerance):
    """Each array within `tolerance` of the largest number in any."""
    largest = max(np.abs(g).max() for g in expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert np.max(np.abs(a - b)) <= tolerance * largest


def test_the_algorithm_written_out():
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
    assert_near(grads, gradients(expected, model.parameters()), 1e-13)


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
def test_parts_of_a_batch_add_up(ends):
    """Draws belong to images, so that a part sees the t, noise and dropout of the whole batch."""
    model, x_0 = net("float64"), batch(2, dtype=np.float64)
    loss, grads = gradient_of_batch(model, SCHEDULE, simple_loss, x_0, seed=3, step=0)
    parts = [gradient_of_batch(model, SCHEDULE, simple_loss, x_0[first:end], seed=3, step=0, first=first, batch_size=6)
             for first, end in zip([0, *ends], ends, strict=False)]
    np.testing.assert_allclose(sum(part for part, _ in parts), loss, rtol=1e-13)
    assert_near([sum(g) for g in zip(*(g for _, g in parts), strict=True)], grads, 1e-13)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("choice", ["fast", "reference"])
@pytest.mark.parametrize(("shards", "workers", "tolerance"), [
    (1, 1, 0.0), (1, 3, 0.0), (2, 1, 1e-13), (4, 2, 1e-13), (6, 4, 1e-13), (50, 1, 1e-13)])
def test_the_sharded_gradient_is_that_of_the_batch(shards, workers, tolerance, choice, labelled):
    """To the bit with one shard, else to rounding; with labels and without, by all kernels."""
    config = UNetConfig(8, 1, 8, (1, 2), 1, (4,), groups=4, dropout=0.2, num_classes=3 if labelled else None)
    model = UNet(config, dtype="float64")
    for i, p in enumerate(model.parameters()):
        p.data = generator("sharded", i).standard_normal(p.shape) * (p.size / max(p.shape[-1:], default=1)) ** -0.5
    adam = Adam(model.parameters())
    sharded = ShardedGradient(adam, EMA(model))
    for step in range(2):
        batch_of = {"seed": 5, "step": step, "labels": np.array([0, 1, 2, 2, 1, 0]) if labelled else None}
        x_0 = batch(step, dtype=np.float64)
        with ops.kernels(choice):
            loss, grads = gradient_of_batch(model, SCHEDULE, simple_loss, x_0, **batch_of)
            found, norm = sharded.gradient_of_batch(model, SCHEDULE, simple_loss, x_0, **batch_of, shards=shards,
                                                    workers=workers)
        np.testing.assert_allclose(found, loss, rtol=tolerance)
        assert_near(adam.flat.gradients, grads, tolerance)
        np.testing.assert_allclose(norm, np.sqrt(sum(np.sum(g**2) for g in grads)), rtol=1e-13)


def test_tasks_can_be_sent_to_a_process():
    """As they are, by the pipe's own way."""
    from multiprocessing.reduction import ForkingPickler

    adam = Adam(net().parameters())
    for task in (ShardTask(3, 2, 6, batch(0, 2), None, 1), AddTask((1, 2), (0, 4)),
                 UpdateTask(adam.factors(np.asarray(True), np.asarray(0.5, np.float32)), (4, 9))):
        assert len(ForkingPickler.dumps(task)) < 2_000
