"""Recomputation of segments in the backward pass: the same bits with less memory."""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc

import fake_cupy
import numpy as np
import pytest
from gradient_inputs import generator, leaf, own_op

from ddpm_np import Tensor, cli, no_grad
from ddpm_np.autograd import ops
from ddpm_np.autograd.op import _kernels
from ddpm_np.autograd.ops import kernels
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.recompute import recomputed, recomputing
from ddpm_np.autograd.tensor import gradients
from ddpm_np.backend import to_host
from ddpm_np.config import Config, differences
from ddpm_np.data import Batches, digits
from ddpm_np.diffusion import linear_schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import Dropout
from ddpm_np.runs import checkpoint, history
from ddpm_np.training.trainer import Trainer

SMALL = UNetConfig(8, 1, 8, (1, 2), 2, (4,), dropout=0.1, groups=4, heads=2)


def small_net(dtype="float32"):
    """Return a U-Net with weights large enough that every layer contributes to every gradient."""
    model = UNet(SMALL, dtype=dtype).train()
    for name, p in model.named_parameters():
        p.data = (0.3 * generator(name).standard_normal(p.shape)).astype(dtype)
    return model


def equal(found, expected):
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


# The same bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("choice", ["fast", "reference"])
@pytest.mark.parametrize("workers", [1, 2])
def test_training_with_recomputation_gives_the_same_bits(dtype, choice, workers):
    ends = []
    for recompute in (False, True):
        model = small_net(dtype)
        trainer = Trainer(model, linear_schedule(10), lr=1e-2, warmup=1, shards=3, workers=workers, recompute=recompute)
        with kernels(choice):
            found = [trainer.step(x_0) for x_0 in generator("data").uniform(-1, 1, (2, 5, 8, 8, 1))]
        ends.append([p.data for p in model.parameters()] + [part for step in found for part in step.values()])
    assert equal(*ends)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameter_and_image_gradients_are_the_same_bits(dtype):
    model, found = small_net(dtype), []
    for on in (False, True):
        x = leaf(3, 8, 8, 1, dtype=dtype)
        with randomness(0, 5), recomputing(on):
            loss = ops.mean(ops.square(model(x, np.array([1, 7, 9]))))
        found.append([loss.data, *gradients(loss, [x, *model.parameters()])])  # outside: what is needed is carried
    assert equal(*found)


@pytest.mark.usefixtures("one_blas_thread")
def test_recomputation_on_a_gpu_transfers_nothing_to_the_host():
    """On the strict fake of CuPy, which counts transfers."""
    with fake_cupy.installed(), kernels("reference"):
        ends = []
        for recompute in (False, True):
            trainer = Trainer(UNet(SMALL, backend="cupy"), linear_schedule(10), warmup=1, recompute=recompute)
            x_0 = trainer.backend.to_device(generator("data").uniform(-1, 1, (3, 8, 8, 1)), "float32")
            fake_cupy.counts.reset()
            trainer.step(x_0)
            assert fake_cupy.counts.transfers == 0
            ends.append([to_host(trainer.flat.data)])
    assert equal(*ends)


def branches(cut, x, w):
    """Branches of different depths that meet again, so that a gradient is a sum of several terms in a certain order."""
    def deep(h, w):
        for _ in range(5):
            h = ops.sin(h @ w) + h
        return h * x  # and one that comes from outside

    def shallow(h, w):
        return h * ops.sum_(w)

    h = ops.sin(x * 3)
    a, b, c = cut(deep)(h, w), cut(shallow)(h, w), h * h
    d = cut(lambda a, b: a * ops.silu(b) + a)(a, b)
    return ops.sum_(cut(deep)(d + c + h, w) * a * x)


def test_gradients_of_shared_tensors_accumulate_in_the_same_order():
    """Two segments share parameters, and an input enters several branches; float32 rounding reveals the order."""
    found = []
    for cut in (lambda segment: segment, recomputed):
        x, w = leaf(40, 6, dtype=np.float32), leaf(6, 6, dtype=np.float32, name="w")
        with recomputing():
            found.append(gradients(branches(cut, x, w), [x, w]))
    assert equal(*found)


def test_gradient_through_segments_against_finite_differences():
    x, w = leaf(4, 6), leaf(6, 6, name="w")
    direction = generator("direction").standard_normal(w.shape)
    with recomputing():
        slope = (gradients(branches(recomputed, x, w), [w])[0] * direction).sum()
    values = [branches(recomputed, x, Tensor(w.data + step * direction)).data for step in (1e-6, -1e-6)]
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


def test_the_second_run_repeats_the_dropout_draws_and_keeps_the_draw_counter():
    dropout, found = Dropout(0.5), []
    for on in (False, True):
        x = leaf(4, 50)
        with randomness(1, 2), recomputing(on):
            y = recomputed(lambda x: dropout(ops.sin(dropout(x))))(dropout(x))
            g = gradients(ops.sum_(y), [x])  # the count of the pass goes on after it
            found.append([y.data, *g, dropout(x).data])
    assert equal(*found)


def test_the_second_run_uses_the_kernels_and_the_tape_of_the_first():
    """Also when the gradient is requested in another thread, or without a tape there."""
    seen = []

    def segment(x):
        seen.append((_kernels.get(), threading.get_ident()))
        return x * x

    x = leaf(3)
    with kernels("reference"), recomputing():
        y = ops.sum_(recomputed(segment)(x))

    def differentiate():
        with no_grad():
            y.backward()

    thread = threading.Thread(target=differentiate)
    thread.start()
    thread.join()
    assert [choice for choice, _ in seen] == ["reference", "reference"]
    assert seen[0][1] != seen[1][1]
    np.testing.assert_array_equal(x.grad, 2 * x.data)


# What is run, and what is kept


def counted(runs):
    """An op that records its forward calls and which gradients of its two inputs are computed."""
    def define(a, b):
        runs.append("forward")

        def vjp(g):
            return (lambda: runs.append("a") or g * b), (lambda: runs.append("b") or g * a)
        return a * b, vjp

    return own_op("counted", define)


def test_only_requested_gradients_are_computed():
    runs = []
    op = recomputed(counted(runs))
    x, w = leaf(3), leaf(3, name="w")
    with recomputing():
        ops.sum_(op(Tensor(x.data), w)).backward()
        assert runs == ["forward", "forward", "b"]
        np.testing.assert_array_equal(w.grad, x.data)
        runs.clear()
        assert op(Tensor(x.data), Tensor(w.data)).node is None
        with no_grad():
            assert not op(x, w).requires_grad
        assert runs == ["forward", "forward"]
    ops.sum_(op(x, w)).backward()  # off: the one run is enough
    assert runs == ["forward", "forward", "forward", "a", "b"]


def test_a_nested_segment_is_part_of_the_outer_one():
    runs = []
    op = recomputed(counted(runs))
    x = leaf(3)
    with recomputing():
        ops.sum_(recomputed(lambda x: op(op(x, 2.0), 3.0))(x)).backward()
    assert runs.count("forward") == 4
    np.testing.assert_array_equal(x.grad, np.full(3, 6.0))


@pytest.mark.parametrize("make", [lambda: leaf(3), lambda: ops.sin(leaf(3))])
def test_a_segment_may_return_its_input(make):
    x = make()
    with recomputing():
        y = recomputed(lambda x: x)(x)
    assert y is x
    assert gradients(ops.sum_(y + x), [x]) is not None


def peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_peak_memory_is_the_segment_inputs_and_one_segment():
    """32 segments of 4 arrays each: the inputs of all segments are kept, and one segment's own arrays."""
    def segment(x):
        for _ in range(4):
            x = ops.sin(x)
        return x

    def work(on):
        x = leaf(10_000)
        with recomputing(on):
            for _ in range(32):
                x = recomputed(segment)(x)
        ops.sum_(x).backward()

    array = 80_000
    assert peak(lambda: work(False)) > 128 * array
    assert 32 * array < peak(lambda: work(True)) < 42 * array


@pytest.mark.usefixtures("one_blas_thread")
def test_a_deep_unet_needs_less_than_half_the_memory():
    config = UNetConfig(16, 1, 16, (1, 1), 4, (16,), dropout=0.1, groups=4)
    model = UNet(config).train()

    def work(on):
        x = np.zeros((4, 16, 16, 1), np.float32)
        with randomness(0, 0), recomputing(on):
            loss = ops.mean(ops.square(model(x, np.arange(1, 5))))
        gradients(loss, model.parameters())

    work(True)  # whatever is made once
    assert peak(lambda: work(True)) < 0.4 * peak(lambda: work(False))


def test_watch_is_called_once_after_the_first_run():
    kept = []

    def segment(x):
        kept.append(ops.sin(x))  # would be freed with its tape but for this
        return ops.sin(kept[-1])

    lengths = []
    with recomputing(watch=lambda: lengths.append(len(kept))):
        ops.sum_(recomputed(segment)(leaf(3))).backward()
        with no_grad():
            recomputed(segment)(leaf(3))
    assert lengths == [1]  # after the first run, and not after the second or where there is no tape


# Errors


def test_a_second_backward_through_a_segment_is_refused():
    x = leaf(3)
    with recomputing():
        y = recomputed(lambda x: ops.sin(ops.sin(x)))(x)
    y.backward(np.ones(3))
    with pytest.raises(RuntimeError, match="backward reached the same 'sin' twice"):
        y.backward(np.ones(3))


def test_a_net_that_changed_between_the_two_runs_is_an_error():
    model = small_net()
    with randomness(0, 0), recomputing():
        loss = ops.mean(model(np.zeros((1, 8, 8, 1), np.float32), np.array([1])))
    model.eval()
    with pytest.raises(RuntimeError, match="did something else in its second run: do not change the net"):
        loss.backward()


def test_recomputation_stays_on_after_an_error_in_a_segment():
    def wrong(x):
        raise ValueError("wrong")

    x, runs = leaf(3), []
    with recomputing():
        with pytest.raises(ValueError, match="wrong"):
            recomputed(wrong)(x)
        ops.sum_(recomputed(counted(runs))(x, 2.0)).backward()
    assert runs.count("forward") == 2


# Runs


def trainer_of(config, recompute):
    settings = config.training
    trainer = Trainer(UNet(config.model), linear_schedule(20), lr=1e-2, warmup=1, shards=2, workers=1,
                      recompute=recompute)
    return trainer, Batches(digits(), settings.batch_size, settings.seed)


def test_a_run_may_resume_with_recomputation(tmp_path):
    config = Config.preset("digits").replace(batch_size=4)
    config = dataclasses.replace(config, model=SMALL)
    with_it = config.replace(recompute=True)
    assert differences(config, with_it) == []
    whole, batches = trainer_of(config, False)
    list(whole.run(batches, 4))
    one, batches = trainer_of(config, False)
    list(one.run(batches, 2))
    checkpoint.save(tmp_path / "c.safetensors", one, config)
    two, batches = trainer_of(with_it, True)
    checkpoint.restore(two, checkpoint.read(tmp_path / "c.safetensors"))
    list(two.run(batches, 4))
    assert equal([p.data for p in two.model.parameters()], [p.data for p in whole.model.parameters()])


@pytest.mark.parametrize("recompute", [False, True])
def test_the_trainer_and_the_command_line_enable_recomputation(tmp_path, monkeypatch, recompute):
    """Observed inside a step: a segment runs twice with recomputation and once without."""
    runs = []

    def objective(schedule, model, x_0, t, noise):
        y = recomputed(counted(runs))(model.conv_in(x_0), 1.0)
        return simple_loss(schedule, model, x_0, t, noise) + 0 * ops.mean(y, axis=(1, 2, 3))

    monkeypatch.setattr(Config, "objective", lambda self, levels: objective)
    out = tmp_path / "run"
    small = ["model.channels=8", "model.groups=4", "T=2", "shards=1", f"recompute={str(recompute).lower()}"]
    arguments = ["train", "--steps", "1", "--batch-size", "2", "--quiet", "--out", str(out)]
    assert cli.main([*arguments, *(word for value in small for word in ("--set", value))]) == 0
    assert runs.count("forward") == 1 + recompute
    assert history.newest(out).config.training.recompute == recompute
