"""Nets that diffusers made, opened here: the same numbers, the same training, the same images from one noise.

What its schedulers do is in test_parity_samplers.py. Compared with, never used: where a library is absent, its tests
are skipped.
"""

from __future__ import annotations

import inspect
import json
from importlib import import_module

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np import Trainer
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.gradients.derivatives import error
from ddpm_np.config import DiffusionConfig
from ddpm_np.data import open_dataset
from ddpm_np.diffusion import Reverse, ancestral, last, linear_schedule
from ddpm_np.interop.diffusers import load_pipeline, load_unet, save_pipeline, save_unet
from ddpm_np.interop.keys import SCHEDULER, UNET
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.models.unet import time_embedding
from ddpm_np.nn import Linear
from ddpm_np.sampling.predictor import predictor
from ddpm_np.training.adam import Adam
from ddpm_np.training.ema import EMA

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'ddpm_np[peers]'")
pytestmark = pytest.mark.peers

TOLERANCE = {"float64": 2e-13, "float32": 1e-5}


def to_theirs(images):
    """(N, H, W, C) -> a tensor (N, C, H, W)."""
    return torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))


def to_ours(images):
    """A tensor (N, C, H, W) -> (N, H, W, C)."""
    return images.detach().numpy().transpose(0, 2, 3, 1)


def in_our_layout(name, tensor):
    """(out, in, kh, kw) -> (kh, kw, in, out);   (out, in) -> (in, out), but for the labels' (K, D)."""
    array = tensor.detach().numpy()
    return array if name == "class_embedding.weight" else array.transpose({4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[
        array.ndim])


# Nets: the configurations of published ones, made narrow; where a key is not given, the library's default counts


def kinds(levels, attending=()):
    """The blocks of so many levels, some of them with attention."""
    down = ["AttnDownBlock2D" if i in attending else "DownBlock2D" for i in range(levels)]
    return {"down_block_types": down, "up_block_types": [kind.replace("Down", "Up") for kind in reversed(down)]}


PAPER = {"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "attention_head_dim": None,
         "norm_eps": 1e-6, "norm_num_groups": 8}
NETS = {
    "ddpm-cifar10-32": {**PAPER, **kinds(4, {1}), "sample_size": 32, "block_out_channels": (16, 32, 32, 32)},
    "ddpm-celebahq-256": {**PAPER, **kinds(6, {4}), "sample_size": 32, "block_out_channels": (8, 8, 16, 16, 32, 32)},
    "their training example": {**kinds(6, {4}), "sample_size": 32, "layers_per_block": 2,
                               "block_out_channels": (32, 32, 64, 64, 128, 128)},
    "their default blocks": {"sample_size": 16, "block_out_channels": (8, 16, 24, 32), "norm_num_groups": 4},
    "1.5 times as wide": {**kinds(2, {0}), "sample_size": 8, "block_out_channels": (16, 24), "norm_num_groups": 8,
                          "in_channels": 2, "out_channels": 5, "layers_per_block": 1},
    "not square": {**kinds(3, {0, 2}), "sample_size": (24, 8), "block_out_channels": (8, 16, 16), "norm_num_groups": 2,
                   "layers_per_block": 1, "act_fn": "swish"},
    "odd at the bottom": {**kinds(3, {2}), "sample_size": 12, "block_out_channels": (8, 8, 16), "norm_num_groups": 4,
                          "downsample_padding": 0},
    "one odd level": {**kinds(1, {0}), "sample_size": (7, 5), "block_out_channels": (16,), "norm_num_groups": 4,
                      "dropout": 0.3},
    "labels": {**PAPER, **kinds(2), "sample_size": 8, "block_out_channels": (16, 32), "in_channels": 1,
               "out_channels": 1, "num_class_embeds": 7, "layers_per_block": 1},
}


class OurEmbedding(torch.nn.Module):
    """Our embedding of their timesteps: theirs is in float32 always."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, timesteps):
        c = self.config
        return torch.from_numpy(time_embedding(timesteps.numpy(), c.block_out_channels[0], freq_shift=c.freq_shift,
                                               flip_sin_to_cos=c.flip_sin_to_cos))


def their_net(name, dtype):
    """Their net with random weights, none of them 0, in evaluation mode."""
    net, rng = diffusers.UNet2DModel(**NETS[name]).to(getattr(torch, dtype)).eval(), generator("parity", name)
    for key, p in net.named_parameters():
        centre = 1.0 if "norm" in key and key.endswith("weight") else 0.0
        spread = 0.3 if p.ndim == 1 else (p.numel() / p.shape[0]) ** -0.5
        p.data = torch.from_numpy(centre + spread * rng.standard_normal(p.shape)).to(p.dtype)
    return net


def some_inputs(config, dtype):
    """x, t and labels (None where the net has none), of two images."""
    rng = generator("inputs", config.size)
    labels = None if config.num_classes is None else np.array([config.num_classes - 1, 0])
    return rng.standard_normal((2, *config.size, config.in_channels)).astype(dtype), np.array([2, 613]), labels


def ask(theirs, x, t, labels):
    """Their net at our t."""
    return theirs(x, torch.from_numpy(t - 1), None if labels is None else torch.from_numpy(labels)).sample


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NETS)
def test_a_net_opened_here_has_their_output_and_gradients(name, dtype, tmp_path):
    """Forward, and the gradients of the image and of each parameter; theirs at timestep t − 1 is ours at t.

    Theirs are computed in float64 either way: in float32 they are further from that than ours are.
    """
    theirs = their_net(name, dtype)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(NETS[name]))  # without the defaults, as old ones are
    theirs.double()
    ours = load_unet(tmp_path, dtype=dtype).eval()
    x, t, labels = some_inputs(ours.config, dtype)

    own = theirs.time_proj(torch.from_numpy(t - 1)).numpy()
    theirs.time_proj = OurEmbedding(theirs.config)
    assert error(own, theirs.time_proj(torch.from_numpy(t - 1)).numpy()) <= 3e-5
    their_x = to_theirs(x).double().requires_grad_()
    expected = ask(theirs, their_x, t, labels)
    g = generator("cotangent", name).standard_normal((2, *ours.config.size, expected.shape[1])).astype(dtype)
    expected.backward(to_theirs(g).double())

    leaf, named = Tensor(x, requires_grad=True), dict(ours.named_parameters())
    y = ours(leaf, t) if labels is None else ours(leaf, t, labels)
    *grads, gx = gradients(y, [*named.values(), leaf], g)
    wanted = {key.removesuffix(".weight") if key == "class_embedding.weight" else key: in_our_layout(key, p.grad)
              for key, p in theirs.named_parameters()}
    assert set(named) == set(wanted)
    floor = 1e-2 * max(np.abs(grad).max() for grad in wanted.values())  # some are 0 but for rounding
    found = {"the output": error(y.data, to_ours(expected)), "the image": error(gx, to_ours(their_x.grad)),
             **{key: error(grad, wanted[key], floor) for key, grad in zip(named, grads, strict=True)}}
    worst = max(found, key=found.get)
    assert y.dtype == gx.dtype == np.dtype(dtype)
    assert found[worst] <= TOLERANCE[dtype], worst


@pytest.mark.parametrize("name", NETS)
def test_their_float32_net_gives_the_same_output(name, tmp_path):
    """Their own embedding of time, in float32."""
    theirs = their_net(name, "float32")
    theirs.save_pretrained(tmp_path)
    ours = load_unet(tmp_path)
    x, t, labels = some_inputs(ours.config, "float32")
    with torch.no_grad():
        expected = to_ours(ask(theirs, to_theirs(x), t, labels))
    eps = predictor(ours)
    assert error(eps(x, t) if labels is None else eps(x, t, labels), expected) <= 1e-5


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NETS)
def test_loading_and_saving_their_net_changes_no_bit(name, dtype, tmp_path):
    theirs = their_net(name, dtype)
    theirs.save_pretrained(tmp_path / "theirs")
    save_unet(load_unet(tmp_path / "theirs", dtype=dtype), tmp_path / "ours")
    again = diffusers.UNet2DModel.from_pretrained(tmp_path / "ours", torch_dtype=getattr(torch, dtype))
    weights, expected = again.state_dict(), theirs.state_dict()
    assert weights.keys() == expected.keys()
    for key, weight in weights.items():
        assert torch.equal(weight, expected[key]), key
        assert weight.dtype == expected[key].dtype, key

    def settings(net):
        found = {key: value for key, value in net.config.items() if not key.startswith("_")}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}

    same = {"swish": "silu"}  # two names of one function
    assert settings(again) == {key: same.get(value, value) if isinstance(value, str) else value
                               for key, value in settings(theirs).items()}


def test_missing_keys_take_the_librarys_defaults():
    """Of a net and of both schedulers."""
    def defaults(kind):
        return {name: p.default for name, p in inspect.signature(kind).parameters.items()}

    assert defaults(diffusers.UNet2DModel) == UNET.defaults
    of_both = {**defaults(diffusers.DDPMScheduler), **defaults(diffusers.DDIMScheduler)}
    assert of_both == {**of_both, **defaults(diffusers.DDPMScheduler)} == SCHEDULER.defaults


def test_their_shards_and_their_old_pickles(tmp_path):
    """Several files with an index open; a pickle is refused."""
    theirs = their_net("their training example", "float32")
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="2MB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    named = dict(load_unet(tmp_path / "shards").named_parameters())
    for key, p in theirs.named_parameters():
        np.testing.assert_array_equal(named[key].data, in_our_layout(key, p))
    theirs.save_pretrained(tmp_path / "pickle", safe_serialization=False)
    with pytest.raises(ValueError, match="is a pickle"):
        load_unet(tmp_path / "pickle")


# Training


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("warmup", "wait"), [(20, 0), (0, -1)])
def test_fifty_steps_with_warm_up_and_their_average(dtype, warmup, wait):
    """Their average of decay 0.95 from the first update on.

    In their first step the average becomes the weights, which with warm-up are still those of the start; without,
    they must be told to begin one step earlier.
    """
    rng = generator("warm-up", warmup)
    net = Linear(5, 4).initialise(1, dtype)
    adam, ema = Adam(net.parameters(), 1e-2, warmup=warmup), EMA(net, 0.95)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in net.parameters()]
    their_adam = torch.optim.Adam(theirs, lr=1e-2)
    rates = diffusers.optimization.get_constant_schedule_with_warmup(their_adam, warmup)
    average = diffusers.training_utils.EMAModel(theirs, decay=0.95, min_decay=0.95, update_after_step=wait)
    for k in range(50):
        for p, q in zip(net.parameters(), theirs, strict=True):
            p.grad = rng.standard_normal(p.shape).astype(dtype)
            q.grad = torch.from_numpy(p.grad.copy())
        assert float(adam.rate()) == pytest.approx(rates.get_last_lr()[0], rel=1e-15)
        adam.step()
        ema.update()
        their_adam.step()
        rates.step()
        average.step(theirs)
        for p, q, mean, their_mean in zip(net.parameters(), theirs, ema.model.parameters(), average.shadow_params,
                                          strict=True):
            assert error(p.data, q.detach().numpy()) <= TOLERANCE[dtype] / 10, f"step {k}"
            assert error(mean.data, their_mean.numpy()) <= TOLERANCE[dtype] / 10, f"step {k}"


def test_their_average_has_another_decay_unless_told():
    """By default it begins as the weights after the first update, and the decay rises: (1 + k)/(10 + k)."""
    p = torch.nn.Parameter(torch.zeros(1))
    average = diffusers.training_utils.EMAModel([p], decay=0.9999)
    decays = []
    for _ in range(4):
        average.step([p])
        decays.append(average.cur_decay_value)
    assert decays == [0.0, 2 / 11, 3 / 12, 4 / 13]


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("name", ["1.5 times as wide", "not square"])
def test_twenty_steps_of_training_are_theirs(name, shards, tmp_path):
    """Algorithm 1 by the Trainer and by PyTorch's parts, on the same data, t and noise: loss for loss."""
    steps, n, T, lr, warmup, decay = 20, 6, 100, 2e-3, 8, 0.9
    theirs = diffusers.UNet2DModel(**{**NETS[name], "out_channels": NETS[name].get("in_channels", 3)}).double()
    rng = generator("training", name)
    for p in theirs.parameters():
        p.data += torch.from_numpy(0.1 * rng.standard_normal(p.shape))
    theirs.save_pretrained(tmp_path)
    theirs.time_proj = OurEmbedding(theirs.config)
    schedule = linear_schedule(T, 1e-3, 0.1)
    scheduler = diffusers.DDPMScheduler(T)
    scheduler.alphas_cumprod = torch.from_numpy(schedule.alpha_bar[1:].copy())

    trainer = Trainer(load_unet(tmp_path, dtype="float64"), schedule, lr=lr, warmup=warmup, clip=1.0, ema=decay,
                      seed=11, shards=shards, workers=1)
    optimiser = torch.optim.Adam(theirs.parameters(), lr=lr)
    rates = diffusers.optimization.get_constant_schedule_with_warmup(optimiser, warmup)
    average = diffusers.training_utils.EMAModel(theirs.parameters(), decay=decay, min_decay=decay)
    shape = (*trainer.model.config.size, trainer.model.config.in_channels)
    norms = []
    for k in range(steps):
        x_0 = generator("images", name, k).uniform(-1, 1, (n, *shape))
        t = trainer.backend.integers(trainer.seed, "t", k, 0, n, 1, T)
        noise = to_theirs(trainer.backend.normal(trainer.seed, "noise", k, 0, n, shape, "float64"))
        ours = trainer.step(x_0)

        timesteps = torch.from_numpy(t - 1)
        x_t = scheduler.add_noise(to_theirs(x_0), noise, timesteps)
        loss = torch.nn.functional.mse_loss(theirs(x_t, timesteps).sample, noise)
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)))
        optimiser.step()
        rates.step()
        average.step(theirs.parameters())
        assert float(ours["loss"]) == pytest.approx(loss.item(), rel=1e-12), f"step {k}"
        assert float(ours["grad_norm"]) == pytest.approx(norms[-1], rel=1e-12), f"step {k}"

    assert max(norms) > 1.0  # the clip has had something to do
    named = dict(trainer.model.named_parameters())
    averaged = dict(trainer.ema.model.named_parameters())
    for (key, p), mean in zip(theirs.named_parameters(), average.shadow_params, strict=True):
        assert error(named[key].data, in_our_layout(key, p)) <= 2e-11, key
        assert error(averaged[key].data, in_our_layout(key, mean)) <= 2e-11, key


# Images


@pytest.fixture(scope="module")
def trained():
    """A tiny net after a few steps on digits: the average of its weights."""
    trainer = Trainer(UNet(UNetConfig(8, 1, 16, (1, 2), 1, (4,), groups=4)), linear_schedule(50, 1e-3, 0.2), lr=2e-3,
                      warmup=0, ema=0.9, workers=1)
    digits = open_dataset("digits")
    for k in range(30):
        trainer.step(digits.scaled(np.arange(32 * k, 32 * (k + 1))))
    return trainer.ema.model


@pytest.mark.parametrize("variance", ["large", "small"])
def test_what_is_trained_here_draws_the_same_images_there(trained, variance, tmp_path, monkeypatch):
    """Their pipeline with our noise, over all its timesteps."""
    diffusion = DiffusionConfig(T=50, beta_start=1e-3, beta_end=0.2, variance=variance)
    save_pipeline(trained, diffusion, tmp_path)
    pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    x_T, *noises = generator("images").standard_normal((diffusion.T, 4, 8, 8, 1)).astype(np.float32)

    draws = iter([to_theirs(noise) for noise in [x_T, *noises]])  # of x_T, and of the steps T, …, 2
    for module in ("pipelines.ddpm.pipeline_ddpm", "schedulers.scheduling_ddpm"):
        monkeypatch.setattr(import_module(f"diffusers.{module}"), "randn_tensor", lambda *_, **__: next(draws))
    theirs = pipeline(batch_size=4, num_inference_steps=diffusion.T, output_type="np").images
    assert next(draws, None) is None

    net, found = load_pipeline(tmp_path)
    assert found == diffusion
    reverse = Reverse(found.build(), predictor(net), found.predicts, found.variance, found.clip_sample)
    x_0 = last(ancestral(reverse, x_T, lambda t: noises[diffusion.T - t]))
    ours = np.clip(x_0 / 2 + 0.5, 0, 1)
    assert ours.dtype == theirs.dtype == np.float32
    assert np.abs(ours - theirs).max() <= 5e-6
    assert np.mean(np.round(255 * ours) != np.round(255 * theirs)) <= 0.005
    assert ours.std() > 0.1  # neither grey nor noise alone
