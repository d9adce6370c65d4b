"""Hugging Face diffusers as a target: `DDPMScheduler` and `DDIMScheduler`, with each spacing of their timesteps.

`TARGETS` holds a factory for each. An adapter converts arrays, splits a batch by t (a scheduler takes one t for a
batch), and injects the noise that a scheduler would draw. Their timestep 0 is the paper's t = 1 and their tables are
float32; both are declared. A scheduler has no function for μ_θ and σ_t²: the adapter derives them from `step` with
noise 0 and noise 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.peers import by_step, imported, tensor

SPACINGS = ("leading", "trailing", "linspace")


def library() -> Any:
    """Import diffusers, and PyTorch first: diffusers imports without it but is then of no use."""
    imported("torch", "PyTorch")
    return imported("diffusers", "diffusers")


class Scheduler:
    """The common part of both adapters, for one schedule.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    spacing : str
        One of `SPACINGS`.
    """

    kind = ""  # name of the class in diffusers
    embedding: ClassVar[dict[str, Any]] = {"flip_sin_to_cos": False, "downscale_freq_shift": 1}  # as in DDPM's U-Net
    conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32"}

    def __init__(self, betas: np.ndarray, spacing: str = "leading"):
        self._library = library()
        self._betas, self._spacing = betas, spacing
        self.scheduler = cache(self._scheduler)  # one scheduler for each set of options

    def _scheduler(self, **options: Any) -> Any:
        return getattr(self._library, self.kind)(**{
            "num_train_timesteps": len(self._betas), "trained_betas": self._betas, "clip_sample": False,
            "timestep_spacing": self._spacing, **options})

    def alpha_bar(self) -> np.ndarray:
        """Return ᾱ_t with the data's 1 in front of the library's table, which starts at the first step."""
        return np.concatenate(([1.0], self.scheduler().alphas_cumprod.numpy()))

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.scheduler().add_noise(tensor(x_0), tensor(noise), tensor(t)).numpy()

    def velocity(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.scheduler().get_velocity(tensor(x_0), tensor(noise), tensor(t)).numpy()

    @cached_property
    def respaced(self) -> Any:
        """The scheduler whose number of steps is changed by `timesteps`."""
        return self._scheduler()

    def timesteps(self, n: int) -> np.ndarray:
        self.respaced.set_timesteps(n)
        return self.respaced.timesteps.numpy()

    def zero_terminal_snr(self) -> np.ndarray:
        return self._scheduler(rescale_betas_zero_snr=True).betas.numpy()

    def schedule(self, name: str, T: int) -> np.ndarray:
        names = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
        if name not in names:
            raise NotImplementedError(name)
        return getattr(self._library, self.kind)(T, beta_schedule=names[name]).betas.numpy()

    def draw_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw with the function that a step draws its noise with, seeded from `rng`."""
        generator = imported("torch", "PyTorch").Generator().manual_seed(int(rng.integers(2**63)))
        return imported("diffusers.utils.torch_utils", "diffusers").randn_tensor(shape, generator).numpy()

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        embeddings = imported("diffusers.models.embeddings", "diffusers")
        return embeddings.get_timestep_embedding(tensor(t), dim, **self.embedding).numpy()

    def _step(self, scheduler: Any, output: np.ndarray, t: np.ndarray, x: np.ndarray, noise: np.ndarray,
              **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return x_{t−1} and x̂₀, each image at its own t; `output` is the net's, of twice the channels if learned."""
        flat = [a.reshape(len(x), -1) for a in (output, x, noise)]  # (N, …): channels are their axis 1
        results = np.empty_like(flat[1]), np.empty_like(flat[1])
        for step, here in by_step(t):
            out, x_here, drawn = (tensor(a[here]) for a in flat)
            with patch.object(imported(type(scheduler).__module__, "diffusers"), "randn_tensor", return_value=drawn):
                found = scheduler.step(out, step, x_here, **options)
            for result, value in zip(results, (found.prev_sample, found.pred_original_sample), strict=True):
                result[here] = value.numpy()
        before, x0 = (result.reshape(x.shape) for result in results)
        return before, x0


class DDPM(Scheduler):
    """The adapter for `DDPMScheduler`.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    spacing : str
        One of `SPACINGS`.
    small : str
        The `variance_type` for β̃_t.
    large : str
        The `variance_type` for β_t.
    """

    kind = "DDPMScheduler"
    conventions: ClassVar[dict[str, Any]] = {
        **Scheduler.conventions, "first_variance": "posterior"}  # its last step adds no noise

    def __init__(self, betas: np.ndarray, spacing: str = "leading", small: str = "fixed_small",
                 large: str = "fixed_large"):
        super().__init__(betas, spacing)
        self._variance_types = {"small": small, "large": large}

    def _mean_variance(self, scheduler: Any, output: np.ndarray, t: np.ndarray,
                       x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, x0 = self._step(scheduler, output, t, x, 0 * x)
        noisy, _ = self._step(scheduler, output, t, x, 0 * x + 1)
        return mean, (noisy - mean) ** 2, x0

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the step for a net that predicts x₀."""
        return self._mean_variance(self.scheduler(prediction_type="sample"), x_0, t, x_t)[:2]

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._step(self.scheduler(), eps, t, x_t, 0 * x_t)[1]

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._step(self.scheduler(prediction_type="v_prediction"), v, t, x_t, 0 * x_t)[1]

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._step(self.scheduler(), eps, t, x_t, 0 * x_t)[0]

    def _of(self, variance: str, clip: bool) -> Any:
        return self.scheduler(variance_type=self._variance_types[variance], clip_sample=clip)

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean and x̂₀ of a step with the default `variance_type`, which has no part in them, and σ_t²."""
        output = model(x_t, t)
        mean, x0 = self._step(self.scheduler(clip_sample=clip), output, t, x_t, 0 * x_t)
        noisy, _ = self._step(self._of(variance, clip), output, t, x_t, 0 * x_t + 1)
        return mean, (noisy - mean) ** 2, x0

    def learned_range_variance(self, v: np.ndarray, t: np.ndarray) -> np.ndarray:
        flat = v.reshape(len(v), -1)
        output = np.concatenate((0 * flat, flat), axis=1)  # the net's output: ε and v
        return self._mean_variance(self.scheduler(variance_type="learned_range"), output, t, 0 * v)[1]

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        return self._step(self._of(variance, clip), model(x_t, t), t, x_t, noise)[0]

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
               clip: bool = False) -> np.ndarray:
        """Sample with the loop of its pipeline, over its timesteps."""
        x = x_T
        for step in self.scheduler().timesteps.tolist():
            x = self.p_sample(model, x, np.full(len(x), step), noises[step + 1], variance, clip)
        return x

    def sample_fewer(self, model: Model, x_T: np.ndarray, noises: np.ndarray, n: int, variance: str = "small",
                     clip: bool = False) -> np.ndarray:
        """Sample with the loop of its pipeline over n timesteps."""
        scheduler, x = self._scheduler(variance_type=self._variance_types[variance], clip_sample=clip), x_T
        scheduler.set_timesteps(n)
        for i, step in zip(range(n, 0, -1), scheduler.timesteps.tolist(), strict=True):
            t = np.full(len(x), step)
            x = self._step(scheduler, model(x, t), t, x, noises[i])[0]
        return x


class DDIM(Scheduler):
    """The adapter for `DDIMScheduler`, with the time embedding of diffusers' U-Nets other than DDPM's own."""

    kind = "DDIMScheduler"
    embedding: ClassVar[dict[str, Any]] = {"flip_sin_to_cos": True, "downscale_freq_shift": 0}
    conventions: ClassVar[dict[str, Any]] = {**Scheduler.conventions, "embedding": "cos_sin_half"}

    def __init__(self, betas: np.ndarray, spacing: str = "leading"):
        super().__init__(betas, spacing)
        self._lengths: dict[tuple[int, int], int | None] = {}  # (t, t_prev) -> steps of a chain with that step, or None

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._step(self._by(1), eps, t, x_t, 0 * x_t)[1]

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._step(self._by(1, prediction_type="v_prediction"), v, t, x_t, 0 * x_t)[1]

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        """Step from t in a chain of this spacing in which t_prev follows, or if none exists, by that step length."""
        eps, result = model(x_t, t), np.empty_like(x_t)
        for i, (here, then) in enumerate(zip(t.tolist(), t_prev.tolist(), strict=True)):
            one, z = slice(i, i + 1), tensor(noise[i:i + 1].reshape(1, -1))
            result[one] = self._step(self._chain(here, then), eps[one], t[one], x_t[one], noise[one], eta=eta,
                                     variance_noise=z)[0]
        return result

    def _by(self, length: int, **options: Any) -> Any:
        """Return a scheduler whose step length, `num_train_timesteps // num_inference_steps`, is `length`."""
        scheduler = self.scheduler(num_train_timesteps=length, **options)
        scheduler.set_timesteps(1)
        return scheduler

    def _chain(self, here: int, then: int) -> Any:
        """Return a scheduler set to the longest chain in which `then` follows `here`."""
        length = here - then
        if (here, then) not in self._lengths:
            around = (len(self._betas) // length + more for more in (1, 0, -1))  # covers every spacing
            self._lengths[here, then] = next(
                (n for n in around if 1 <= n <= len(self._betas)
                 and (here, then) in pairwise([*self.timesteps(n).tolist(), -1])), None)
        n = self._lengths[here, then]
        if n is None:
            return self._by(length)
        self.respaced.set_timesteps(n)
        return self.respaced


TARGETS: dict[str, Callable[[np.ndarray], Any]]


def __getattr__(name: str) -> Any:
    """Return `TARGETS`, {name: factory}, made at its first use so that only then the library is imported."""
    if name != "TARGETS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library()
    ddpm, ddim = ({f"{kind.kind} {spacing}": partial(kind, spacing=spacing) for spacing in SPACINGS}
                  for kind in (DDPM, DDIM))
    return {**ddpm, "DDPMScheduler log": partial(DDPM, small="fixed_small_log", large="fixed_large_log"), **ddim}
