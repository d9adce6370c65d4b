"""The posterior of a forward step given both ends, q(x_{t−1} | x_t, x₀) (Ho et al. 2020, equations 6 and 7)."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of, plain
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Schedule


def posterior_mean(schedule: Schedule, x_0: Array, x_t: Array, t: Ints) -> Array:
    """Posterior mean (7): μ̃_t(x_t, x₀) = √ᾱ_{t−1}·β_t/(1 − ᾱ_t)·x₀ + √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t)·x_t.

    Checked as: 7.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data, or an estimate of them.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    array of shape (N, …)
        The mean of q(x_{t−1} | x_t, x₀); at t = 1 it is x₀.

    Raises
    ------
    ValueError
        If `x_0` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equation (7) of Ho et al. (2020). Verified by ``ddpm-np check --equation 7``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # at t = 2 the coefficients are 35/64 and 27/64
    >>> (posterior_mean(schedule, np.array([[1.0]]), np.array([[1.0]]), np.array([2])) * 64).round(12)
    array([[62.]])
    """
    same_shape("x_0", x_0, x_t)
    k = schedule.at(t, like=x_t)
    return k.posterior_x0 * x_0 + k.posterior_xt * x_t  # (N, …)


def q_posterior(schedule: Schedule, x_0: Array, x_t: Array, t: Ints) -> tuple[Array, Array]:
    """Posterior (6), (7): q(x_{t−1} | x_t, x₀) = N(μ̃_t(x_t, x₀), β̃_t·I), β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t).

    Checked as: 6, 7.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    mean : array of shape (N, …)
        Posterior mean μ̃_t.
    variance : array of shape (N, …)
        Posterior variance β̃_t of each element; 0 at t = 1.

    Raises
    ------
    ValueError
        If `x_0` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equations (6) and (7) of Ho et al. (2020). Verified by ``ddpm-np check --equation 6 --equation 7``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])
    >>> mean, variance = q_posterior(schedule, np.array([[1.0]]), np.array([[0.0]]), np.array([2]))
    >>> round(float(mean[0, 0]) * 64, 12), round(float(variance[0, 0]) * 256, 12)  # 35/64 and 63/256
    (35.0, 63.0)
    """
    k, data = schedule.at(t, like=x_t), plain(x_t)
    variance = k.beta_tilde * of(data).ones_like(data)  # (N, …)
    return posterior_mean(schedule, x_0, x_t, t), variance
