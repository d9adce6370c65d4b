"""Adapters of repositories with a schedule of their own, or with another formulation of the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.targets.checkouts import load, package
from ddpm_np.check.targets.noise import asking, drawing, images
from ddpm_np.check.targets.peers import tensor
from peers.adapter import Peer, Steps, chain, each, estimated, keeping, seeded, steps_of, torch

Factory = Callable[[np.ndarray], Any]


def _two_ends(make: Callable[[Any, tuple[float, float], int], Any], call: Callable[[Any, Any], Any]) -> Factory:
    """Return the adapter of minDiffusion's `DDPM` and its copies.

    Their β_t is β_1 + (β_2 − β_1) t/T for t = 0..T, from two ends β_1 and β_2; the adapter chooses the ends for which
    β_1..β_T are those of the check, which have to be linear in t for that. Tables have an element for t = 0.
    """

    class Adapter(Peer):
        conventions: ClassVar[dict[str, Any]] = {"precision": "float32", "first_variance": "posterior"}
        variance = "large"

        def made(self) -> None:
            slope = np.diff(self.betas)
            if self.T < 2 or np.ptp(slope) > 1e-12 or not 0 < self.betas[0] - slope[0] < self.betas[-1] < 1:
                raise NotImplementedError("its β are linear in t, and rise")
            self.diffusion = make(self.net, (self.betas[0] - slope[0], self.betas[-1]), self.T)

        def alpha_bar(self) -> np.ndarray:
            return self.diffusion.alphabar_t.numpy()

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 0)
            with drawing(images(noise)), steps_of(t):
                call(self.diffusion, images(x_0))
            return asked[0].numpy().reshape(x_0.shape)

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 1)
            seeded(rng, lambda: call(self.diffusion, torch.zeros(n, 1, 1, 1)))
            return (asked[0] * self.T).round().long().numpy()

    return Adapter


def cloneofsimo(folder: Path) -> Factory:
    """cloneofsimo/minDiffusion."""
    module = load(folder / "mindiffusion/ddpm.py", "cloneofsimo")
    return _two_ends(module.DDPM, lambda diffusion, x: diffusion(x))


def teapearce(folder: Path) -> Factory:
    """TeaPearce/Conditional_Diffusion_MNIST: every label is 0."""
    module = load(folder / "script.py", "teapearce")

    def made(net: Any, ends: tuple[float, float], T: int) -> Any:
        with_labels = torch.nn.Module()
        with_labels.forward = lambda x, c, t, mask: net(x, t)
        return module.DDPM(with_labels, ends, T, "cpu")

    return _two_ends(made, lambda diffusion, x: diffusion(x, torch.zeros(len(x), dtype=torch.long)))


def pesser(folder: Path) -> Factory:
    """pesser/pytorch_diffusion: its net gets t as a float, and x̂₀ is always clipped."""
    (module,) = package(
        folder / "pytorch_diffusion",
        "pesser",
        ["diffusion"],
        given={"pytorch_diffusion.model": {"Model": object}, "pytorch_diffusion.ckpt_util": {"get_ckpt_path": None}},
        replaced=("pytorch_diffusion", "pytorch_diffusion.model", "pytorch_diffusion.ckpt_util"),
    )

    class Adapter(Steps):
        clips = (True,)

        def made(self) -> None:
            if self.T < 2:
                raise NotImplementedError("its tables begin with the variance of a second step")
            self.by = {}
            for variance in ("small", "large"):
                diffusion = self.by[variance] = module.Diffusion.__new__(module.Diffusion)
                with patch.object(module, "get_beta_schedule", lambda **options: self.betas):
                    diffusion.init_diffusion_parameters(
                        model_var_type=f"fixed{variance}",
                        beta_schedule=None,
                        beta_start=None,
                        beta_end=None,
                        num_diffusion_timesteps=None,
                    )
                diffusion.device, diffusion.model = "cpu", self.net

        def supports(self, variance: str, clip: bool) -> None:
            """Raise NotImplementedError for steps without clipping."""
            if not clip:
                raise NotImplementedError("x̂₀ is always clipped")

        def q_step(self, x_prev: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            diffusion = self.by["small"]
            return module.diffusion_step(
                tensor(x_prev),
                tensor(t),
                noise=tensor(noise),
                sqrt_alphas=diffusion.sqrt_alphas,
                sqrt_one_minus_alphas=diffusion.sqrt_one_minus_alphas,
            ).numpy()

        def both(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str) -> tuple[Any, Any]:
            names = ("logvar", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_mean_coef1",
                     "posterior_mean_coef2")
            with drawing(images(z)):
                found = module.denoising_step(
                    images(x),
                    tensor(t),
                    model=lambda *args: images(eps),
                    return_pred_xstart=True,
                    **{name: getattr(self.by[variance], name) for name in names},
                )
            return tuple(part.numpy().reshape(x.shape) for part in found)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            return self.both(eps, t, x, z, variance)[0]

        def p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                            clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            self.supports(variance, clip)
            return estimated(
                self, model, x_t, t, variance, clip, lambda eps: self.both(eps, t, x_t, 0 * x_t, variance)[1]
            )

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)
            ask = asking(model, x_T.shape)
            diffusion, diffusion_net = self.by[variance], lambda x, t: ask(x, t.long())
            with chain(noises), patch.object(diffusion, "model", diffusion_net):
                return diffusion.denoise(len(x_T), x=images(x_T)).numpy().reshape(x_T.shape)

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name != "linear":
                raise NotImplementedError(name)
            return module.get_beta_schedule("linear", beta_start=1e-4, beta_end=0.02, num_diffusion_timesteps=T)

    return Adapter


def jannerm(folder: Path) -> Factory:
    """jannerm/diffuser: trajectories, here without conditions."""
    helpers = load(folder / "diffuser/models/helpers.py", "jannerm_helpers", replaced=("diffuser", "diffuser.utils"))
    (module,) = package(folder / "diffuser/models", "jannerm", ["diffusion"], replaced=("diffuser", "diffuser.utils"))

    class Adapter(Steps):
        clips = (False, True)

        def made(self) -> None:
            with patch.object(module, "cosine_beta_schedule", lambda T: tensor(self.betas)):
                self.diffusion = module.GaussianDiffusion(self.net, 1, 1, 0, self.T, loss_type="l2")
            self.net.forward = lambda x, cond, t: self.net.answer(x, t)

        def alpha_bar(self) -> np.ndarray:
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

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            self.diffusion.clip_denoised, self.net.answer = clip, lambda *args: tensor(eps)
            with drawing(tensor(z)):
                return module.default_sample_fn(self.diffusion, tensor(x), {}, tensor(t))[0].numpy()

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            """Sample by their loop; the values by which it sorts trajectories are equal."""
            self.supports(variance, clip)
            self.diffusion.clip_denoised, self.net.answer = clip, asking(model, x_T.shape)
            unsorted = patch.object(module, "sort_by_values", lambda x, values: (x, values))
            with drawing(*map(tensor, (x_T, *noises[:0:-1]))), unsorted, patch.object(
                    module.utils, "Progress", lambda T: SimpleNamespace(update=lambda shown: None, stamp=lambda: None)):
                return self.diffusion.p_sample_loop(x_T.shape, {}).trajectories.numpy()

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name != "cosine":
                raise NotImplementedError(name)
            return helpers.cosine_beta_schedule(T).numpy()

        def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
            return helpers.SinusoidalPosEmb(dim)(tensor(t)).numpy()

    return Adapter


def mikonvergence(folder: Path) -> Factory:
    """mikonvergence/DiffusionFastForward: a batch of its sampler has one t."""
    names = ("forward", "samplers", "DenoisingDiffusionProcess")
    module, samplers, process = package(folder / "src/DenoisingDiffusionProcess", "mikonvergence", names, replaced=(
        "mikonvergence.backbones", "mikonvergence.backbones.unet_convnext"))

    class Adapter(Steps):
        variance = "large"

        def made(self) -> None:
            classes = (module.GaussianForwardProcess, samplers.DDPM_Sampler, samplers.DDIM_Sampler)
            made = []
            for kind in classes:
                with patch.dict(kind.__init__.__globals__, get_beta_schedule=lambda *args: tensor(self.betas)):
                    made.append(kind(self.T))
            self.forward, self.sampler, self.ddim = made

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.forward.alphas_cumprod.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            with drawing(images(noise)):
                return self.forward(images(x_0), tensor(t)).numpy().reshape(x_0.shape)

        def q_step(self, x_prev: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            def one(step: int, x: Any, z: Any) -> Any:
                with drawing(z):
                    return self.forward.step(x, torch.tensor([step]))

            return each(one, t, x_prev, noise)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            def one(step: int, e: Any, x: Any, z: Any) -> Any:
                with drawing(z):
                    return self.sampler(x, torch.tensor([step]), e)

            return each(one, t, eps, x, z)

        def ddim_step(self, model: Any, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                      noise: np.ndarray) -> np.ndarray:
            lengths = iter((t - t_prev).tolist())

            def one(step: int, e: Any, x: Any, z: Any) -> Any:
                self.ddim.ratio, self.ddim.clip_sample = next(lengths), False
                if step % self.ddim.ratio:
                    raise NotImplementedError("its steps are multiples of their length")
                with drawing(z):
                    return self.ddim(x, torch.tensor([step // self.ddim.ratio]), e, eta)

            return each(one, t, model(x_t, t), x_t, noise)

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)
            self.net.answer = asking(model, x_T.shape)
            self.net.register_parameter("device", torch.nn.Parameter(torch.zeros(1)))
            given = SimpleNamespace(generated_channels=1, model=self.net, sampler=self.sampler)
            with chain(noises, x_T):
                found = process.DenoisingDiffusionProcess.forward(given, batch_size=len(x_T))
            return found.numpy().reshape(x_T.shape)

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name not in ("linear", "cosine"):
                raise NotImplementedError(name)
            return module.get_beta_schedule(name, T).numpy()

    return Adapter


def vsehwag(folder: Path) -> Factory:
    """VSehwag/minimal-diffusion: the class in main.py; x̂₀ is clipped by the code for unit range, or not."""
    module = load(
        folder / "main.py", "vsehwag", replaced=("data", "unets"), given={"easydict": {"EasyDict": _Attributes}}
    )

    class Adapter(Peer):
        def made(self) -> None:
            if self.T < 2:
                raise NotImplementedError("its tables begin with the variance of a second step")
            scalars = module.GuassianDiffusion.get_all_scalars
            with patch.object(
                module.GuassianDiffusion,
                "get_all_scalars",
                lambda this, bar, n, device, betas=None: scalars(this, bar, n, device, tensor(self.betas)),
            ):
                self.diffusion = module.GuassianDiffusion(self.T, "cpu")

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.scalars.alpha_bar.numpy()))

        def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
            return self.diffusion.scalars.beta_tilde_log.numpy()[t]

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            with drawing(images(noise)):
                found = self.diffusion.sample_from_forward_process(images(x_0), tensor(t))[0]
            return found.numpy().reshape(x_0.shape)

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            self.diffusion.clamp_x0 = lambda x: x
            found = self.diffusion.get_x0_from_xt_eps(images(x_t), images(eps), tensor(t), self.diffusion.scalars)
            return found.numpy().reshape(x_t.shape)

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, False)
            self.net.answer = asking(model, x_T.shape)
            self.diffusion.clamp_x0 = (lambda x: x.clamp(-1, 1)) if clip else (lambda x: x)
            with chain(noises):
                return self.diffusion.sample_from_reverse_process(self.net, images(x_T)).numpy().reshape(x_T.shape)

    return Adapter


class _Attributes(dict):
    """A dictionary whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]
