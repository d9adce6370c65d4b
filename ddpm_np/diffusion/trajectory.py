"""A trajectory x₀, x₁, …, x_T of the forward process, and the log densities that the lines of appendix A consist of.

All are in nats, summed over an image's dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

from ddpm_np.backend import Array, of
from ddpm_np.diffusion.decoder import decoder_log_likelihood
from ddpm_np.diffusion.forward import q_step
from ddpm_np.diffusion.images import sum_over_image, times
from ddpm_np.diffusion.normal import log_normal
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule


def q_trajectory(schedule: Schedule, x_0: Array, noises: Array) -> Array:
    """Forward process (2), step by step: x₀, …, x_T with x_t = √(1 − β_t)·x_{t−1} + √β_t·z_t.

    Checked as: 2.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.
    noises : array of shape (T + 1, N, …)
        Standard normal noise: row t is z_t, row 0 is unused.

    Returns
    -------
    array of shape (T + 1, N, …)
        The trajectory.

    Notes
    -----
    Equation (2) of Ho et al. (2020). Verified by ``ddpm-np check --equation 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √α₁ = 4/5, √α₂ = 3/4
    >>> q_trajectory(schedule, np.array([[1.0]]), np.zeros((3, 1, 1))).ravel().round(12)
    array([1. , 0.8, 0.6])
    """
    xp, x = of(x_0), [x_0]
    for t in range(1, schedule.T + 1):
        x.append(q_step(schedule, x[-1], times(x_0, t), noises[t, ...]))
    return xp.stack(x)  # (T+1, N, …)


@dataclass(frozen=True)
class Trajectory:
    """A trajectory, a model, and the log densities from which the lines are built.

    Checked as: 3, joint, 20, 21.

    Attributes
    ----------
    reverse : Reverse
        The model p_θ(x_{t−1} | x_t).
    x : array of shape (T + 1, N, …)
        The trajectory x₀, …, x_T.
    levels : int or None
        Data levels of the decoder (13) as p_θ(x₀ | x₁); None for the density.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> from ddpm_np.diffusion.appendix_a import equation_17, equation_21
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> tr = Trajectory(reverse, q_trajectory(reverse.schedule, np.array([[1.0]]), np.zeros((3, 1, 1))))
    >>> bool(abs(equation_17(tr) - equation_21(tr))[0] < 1e-14)
    True
    """

    reverse: Reverse
    x: Array
    levels: int | None = None

    @property
    def schedule(self) -> Schedule:
        """The schedule β₁..β_T.

        Returns
        -------
        Schedule
            The schedule of `reverse`.
        """
        return self.reverse.schedule

    def log_prior(self) -> Array:
        """Log density of the prior: ln p(x_T), p = N(0, I).

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_T = self.x[self.schedule.T, ...]
        return sum_over_image(log_normal(x_T, 0 * x_T, 0 * x_T))

    def log_p(self, t: int) -> Array:
        """Log density of the reverse step: ln p_θ(x_{t−1} | x_t), equation (1).

        Parameters
        ----------
        t : int
            The step, 1..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        mean, log_sigma2, _ = p_mean_log_variance(self.reverse, x_t, times(x_t, t))
        if t == 1 and self.levels is not None:
            return sum_over_image(decoder_log_likelihood(before, mean, 0.5 * log_sigma2, self.levels))
        return sum_over_image(log_normal(before, mean, log_sigma2))

    def log_q_step(self, t: int) -> Array:
        """Log density of the forward step: ln q(x_t | x_{t−1}), equation (2).

        Parameters
        ----------
        t : int
            The step, 1..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        k = self.schedule.at(times(x_t, t), like=x_t)
        return sum_over_image(log_normal(x_t, k.sqrt_alpha * before, k.log_beta))

    def log_q_given_x0(self, t: int) -> Array:
        """Log density of x_t given the data: ln q(x_t | x₀), equation (4).

        Parameters
        ----------
        t : int
            The step, 1..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, x_0 = self.x[t, ...], self.x[0, ...]
        k = self.schedule.at(times(x_t, t), like=x_t)
        variance = k.one_minus_alpha_bar  # (N, 1, …)
        return sum_over_image(log_normal(x_t, k.sqrt_alpha_bar * x_0, of(variance).log(variance)))

    def log_q_posterior(self, t: int) -> Array:
        """Log density of the posterior: ln q(x_{t−1} | x_t, x₀), equation (6).

        Parameters
        ----------
        t : int
            The step, 2..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, before, now = self.x[t, ...], self.x[t - 1, ...], times(self.x[t, ...], t)
        log_beta_tilde = self.schedule.at(now, like=x_t).posterior_log_variance_clipped  # (N, 1, …)
        mean = posterior_mean(self.schedule, self.x[0, ...], x_t, now)  # (N, …)
        return sum_over_image(log_normal(before, mean, log_beta_tilde))

    @property
    def steps(self) -> range:
        """The steps t = 1..T.

        Returns
        -------
        range
            From 1 to T.
        """
        return range(1, self.schedule.T + 1)
