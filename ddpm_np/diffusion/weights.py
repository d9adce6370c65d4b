"""What an error of the net's prediction costs: its weight in the bound, and the variance σ_t² that is best for it.

An error d of a prediction moves μ_θ by g·d. With g² = β_t²/(α_t·(1 − ᾱ_t)) for ε, c₀² for x₀, c₀²·(1 − ᾱ_t) for v and
1 for μ̃, where c₀ = √ᾱ_{t−1}·β_t/(1 − ᾱ_t) of (7), the bound's weight of the squared error is g²/(2σ_t²), and the
best σ_t² is β̃_t + g²·(the mean squared error).
"""

from __future__ import annotations

from typing import Any

from ddpm_np.arguments import one_of
from ddpm_np.backend import Array, Ints, of, plain
from ddpm_np.diffusion.reverse import PREDICTS
from ddpm_np.diffusion.schedule import Coefficients, Schedule
from ddpm_np.diffusion.variance import log_variance_at


def bound_weight(schedule: Schedule, t: Ints, variance: str | Array = "small", *, predicts: str = "eps",
                 dtype: Any = "float64") -> Array:
    """Weight of a prediction's squared error in the bound: g²/(2σ_t²), g² = c₀² for x₀, c₀²·(1 − ᾱ_t) for v.

    With σ_t² = β̃_t, for t ≥ 2, that of x₀ is ½·(SNR(t − 1) − SNR(t)) and that of v is ½·SNR(t − 1)·β_t. For ε it is
    `eq12_weight`.

    Checked as: bound-weight.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 1..T.
    variance : str or array of shape (T + 1,)
        A fixed σ_t²: ``"small"``, ``"large"`` or a table; see `log_variance`.
    predicts : str
        What the net predicts: ``"eps"``, ``"x0"``, ``"mean"`` or ``"v"``.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    array of shape (N,)
        Weights, of nats per dimension.

    Raises
    ------
    ValueError
        If `predicts` is unknown, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equations (8) and (12) of Ho et al. (2020). Verified by ``ddpm-np check --equation bound-weight``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([1 / 10, 4 / 9])  # ᾱ = 9/10 and 1/2: SNR = 9 and 1
    >>> bound_weight(schedule, np.array([2]), predicts="x0").round(12)  # (9 − 1)/2
    array([4.])
    """
    k = schedule.at(t, like=t, dtype=dtype, least=1)  # (N,) each
    log_sigma2 = log_variance_at(k, variance)
    return _gain(k, predicts) * of(log_sigma2).exp(-log_sigma2) / 2


def optimal_variance(schedule: Schedule, t: Ints, error: Array, *, predicts: str = "eps") -> Array:
    """Variance σ_t² of the reverse step for which the bound is least: β̃_t + g²·(the mean squared error).

    For the best net the error is what the data leave open: Var[ε | x_t], Var[x₀ | x_t], averaged over x_t, such as
    `Gaussian.eps_variance` or the least L_simple at t. For data of unit normal distribution the result is β_t, for a
    single image β̃_t, and β_t/α_t if nothing is known of the noise.

    Checked as: optimal-variance.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 1..T.
    error : array of shape (N, …)
        Mean squared error of the prediction at t, a mean over one dimension, over images and noise.
    predicts : str
        What the error is one of: ``"eps"``, ``"x0"``, ``"mean"`` or ``"v"``.

    Returns
    -------
    array of shape (N, …)
        The variances.

    Raises
    ------
    ValueError
        If `predicts` is unknown, or if a t is out of range or an error negative (neither is checked on CuPy, to avoid a
        device sync).

    Notes
    -----
    Theorem 1 of Bao et al. (2022), Analytic-DPM. Verified by ``ddpm-np check --equation optimal-variance``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Gaussian, Schedule
    >>> schedule, t = Schedule.from_betas([9 / 25, 7 / 16]), np.array([2])
    >>> unit = Gaussian(schedule, 0.0, 1.0)  # x₀ ~ N(0, 1): σ₂² = β₂ = 7/16
    >>> (optimal_variance(schedule, t, unit.eps_variance[t]) * 16).round(12)
    array([7.])
    """
    k = schedule.at(t, like=error, least=1)
    if of(plain(error)).name == "numpy" and (plain(error) < 0).any():
        raise ValueError(f"a mean squared error is at least 0, got {plain(error).min()}")
    return k.beta_tilde + _gain(k, predicts) * error  # (N, …)


def _gain(k: Coefficients, predicts: str) -> Array:
    """Return g², the square of the factor by which an error of the prediction moves the mean; (N, 1, …)."""
    if predicts == "eps":
        return k.beta**2 / (k.alpha * k.one_minus_alpha_bar)
    if predicts == "x0":
        return k.posterior_x0**2
    if predicts == "v":
        return k.posterior_x0**2 * k.one_minus_alpha_bar
    one_of("predicts", predicts, PREDICTS)
    return of(k.alpha).ones_like(k.alpha)
