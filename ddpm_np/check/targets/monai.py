"""MONAI's schedulers, and those of GenerativeModels, where they began, as targets: ``monai:PATH``.

The code is `DDPMScheduler` and `DDIMScheduler` in networks/schedulers. MONAI itself need not be installed: three names
of its utilities stand here, none of which computes. Their timestep 0 is the paper's t = 1, and tables are float32.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import cache, cached_property, partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.checkouts import package
from ddpm_np.check.targets.finding import file_in
from ddpm_np.check.targets.peers import by_step, imported, tensor

PLACES = ("monai/networks/schedulers/ddpm.py", "generative/networks/schedulers/ddpm.py")
GIVEN = "checked"  # the name under which a check's betas are a schedule of theirs


class ComponentStore:
    """Their dictionary of named functions.

    Parameters
    ----------
    *about : str
        Its name and description.
    """

    def __init__(self, *about: str):
        self.functions: dict[str, Callable] = {}

    def add_def(self, name: str, about: str) -> Callable[[Callable], Callable]:
        """Return a decorator that names a function."""
        return lambda function: self.functions.setdefault(name, function)

    def __getitem__(self, name: str) -> Callable:
        return self.functions[name]


UTILITIES = {"StrEnum": enum.StrEnum, "ComponentStore": ComponentStore,
             "unsqueeze_right": lambda tensor, ndim: tensor.reshape(*tensor.shape, *(1,) * (ndim - tensor.ndim))}


class Scheduler:
    """The common part of both adapters, for one schedule.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    modules : SimpleNamespace
        Their modules scheduler, ddpm and ddim.
    """

    kind = ""  # name of the class
    conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32", "first_variance": "posterior"}

    def __init__(self, betas: np.ndarray, modules: SimpleNamespace):
        self._modules, self._betas, self.T = modules, betas, len(betas)
        self.scheduler = cache(self._scheduler)  # one for each set of options

    def _scheduler(self, **options: Any) -> Any:
        schedules = self._modules.scheduler.NoiseSchedules.functions
        with patch.dict(schedules, {GIVEN: lambda **rest: tensor(self._betas).float()}):
            return self._class(self.T, GIVEN, **{"clip_sample": False, **options})

    @property
    def _class(self) -> Any:
        return getattr(getattr(self._modules, self.kind.removesuffix("Scheduler").lower()), self.kind)

    def alpha_bar(self) -> np.ndarray:
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

    def schedule(self, name: str, T: int) -> np.ndarray:
        names = {"linear": "linear_beta", "cosine": "cosine"}
        if name not in names:
            raise NotImplementedError(name)
        return self._class(T, names[name]).betas.numpy()

    def _step(self, scheduler: Any, output: np.ndarray, t: np.ndarray, x: np.ndarray, noise: np.ndarray,
              **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return x_{t−1} and x̂₀, each image at its own t; `output` is the net's, of twice the channels if learned."""
        flat = [a.reshape(len(x), -1) for a in (output, x, noise)]  # (N, …): channels are their axis 1
        results = np.empty_like(flat[1]), np.empty_like(flat[1])
        for step, here in by_step(t):
            out, x_here, drawn = (tensor(a[here]) for a in flat)
            with patch.object(imported("torch", "PyTorch"), "randn", lambda *shape, z=drawn, **rest: z):
                found = scheduler.step(out, step, x_here, **options)
            for result, value in zip(results, found, strict=True):
                result[here] = value.numpy()
        before, x0 = (result.reshape(x.shape) for result in results)
        return before, x0


class DDPM(Scheduler):
    """The adapter for `DDPMScheduler`."""

    kind = "DDPMScheduler"

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the step for a net that predicts x₀."""
        scheduler = self.scheduler(prediction_type="sample")
        mean = self._step(scheduler, x_0, t, x_t, 0 * x_t)[0]
        return mean, (self._step(scheduler, x_0, t, x_t, 0 * x_t + 1)[0] - mean) ** 2

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._step(self.scheduler(), eps, t, x_t, 0 * x_t)[1]

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._step(self.scheduler(prediction_type="v_prediction"), v, t, x_t, 0 * x_t)[1]

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._step(self.scheduler(), eps, t, x_t, 0 * x_t)[0]

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scheduler, eps = self.scheduler(variance_type=f"fixed_{variance}", clip_sample=clip), model(x_t, t)
        mean, x0 = self._step(scheduler, eps, t, x_t, 0 * x_t)
        return mean, (self._step(scheduler, eps, t, x_t, 0 * x_t + 1)[0] - mean) ** 2, x0

    def learned_range_variance(self, v: np.ndarray, t: np.ndarray) -> np.ndarray:
        flat = v.reshape(len(v), -1)
        output = np.concatenate((0 * flat, flat), axis=1)  # the net's output: ε and v
        return self._step(self.scheduler(variance_type="learned_range"), output, t, 0 * v, 0 * v + 1)[0] ** 2

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        scheduler = self.scheduler(variance_type=f"fixed_{variance}", clip_sample=clip)
        return self._step(scheduler, model(x_t, t), t, x_t, noise)[0]

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
               clip: bool = False) -> np.ndarray:
        """Sample with the loop of their inferer, over all timesteps."""
        x = x_T
        for step in self.scheduler().timesteps.tolist():
            x = self.p_sample(model, x, np.full(len(x), step), noises[step + 1], variance, clip)
        return x


class DDIM(Scheduler):
    """The adapter for `DDIMScheduler`."""

    kind = "DDIMScheduler"

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._step(self._by(1), eps, t, x_t, 0 * x_t)[1]

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._step(self._by(1, prediction_type="v_prediction"), v, t, x_t, 0 * x_t)[1]

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        """Step by the length t − t_prev, which is how their step finds the step before."""
        eps, result = model(x_t, t), np.empty_like(x_t)
        for i in range(len(t)):
            one = slice(i, i + 1)
            scheduler = self._by(int(t[i] - t_prev[i]))
            result[one] = self._step(scheduler, eps[one], t[one], x_t[one], noise[one], eta=eta)[0]
        return result

    def _by(self, length: int, **options: Any) -> Any:
        """Return a scheduler whose step length, T // (number of steps), is `length`."""
        scheduler = self.scheduler(**options)
        scheduler.num_train_timesteps, scheduler.num_inference_steps = length, 1
        return scheduler


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factories for a checkout.

    Parameters
    ----------
    where : str
        Path of the checkout, or of its networks/schedulers/ddpm.py.

    Returns
    -------
    dict
        The factories by name.
    """
    names = ("scheduler", "ddpm", "ddim")
    modules = package(
        file_in(where, *PLACES).parent,
        "monai_schedulers",
        names,
        replaced=("monai", "monai.utils"),
        given={"monai.utils": UTILITIES, "generative.utils": UTILITIES},
    )
    found = SimpleNamespace(**dict(zip(names, modules, strict=True)))
    return {kind.kind: partial(kind, modules=found) for kind in (DDPM, DDIM)}
