"""The noise, x₀ and the mean of x_{t−1}: each follows from any other (equations 4, 7, 11, 15)."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Schedule


def predict_x0(schedule: Schedule, x_t: Array, t: Ints, eps: Array) -> Array:
    """Estimate of x₀ (15): x̂₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t, which is equation (4) solved for x₀.

    Checked as: 15.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    eps : array of shape (N, …)
        Predicted noise.

    Returns
    -------
    array of shape (N, …)
        Estimates x̂₀.

    Raises
    ------
    ValueError
        If `eps` has another shape than `x_t`; if a t is out of range, or ᾱ_t = 0 and x̂₀ is undefined (neither is
        checked on CuPy, to avoid a device sync).

    Notes
    -----
    Equation (15) of Ho et al. (2020). Verified by ``ddpm-np check --equation 15``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √ᾱ₂ = 3/5, √(1 − ᾱ₂) = 4/5
    >>> predict_x0(schedule, np.array([[1.4]]), np.array([2]), np.array([[1.0]])).round(12)
    array([[1.]])
    """
    same_shape("a prediction of the noise", eps, x_t)
    k = schedule.at(t, like=x_t)
    _need_signal(schedule.sqrt_alpha_bar, t)
    return (x_t - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar  # (N, …)


def _need_signal(root: Array, t: Ints) -> None:
    """Raise if √ᾱ_t or √α_t, the table `root`, is 0 at a t: x_t is then pure noise (β_T = 1, or ᾱ_t underflows)."""
    on_host = of(root).name == of(t).name == "numpy"
    if on_host and root[-1] == 0 and (root[t] == 0).any():
        raise ValueError(f"ᾱ_t = 0 at t = {t[root[t] == 0][0]}: x_t is noise, and x̂₀ does not follow from a prediction "
                         "of the noise: use a net that predicts x0 or v")


def predict_eps(schedule: Schedule, x_t: Array, t: Ints, x_0: Array) -> Array:
    """Noise in x_t for a given x₀: ε = (x_t − √ᾱ_t·x₀)/√(1 − ᾱ_t), which is equation (4) solved for ε.

    Checked as: eps.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    x_0 : array of shape (N, …)
        Data, or an estimate of them.

    Returns
    -------
    array of shape (N, …)
        The noise ε.

    Raises
    ------
    ValueError
        If `x_0` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equation (4) of Ho et al. (2020), solved for ε. Verified by ``ddpm-np check --equation eps``.
    """
    same_shape("x_0", x_0, x_t)
    k = schedule.at(t, like=x_t, least=1)
    return (x_t - k.sqrt_alpha_bar * x_0) / k.sqrt_one_minus_alpha_bar  # (N, …)


def mean_from_eps(schedule: Schedule, x_t: Array, t: Ints, eps: Array) -> Array:
    """Mean of the reverse step (11): μ_θ = (x_t − β_t/√(1 − ᾱ_t)·ε_θ)/√α_t.

    It equals `posterior_mean` at the unclipped x̂₀ of `predict_x0`.

    Checked as: 11.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    eps : array of shape (N, …)
        Predicted noise ε_θ.

    Returns
    -------
    array of shape (N, …)
        Means μ_θ.

    Raises
    ------
    ValueError
        If `eps` has another shape than `x_t`; if a t is out of range, or α_t = 0 (neither is checked on CuPy, to avoid
        a device sync).

    Notes
    -----
    Equation (11) of Ho et al. (2020). Verified by ``ddpm-np check --equation 11``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √α₂ = 3/4, β₂/√(1 − ᾱ₂) = 35/64
    >>> (mean_from_eps(schedule, np.array([[1.0]]), np.array([2]), np.array([[1.0]])) * 48).round(12)  # 29/48
    array([[29.]])
    """
    same_shape("a prediction of the noise", eps, x_t)
    k = schedule.at(t, like=x_t, least=1)
    _need_signal(schedule.sqrt_alpha, t)
    return (x_t - k.beta / k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha  # (N, …)


def eps_from_mean(schedule: Schedule, x_t: Array, t: Ints, mean: Array) -> Array:
    """Noise of a predicted mean: ε = (x_t − √α_t·μ)·√(1 − ᾱ_t)/β_t, which is equation (11) solved for ε.

    Checked as: 11.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    mean : array of shape (N, …)
        Predicted mean μ.

    Returns
    -------
    array of shape (N, …)
        Predicted noise.

    Raises
    ------
    ValueError
        If `mean` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equation (11) of Ho et al. (2020), solved for ε. Verified by ``ddpm-np check --equation 11``.
    """
    same_shape("a prediction of the mean", mean, x_t)
    k = schedule.at(t, like=x_t, least=1)
    return (x_t - k.sqrt_alpha * mean) / (k.beta / k.sqrt_one_minus_alpha_bar)  # (N, …)


def x0_from_mean(schedule: Schedule, x_t: Array, t: Ints, mean: Array) -> Array:
    """Estimate of x₀ by a predicted mean: x̂₀ = (μ − c_t·x_t)/c₀, which is equation (7) solved for x₀.

    The coefficients of (7) are c₀ = √ᾱ_{t−1}·β_t/(1 − ᾱ_t) and c_t = √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t).

    Checked as: 15.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    mean : array of shape (N, …)
        Predicted mean μ.

    Returns
    -------
    array of shape (N, …)
        Estimates x̂₀.

    Raises
    ------
    ValueError
        If `mean` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equation (7) of Ho et al. (2020), solved for x₀. Verified by ``ddpm-np check --equation 15``.
    """
    same_shape("a prediction of the mean", mean, x_t)
    k = schedule.at(t, like=x_t)
    return (mean - k.posterior_xt * x_t) / k.posterior_x0  # (N, …)
