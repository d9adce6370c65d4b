"""Ops, the optimiser and the whole U-Net give the numbers and gradients of PyTorch and diffusers.

The libraries are compared with, never used; a library's tests are skipped where it is not installed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator
from pytorch_ops import THEIRS, conv2d, nchw, nhwc, to_torch

from ddpm_np.autograd.ops import REGISTRY, kernels
from ddpm_np.autograd.ops.examples import Example, examples
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.gradients.derivatives import differentiate, error
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.models.unet import time_embedding
from ddpm_np.nn import Module
from ddpm_np.training.adam import Adam
from ddpm_np.training.clip import clip_grad_norm
from ddpm_np.training.ema import EMA

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
F = torch.nn.functional
pytestmark = pytest.mark.peers

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
# In float32 these lose digits: images of mean 10 and spread 1, and ln Φ at x = −30, where its slope is exp(450 − 447)
TOLERANCE_OF = {("group_norm", "float32"): 4e-5, ("group_norm_silu", "float32"): 4e-5, ("log_ndtr", "float32"): 4e-5}


@pytest.mark.parametrize("choice", ["reference", "fast"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", sorted(THEIRS))
def test_ops_equal_pytorch(name, dtype, choice):
    """Values and gradients on the examples; errors relative to the largest element."""
    rng, tolerance = generator("peers", name), TOLERANCE_OF.get((name, dtype), TOLERANCE[dtype])
    for example in examples(name, rng):
        if example.empty:
            continue
        arrays = [a if a is None or a.dtype == bool else a.astype(dtype) for a in example.arrays]
        theirs = [None if a is None else to_torch(a) for a in arrays]
        expected = THEIRS[name](*theirs, *example.extra, **example.static)
        g = rng.standard_normal(expected.shape).astype(dtype)
        expected.backward(torch.from_numpy(np.array(g)))
        ours = Example(tuple(arrays), example.extra, example.static)
        with kernels(choice):
            y, grads = REGISTRY[name](*ours.inputs, **ours.static), differentiate(REGISTRY[name], ours, g)
        assert error(y, expected.detach().numpy()) <= tolerance, str(example)
        for a, b in zip(grads, theirs, strict=True):
            if a is not None:
                assert error(a, b.grad.numpy()) <= tolerance, str(example)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 1), (0, 1)), ((2, 0), (1, 3))])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
def test_convolutions_equal_pytorch(stride, padding, kernel):
    rng = generator("convolutions", stride, padding, kernel)
    arrays = (rng.standard_normal((2, 7, 6, 3)), rng.standard_normal((*kernel, 3, 4)), rng.standard_normal(4))
    static = {"stride": stride, "padding": padding}
    theirs = [to_torch(a) for a in arrays]
    expected = conv2d(*theirs, **static)
    g = rng.standard_normal(expected.shape)
    expected.backward(torch.from_numpy(g))
    ours = Example(arrays, static=static)
    assert error(REGISTRY["conv2d"](*arrays, **static), expected.detach().numpy()) <= 1e-13
    for a, b in zip(differentiate(REGISTRY["conv2d"], ours, g), theirs, strict=True):
        assert error(a, b.grad.numpy()) <= 1e-13


class Weights(Module):
    """A module with given parameters."""

    def __init__(self, weights):
        for i, p in enumerate(weights):
            setattr(self, f"p{i}", p)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("lr", "betas", "eps"), [(2e-4, (0.9, 0.999), 1e-8), (3e-2, (0.5, 0.9), 1e-3)])
def test_fifty_steps_of_adam_clip_and_ema_equal_pytorch(dtype, lr, betas, eps):
    rng = generator("adam", lr)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in [(5, 4), (3, 7)]]
    weights = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    theirs = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in arrays]
    adam, ema = Adam(weights, lr, betas, eps), EMA(Weights(weights), 0.95)
    their_adam = torch.optim.Adam(theirs, lr=lr, betas=betas, eps=eps)
    averages = torch.optim.swa_utils.AveragedModel(
        torch.nn.ParameterList(theirs), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.95))
    averages.update_parameters(torch.nn.ParameterList(theirs))  # the first call copies
    for k in range(50):
        for p, q in zip(weights, theirs, strict=True):
            g = (rng.standard_normal(p.shape) * 10.0 ** rng.integers(-3, 2)).astype(dtype)
            p.grad, q.grad = g, torch.from_numpy(g.copy())
        norm = clip_grad_norm(weights, 1.0)
        their_norm = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        assert math.isclose(float(norm), float(their_norm), rel_tol=TOLERANCE[dtype])
        for p, q in zip(weights, theirs, strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=2 * TOLERANCE[dtype])
        adam.step()
        ema.update()
        their_adam.step()
        averages.update_parameters(torch.nn.ParameterList(theirs))
        for p, q in zip(weights, theirs, strict=True):
            assert error(p.data, q.detach().numpy()) <= TOLERANCE[dtype], f"step {k}"
    for p, q in zip(ema.model.parameters(), averages.module, strict=True):
        assert error(p.data, q.detach().numpy()) <= TOLERANCE[dtype]


# The whole U-Net, against diffusers' own


NETS = {
    "asymmetric": (UNetConfig(8, 2, 8, (1, 2), 2, (4,), groups=4), {"downsample_padding": 0}),
    "symmetric, heads, flipped": (
        UNetConfig((16, 8), 3, 8, (1, 2, 2), 1, (8, 4), groups=2, heads=2, out_channels=5, norm_eps=1e-5,
                   downsample_padding="symmetric", flip_sin_to_cos=True, freq_shift=0),
        {"downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0}),
}


def diffusers_net(config, options):
    """diffusers' UNet2DModel of the same shape; options without a counterpart here stay as published."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'ddpm_np[peers]'")
    attends = [config.size[0] // 2**i in config.attention_resolutions for i in range(len(config.channel_multipliers))]
    widths = tuple(config.channels * m for m in config.channel_multipliers)
    return diffusers.UNet2DModel(**{
        "sample_size": config.size, "in_channels": config.in_channels,
        "out_channels": config.out_channels or config.in_channels, "layers_per_block": config.blocks_per_level,
        "block_out_channels": widths, "norm_num_groups": config.groups, "norm_eps": config.norm_eps,
        "down_block_types": ["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        "attention_head_dim": None if config.heads == 1 else widths[-1] // config.heads,
        "flip_sin_to_cos": False, "freq_shift": 1, "act_fn": "silu", "center_input_sample": False, **options,
    }).double().eval()


def their_layout(array):
    """(kh, kw, in, out) -> (out, in, kh, kw);   (in, out) -> (out, in)."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def our_layout(array):
    """(out, in, kh, kw) -> (kh, kw, in, out);   (out, in) -> (in, out)."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def test_weight_layouts_round_trip():
    for shape in [(3, 2, 4, 5), (4, 5), (6,)]:
        a = generator("layout", shape).standard_normal(shape)
        np.testing.assert_array_equal(our_layout(their_layout(a)), a)
        assert their_layout(a).shape == {4: (5, 4, 3, 2), 2: (5, 4), 1: (6,)}[a.ndim]


class Given(torch.nn.Module):
    """A module that returns a fixed output for any input."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, _):
        return self.output


@pytest.mark.parametrize("name", NETS)
def test_unet_output_and_gradients_equal_diffusers(name):
    """Their forward at timestep t − 1 is ours at t; the same weights have the same gradients, and so has the image.

    Their embedding of time is in float32 always; it is compared by itself, and theirs is then given ours.
    """
    config, options = NETS[name]
    theirs, rng = diffusers_net(config, options), generator("net", name)
    ours = UNet(config, dtype="float64")
    parameters, named = dict(theirs.named_parameters()), dict(ours.named_parameters())
    assert set(parameters) == set(named)
    for key, p in named.items():
        centre = 1.0 if "norm" in key and key.endswith("weight") else 0.0
        p.data = centre + rng.standard_normal(p.shape) * (0.3 if p.ndim == 1 else (p.size / p.shape[-1]) ** -0.5)
        parameters[key].data = torch.from_numpy(np.array(their_layout(p.data), order="C"))
    x = rng.standard_normal((2, *config.size, config.in_channels))
    t = np.array([1, 613])

    embedding = time_embedding(t - 1, config.channels, flip_sin_to_cos=config.flip_sin_to_cos,
                               freq_shift=config.freq_shift)
    assert error(theirs.time_proj(torch.from_numpy(t - 1)).numpy(), embedding) <= 1e-4
    theirs.time_proj = Given(torch.from_numpy(embedding))

    their_x = to_torch(x)
    expected = nhwc(theirs(nchw(their_x), torch.from_numpy(t - 1)).sample)
    g = rng.standard_normal(expected.shape)
    expected.backward(torch.from_numpy(g))

    leaf = Tensor(x, requires_grad=True)
    y = ours(leaf, t)
    *grads, gx = gradients(y, [*named.values(), leaf], g)
    assert error(y.data, expected.detach().numpy()) <= 1e-12
    assert error(gx, their_x.grad.numpy()) <= 1e-12
    scale = max(np.abs(grad).max() for grad in grads)
    for key, grad in zip(named, grads, strict=True):
        difference = np.abs(grad - our_layout(parameters[key].grad.numpy())).max()
        assert difference <= 1e-12 * max(np.abs(grad).max(), 1e-2 * scale), key
