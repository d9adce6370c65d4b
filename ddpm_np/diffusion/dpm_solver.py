"""DPM-Solver-1 (Lu et al. 2022): the first-order step in λ, half the logarithm of the signal-to-noise ratio.

It is the same map as a DDIM step with η = 0, written in λ.
"""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of, real_dtype
from ddpm_np.diffusion.reverse import Reverse, predict


def dpm_solver_1_step(reverse: Reverse, x_t: Array, t: Ints, t_prev: Ints) -> Array:
    """DPM-Solver-1 step: x_s = √(ᾱ_s/ᾱ_t)·x_t − √(1 − ᾱ_s)·(e^h − 1)·ε_θ, h = λ_s − λ_t, s = t_prev.

    λ = ½·ln(ᾱ/(1 − ᾱ)). It is infinite at s = 0, where `ddim_step` has the limit. h is computed in double precision.

    Checked as: dpm-solver-1.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its variance is not used. If it clips x̂₀, ε is changed to match.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 2..T, with ᾱ_t > 0.
    t_prev : int array of shape (N,)
        Steps s, 1 ≤ s < t.

    Returns
    -------
    array of shape (N, …)
        Images x_s.

    Raises
    ------
    ValueError
        If steps are out of range or t_prev ≥ t (not checked on CuPy, to avoid a device sync).

    Notes
    -----
    Equation (3.7) of Lu et al. (2022). Verified by ``ddpm-np check --equation dpm-solver-1``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: x_t)  # ε_θ = x_t
    >>> dpm_solver_1_step(reverse, np.array([[3.0]]), np.array([2]), np.array([1])).round(12)  # DDIM's: 4/5·1 + 3/5·3
    array([[2.6]])
    """
    now, then = (reverse.schedule.at(i, like=x_t, dtype="float64", least=1) for i in (t, t_prev))
    xp = of(now.alpha_bar)
    if xp.name == "numpy" and (t_prev >= t).any():
        raise ValueError(f"a step goes from t down to a smaller t_prev, got t = {t} and t_prev = {t_prev}")
    here, there = (0.5 * xp.log(k.alpha_bar / k.one_minus_alpha_bar) for k in (now, then))  # λ: (N, 1, …) each
    gain = then.sqrt_alpha_bar / now.sqrt_alpha_bar  # (N, 1, …)
    change = then.sqrt_one_minus_alpha_bar * xp.expm1(there - here)  # (N, 1, …)
    eps = predict(reverse, x_t, t).eps  # (N, …)
    gain, change = (xp.astype(factor, real_dtype(x_t)) for factor in (gain, change))
    return gain * x_t - change * eps
