"""The velocity v (Salimans & Ho 2022): (x_t, v) is (x₀, ε) rotated, so it is equally well scaled at every t.

With cos φ = √ᾱ_t and sin φ = √(1 − ᾱ_t): x_t = cos φ·x₀ + sin φ·ε and v = cos φ·ε − sin φ·x₀ = dx_t/dφ. Unlike ε, v
determines x₀ where ᾱ_t = 0.
"""

from __future__ import annotations

from ddpm_np.backend import Array, Ints
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Schedule


def velocity(schedule: Schedule, x_0: Array, t: Ints, noise: Array) -> Array:
    """Velocity: v = √ᾱ_t·ε − √(1 − ᾱ_t)·x₀.

    Checked as: velocity.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 0..T.
    noise : array of shape (N, …)
        Noise ε of x_t.

    Returns
    -------
    array of shape (N, …)
        Velocities, in the dtype of `x_0`.

    Raises
    ------
    ValueError
        If `noise` has another shape than `x_0`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Section 3 of Salimans & Ho (2022). Verified by ``ddpm-np check --equation velocity``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √ᾱ₂ = 3/5, √(1 − ᾱ₂) = 4/5
    >>> velocity(schedule, np.array([[1.0]]), np.array([2]), np.array([[2.0]])).round(12)
    array([[0.4]])
    """
    same_shape("noise", noise, x_0)
    k = schedule.at(t, like=x_0)
    return k.sqrt_alpha_bar * noise - k.sqrt_one_minus_alpha_bar * x_0  # (N, …)


def x0_from_velocity(schedule: Schedule, x_t: Array, t: Ints, v: Array) -> Array:
    """Estimate of x₀ by a velocity: x̂₀ = √ᾱ_t·x_t − √(1 − ᾱ_t)·v.

    Checked as: velocity.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 0..T.
    v : array of shape (N, …)
        Predicted velocity.

    Returns
    -------
    array of shape (N, …)
        Estimates x̂₀.

    Raises
    ------
    ValueError
        If `v` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Section 3 of Salimans & Ho (2022). Verified by ``ddpm-np check --equation velocity``.
    """
    same_shape("a prediction of the velocity", v, x_t)
    k = schedule.at(t, like=x_t)
    return k.sqrt_alpha_bar * x_t - k.sqrt_one_minus_alpha_bar * v  # (N, …)


def eps_from_velocity(schedule: Schedule, x_t: Array, t: Ints, v: Array) -> Array:
    """Noise by a velocity: ε̂ = √ᾱ_t·v + √(1 − ᾱ_t)·x_t.

    Checked as: velocity.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 0..T.
    v : array of shape (N, …)
        Predicted velocity.

    Returns
    -------
    array of shape (N, …)
        Predicted noise ε̂.

    Raises
    ------
    ValueError
        If `v` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Section 3 of Salimans & Ho (2022). Verified by ``ddpm-np check --equation velocity``.
    """
    same_shape("a prediction of the velocity", v, x_t)
    k = schedule.at(t, like=x_t)
    return k.sqrt_alpha_bar * v + k.sqrt_one_minus_alpha_bar * x_t  # (N, …)
