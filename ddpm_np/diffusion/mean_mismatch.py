"""From the bound to L_simple: a term as the distance of two means (8), in coordinates of the noise (9), (10), (12)."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import Array, Ints, of, real_dtype
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image
from ddpm_np.diffusion.normal import exp_excess
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance, predict
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.diffusion.variance import log_variance_at


def mean_mismatch(reverse: Reverse, x_0: Array, x_t: Array, t: Ints) -> Array:
    """Mean-matching part of L_{t−1} (8): ‖μ̃_t(x_t, x₀) − μ_θ(x_t, t)‖²/(2σ_t²), averaged over dimensions.

    L_{t−1} is this plus the constant C = ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1) (`mismatch_constant`).

    Checked as: 8.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0 : array of shape (N, …)
        Data.
    x_t : array of shape (N, …)
        A sample of q(x_t | x₀).
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    array of shape (N,)
        Nats per dimension.

    Notes
    -----
    Equation (8) of Ho et al. (2020). Verified by ``ddpm-np check --equation 8``.
    """
    mean, log_sigma2, _ = p_mean_log_variance(reverse, x_t, t)
    return _half_weighted_square(posterior_mean(reverse.schedule, x_0, x_t, t) - mean, log_sigma2)


def mismatch_constant(schedule: Schedule, t: Ints, x: Array, variance: str | Array = "small") -> Array:
    """Constant of (8): C = ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1), for t ≥ 2.

    Checked as: 8.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 2..T.
    x : array of shape (N, …)
        Images, whose dtype, device and rank the result takes.
    variance : str or array of shape (T + 1,)
        A fixed σ_t²: ``"small"``, ``"large"`` or a table; see `log_variance`.

    Returns
    -------
    array of shape (N, 1, …)
        Nats per dimension.

    Notes
    -----
    Equation (8) of Ho et al. (2020). Verified by ``ddpm-np check --equation 8``.
    """
    k = schedule.at(t, like=x)
    return 0.5 * exp_excess(k.posterior_log_variance_clipped - log_variance_at(k, variance))


def mean_mismatch_from_noise(reverse: Reverse, x_0: Array, t: Ints, noise: Array) -> Array:
    """Mean-matching part of L_{t−1} at x_t(x₀, ε) (9): (8) with x₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t.

    Checked as: 9.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I) of x_t.

    Returns
    -------
    array of shape (N,)
        Nats per dimension.

    Notes
    -----
    Equation (9) of Ho et al. (2020). Verified by ``ddpm-np check --equation 9``.
    """
    x_t = q_sample(reverse.schedule, x_0, t, noise)  # (N, …)
    k = reverse.schedule.at(t, like=x_t)
    x_0_again = (x_t - k.sqrt_one_minus_alpha_bar * noise) / k.sqrt_alpha_bar  # (N, …)
    return mean_mismatch(reverse, x_0_again, x_t, t)


def mean_mismatch_simplified(reverse: Reverse, x_0: Array, t: Ints, noise: Array) -> Array:
    """Mean-matching part of L_{t−1} in ε (10): ‖(x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t − μ_θ(x_t, t)‖²/(2σ_t²), averaged.

    Checked as: 10.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I) of x_t.

    Returns
    -------
    array of shape (N,)
        Nats per dimension.

    Notes
    -----
    Equation (10) of Ho et al. (2020). Verified by ``ddpm-np check --equation 10``.
    """
    x_t = q_sample(reverse.schedule, x_0, t, noise)  # (N, …)
    mean, log_sigma2, _ = p_mean_log_variance(reverse, x_t, t)
    k = reverse.schedule.at(t, like=x_t)
    target = (x_t - k.beta / k.sqrt_one_minus_alpha_bar * noise) / k.sqrt_alpha  # (N, …)
    return _half_weighted_square(target - mean, log_sigma2)


def _half_weighted_square(difference: Array, log_sigma2: Array) -> Array:
    """Return the mean of d²/(2σ²) over each image's dimensions; (N,)."""
    xp = of(difference, log_sigma2)
    return mean_over_image(0.5 * xp.square(difference) * xp.exp(-log_sigma2))


def eq12_weight(schedule: Schedule, t: Ints, variance: str | Array = "small", dtype: Any = "float64") -> Array:
    """Weight of (12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), for t ≥ 2.

    Checked as: 12.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 2..T.
    variance : str or array of shape (T + 1,)
        A fixed σ_t²: ``"small"``, ``"large"`` or a table; see `log_variance`.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    array of shape (N,)
        Weights.

    Notes
    -----
    Equation (12) of Ho et al. (2020). Verified by ``ddpm-np check --equation 12``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # α₂ = 9/16 and 1 − ᾱ₂ = 16/25
    >>> (eq12_weight(schedule, np.array([2]), "large") * 288).round(12)  # 7/16/(2·9/16·16/25) = 175/288
    array([175.])
    """
    k = schedule.at(t, like=t, dtype=dtype)  # (N,) each
    log_sigma2 = log_variance_at(k, variance)
    scale = k.beta**2 * of(log_sigma2).exp(-log_sigma2)
    return scale / (2 * k.alpha * k.one_minus_alpha_bar)


def weighted_noise_loss(reverse: Reverse, x_0: Array, t: Ints, noise: Array) -> Array:
    """Weighted noise loss (12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t))·‖ε − ε_θ(x_t, t)‖², averaged over dimensions.

    It equals (8) written in terms of ε.

    Checked as: 12.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t), with a fixed variance.
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I) of x_t.

    Returns
    -------
    array of shape (N,)
        Nats per dimension.

    Notes
    -----
    Equation (12) of Ho et al. (2020). Verified by ``ddpm-np check --equation 12``.
    """
    x_t = q_sample(reverse.schedule, x_0, t, noise)  # (N, …)
    difference = noise - predict(reverse, x_t, t).eps
    weight = eq12_weight(reverse.schedule, t, reverse.variance, real_dtype(x_t))  # (N,)
    return weight * mean_over_image(of(difference).square(difference))
