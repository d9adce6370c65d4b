"""Adapters of repositories whose code is a module to train and a loop to sample: Algorithms 1 and 2 as classes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.targets.checkouts import load, package
from ddpm_np.check.targets.noise import asking, drawing, images, net
from ddpm_np.check.targets.peers import tensor
from ddpm_np.check.targets.stubs import Inert
from peers.adapter import Peer, Steps, chain, each, fitting, keeping, seeded, steps_of, torch

Factory = Callable[[np.ndarray], Any]


class Trained(Peer):
    """A trainer whose ``forward(x_0)`` draws t and ε, asks the net, and returns the loss of every element."""

    trainer: Any

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return what the net gets in the loss."""
        asked: list[Any] = []
        self.net.answer = keeping(asked, 0)
        with drawing(images(noise)), steps_of(t):
            self.trainer(images(x_0))
        return asked[0].numpy().reshape(x_0.shape)

    def simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        self.net.answer = asking(model, x_0.shape)
        with drawing(images(noise)), steps_of(t):
            return self.trainer(images(x_0)).reshape(len(x_0), -1).mean(1).numpy()

    def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        asked: list[Any] = []
        self.net.answer = keeping(asked, 1)
        seeded(rng, lambda: self.trainer(torch.zeros(n, 1)))
        return asked[0].numpy()


def w86763777(folder: Path) -> Factory:
    """w86763777/pytorch-ddpm: `torch.clip` is left out where x̂₀ is not to be clipped."""
    module = load(folder / "diffusion.py", "w86763777")

    class Adapter(Trained):
        conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32"}

        def made(self) -> None:
            with self.linspace():
                self.trainer = module.GaussianDiffusionTrainer(self.net, 0, 0, self.T)
                self.samplers = {variance: module.GaussianDiffusionSampler(
                    self.net, 0, 0, self.T, mean_type="epsilon", var_type=f"fixed{variance}")
                    for variance in ("small", "large")}

        def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
            return self.samplers["small"].posterior_log_var_clipped[tensor(t)].numpy()

        def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            sampler, steps = self.samplers["small"], tensor(t)
            mean, _ = sampler.q_mean_variance(tensor(x_0), tensor(x_t), steps)
            return mean.numpy(), module.extract(sampler.posterior_var, steps, x_t.shape).expand_as(mean).numpy()

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return self.samplers["small"].predict_xstart_from_eps(tensor(x_t), tensor(t), tensor(eps)).numpy()

        def clipping(self, clip: bool, kept: list[Any]) -> Any:
            """Return a context in which the results of `torch.clip` are kept, and x̂₀ is clipped or not."""
            clipped = torch.clip
            return patch.object(torch, "clip", lambda x, low, high: (
                kept.append(clipped(x, low, high) if clip else x), kept[-1])[1])

        def p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                            clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            self.net.answer, kept = asking(model, x_t.shape), []
            with self.clipping(clip, kept):
                mean, log_variance = self.samplers[variance].p_mean_variance(tensor(x_t), tensor(t))
            return mean.numpy(), log_variance.exp().expand_as(mean).numpy(), kept[0].numpy()

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.net.answer = asking(model, x_T.shape)
            with self.clipping(clip, []), chain(noises):
                return self.samplers[variance](images(x_T)).numpy().reshape(x_T.shape)

    return Adapter


def zoubohao(folder: Path) -> Factory:
    """zoubohao/DenoisingDiffusionProbabilityModel-ddpm-: the clip of the finished image is left out."""
    module = load(folder / "Diffusion/Diffusion.py", "zoubohao")

    class Adapter(Trained):
        conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32"}
        variance = "large"

        def made(self) -> None:
            with self.linspace():
                self.trainer = module.GaussianDiffusionTrainer(self.net, 0, 0, self.T)
                self.sampler = module.GaussianDiffusionSampler(self.net, 0, 0, self.T)

        def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return self.sampler.predict_xt_prev_mean_from_eps(tensor(x_t), tensor(t), tensor(eps)).numpy()

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)
            self.net.answer = asking(model, x_T.shape)
            unclipped = patch.object(torch, "clip", lambda x, low, high: x)
            with chain(noises), unclipped, contextlib.redirect_stdout(io.StringIO()):
                return self.sampler(images(x_T)).numpy().reshape(x_T.shape)

    return Adapter


def labml(folder: Path) -> Factory:
    """labmlai/annotated_deep_learning_paper_implementations: nn/diffusion/ddpm, whose σ_t² is β_t, at t = 1 as well."""
    here = folder / "labml_nn/diffusion/ddpm"
    module = load(here / "__init__.py", "labml", given={"labml_nn.diffusion.ddpm.utils": vars(load(
        here / "utils.py", "labml_utils"))}, replaced=("labml_nn", "labml_nn.diffusion", "labml_nn.diffusion.ddpm",
                                                      "labml_nn.diffusion.ddpm.utils"))

    class Adapter(Steps):
        conventions: ClassVar[dict[str, Any]] = {**Peer.conventions, "first_variance": "beta"}
        variance = "large"

        def made(self) -> None:
            with self.linspace():
                self.diffusion = module.DenoiseDiffusion(self.net, self.T, "cpu")

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alpha_bar.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.diffusion.q_sample(images(x_0), tensor(t), images(noise)).numpy().reshape(x_0.shape)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            self.net.answer = lambda *args: images(eps)
            with drawing(images(z)):
                return self.diffusion.p_sample(images(x), tensor(t)).numpy().reshape(x.shape)

        def simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            self.net.answer = asking(model, x_0[:1].shape)

            def loss(x: Any, step: Any, z: Any) -> Any:
                with steps_of(step):
                    return self.diffusion.loss(x, z)

            return fitting(loss, x_0, t, noise)

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 1)
            seeded(rng, lambda: self.diffusion.loss(torch.zeros(n, 1, 1, 1)))
            return asked[0].numpy()

    return Adapter


def abarankab(folder: Path) -> Factory:
    """abarankab/DDPM."""
    (module,) = package(folder / "ddpm", "abarankab", ["diffusion"])

    class Adapter(Peer):
        variance = "large"

        def made(self) -> None:
            self.diffusion = module.GaussianDiffusion(self.net, (1, 1), 1, None, self.betas)
            self.diffusion.ema_model = self.net

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alphas_cumprod.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.diffusion.perturb_x(tensor(x_0), tensor(t), tensor(noise)).numpy()

        def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            self.net.answer = lambda *args: tensor(eps)
            return self.diffusion.remove_noise(tensor(x_t), tensor(t), None).numpy()

        def simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            self.net.answer = asking(model, x_0[:1].shape)

            def loss(x: Any, step: Any, z: Any) -> Any:
                with drawing(z):
                    return self.diffusion.get_losses(x, step, None)

            return fitting(loss, x_0, t, noise)

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 1)
            seeded(rng, lambda: self.diffusion(torch.zeros(n, 1, 1, 1)))
            return asked[0].numpy()

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)
            self.net.answer = asking(model, x_T.shape)
            with chain(noises, x_T):
                return self.diffusion.sample(len(x_T), "cpu").numpy().reshape(x_T.shape)

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name == "cosine":
                return module.generate_cosine_schedule(T)
            if name == "linear":
                return module.generate_linear_schedule(T, 1e-4, 0.02)
            raise NotImplementedError(name)

    return Adapter


def _noise_steps(module: Any, sampled: Callable[[Any, Any, int], Any]) -> Factory:
    """Return the adapter of dome272's `Diffusion` and its copies; `sampled(diffusion, net, n)` calls its loop."""

    class Adapter(Peer):
        variance = "large"

        def made(self) -> None:
            with self.linspace():
                self.diffusion = module.Diffusion(noise_steps=self.T, img_size=1, device="cpu")

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alpha_hat.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            with drawing(images(noise)):
                return self.diffusion.noise_images(images(x_0), tensor(t))[0].numpy().reshape(x_0.shape)

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            drawn: list[Any] = []
            seeded(rng, lambda: drawn.append(self.diffusion.sample_timesteps(n)))
            return drawn[0].numpy()

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            """Return the image before it is converted to whole numbers, which begins with `clamp`."""
            self.supports(variance, clip)
            self.net.answer, finished = asking(model, x_T.shape), []
            with chain(noises, x_T), patch.object(torch.Tensor, "clamp", lambda x, *ends: (finished.append(x), x)[1]):
                sampled(self.diffusion, self.net, len(x_T))
            return finished[0].numpy().reshape(x_T.shape)

    return Adapter


def dome272(folder: Path) -> Factory:
    """dome272/Diffusion-Models-pytorch: ddpm.py."""
    module = load(folder / "ddpm.py", "dome272", replaced=("utils", "modules", "torch.utils.tensorboard"))
    module.tqdm = lambda steps, **shown: steps
    return _noise_steps(module, lambda diffusion, net, n: diffusion.sample(net, n))


def tcapelle(folder: Path) -> Factory:
    """tcapelle/Diffusion-Models-pytorch: ddpm_conditional.py, without labels."""
    module = load(folder / "ddpm_conditional.py", "tcapelle", replaced=("utils", "modules"), given={
        "utils": {"get_cifar": lambda img_size: ""},
        "modules": {"UNet_conditional": lambda *shape, **options: net(), "EMA": Inert("EMA")}})
    module.progress_bar = lambda steps, **shown: steps

    def sampled(diffusion: Any, net: Any, n: int) -> Any:
        diffusion.model = net
        return diffusion.sample(use_ema=False, labels=[None] * n, cfg_scale=0)

    return _noise_steps(module, sampled)


def explainingai(folder: Path) -> Factory:
    """explainingai-code/DDPM-Pytorch: its scheduler, which clips x̂₀."""
    module = load(folder / "scheduler/linear_noise_scheduler.py", "explainingai")

    class Adapter(Steps):
        clips = (False, True)

        def made(self) -> None:
            with self.linspace():
                self.scheduler = module.LinearNoiseScheduler(self.T, 0, 0)

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.scheduler.alpha_cum_prod.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.scheduler.add_noise(tensor(x_0), tensor(noise), tensor(t)).numpy()

        def both(
            self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, clip: bool, part: int
        ) -> np.ndarray:
            def one(step: int, e: Any, x: Any, z: Any) -> Any:
                with drawing(z):
                    return self.scheduler.sample_prev_timestep(x, e, torch.tensor(step))[part]

            with contextlib.nullcontext() if clip else patch.object(torch, "clamp", lambda x, low, high: x):
                return each(one, t, eps, x, z)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            return self.both(eps, t, x, z, clip, 0)

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return self.both(eps, t, x_t, 0 * x_t, False, 1)

        def p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                            clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            self.supports(variance, clip)
            eps = model(x_t, t)
            mean = self.both(eps, t, x_t, 0 * x_t, clip, 0)
            noisy = self.both(eps, t, x_t, 0 * x_t + 1, clip, 0)
            return mean, (noisy - mean) ** 2, self.both(eps, t, x_t, 0 * x_t, clip, 1)

    return Adapter


