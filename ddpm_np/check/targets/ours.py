"""This package behind the protocol of a check target, on either backend and in either precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.backend import get_backend, to_host
from ddpm_np.check.targets.beyond_protocol import LINES, OF_REVERSE, OF_SCHEDULE, BeyondProtocol
from ddpm_np.diffusion import Reverse, Schedule
from ddpm_np.models.unet import time_embedding


class Ours(BeyondProtocol):
    """The functions of `ddpm_np.diffusion` for one schedule. The class itself is the factory ``betas -> target``.

    Parameters
    ----------
    betas : array of shape (T,)
        β₁..β_T.
    backend : str
        The backend to compute on.
    dtype : str
        The dtype to compute in.
    """

    def __init__(self, betas: Any, backend: str = "numpy", dtype: str = "float64"):
        self._schedule = Schedule.from_betas(betas)
        self.backend, self.dtype = get_backend(backend), dtype
        self.conventions = {"precision": dtype}

    def _ask(self, function: Callable, *args: Any, **options: Any) -> Any:
        """Call a function of (schedule, …) with arrays moved to the backend; return its result on the host."""
        return self._back(function(self._schedule, *map(self._carry, args), **options))

    def _ask_reverse(self, function: Callable, model: Callable, *args: Any, **options: Any) -> Any:
        """Call a function of (reverse, …) in the same way, with a `Reverse` made from the model and its options."""
        reverse, rest = self._reverse(model, options)
        return self._back(function(reverse, *map(self._carry, args), **rest))

    def _reverse(self, model: Callable, options: dict[str, Any]) -> tuple[Reverse, dict[str, Any]]:
        """Return the reverse process of a model, and the options that do not belong to it."""
        own = {name: options[name] for name in ("predicts", "variance", "clip") if name in options}
        rest = {name: value for name, value in options.items() if name not in own}
        return Reverse(self._schedule, self._carry(model), **own), rest

    def _carry(self, value: Any) -> Any:
        if callable(value):
            return lambda *args: self._carry(value(*(to_host(a) if hasattr(a, "shape") else a for a in args)))
        if not isinstance(value, np.ndarray):
            return value
        return self.backend.to_device(value, self.dtype if value.dtype.kind == "f" else None)

    def _back(self, value: Any) -> Any:
        if isinstance(value, Iterator):
            return list(map(self._back, value))
        if isinstance(value, (tuple, list)):
            return tuple(map(self._back, value))
        return None if value is None else to_host(value)

    def alpha_bar(self) -> np.ndarray:
        return self._schedule.alpha_bar

    def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        return self._ask(lambda s, t: s.at(t, like=t, dtype=self.dtype).posterior_log_variance_clipped, t)

    def __getattr__(self, name: str) -> Any:
        """Provide every function of (schedule, …) and of (reverse, …) under its own name."""
        if name in LINES:
            return partial(self._line, name)
        if name in _OF_SCHEDULE or name in OF_SCHEDULE:
            return partial(self._ask, getattr(diffusion, name))
        if name in _OF_REVERSE or name in OF_REVERSE:
            return partial(self._ask_reverse, getattr(diffusion, name))
        raise AttributeError(name)

    def sample(self, model: Callable, x_T: np.ndarray, noises: np.ndarray, **options: Any) -> np.ndarray:
        return self._ask_reverse(diffusion.sample_with, model, x_T, noises, **options)

    def timesteps(self, n: int) -> list[int]:
        return diffusion.timesteps(self._schedule.T, n)

    def eq12_weight(self, t: np.ndarray, variance: str = "small") -> np.ndarray:
        return self._ask(diffusion.eq12_weight, t, variance=variance, dtype=self.dtype)

    def kl(self, *args: np.ndarray) -> np.ndarray:
        return to_host(diffusion.kl(*map(self._carry, args)))

    def decoder_log_likelihood(self, *args: np.ndarray) -> np.ndarray:
        return to_host(diffusion.decoder_log_likelihood(*map(self._carry, args)))

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        return to_host(time_embedding(self._carry(t), dim))

    def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self._drawn(rng, (n, 1))[0]

    def draw_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return self._drawn(rng, shape)[1]

    def schedule(self, name: str, T: int) -> np.ndarray:
        return diffusion.named_schedule(name, T).beta[1:]


_OF_SCHEDULE = (
    "eps_from_velocity", "learned_range_variance", "mean_from_eps", "predict_eps", "predict_x0", "prior_kl",
    "q_posterior", "q_sample", "q_step", "score_from_eps", "simple_loss", "velocity", "x0_from_velocity",
)
_OF_REVERSE = ("ddim_step", "p_mean_variance", "p_sample", "vlb", "vlb_term")
