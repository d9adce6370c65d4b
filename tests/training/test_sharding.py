"""The gradient by shards and several workers, against its definition in one process."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator
from small_run import BETAS, assert_gradients_close, batch, net

from ddpm_np.autograd import ops
from ddpm_np.diffusion import Schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.training import sharding
from ddpm_np.training.adam import Adam
from ddpm_np.training.algorithm1 import gradient_of_batch
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import accumulate, norm_by_blocks
from ddpm_np.training.sharding import AddTask, ShardedGradient, ShardTask, UpdateTask

SCHEDULE = Schedule.from_betas(BETAS)


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
            found, norm, _ = sharded.gradient_of_batch(model, SCHEDULE, simple_loss, x_0, **batch_of, shards=shards,
                                                    workers=workers)
        np.testing.assert_allclose(found, loss, rtol=tolerance)
        assert_gradients_close(adam.flat.gradients, grads, tolerance)
        np.testing.assert_allclose(norm, np.sqrt(sum(np.sum(g**2) for g in grads)), rtol=1e-13)


@pytest.mark.parametrize(("shards", "workers", "passes"), [
    (1, 1, [True]), (3, 1, [False, True]), (6, 1, [False] * 4 + [True]), (6, 2, [False, False, True]), (2, 2, [True])])
def test_squares_are_summed_once_of_the_whole_sum(monkeypatch, shards, workers, passes):
    """With one worker, the first shard is in place already: it needs no pass of its own."""
    model, x_0, asked = net(), batch(0), []
    adam = Adam(model.parameters())

    def watched(flat, addends, span, squares):
        asked.append(squares)
        return accumulate(flat, addends, span, squares)

    monkeypatch.setattr(sharding, "accumulate", watched)

    def objective(*args):  # code of others runs in threads: what processes call would not be seen
        return simple_loss(*args)

    _, norm, _ = ShardedGradient(adam, EMA(model)).gradient_of_batch(
        model, SCHEDULE, objective, x_0, seed=0, step=0, shards=shards, workers=workers)
    assert asked == passes
    assert norm.tobytes() == norm_by_blocks(adam.flat.grad).tobytes()


def test_tasks_can_be_sent_to_a_process():
    """As they are, by the pipe's own way."""
    from multiprocessing.reduction import ForkingPickler

    adam = Adam(net().parameters())
    for task in (ShardTask(3, 2, 6, batch(0, 2), None, 1), AddTask((1, 2), (0, 4), True),
                 UpdateTask(adam.factors(np.asarray(True), np.asarray(0.5, np.float32)), (4, 9))):
        assert len(ForkingPickler.dumps(task)) < 2_000
