"""What every kind of data with a known ε* offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from ddpm_np.backend import Array, Ints, of, plain, real_dtype
from ddpm_np.diffusion.schedule import Schedule


class Oracle(ABC):
    """Data x₀ of which everything is known: what each class of this kind offers.

    ``x_t`` is (N, …), an array or a Tensor, and `t` an int array (N,), 1..T; at t = 0 all is defined too, where the
    data has a density. Results have x_t's dtype, and images x_t's shape. `eps` is a model for any sampler, bound or
    loss: the best that there can be. ``sample(n, seed=…, first=…, dtype=…, backend=…)`` draws x₀.
    """

    def __init__(self, schedule: Schedule, variance: Any):
        self.schedule = schedule
        noise = schedule.one_minus_alpha_bar.copy()  # (T+1,): 1 − ᾱ_t
        if not variance.all():
            noise[0] = math.nan  # a point has no density: `Coefficients.rows` refuses t = 0
        noise.setflags(write=False)
        self._noise = noise
        self._copies: dict[tuple[str, str, str], Array] = {}

    def eps(self, x_t: Array, t: Ints) -> Array:
        """ε*(x_t, t) = E[ε | x_t] = −√(1 − ᾱ_t)·∇ log q(x_t), which minimises L_simple (14); (N, …)."""
        return -self.schedule.at(t, like=x_t).sqrt_one_minus_alpha_bar * self.score(x_t, t)

    @abstractmethod
    def x0(self, x_t: Array, t: Ints) -> Array:
        """E[x₀ | x_t]; (N, …)."""

    @abstractmethod
    def score(self, x_t: Array, t: Ints) -> Array:
        """∇ log q(x_t), by x_t; (N, …)."""

    @abstractmethod
    def log_q(self, x_t: Array, t: Ints) -> Array:
        """ln q(x_t), summed over the dimensions, in nats; (N,)."""

    def _like(self, name: str, x: Array) -> Array:
        """One of this object's host arrays on x's device, in x's real dtype; copied there once."""
        x = plain(x)
        key = (name, of(x).name, str(real_dtype(x)))
        if key not in self._copies:
            self._copies[key] = of(x).asarray(getattr(self, name), dtype=real_dtype(x))
        return self._copies[key]
