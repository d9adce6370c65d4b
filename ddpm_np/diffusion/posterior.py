"""The posterior of one forward step, given both ends (Ho et al. 2020, equations 6 and 7)."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.schedule import Schedule, same_shape


def posterior_mean(schedule: Schedule, x_0: Any, x_t: Any, t: Any) -> Any:
    """Equation (7): μ̃_t(x_t, x₀) = √ᾱ_{t−1}·β_t/(1 − ᾱ_t)·x₀ + √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t)·x_t.

    Checked as: 7.

    Parameters
    ----------
    schedule
        β₁..β_T.
    x_0, x_t
        Arrays or Tensors (N, …).
    t
        Int array (N,), 1..T.

    Returns
    -------
    (N, …)
        The mean of q(x_{t−1} | x_t, x₀); at t = 1 it is x₀.
    """
    same_shape("x_0", x_0, x_t)
    return schedule.at(schedule.posterior_mean_x0, t, x_0) * x_0 + schedule.at(schedule.posterior_mean_xt, t, x_t) * x_t


def q_posterior(schedule: Schedule, x_0: Any, x_t: Any, t: Any) -> tuple[Any, Any]:
    """Equations (6) and (7): q(x_{t−1} | x_t, x₀) = N(μ̃_t(x_t, x₀), β̃_t·I), β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t).

    Checked as: 6, 7.

    Returns
    -------
    mean, variance : (N, …), (N, …)
        Both of x_t's shape; the variance is 0 at t = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])
    >>> mean, variance = q_posterior(schedule, np.array([[1.0]]), np.array([[0.0]]), np.array([2]))
    >>> round(float(mean[0, 0]) * 64, 12), round(float(variance[0, 0]) * 256, 12)  # 35/64 and 63/256
    (35.0, 63.0)
    """
    data = x_t.data if of(x_t).name == "tensor" else x_t
    variance = schedule.at(schedule.beta_tilde, t, x_t) * of(data).ones_like(data)  # (N, …)
    return posterior_mean(schedule, x_0, x_t, t), variance
