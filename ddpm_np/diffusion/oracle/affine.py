"""Gaussian data x₀ ~ N(m, s²) and a model with affine steps: chains, bound and likelihood in closed form.

If ε_θ is a_t·x + b_t, each of the model's steps is Gaussian and affine, p_θ(x_{t−1} | x_t) = N(A_t·x_t + B_t, σ_t²).
The best net, ε*, has this form (see `gaussian`). All results are per dimension, in nats, in float64 on the host. m and
s² are numbers or arrays (*dims); tables are (T + 1,) or (T + 1, *dims), index 0 the data.
"""

from __future__ import annotations

import math

from ddpm_np.backend import Array, get_backend
from ddpm_np.diffusion.oracle.arguments import columns, from_one, parameters, positive, rows
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


# Bound and likelihood of a model ε_θ = a_t·x + b_t.

def affine_vlb(schedule: Schedule, mean: Array, variance: Array, a: Array, b: Array, sigma2: Array) -> Array:
    """Bound (5) by its terms, for data N(m, s²) and the model ε_θ = a_t·x + b_t.

    - L_T = ½·[ᾱ_T·(s² + m²) − ᾱ_T − ln(1 − ᾱ_T)];
    - L_{t−1} = ½·[ln(σ_t²/β̃_t) + (β̃_t + E(μ̃_t − μ_θ)²)/σ_t² − 1] for t = 2..T;
    - L₀ = ½·ln 2πσ₁² + E(x₀ − μ_θ)²/(2σ₁²): the decoder is a density, N(x₀; μ_θ(x₁), σ₁²).

    For ε*, E(μ̃_t − μ_θ)² is (√ᾱ_{t−1}·β_t/(1 − ᾱ_t))²·Var[x₀ | x_t].

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : float or array of shape (*dims)
        The data's m.
    variance : float or array of shape (*dims)
        The data's s² ≥ 0.
    a : array of shape (T + 1,) or (T + 1, *dims)
        The table a_t; row 0 is not used.
    b : array of shape (T + 1,) or (T + 1, *dims)
        The table b_t; row 0 is not used.
    sigma2 : array of shape (T + 1,) or (T + 1, *dims)
        The table σ_t² > 0; row 0 is not used.

    Returns
    -------
    array of shape (T + 1, *dims)
        The terms L₀, L₁, …, L_T, in nats per dimension; their sum is the bound.

    Notes
    -----
    Equation (5) of Ho et al. (2020). Verified by ``ddpm-np check --equation 16``.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule
    >>> s = linear_schedule(1000)  # data N(0, 1): ε* = √(1 − ᾱ_t)·x, and with σ² = β the bound is the entropy
    >>> terms = affine_vlb(s, 0.0, 1.0, a=s.sqrt_one_minus_alpha_bar, b=0 * s.beta, sigma2=s.beta)
    >>> round(float(terms.sum()), 12), round(0.5 * math.log(2 * math.pi * math.e), 12)
    (1.418938533205, 1.418938533205)
    """
    mean, variance = parameters(mean, variance)
    return terms_of_5(schedule, mean, variance, *step_of(schedule, mean, a, b), sigma2)


def affine_bound_16(schedule: Schedule, mean: Array, variance: Array, a: Array, b: Array, sigma2: Array) -> Array:
    """Bound (16) by its terms, for data N(m, s²) and the model ε_θ = a_t·x + b_t.

    L = KL(q(x_T) ‖ p(x_T)) + E Σ_t KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)) + H(x₀), where q(x_{t−1} | x_t) is the
    exact reverse step N(A_t·x_t + B_t, r_t). The terms differ from those of (5); the sum is the same.

    Checked as: 16, 26.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : float or array of shape (*dims)
        The data's m.
    variance : float or array of shape (*dims)
        The data's s² > 0.
    a : array of shape (T + 1,) or (T + 1, *dims)
        The table a_t; row 0 is not used.
    b : array of shape (T + 1,) or (T + 1, *dims)
        The table b_t; row 0 is not used.
    sigma2 : array of shape (T + 1,) or (T + 1, *dims)
        The table σ_t² > 0; row 0 is not used.

    Returns
    -------
    array of shape (T + 2, *dims)
        H(x₀); for t = 1..T the expected KL, ½·[ln(σ_t²/r_t) + (r_t + E(A_t·x_t + B_t − μ_θ)²)/σ_t² − 1]; at last
        KL(q(x_T) ‖ p(x_T)) = ½·[v_T + ᾱ_T·m² − 1 − ln v_T]. In nats per dimension.

    Notes
    -----
    Equations (16) and (26) of Ho et al. (2020). Verified by ``ddpm-np check --equation 16 --equation 26``.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule
    >>> s = linear_schedule(1000)  # data N(0, 1) and its exact reverse step: only the entropy is not 0
    >>> terms = affine_bound_16(s, 0.0, 1.0, a=s.sqrt_one_minus_alpha_bar, b=0 * s.beta, sigma2=s.beta)
    >>> round(float(terms[0]), 6), round(float(abs(terms[1:]).max()), 6)
    (1.418939, 0.0)
    """
    mean, variance = parameters(mean, variance)
    return terms_of_16(schedule, mean, variance, *step_of(schedule, mean, a, b), sigma2)


def affine_nll(schedule: Schedule, mean: Array, variance: Array, a: Array, b: Array, sigma2: Array) -> Array:
    """Expected negative log likelihood E[−ln p_θ(x₀)], for data N(m, s²) and the model ε_θ = a_t·x + b_t.

    p_θ(x₀) = N(M₀, V₀) is the end of the model's chain, with the decoder's σ₁² in the last step (`chain_end`), so that
    the expectation is ½·[ln 2πV₀ + (s² + (m − M₀)²)/V₀]. The bound is never below it.

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : float or array of shape (*dims)
        The data's m.
    variance : float or array of shape (*dims)
        The data's s² ≥ 0.
    a : array of shape (T + 1,) or (T + 1, *dims)
        The table a_t; row 0 is not used.
    b : array of shape (T + 1,) or (T + 1, *dims)
        The table b_t; row 0 is not used.
    sigma2 : array of shape (T + 1,) or (T + 1, *dims)
        The table σ_t² > 0; row 0 is not used.

    Returns
    -------
    array of shape (*dims)
        Nats per dimension.

    Notes
    -----
    Section 2 of Ho et al. (2020). Verified by ``ddpm-np check --equation 16``.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule
    >>> s = linear_schedule(1000)  # data N(0, 1) and its exact reverse step: the entropy
    >>> nll = affine_nll(s, 0.0, 1.0, a=s.sqrt_one_minus_alpha_bar, b=0 * s.beta, sigma2=s.beta)
    >>> round(float(nll), 6)
    1.418939
    """
    mean, variance = parameters(mean, variance)
    return expected_nll(schedule, mean, variance, *step_of(schedule, mean, a, b), sigma2)


# The same for a step of mean A_t·x_t + B_t.

def terms_of_5(schedule: Schedule, mean: Array, variance: Array, gain: Array, shift: Array, sigma2: Array) -> Array:
    """Bound (5) by its terms for a step of mean A_t·x_t + B_t: `affine_vlb`.

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : array of shape (*dims)
        The data's m.
    variance : array of shape (*dims)
        The data's s².
    gain : array of shape (T + 1, *dims)
        The table A_t; row 0 is not used.
    shift : array of shape (T + 1, *dims)
        The table B_t; row 0 is not used.
    sigma2 : array of shape (T + 1,) or (T + 1, *dims)
        The table σ_t² > 0; row 0 is not used.

    Returns
    -------
    array of shape (T + 1, *dims)
        The terms L₀, L₁, …, L_T, in nats per dimension.
    """
    alpha_bar, signal, noise, tilde, on_x0, on_xt = columns(
        schedule, mean, "alpha_bar", "sqrt_alpha_bar", "one_minus_alpha_bar", "beta_tilde", "posterior_x0",
        "posterior_xt")
    sigma2 = positive(rows(schedule, mean, "σ²", sigma2))
    # μ̃_t − μ_θ = c·x₀ + c'·x_t − A·x_t − B, and x_t = √ᾱ·x₀ + √(1 − ᾱ)·ε
    x0, eps2 = on_x0 + (on_xt - gain) * signal, (on_xt - gain) ** 2 * noise
    square = x0**2 * variance + eps2 + (x0 * mean - shift) ** 2  # (T+1, *dims): E(μ̃_t − μ_θ)²
    last = 0.5 * (alpha_bar[-1:] * (variance + mean**2) - alpha_bar[-1:] - _host.log(noise[-1:]))
    steps = 0.5 * (_host.log(sigma2[2:] / tilde[2:]) + (tilde[2:] + square[2:]) / sigma2[2:] - 1)
    first = 0.5 * (_host.log(2 * math.pi * sigma2[1:2]) + square[1:2] / sigma2[1:2])
    return _host.concatenate((first, steps, last))


def terms_of_16(schedule: Schedule, mean: Array, variance: Array, gain: Array, shift: Array, sigma2: Array) -> Array:
    """Bound (16) by its terms for a step of mean A_t·x_t + B_t: `affine_bound_16`.

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : array of shape (*dims)
        The data's m.
    variance : array of shape (*dims)
        The data's s².
    gain : array of shape (T + 1, *dims)
        The table A_t; row 0 is not used.
    shift : array of shape (T + 1, *dims)
        The table B_t; row 0 is not used.
    sigma2 : array of shape (T + 1,) or (T + 1, *dims)
        The table σ_t² > 0; row 0 is not used.

    Returns
    -------
    array of shape (T + 2, *dims)
        H(x₀), the expected KL divergences of t = 1..T, and KL(q(x_T) ‖ p(x_T)), in nats per dimension.
    """
    alpha_bar, signal = columns(schedule, mean, "alpha_bar", "sqrt_alpha_bar")
    sigma2 = positive(rows(schedule, mean, "σ²", sigma2))
    first, v = entropy(variance), marginal_variance(schedule, variance)
    exact_gain, exact_shift, r = exact_step(schedule, mean, variance)
    more = exact_gain - gain
    square = (more * signal * mean + exact_shift - shift) ** 2 + more**2 * v  # (T+1, *dims)
    steps = 0.5 * (_host.log(sigma2[1:] / r[1:]) + (r[1:] + square[1:]) / sigma2[1:] - 1)
    last = 0.5 * (v[-1:] + alpha_bar[-1:] * mean**2 - 1 - _host.log(v[-1:]))
    return _host.concatenate((first[None], steps, last))


def expected_nll(schedule: Schedule, mean: Array, variance: Array, gain: Array, shift: Array, sigma2: Array) -> Array:
    """Expected negative log likelihood for a step of mean A_t·x_t + B_t: `affine_nll`.

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : array of shape (*dims)
        The data's m.
    variance : array of shape (*dims)
        The data's s².
    gain : array of shape (T + 1, *dims)
        The table A_t; row 0 is not used.
    shift : array of shape (T + 1, *dims)
        The table B_t; row 0 is not used.
    sigma2 : array of shape (T + 1,) or (T + 1, *dims)
        The table σ_t² > 0; row 0 is not used.

    Returns
    -------
    array of shape (*dims)
        Nats per dimension.
    """
    M, V = chain_end(gain, shift, positive(rows(schedule, mean, "σ²", sigma2)))
    return 0.5 * (_host.log(2 * math.pi * V) + (variance + (mean - M) ** 2) / V)


def chain_end(gain: Array, shift: Array, sigma2: Array) -> tuple[Array, Array]:
    """Mean and variance of x₀ after the steps x_{t−1} = A_t·x_t + B_t + σ_t·z from x_T ~ N(0, 1).

    M_{t−1} = A_t·M_t + B_t and V_{t−1} = A_t²·V_t + σ_t², from M_T = 0 and V_T = 1.

    Checked as: 16.

    Parameters
    ----------
    gain : array of shape (T + 1, *dims)
        The table A_t; row 0 is not used.
    shift : array of shape (T + 1, *dims)
        The table B_t; row 0 is not used.
    sigma2 : array of shape (T + 1, *dims)
        The table σ_t²; row 0 is not used.

    Returns
    -------
    mean : array of shape (*dims)
        The mean M₀.
    variance : array of shape (*dims)
        The variance V₀.

    Examples
    --------
    >>> import numpy as np
    >>> chain_end(np.array([0.0, 2.0]), np.array([0.0, 3.0]), np.array([0.0, 5.0]))  # 2·0 + 3 and 2²·1 + 5
    (np.float64(3.0), np.float64(9.0))
    """
    mean, variance = _host.zeros(gain.shape[1:]), _host.ones(gain.shape[1:])
    for t in range(len(gain) - 1, 0, -1):
        mean, variance = gain[t] * mean + shift[t], gain[t] ** 2 * variance + sigma2[t]
    return mean, variance


# Their ingredients.

def marginal_variance(schedule: Schedule, variance: Array) -> Array:
    """Variance of x_t: v_t = ᾱ_t·s² + 1 − ᾱ_t.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    variance : array of shape (*dims)
        The data's s².

    Returns
    -------
    array of shape (T + 1, *dims)
        The table v_t.
    """
    alpha_bar, noise = columns(schedule, variance, "alpha_bar", "one_minus_alpha_bar")
    return alpha_bar * variance + noise


def exact_step(schedule: Schedule, mean: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Exact reverse step q(x_{t−1} | x_t): A_t = √α_t·v_{t−1}/v_t, B_t = √ᾱ_{t−1}·β_t/v_t·m, r_t = β_t·v_{t−1}/v_t.

    q(x_{t−1} | x_t) = N(A_t·x_t + B_t, r_t) by Bayes' rule: x_{t−1} ~ N(√ᾱ_{t−1}·m, v_{t−1}), and
    x_t = √α_t·x_{t−1} + √β_t·z is observed.

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : array of shape (*dims)
        The data's m.
    variance : array of shape (*dims)
        The data's s².

    Returns
    -------
    gain : array of shape (T + 1, *dims)
        The table A_t; nan at 0.
    shift : array of shape (T + 1, *dims)
        The table B_t; nan at 0.
    variance : array of shape (T + 1, *dims)
        The table r_t; nan at 0.
    """
    sqrt_alpha, signal, beta = columns(schedule, mean, "sqrt_alpha", "sqrt_alpha_bar", "beta")
    v = marginal_variance(schedule, variance)
    return (from_one(math.nan, sqrt_alpha[1:] * v[:-1] / v[1:]),
            from_one(math.nan, signal[:-1] * beta[1:] / v[1:] * mean),
            from_one(math.nan, beta[1:] * v[:-1] / v[1:]))


def step_of(schedule: Schedule, mean: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Reverse step (11) of ε_θ = a_t·x + b_t: A_t = (1 − β_t·a_t/√(1 − ᾱ_t))/√α_t, B_t = −β_t·b_t/√(α_t·(1 − ᾱ_t)).

    Checked as: 16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : array of shape (*dims)
        The data's m, for its shape.
    a : array of shape (T + 1,) or (T + 1, *dims)
        The table a_t; row 0 is not used.
    b : array of shape (T + 1,) or (T + 1, *dims)
        The table b_t; row 0 is not used.

    Returns
    -------
    gain : array of shape (T + 1, *dims)
        The table A_t; nan at 0.
    shift : array of shape (T + 1, *dims)
        The table B_t; nan at 0.
    """
    sqrt_alpha, root, beta = columns(schedule, mean, "sqrt_alpha", "sqrt_one_minus_alpha_bar", "beta")
    a, b = rows(schedule, mean, "a", a), rows(schedule, mean, "b", b)
    drift = beta[1:] / root[1:]  # (T, 1, …): t = 1..T
    none = _host.zeros(mean.shape)  # (*dims)
    return (from_one(math.nan, (1 - drift * a[1:]) / sqrt_alpha[1:] + none),
            from_one(math.nan, -drift * b[1:] / sqrt_alpha[1:] + none))


def entropy(variance: Array) -> Array:
    """Entropy of the data: H(x₀) = ½·ln 2πe·s².

    Checked as: 16.

    Parameters
    ----------
    variance : array of shape (*dims)
        The data's s² > 0.

    Returns
    -------
    array of shape (*dims)
        Nats per dimension.

    Raises
    ------
    ValueError
        If a variance is 0.
    """
    if not variance.all():
        raise ValueError("where s² = 0 the entropy is −∞ and the data has no density: give a variance above 0")
    return 0.5 * _host.log(2 * math.pi * math.e * variance)
