"""Algorithm 1: a step of the Trainer against its equations, and the same bits with any number of workers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator
from small_run import BETAS, batch, bits, net

from ddpm_np.autograd.op import kernels
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.backend import get_backend
from ddpm_np.diffusion import Schedule, linear_schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.training.trainer import Trainer, TrainingDiverged


def trained(steps=4, **options):
    """(trainer after some steps, its losses and norms)."""
    trainer = Trainer(net(), Schedule.from_betas(BETAS), **{"lr": 1e-2, "warmup": 2, "ema": 0.9, **options})
    logs = [trainer.step(batch(k)) for k in range(steps)]
    return trainer, [(float(log["loss"]), float(log["grad_norm"])) for log in logs]


@pytest.mark.parametrize("choice", ["fast", "reference"])
@pytest.mark.parametrize("shards", [1, 3])
def test_three_steps_written_out(shards, choice):
    """Draws, ∇ of the mean loss, clip, warm-up, Adam, average: by hand, in float64."""
    lr, warmup, clip, decay, seed = 1e-2, 2, 0.4, 0.7, 11
    trainer = Trainer(net("float64", 0.0), Schedule.from_betas(BETAS), lr=lr, warmup=warmup, clip=clip, ema=decay,
                      seed=seed, shards=shards)
    other, device = net("float64", 0.0), get_backend("numpy")
    alpha_bar = np.cumprod(1 - BETAS)
    m, v = [0.0] * len(other.parameters()), [0.0] * len(other.parameters())
    average = [p.data.copy() for p in other.parameters()]
    for k in range(3):
        x_0 = batch(k, dtype=np.float64)
        with kernels(choice):
            log = trainer.step(x_0)
        t = device.integers(seed, "t", k, 0, 6, 1, 20)
        noise = device.normal(seed, "noise", k, 0, 6, (8, 8, 1))
        ab = alpha_bar[t - 1][:, None, None, None]
        loss = (Tensor(noise) - other(np.sqrt(ab) * x_0 + np.sqrt(1 - ab) * noise, t)) ** 2
        grads = gradients(loss.mean(), other.parameters())
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads))
        assert math.isclose(log["loss"], loss.data.mean(), rel_tol=1e-12)
        assert math.isclose(log["grad_norm"], norm, rel_tol=1e-12)
        assert norm > clip or k == 2  # the clip is met
        for i, (p, g) in enumerate(zip(other.parameters(), grads, strict=True)):
            g = g * min(1, clip / (norm + 1e-6))  # noqa: PLW2901
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            m_hat, v_hat = m[i] / (1 - 0.9 ** (k + 1)), v[i] / (1 - 0.999 ** (k + 1))
            p.data = p.data - lr * min(k / warmup, 1) * m_hat / (np.sqrt(v_hat) + 1e-8)
            average[i] = decay * average[i] + (1 - decay) * p.data
    # gradients that are 0 but for rounding, of a key's bias, are divided by ε: to nine digits after the point
    for found, p in zip(trainer.model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(found.data, p.data, rtol=1e-7, atol=1e-9)
    for found, a in zip(trainer.ema.model.parameters(), average, strict=True):
        np.testing.assert_allclose(found.data, a, rtol=1e-7, atol=1e-9)
    assert trainer.steps == 3


@pytest.mark.parametrize("choice", ["fast", "reference"])
@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_gives_the_same_bits(workers, shards, choice):
    with kernels(choice):
        one, logs = trained(shards=shards, workers=1)
        several, same = trained(shards=shards, workers=workers)
    assert logs == same
    assert bits(one) == bits(several)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    first, logs = trained(seed=3, shards=2)
    second, same = trained(seed=3, shards=2)
    other, different = trained(seed=4, shards=2)
    assert logs == same
    assert bits(first) == bits(second)
    assert bits(first)[0] != bits(other)[0]
    assert all(a != b for a, b in zip(logs, different, strict=True))


def test_shards_change_rounding_only():
    """Draws belong to images, so that shards see the t, noise and dropout of the whole batch."""
    (_, whole), (_, cut), (_, more) = trained(shards=1), trained(shards=3), trained(shards=50)
    np.testing.assert_allclose(cut, whole, rtol=2e-4)
    np.testing.assert_allclose(more, whole, rtol=2e-4)  # no more shards than images


def test_every_step_draws_new_numbers():
    trainer, logs = trained(steps=3, lr=0.0)
    again = trainer.step(batch(0))
    assert len({loss for loss, _ in logs} | {float(again["loss"])}) == 4


def test_an_error_in_a_shard_is_raised_and_changes_nothing():
    calls = []

    def objective(schedule, model, x_0, t, noise):
        calls.append(len(x_0))
        if len(calls) == 3:
            raise ZeroDivisionError("in a shard")
        return simple_loss(schedule, model, x_0, t, noise)

    for workers in (1, 2):
        calls.clear()
        trainer = Trainer(net(), Schedule.from_betas(BETAS), objective, shards=3, workers=workers)
        before = bits(trainer)
        with pytest.raises(ZeroDivisionError, match="in a shard"):
            trainer.step(batch(0))
        assert bits(trainer) == before
        assert trainer.steps == 0
        trainer.step(batch(0))
        assert trainer.steps == 1


def diverging(at, value=math.nan):
    """L_simple whose gradient is not finite in one step."""
    steps = []

    def objective(schedule, model, x_0, t, noise):
        steps.append(1)
        loss = simple_loss(schedule, model, x_0, t, noise)
        return loss * value if len(steps) == at else loss

    return objective


def test_a_step_with_a_non_finite_gradient_changes_nothing():
    trainer = Trainer(net(), Schedule.from_betas(BETAS), diverging(at=3), warmup=0, lr=1e-3, shards=1)
    for k in range(5):
        before = bits(trainer)
        log = trainer.step(batch(k))
        assert np.isfinite(float(log["grad_norm"])) == (k != 2)
        assert (bits(trainer) == before) == (k == 2)
    assert trainer.steps == 5
    assert trainer.adam.updates == 4


def test_run_logs_means_and_stops_at_the_given_step():
    batches = [(batch(k), None) for k in range(20)]
    expected = Trainer(net(), Schedule.from_betas(BETAS), warmup=4, lr=1e-3)
    logs = [expected.step(b) for b, _ in batches[:7]]
    trainer, seen = Trainer(net(), Schedule.from_betas(BETAS), warmup=4, lr=1e-3), []
    records = list(trainer.run(batches, 7, log_every=3, on_step=seen.append))
    assert [r.step for r in records] == [3, 6, 7]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    for r, part in zip(records, (logs[:3], logs[3:6], logs[6:]), strict=True):
        assert math.isclose(r.loss, np.mean([log["loss"] for log in part]), rel_tol=1e-12)
        assert math.isclose(r.grad_norm, np.mean([log["grad_norm"] for log in part]), rel_tol=1e-12)
        assert r.images_per_second > 0
    assert [r.learning_rate for r in records] == [1e-3 * 2 / 4, 1e-3, 1e-3]
    assert bits(trainer) == bits(expected)
    stopped = Trainer(net(), Schedule.from_betas(BETAS))
    assert [r.step for r in stopped.run(batches, 10, 100, on_step=lambda step: step == 2)] == [2]


def test_a_diverging_run_raises():
    trainer = Trainer(net(), Schedule.from_betas(BETAS), diverging(at=2), warmup=0, shards=1)
    with pytest.raises(TrainingDiverged, match="between steps 1 and 3 was not finite: try a smaller learning_rate"):
        list(trainer.run([(batch(k), None) for k in range(5)], 5, log_every=3))
    assert np.isfinite(trainer.flat.data).all()


def test_training_lowers_the_loss():
    schedule = linear_schedule(50, 1e-3, 0.2)
    trainer = Trainer(UNet(UNetConfig(8, 1, 8, (1, 2), 1, (), groups=4)), schedule, lr=3e-3, warmup=0)
    rng = generator("blobs")
    losses = []
    for _ in range(60):
        x_0 = np.tile(np.sign(rng.standard_normal((16, 1, 1, 1))), (1, 8, 8, 1)).astype(np.float32)
        losses.append(float(trainer.step(x_0)["loss"]))
    assert 0.9 < np.mean(losses[:3]) < 1.1  # a net that predicts 0
    assert np.mean(losses[-10:]) < 0.5


@pytest.mark.parametrize(("options", "words"), [
    ({"shards": 0}, "shards must be at least 1, got 0"),
    ({"workers": 0}, "workers must be at least 1, got 0"),
    ({"clip": 0.0}, "clip must be positive, got 0.0: or None for no clip"),
    ({"ema": 2.0}, "decay must be from 0 to 1, got 2.0"),
    ({"seed": -1}, "seed must be an int from 0"),
])
def test_invalid_settings_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Trainer(net(), linear_schedule(10), **options).step(batch(0))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="a batch needs at least one image"):
        Trainer(net(), linear_schedule(10)).step(batch(0, n=0))
