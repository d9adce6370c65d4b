"""The interface of all data with a known ε*."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from ddpm_np.backend import Array, Ints, dtype_name, of, place_of, plain, real_dtype
from ddpm_np.diffusion.schedule import Schedule


class Oracle(ABC):
    """Data x₀ with a known distribution: ε*, the score and the density of every x_t.

    `eps` is a model for any sampler, bound or loss, and the best there can be. Results have the dtype of x_t.
    Subclasses also have ``sample(n, seed=…, first=…, dtype=…, backend=…)``, which draws x₀.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    variance : float64 array
        The variances of the data. If one is 0 there is no density at t = 0, and t = 0 is out of range.
    """

    def __init__(self, schedule: Schedule, variance: Array):
        self.schedule = schedule
        noise = schedule.one_minus_alpha_bar.copy()  # (T+1,): 1 − ᾱ_t
        if not variance.all():
            noise[0] = math.nan  # a point has no density: `Coefficients.rows` refuses t = 0
        noise.setflags(write=False)
        self._noise = noise
        self._copies: dict[tuple[Any, ...], Array] = {}

    def eps(self, x_t: Array, t: Ints) -> Array:
        """Best prediction of the noise: ε*(x_t, t) = E[ε | x_t] = −√(1 − ᾱ_t)·∇ ln q(x_t).

        It minimises L_simple (14).

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N, …)
            The noise ε*.
        """
        return -self.schedule.at(t, like=x_t).sqrt_one_minus_alpha_bar * self.score(x_t, t)

    @abstractmethod
    def x0(self, x_t: Array, t: Ints) -> Array:
        """Best estimate of the data: E[x₀ | x_t].

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N, …)
            Conditional means.
        """

    @abstractmethod
    def score(self, x_t: Array, t: Ints) -> Array:
        """Score: ∇ ln q(x_t), the gradient by x_t.

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N, …)
            Scores.
        """

    @abstractmethod
    def log_q(self, x_t: Array, t: Ints) -> Array:
        """Log density of the marginal: ln q(x_t), summed over an image's dimensions.

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N,)
            Nats per image.
        """

    def _like(self, name: str, x: Array) -> Array:
        """Return one of this object's host arrays on the device of `x`, in its real dtype; copied there once."""
        x = plain(x)
        key = (name, *place_of(of(x)), dtype_name(real_dtype(x)))
        if key not in self._copies:
            self._copies[key] = of(x).asarray(getattr(self, name), dtype=real_dtype(x))
        return self._copies[key]
