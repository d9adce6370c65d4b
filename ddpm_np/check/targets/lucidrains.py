"""denoising-diffusion-pytorch (by lucidrains) as a target: `GaussianDiffusion` and `LearnedGaussianDiffusion`.

`TARGETS` holds a factory for each. An adapter converts arrays and injects the noise that a sampler would draw. Their
timestep 0 is the paper's t = 1 and their tables are float32; both are declared. Their `p_sample` always clips x̂₀, and
their σ_t² is always β̃_t: the adapters do not support other options.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.peers import by_step, imported, tensor

PACKAGE = "denoising_diffusion_pytorch"


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Allow importing the library without torchvision, which it uses only to read and write images.

    If torchvision is not installed, empty modules replace it while the context is open.
    """
    try:
        imported("torchvision", "torchvision")
    except (ImportError, RuntimeError):  # not there, or built for another PyTorch
        names = ("torchvision", "torchvision.transforms", "torchvision.utils")
        empty = {name: ModuleType(name) for name in names}
        empty["torchvision"].__dict__.update(transforms=empty[names[1]], utils=empty[names[2]])
        sys.modules.update(empty)
        try:
            yield
        finally:
            for name in names:
                del sys.modules[name]
    else:
        yield


@cache
def library(module: str) -> ModuleType:
    """Import one of the library's modules."""
    imported("torch", "PyTorch")
    with _without_torchvision():
        return imported(f"{PACKAGE}.{module}", "denoising-diffusion-pytorch")


def net(outputs: int) -> Any:
    """Return a net in the library's form, for images of one channel, whose output its attribute `answer` computes."""
    torch: Any = imported("torch", "PyTorch")

    class Net(torch.nn.Module):
        channels, out_dim, self_condition = 1, outputs, False
        random_or_learned_sinusoidal_cond = False
        answer: Callable[[Any, Any], Any]

        def forward(self, x: Any, t: Any, x_self_cond: Any = None) -> Any:
            return self.answer(x, t)

    return Net()


class Gaussian:
    """The adapter for `GaussianDiffusion`, for one schedule."""

    conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32", "first_variance": "posterior"}

    def __init__(self, betas: np.ndarray):
        self._module = library(PACKAGE)
        self._betas = betas
        self.diffusion = self._made(self._module.GaussianDiffusion, 1, "pred_noise")

    def _made(self, kind: Any, outputs: int, objective: str) -> Any:
        """Build an object of the library for this schedule, in place of "linear": it takes schedules by name only."""
        with patch.object(self._module, "linear_beta_schedule", lambda timesteps: tensor(self._betas)):
            return kind(net(outputs), image_size=1, timesteps=len(self._betas), beta_schedule="linear",
                        objective=objective, auto_normalize=False)

    def alpha_bar(self) -> np.ndarray:
        """Return ᾱ_t with the data's 1 in front of the library's table, which starts at the first step."""
        return np.concatenate(([1.0], self.diffusion.alphas_cumprod.numpy()))

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.diffusion.q_sample(tensor(x_0), tensor(t), tensor(noise)).numpy()

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance, _ = self.diffusion.q_posterior(tensor(x_0), tensor(x_t), tensor(t))
        return mean.numpy(), variance.expand_as(mean).numpy()

    def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        return self.diffusion.posterior_log_variance_clipped[tensor(t)].numpy()

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.diffusion.predict_start_from_noise(tensor(x_t), tensor(t), tensor(eps)).numpy()

    def predict_eps(self, x_t: np.ndarray, t: np.ndarray, x_0: np.ndarray) -> np.ndarray:
        return self.diffusion.predict_noise_from_start(tensor(x_t), tensor(t), tensor(x_0)).numpy()

    def velocity(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.diffusion.predict_v(tensor(x_0), tensor(t), tensor(noise)).numpy()

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.diffusion.predict_start_from_v(tensor(x_t), tensor(t), tensor(v)).numpy()

    def eps_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the ε that the library derives from a net that predicts v."""
        diffusion = self._made(self._module.GaussianDiffusion, 1, "pred_v")
        diffusion.model.answer = lambda *asked: tensor(v)
        return diffusion.model_predictions(tensor(x_t), tensor(t)).pred_noise.numpy()

    def _asking(self, model: Model) -> Any:
        self.diffusion.model.answer = lambda x, t: tensor(model(x.numpy(), t.numpy()))
        return self.diffusion

    def _saying(self, eps: np.ndarray) -> Any:
        return self._asking(lambda x, t: eps)

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if variance != "small":
            raise NotImplementedError("σ_t² is always β̃_t")
        mean, sigma2, _, x_0 = self._asking(model).p_mean_variance(tensor(x_t), tensor(t), clip_denoised=clip)
        return mean.numpy(), sigma2.expand_as(mean).numpy(), x_0.numpy()

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        """Take a step, grouping images by t, since the library's step has one t for a batch."""
        if variance != "small" or not clip:
            raise NotImplementedError("σ_t² is always β̃_t, and x̂₀ always clipped")
        eps, result = model(x_t, t), np.empty_like(x_t)
        for step, here in by_step(t):
            diffusion = self._saying(eps[here])
            with patch.object(imported("torch", "PyTorch"), "randn_like", return_value=tensor(noise[here])):
                result[here] = diffusion.p_sample(tensor(x_t[here]), step)[0].numpy()
        return result

    def timesteps(self, n: int) -> list[int]:
        """Return the steps of `ddim_sample`, read off the pairs (t, t_prev) that it passes to its progress bar."""
        pairs: list[tuple[int, int]] = []

        def walked(items: list[tuple[int, int]], **options: Any) -> tuple[()]:
            pairs.extend(items)
            return ()

        self.diffusion.sampling_timesteps = n
        with patch.object(self._module, "tqdm", walked):
            self.diffusion.ddim_sample((1, 1, 1, 1))
        return [step for step, _ in pairs]

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the loss; arrays are reshaped to (N, C, H, W), which the library requires."""
        x, z = (tensor(a.reshape(len(a), -1, 1, 1)) for a in (x_0, noise))
        diffusion = self._asking(lambda x_t, t: model(x_t.reshape(x_0.shape), t).reshape(x.shape))
        return diffusion.p_losses(x, tensor(t), z, loss_reduction="none").numpy()

    def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw t from PyTorch's global generator, seeded from `rng`."""
        torch = imported("torch", "PyTorch")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            return self.diffusion.random_times(n).numpy()

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        return self._module.SinusoidalPosEmb(dim)(tensor(t)).numpy()

    def schedule(self, name: str, T: int) -> np.ndarray:
        names = {"linear": "linear_beta_schedule", "cosine": "cosine_beta_schedule"}
        if name not in names:
            raise NotImplementedError(name)
        return getattr(self._module, names[name])(T).numpy()


class Learned:
    """The adapter for `LearnedGaussianDiffusion`, for one schedule: Σ_θ and the terms of its bound."""

    conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32"}

    def __init__(self, betas: np.ndarray):
        self._module = library("learned_gaussian_diffusion")
        self.diffusion = Gaussian(betas)._made(self._module.LearnedGaussianDiffusion, 2, "pred_noise")

    def learned_range_variance(self, v: np.ndarray, t: np.ndarray) -> np.ndarray:
        flat = v.reshape(len(v), -1)
        output = np.concatenate((0 * flat, flat), axis=1)  # the net's output: ε and v
        found = self.diffusion.p_mean_variance(x=tensor(0 * flat), t=tensor(t), clip_denoised=False,
                                               model_output=tensor(output))
        return found[1].numpy().reshape(v.shape)

    def kl(self, mean1: np.ndarray, logvar1: np.ndarray, mean2: np.ndarray, logvar2: np.ndarray) -> np.ndarray:
        return self._module.normal_kl(*map(tensor, (mean1, logvar1, mean2, logvar2))).numpy()

    def decoder_log_likelihood(self, x_0: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
        return self._module.discretized_gaussian_log_likelihood(
            tensor(x_0), means=tensor(mean), log_scales=tensor(log_scale)).numpy()


TARGETS: dict[str, Callable[[np.ndarray], Any]]


def __getattr__(name: str) -> Any:
    """Return `TARGETS`, {name: factory}, made at its first use so that only then the library is imported."""
    if name != "TARGETS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library(PACKAGE)
    return {"GaussianDiffusion": Gaussian, "LearnedGaussianDiffusion": Learned}
