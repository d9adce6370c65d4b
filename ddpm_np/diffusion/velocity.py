"""The velocity v (Salimans & Ho 2022): (x_t, v) is (x₀, ε) turned by an angle, so it is as well scaled at every t.

With cos φ = √ᾱ_t and sin φ = √(1 − ᾱ_t): x_t = cos φ·x₀ + sin φ·ε and v = cos φ·ε − sin φ·x₀ = dx_t/dφ. Unlike ε it
says what x₀ is where ᾱ_t = 0.
"""

from __future__ import annotations

from ddpm_np.backend import Array, Ints
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Schedule


def velocity(schedule: Schedule, x_0: Array, t: Ints, noise: Array) -> Array:
    """v = √ᾱ_t·ε − √(1 − ᾱ_t)·x₀; (N, …).

    Checked as: velocity.
    """
    same_shape("noise", noise, x_0)
    k = schedule.at(t, like=x_0)
    return k.sqrt_alpha_bar * noise - k.sqrt_one_minus_alpha_bar * x_0  # (N, …)


def x0_from_velocity(schedule: Schedule, x_t: Array, t: Ints, v: Array) -> Array:
    """x̂₀ = √ᾱ_t·x_t − √(1 − ᾱ_t)·v; (N, …).

    Checked as: velocity.
    """
    same_shape("a prediction of the velocity", v, x_t)
    k = schedule.at(t, like=x_t)
    return k.sqrt_alpha_bar * x_t - k.sqrt_one_minus_alpha_bar * v  # (N, …)


def eps_from_velocity(schedule: Schedule, x_t: Array, t: Ints, v: Array) -> Array:
    """ε̂ = √ᾱ_t·v + √(1 − ᾱ_t)·x_t; (N, …).

    Checked as: velocity.
    """
    same_shape("a prediction of the velocity", v, x_t)
    k = schedule.at(t, like=x_t)
    return k.sqrt_alpha_bar * v + k.sqrt_one_minus_alpha_bar * x_t  # (N, …)
