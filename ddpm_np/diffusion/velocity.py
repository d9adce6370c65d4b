"""The velocity v (Salimans & Ho 2022): (x_t, v) is (x₀, ε) turned by an angle, so it is as well scaled at every t.

With cos φ = √ᾱ_t and sin φ = √(1 − ᾱ_t): x_t = cos φ·x₀ + sin φ·ε and v = cos φ·ε − sin φ·x₀ = dx_t/dφ. Unlike ε it
says what x₀ is where ᾱ_t = 0.
"""

from __future__ import annotations

from typing import Any

from ddpm_np.diffusion.schedule import Schedule, same_shape


def velocity(schedule: Schedule, x_0: Any, t: Any, noise: Any) -> Any:
    """v = √ᾱ_t·ε − √(1 − ᾱ_t)·x₀; (N, …).

    Checked as: velocity.
    """
    same_shape("noise", noise, x_0)
    towards = schedule.at(schedule.sqrt_alpha_bar, t, x_0) * noise
    return towards - schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_0) * x_0


def x0_from_velocity(schedule: Schedule, x_t: Any, t: Any, v: Any) -> Any:
    """x̂₀ = √ᾱ_t·x_t − √(1 − ᾱ_t)·v; (N, …).

    Checked as: velocity.
    """
    same_shape("a prediction of the velocity", v, x_t)
    signal = schedule.at(schedule.sqrt_alpha_bar, t, x_t) * x_t
    return signal - schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t) * v


def eps_from_velocity(schedule: Schedule, x_t: Any, t: Any, v: Any) -> Any:
    """ε̂ = √ᾱ_t·v + √(1 − ᾱ_t)·x_t; (N, …).

    Checked as: velocity.
    """
    same_shape("a prediction of the velocity", v, x_t)
    return schedule.at(schedule.sqrt_alpha_bar, t, x_t) * v + schedule.at(
        schedule.sqrt_one_minus_alpha_bar, t, x_t) * x_t
