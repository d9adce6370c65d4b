"""The MLP for points of a few numbers: its equation, its gradients and its training."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np import Trainer
from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import Tensor, gradients, no_grad
from ddpm_np.backend import get_backend
from ddpm_np.check.gradients.derivatives import STEP, inner, magnitude
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import MLP, MLPConfig
from ddpm_np.models.unet import time_embedding
from ddpm_np.nn import count_parameters
from ddpm_np.sampling.predictor import predictor

CONFIGS = {"two numbers in, four out": MLPConfig(width=6, depth=3, outputs=4, time_dim=4),
           "one hidden layer, three numbers": MLPConfig(dim=3, width=5, depth=1, time_dim=8)}


@pytest.fixture(params=CONFIGS, scope="module")
def case(request):
    """A net with random weights in float64, points and their t."""
    config, rng = CONFIGS[request.param], generator(request.param)
    net = MLP(config, dtype="float64")
    for p in net.parameters():
        p.data = 0.5 * rng.standard_normal(p.shape)
    return net, rng.standard_normal((4, config.dim)), np.array([1, 2, 50, 1000])


def test_the_mlp_equals_its_equation(case):
    """SiLU(h W + b + e V + c) in every layer, e being the embedding of t − 1, then a dense layer."""
    net, x, t = case
    embedding = time_embedding(t - 1, net.config.time_dim)
    h = x
    for layer in net.layers:
        a = h @ layer.linear.weight.data + layer.linear.bias.data
        a = a + embedding @ layer.time_emb_proj.weight.data + layer.time_emb_proj.bias.data
        h = a / (1 + np.exp(-a))
    want = h @ net.out.weight.data + net.out.bias.data
    assert np.abs(net(x, t).data - want).max() < 1e-14 * np.abs(want).max() + 1e-14
    assert want.shape == (4, net.config.outputs or net.config.dim)
    assert len(net.layers) == net.config.depth


@pytest.mark.parametrize("choice", ["reference", "fast"])
def test_the_gradient_of_every_parameter_and_of_the_points(case, choice):
    """⟨g, J v⟩ by the complex step, along each parameter alone and all together."""
    net, x, t = case
    rng = generator("directions")
    leaf = Tensor(x, requires_grad=True)
    g = rng.standard_normal((4, net.config.outputs or net.config.dim))
    with ops.kernels(choice):
        grads = gradients(net(leaf, t), [*net.parameters(), leaf], g)
    names = [*(name for name, _ in net.named_parameters()), "x"]
    for i in [*range(len(names)), None]:
        v = [rng.standard_normal(part.shape) if i in (j, None) else np.zeros(part.shape)
             for j, part in enumerate(grads)]
        order = iter(v)
        moved = net.clone(lambda p, order=order: Tensor(p.data + 1j * STEP * next(order)))
        out = moved(x + 1j * STEP * v[-1], t).data
        assert out.dtype == np.complex128
        forward = inner(g, out.imag / STEP)
        back = sum(inner(part, w) for part, w in zip(grads, v, strict=True))
        scale = magnitude(g, out.imag / STEP) + sum(magnitude(part, w) for part, w in zip(grads, v, strict=True))
        assert abs(forward - back) <= 1e-13 * scale, "all" if i is None else names[i]


def test_a_point_gets_the_same_bits_in_any_batch():
    model, rng = MLP(MLPConfig()), generator("batch")
    for p in model.parameters():
        p.data = 0.3 * rng.standard_normal(p.shape)
    x, t = rng.standard_normal((37, 2)).astype(np.float32), rng.integers(1, 101, 37)
    with no_grad():
        whole = model(x, t).data
        assert whole.dtype == np.float32
        for first, end in ((0, 1), (5, 30), (36, 37)):
            assert whole[first:end].tobytes() == model(x[first:end], t[first:end]).data.tobytes()
    for workers in (1, 2):
        assert predictor(model, workers=workers)(x, t).tobytes() == whole.tobytes()


def test_the_initial_output_is_small_and_depends_on_the_seed():
    x, t = np.ones((1, 2), np.float32), np.array([7])
    first, again, other = (MLP(MLPConfig(), seed=seed) for seed in (3, 3, 4))
    assert 0 < np.abs(first(x, t).data).max() < 1e-3
    assert np.array_equal(first(x, t).data, again(x, t).data)
    assert not np.array_equal(first(x, t).data, other(x, t).data)
    assert count_parameters(first) == (4 * (33 * 64) + 3 * 64 + 3 * 65 * 64 + 65 * 2, 18)
    assert abs(first.layers[0].linear.weight.data.std() - (100 * 2 / 66) ** 0.5) < 0.15


def test_training_lowers_the_loss_with_the_same_bits_for_any_workers():
    """All data are one point: the loss falls, and `predictor` takes the average."""
    x_0 = np.broadcast_to(np.float32([0.5, -1.0]), (64, 2))
    weights, losses = [], []
    for workers in (1, 2):
        trainer = Trainer(MLP(MLPConfig(width=16, depth=2)), linear_schedule(50, 0.01, 0.3), lr=1e-2, warmup=0,
                          ema=0.9, shards=2, workers=workers)
        losses = [float(trainer.step(x_0)["loss"]) for _ in range(50)]
        weights.append(trainer.flat.data.copy())
    assert np.array_equal(*weights)
    assert np.mean(losses[-5:]) < 0.2 * np.mean(losses[:5])
    assert predictor(trainer)(x_0, np.full(64, 3)).shape == (64, 2)


def test_output_and_gradients_on_a_gpu_equal_the_host(case):
    net, x, t = case
    want = gradients(net(x, t), net.parameters(), np.ones((4, net(x, t).shape[1])))
    with fake_cupy.installed(), ops.kernels("reference"):
        xp = get_backend("cupy").xp
        there = MLP(net.config, dtype="float64", backend="cupy")
        there.load_state_dict(net.state_dict())
        points, steps = xp.asarray(x), xp.asarray(t)
        fake_cupy.counts.reset()
        y = there(points, steps)
        found = gradients(y, there.parameters(), xp.ones_like(y.data))
        assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (0, 0)
        assert np.abs(xp.asnumpy(y.data) - net(x, t).data).max() < 1e-13
        for g, other in zip(want, found, strict=True):
            assert np.abs(xp.asnumpy(other) - g).max() < 1e-12


@pytest.mark.parametrize(("change", "message"), [
    ({"dim": 0}, "dim must be at least 1, got 0"), ({"width": 0}, "width must be at least 1"),
    ({"depth": -1}, "depth must be at least 1, got -1"), ({"outputs": 0}, "outputs must be at least 1"),
    ({"time_dim": 5}, "time_dim must be even and at least 4, got 5"), ({"time_dim": 2}, "even and at least 4, got 2"),
    ({"input_scale": 0.0}, r"input_scale must be positive, got 0\.0")])
def test_invalid_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        MLPConfig(**change)


def test_points_of_the_wrong_shape_are_refused():
    model = MLP(MLPConfig())
    with pytest.raises(ValueError, match=r"expected points of shape \(N, 2\), got \(4, 3\)"):
        model(np.zeros((4, 3), np.float32), np.ones(4, int))
    with pytest.raises(ValueError, match=r"one t for each point, shape \(4,\), got \(1,\)"):
        model(np.zeros((4, 2), np.float32), np.ones(1, int))
