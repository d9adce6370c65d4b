"""The forward process: from an image to noise (Ho et al. 2020, equations 2 and 4)."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Schedule


def q_step(schedule: Schedule, x_prev: Array, t: Ints, noise: Array) -> Array:
    """Forward step (2): x_t = √(1 − β_t)·x_{t−1} + √β_t·z, a sample of q(x_t | x_{t−1}) for z ~ N(0, I).

    Checked as: 2.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_prev : array of shape (N, …)
        Images x_{t−1}.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise z ~ N(0, I).

    Returns
    -------
    array of shape (N, …)
        Images x_t, in the dtype of `x_prev`.

    Raises
    ------
    ValueError
        If `noise` has another shape than `x_prev`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equation (2) of Ho et al. (2020). Verified by ``ddpm-np check --equation 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √(1 − β₁) = 4/5, √β₁ = 3/5
    >>> q_step(schedule, np.array([[1.0]]), np.array([1]), np.array([[1.0]])).round(12)
    array([[1.4]])
    """
    same_shape("noise", noise, x_prev)
    k = schedule.at(t, like=x_prev, least=1)
    return k.sqrt_alpha * x_prev + k.sqrt_beta * noise  # (N, …)


def q_sample(schedule: Schedule, x_0: Array, t: Ints, noise: Array) -> Array:
    """Forward process in one step (4): x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε, a sample of q(x_t | x₀) for ε ~ N(0, I).

    Checked as: 4.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 0..T; at 0 the result is the data.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I).

    Returns
    -------
    array of shape (N, …)
        Images x_t, in the dtype of `x_0`.

    Raises
    ------
    ValueError
        If `noise` has another shape than `x_0`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equation (4) of Ho et al. (2020). Verified by ``ddpm-np check --equation 4``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √ᾱ₂ = 3/5, √(1 − ᾱ₂) = 4/5
    >>> q_sample(schedule, np.array([[1.0]]), np.array([2]), np.array([[1.0]])).round(12)
    array([[1.4]])
    """
    same_shape("noise", noise, x_0)
    k = schedule.at(t, like=x_0)
    return k.sqrt_alpha_bar * x_0 + k.sqrt_one_minus_alpha_bar * noise  # (N, …)
