"""This package behind the protocol of a check target, on either backend and in either precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.backend import get_backend, to_host
from ddpm_np.check.targets.beyond_protocol import FUNCTIONS, LINES, Further
from ddpm_np.diffusion import Schedule
from ddpm_np.models.unet import time_embedding


class Ours(Further):
    """The functions of `ddpm_np.diffusion` for one schedule: the factory ``betas -> target`` itself.

    Parameters
    ----------
    betas
        β₁..β_T.
    backend, dtype
        Where and in what the functions compute.
    """

    def __init__(self, betas: Any, backend: str = "numpy", dtype: str = "float64"):
        self._schedule = Schedule.from_betas(betas)
        self.backend, self.dtype = get_backend(backend), dtype
        self.conventions = {"precision": dtype}

    def _ask(self, function: Callable, *args: Any, **options: Any) -> Any:
        """What a function of (schedule, …) gives for arrays carried to the backend, carried back."""
        return self._back(function(self._schedule, *map(self._carry, args), **options))

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
        return self._ask(lambda s, t, x: s.at(s.posterior_log_variance_clipped, t, x), t, np.zeros(len(t)))

    def __getattr__(self, name: str) -> Any:
        """Every function of (schedule, arrays …) is there under its own name."""
        if name in LINES:
            return partial(self._line, name)
        if name not in _PLAIN and name not in FUNCTIONS:
            raise AttributeError(name)
        return partial(self._ask, getattr(diffusion, name))

    def sample(self, model: Callable, x_T: np.ndarray, noises: np.ndarray, **options: Any) -> np.ndarray:
        return self._ask(diffusion.sample_with, model, x_T, noises, **options)

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


_PLAIN = ("q_step", "q_sample", "q_posterior", "predict_x0", "predict_eps", "mean_from_eps", "score_from_eps",
          "velocity", "x0_from_velocity", "eps_from_velocity", "p_mean_variance", "learned_range_variance", "p_sample",
          "ddim_step", "prior_kl", "vlb_term", "vlb", "simple_loss")
