"""Adapters of repositories whose code is one class of tables and steps, or functions of them."""

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
from peers.adapter import Peer, Steps, chain, each, estimated, keeping, seeded, torch

Factory = Callable[[np.ndarray], Any]


def janspiry(folder: Path) -> Factory:
    """Janspiry/Image-Super-Resolution-via-Iterative-Refinement: sr3_modules, whose net gets √ᾱ and not t."""
    module = load(folder / "model/sr3_modules/diffusion.py", "janspiry")

    class Adapter(Steps):
        clips = (False, True)

        def made(self) -> None:
            self.diffusion = module.GaussianDiffusion(self.net, 1, 1, conditional=False)
            with patch.object(module, "make_beta_schedule", lambda **options: self.betas):
                self.diffusion.set_new_noise_schedule(
                    {"schedule": "", "n_timestep": self.T, "linear_start": 0, "linear_end": 0}, "cpu")

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alphas_cumprod.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            level = tensor(self.diffusion.sqrt_alphas_cumprod_prev[t + 1]).reshape(-1, *(1,) * (x_0.ndim - 1))
            return self.diffusion.q_sample(tensor(x_0), level, tensor(noise)).numpy()

        def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
            return self.diffusion.posterior_log_variance_clipped[tensor(t)].numpy()

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return each(lambda step, x, e: self.diffusion.predict_start_from_noise(x, step, e), t, x_t, eps)

        def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            variance = self.diffusion.posterior_variance[tensor(t)].numpy().reshape(-1, *(1,) * (x_t.ndim - 1))
            mean = each(lambda step, x, y: self.diffusion.q_posterior(x, y, step)[0], t, x_0, x_t)
            return mean, variance * np.ones_like(x_t)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            def one(step: int, e: Any, x: Any, z: Any) -> Any:
                self.net.answer = lambda *args: e
                with drawing(z):
                    return self.diffusion.p_sample(x, step, clip)

            return each(one, t, eps, x, z)

        def p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                            clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            """Return mean and variance of a step, and x̂₀ as it goes into `q_posterior`."""
            self.supports(variance, clip)

            def estimate(eps: np.ndarray) -> np.ndarray:
                def one(step: int, e: Any, x: Any) -> Any:
                    self.net.answer, kept = (lambda *args: e), []
                    with patch.object(self.diffusion, "q_posterior", lambda x_start, x_t, t: (
                            kept.append(x_start), (x_t, x_t))[1]):
                        self.diffusion.p_mean_variance(x, step, clip)
                    return kept[0]

                return each(one, t, eps, x_t)

            return estimated(self, model, x_t, t, variance, clip, estimate)

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name not in ("linear", "cosine"):
                raise NotImplementedError(name)
            return np.asarray(module.make_beta_schedule(name, T))

    return Adapter


def tanelp(folder: Path) -> Factory:
    """tanelp/tiny-diffusion: points in the plane, (N, 2)."""
    module = load(folder / "ddpm.py", "tanelp", replaced=("datasets", "matplotlib", "matplotlib.pyplot"))
    embeddings = load(folder / "positional_embeddings.py", "tanelp_embeddings")

    def flat(x: np.ndarray) -> Any:
        return tensor(x.reshape(len(x), -1))

    class Adapter(Steps):
        def made(self) -> None:
            with self.linspace():
                self.scheduler = module.NoiseScheduler(self.T)

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.scheduler.alphas_cumprod.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.scheduler.add_noise(flat(x_0), flat(noise), tensor(t)).numpy().reshape(x_0.shape)

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return self.scheduler.reconstruct_x0(flat(x_t), tensor(t), flat(eps)).numpy().reshape(x_t.shape)

        def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean = self.scheduler.q_posterior(flat(x_0), flat(x_t), tensor(t)).numpy().reshape(x_t.shape)
            variance = np.array([float(self.scheduler.get_variance(step)) for step in t.tolist()])
            return mean, variance.reshape(-1, *(1,) * (x_t.ndim - 1)) * np.ones_like(x_t)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            def one(step: int, e: Any, x: Any, z: Any) -> Any:
                with drawing(z):
                    return self.scheduler.step(e.reshape(1, -1), step, x.reshape(1, -1))

            return each(one, t, eps, x, z)

        def p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                            clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            self.supports(variance, clip)
            return estimated(self, model, x_t, t, variance, clip, lambda eps: self.predict_x0(x_t, t, eps))

        def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
            return embeddings.SinusoidalEmbedding(dim)(tensor(t)).numpy()

    return Adapter


def bot66(folder: Path) -> Factory:
    """bot66/MNISTDiffusion: a batch has one t."""
    module = load(folder / "model.py", "bot66", replaced=("unet",))
    module.tqdm = lambda steps, **shown: steps

    class Adapter(Steps):
        clips = (False, True)

        def made(self) -> None:
            with (patch.object(module, "Unet", lambda *shape: self.net),
                  patch.object(module.MNISTDiffusion, "_cosine_variance_schedule", lambda this, T: tensor(self.betas))):
                self.diffusion = module.MNISTDiffusion(1, 1, timesteps=self.T)

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alphas_cumprod.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.diffusion._forward_diffusion(images(x_0), tensor(t), images(noise)).numpy().reshape(x_0.shape)

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            step = self.diffusion._reverse_diffusion_with_clip if clip else self.diffusion._reverse_diffusion

            def one(t: int, e: Any, x: Any, z: Any) -> Any:
                self.net.answer = lambda *args: e
                return step(x, torch.tensor([t]), z)

            return each(one, t, eps, x, z)

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            """Return the image in [−1, 1], theirs being in [0, 1]."""
            self.supports(variance, clip)
            self.net.answer = asking(model, x_T.shape)
            with chain(noises, x_T):
                return 2 * self.diffusion.sampling(len(x_T), clip, device="cpu").numpy().reshape(x_T.shape) - 1

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 1)
            seeded(rng, lambda: self.diffusion(torch.zeros(n, 1, 1, 1), torch.zeros(n, 1, 1, 1)))
            return asked[0].numpy()

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name != "cosine":
                raise NotImplementedError(name)
            return module.MNISTDiffusion._cosine_variance_schedule(self.diffusion, T).numpy()

    return Adapter


def ermongroup(folder: Path) -> Factory:
    """ermongroup/ddim: its functions; `.to("cuda")` stays on the CPU, and a chain is [t_prev, t]."""
    denoising = load(folder / "functions/denoising.py", "ermongroup_denoising")
    losses = load(folder / "functions/losses.py", "ermongroup_losses")
    nets = load(folder / "models/diffusion.py", "ermongroup_nets")
    runner = load(folder / "runners/diffusion.py", "ermongroup_runner", folder, replaced=(
        "models", "models.diffusion", "models.ema", "functions", "functions.losses", "functions.ckpt_util", "datasets"))
    to = torch.Tensor.to

    def on_cpu() -> Any:
        return patch.object(
            torch.Tensor,
            "to",
            lambda x, *where, **how: x if where[:1] in (("cuda",), ("cpu",)) else to(x, *where, **how),
        )

    class Adapter(Peer):
        conventions: ClassVar[dict[str, Any]] = {**Peer.conventions, "reduction": "sum"}
        variance = "large"
        clips = (True,)

        def made(self) -> None:
            self.table = tensor(self.betas)

        def alpha_bar(self) -> np.ndarray:
            return denoising.compute_alpha(self.table, torch.arange(-1, self.T)).reshape(-1).numpy()

        def ddim_step(self, model: Any, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                      noise: np.ndarray) -> np.ndarray:
            before = iter(t_prev.tolist())

            def one(step: int, e: Any, x: Any, z: Any) -> Any:
                steps = [s for s in (next(before), step) if s >= 0]
                with on_cpu(), drawing(z):
                    return denoising.generalized_steps(x, steps, lambda *args: e, self.table, eta=eta)[0][1]

            return each(one, t, model(x_t, t), x_t, noise)

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)
            with on_cpu(), chain(noises):
                states, _ = denoising.ddpm_steps(images(x_T), range(self.T), asking(model, x_T.shape), self.table)
            return states[-1].numpy().reshape(x_T.shape)

        def timesteps(self, n: int) -> list[int]:
            """Return the steps that their runner hands to `generalized_steps`."""
            kept: list[Any] = []
            runner_of = SimpleNamespace(num_timesteps=self.T, betas=self.table, args=SimpleNamespace(
                skip=1, sample_type="generalized", skip_type="uniform", timesteps=n, eta=0.0))
            given = {"generalized_steps": lambda x, steps, *rest, **options: (kept.append(list(steps)), [[x]])[1]}
            with patch.dict(
                "sys.modules", {"functions": SimpleNamespace(), "functions.denoising": SimpleNamespace(**given)}
            ):
                runner.Diffusion.sample_image(runner_of, None, None)
            return kept[0][::-1]

        def simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return losses.noise_estimation_loss(
                asking(model, x_0.shape), images(x_0), tensor(t), images(noise), self.table, keepdim=True
            ).numpy()

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name != "linear":
                raise NotImplementedError(name)
            return runner.get_beta_schedule("linear", beta_start=1e-4, beta_end=0.02, num_diffusion_timesteps=T)

        def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
            return nets.get_timestep_embedding(tensor(t), dim).numpy()

    return Adapter


def tqch(folder: Path) -> Factory:
    """tqch/ddpm-torch: a rewrite of the paper's code for PyTorch."""
    module, functions = package(folder / "ddpm_torch", "tqch", ["diffusion", "functions"])

    class Adapter(Steps):
        conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32"}

        def made(self) -> None:
            if self.T < 2:
                raise NotImplementedError("its tables begin with the variance of a second step")
            self.by = {variance: module.GaussianDiffusion(tensor(self.betas), "eps", f"fixed-{variance}", "mse")
                       for variance in ("small", "large")}
            self.diffusion = self.by["small"]

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alphas_bar.numpy()))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.diffusion.q_sample(tensor(x_0), tensor(t), tensor(noise)).numpy()

        def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, variance, _ = self.diffusion.q_posterior_mean_var(tensor(x_0), tensor(x_t), tensor(t))
            return mean.numpy(), variance.expand_as(mean).numpy()

        def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
            return self.diffusion.posterior_logvar_clipped[tensor(t)].numpy()

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return self.diffusion._pred_x_0_from_eps(tensor(x_t), tensor(eps), tensor(t)).numpy()

        def p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                            clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            mean, _, log_variance, x0 = self.by[variance].p_mean_var(
                asking(model, x_t.shape), images(x_t), tensor(t), clip, True
            )
            mean, sigma2, x0 = (a.expand_as(mean).numpy().reshape(x_t.shape) for a in (mean, log_variance.exp(), x0))
            return mean, sigma2, x0

        def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
                 clip: bool) -> np.ndarray:
            with patch.object(torch.Tensor, "normal_", lambda *args, **options: images(z)):
                found = self.by[variance].p_sample_step(lambda *args: images(eps), images(x), tensor(t), clip)
            return found.numpy().reshape(x.shape)

        def supports(self, variance: str, clip: bool) -> None:
            """Every option is supported."""

        def vlb_term(self, model: Any, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray,
                     variance: str = "small") -> np.ndarray:
            return (
                self.by[variance]
                ._loss_term_bpd(asking(model, x_t.shape), images(x_0), images(x_t), tensor(t), False, False)
                .numpy()
            )

        def vlb(self, model: Any, x_0: np.ndarray, noises: np.ndarray, variance: str = "small") -> np.ndarray:
            with chain(noises):
                found = self.by[variance].calc_all_bpd(asking(model, x_0.shape), images(x_0), clip_denoised=False)
            return found[0].numpy()

        def prior_kl(self, x_0: np.ndarray) -> np.ndarray:
            return self.diffusion._prior_bpd(images(x_0)).numpy()

        def simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.diffusion.train_losses(asking(model, x_0.shape), images(x_0), tensor(t), images(noise)).numpy()

        def kl(self, *numbers: np.ndarray) -> np.ndarray:
            return functions.normal_kl(*map(tensor, numbers)).numpy()

        def decoder_log_likelihood(self, x_0: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
            return functions.discretized_gaussian_loglik(tensor(x_0), tensor(mean), log_scale=tensor(log_scale)).numpy()

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name != "linear":
                raise NotImplementedError(name)
            return module.get_beta_schedule("linear", 1e-4, 0.02, T).numpy()

    return Adapter
