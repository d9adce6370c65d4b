"""The fused update against its definitions: Adam as the paper has it, the clip, and the average, one by one."""

from __future__ import annotations

import device_checks as checks
import fake_cupy
import numpy as np
import pytest
from gradient_inputs import generator
from small_run import bits_of, leaves

from ddpm_np.autograd import ops
from ddpm_np.autograd.op import kernels
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import get_backend
from ddpm_np.nn import Linear
from ddpm_np.training import adam as adam_module
from ddpm_np.training import trainer as trainer_module
from ddpm_np.training.adam import Adam
from ddpm_np.training.clip import clip_scale
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import accumulate, norm_by_blocks, norm_from_squares
from ddpm_np.training.fused_update import fused_update


def close(found, expected, tolerance):
    """Within `tolerance` of the largest number."""
    assert found.dtype == expected.dtype
    assert np.max(np.abs(found - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("draw", range(25))
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_the_fused_update_is_adam_step(dtype, tolerance, draw):
    """Any rates, sizes of gradients, scale and warm-up; updates that do not count change not a bit of either."""
    rng = generator("fused", draw)
    shapes = [tuple(rng.integers(1, 6, rng.integers(0, 4))) for _ in range(rng.integers(1, 5))]
    if draw == 0:
        shapes = [(70_001,), (3,)]  # several blocks
    options = {"lr": 10.0 ** rng.uniform(-4, 0), "betas": (rng.choice([0.0, 0.5, 0.9]), rng.uniform(0.5, 0.9999)),
               "eps": 10.0 ** rng.uniform(-8, 0), "warmup": int(rng.integers(0, 6))}
    fused, plain = (Adam(leaves(dtype, shapes), **options) for _ in range(2))
    for _ in range(8):
        g = (rng.standard_normal(fused.m.size) * 10.0 ** rng.integers(-3, 3, fused.m.size)).astype(dtype)
        scale = None if rng.random() < 0.3 else np.asarray(rng.uniform(0.1, 1), dtype)
        ok = np.asarray(rng.random() < 0.7)
        if not ok and rng.random() < 0.7:
            g[rng.integers(g.size)] = rng.choice([np.nan, np.inf, -np.inf])
        before = bits_of(fused), bits_of(plain)
        for adam, choice in ((fused, "fast"), (plain, "reference")):
            adam.flat.grad[...] = g
            with kernels(choice):
                adam.update(ok, scale)
        if not ok:
            assert (bits_of(fused), bits_of(plain)) == before
        for found, expected in ((fused.m, plain.m), (fused.v, plain.v), (fused.flat.data, plain.flat.data)):
            close(found, expected, tolerance)
        assert fused.updates == plain.updates


@pytest.mark.parametrize("spans", [[None], [(0, 5), (5, 13)], [(0, 1), (1, 12), (12, 13)]], ids=len)
def test_one_pass_for_norm_adam_and_average_is_the_passes_one_by_one(spans):
    """In any spans of blocks, to the bit."""
    size = 400_003
    first, second = (generator("fused").standard_normal(size).astype(np.float32) for _ in range(2))
    layers = [Linear(1, size) for _ in range(2)]
    for layer in layers:
        layer.weight, layer.bias = (Tensor(np.full(n, 0.5, np.float32), requires_grad=True) for n in (size - 1, 1))
    (one, other), averages = [Adam(layer.parameters(), lr=0.1) for layer in layers], [EMA(x, 0.9) for x in layers]

    def update(ok):
        factors = other.factors(ok, scale, averages[1])
        for span in spans:
            fused_update(other.flat, other.m, other.v, factors, averages[1], span)
        other.count(ok)

    for k in range(3):
        one.flat.grad[...] = first + second
        norm = norm_by_blocks(one.flat.grad)
        scale = clip_scale(norm, 0.5, np.float32)[0]
        one.flat.grad *= scale
        one.update(np.asarray(True))
        averages[0].update()
        other.flat.grad[...] = first
        assert norm_from_squares([x for span in spans for x in accumulate(other.flat.grad, [second], span)]) == norm
        update(np.asarray(True))
        assert bits_of(one) == bits_of(other), k
        assert averages[0].data.tobytes() == averages[1].data.tobytes()
    before = bits_of(other)
    other.flat.grad[size // 2] = np.nan
    update(np.asarray(False))
    assert bits_of(other) == before
    assert averages[0].data.tobytes() == averages[1].data.tobytes()


@pytest.fixture
def device(monkeypatch):
    """A fake CuPy, with the definitions of ops but with the fused update, as on a GPU."""
    for module in (adam_module, trainer_module):
        monkeypatch.setattr(module, "chosen_kernels", lambda: "fast")
    with fake_cupy.installed(), ops.kernels("reference"):
        yield get_backend("cupy")


@pytest.mark.parametrize(("dtype", "steps", "tolerance"), [("float64", 3, 1e-11), ("float32", 2, 1e-3)])
def test_the_fused_update_on_a_gpu_equals_the_host(device, dtype, steps, tolerance):
    checks.check_training(device, tolerance, steps=steps, dtype=dtype)


def test_the_fused_update_on_a_gpu_transfers_nothing_to_the_host(device):
    trainer = checks.make_trainer(device)
    trainer.step(checks.batch(0))
    fake_cupy.counts.reset()
    trainer.step(device.to_device(checks.batch(1)))
    assert (fake_cupy.counts.uploads, fake_cupy.counts.transfers) == (1, 0)
    checks.check_non_finite_step(device)
