"""Gaussian data x₀ ~ N(m, s²) and a model whose step is affine: chains, bound and likelihood in closed form.

All of a model's steps are Gaussian and affine, p_θ(x_{t−1} | x_t) = N(A_t·x_t + B_t, σ_t²), if its ε_θ is
a_t·x + b_t; the best one, ε*, is (see `gaussian`). Everything here is per dimension, in nats, in float64 on the host.
m and s² are numbers or arrays (*dims); tables are (T + 1,) or (T + 1, *dims), index 0 the data.
"""

from __future__ import annotations

import math
from typing import Any

from ddpm_np.backend import get_backend, to_host
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


# The three quantities.

def affine_vlb(schedule: Schedule, mean: Any, variance: Any, a: Any, b: Any, sigma2: Any) -> Any:
    """Equation (5) by its terms, for data N(m, s²) and the model ε_θ = a_t·x + b_t; nats per dimension.

    - L_T = ½·[ᾱ_T·(s² + m²) − ᾱ_T − ln(1 − ᾱ_T)];
    - L_{t−1} = ½·[ln(σ_t²/β̃_t) + (β̃_t + E(μ̃_t − μ_θ)²)/σ_t² − 1] for t = 2..T;
    - L₀ = ½·ln 2πσ₁² + E(x₀ − μ_θ)²/(2σ₁²): the decoder is a density, N(x₀; μ_θ(x₁), σ₁²).

    Checked as: 16.

    Parameters
    ----------
    schedule
        β₁..β_T.
    mean, variance
        m and s² ≥ 0.
    a, b
        Tables of the model; rows 0 are not used.
    sigma2
        Table of σ_t² > 0; row 0 is not used.

    Returns
    -------
    (T + 1, *dims)
        L₀, L₁, …, L_T; their sum is the bound. For ε*, E(μ̃_t − μ_θ)² is (√ᾱ_{t−1}·β_t/(1 − ᾱ_t))²·Var[x₀ | x_t].

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


def affine_bound_16(schedule: Schedule, mean: Any, variance: Any, a: Any, b: Any, sigma2: Any) -> Any:
    """Equation (16) by its terms, for data N(m, s²) and the model ε_θ = a_t·x + b_t; nats per dimension.

    L = KL(q(x_T) ‖ p(x_T)) + E Σ_t KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)) + H(x₀), and q(x_{t−1} | x_t) is the exact
    reverse step N(A_t·x_t + B_t, r_t). The terms differ from those of (5); the sum is the same.

    Checked as: 16, 26.

    Parameters
    ----------
    schedule, mean, variance, a, b, sigma2
        As in `affine_vlb`, with s² > 0.

    Returns
    -------
    (T + 2, *dims)
        H(x₀); at t = 1..T the step's expected KL = ½·[ln(σ_t²/r_t) + (r_t + E(A_t·x_t + B_t − μ_θ)²)/σ_t² − 1]; last
        KL(q(x_T) ‖ p(x_T)) = ½·[v_T + ᾱ_T·m² − 1 − ln v_T].
    """
    mean, variance = parameters(mean, variance)
    return terms_of_16(schedule, mean, variance, *step_of(schedule, mean, a, b), sigma2)


def affine_nll(schedule: Schedule, mean: Any, variance: Any, a: Any, b: Any, sigma2: Any) -> Any:
    """E[−ln p_θ(x₀)] for data N(m, s²) and the model ε_θ = a_t·x + b_t; nats per dimension, (*dims).

    p_θ(x₀) = N(M₀, V₀) is the end of the model's chain, with the decoder's σ₁² in the last step (`chain_end`); so it is
    ½·[ln 2πV₀ + (s² + (m − M₀)²)/V₀]. The bound is never below it.

    Checked as: 16.

    Parameters
    ----------
    schedule, mean, variance, a, b, sigma2
        As in `affine_vlb`.
    """
    mean, variance = parameters(mean, variance)
    return expected_nll(schedule, mean, variance, *step_of(schedule, mean, a, b), sigma2)


# The same for a step A_t·x + B_t.

def terms_of_5(schedule: Schedule, mean: Any, variance: Any, gain: Any, shift: Any, sigma2: Any) -> Any:
    """`affine_vlb` for a step of mean A_t·x_t + B_t, `gain` and `shift` being tables of A and B.

    Checked as: 16.
    """
    alpha_bar, signal, noise, tilde, on_x0, on_xt = columns(
        schedule, mean, "alpha_bar", "sqrt_alpha_bar", "one_minus_alpha_bar", "beta_tilde", "posterior_x0",
        "posterior_xt")
    sigma2 = _positive(rows(schedule, mean, "σ²", sigma2))
    # μ̃_t − μ_θ = c·x₀ + c'·x_t − A·x_t − B, and x_t = √ᾱ·x₀ + √(1 − ᾱ)·ε
    x0, eps2 = on_x0 + (on_xt - gain) * signal, (on_xt - gain) ** 2 * noise
    square = x0**2 * variance + eps2 + (x0 * mean - shift) ** 2  # (T+1, *dims): E(μ̃_t − μ_θ)²
    last = 0.5 * (alpha_bar[-1:] * (variance + mean**2) - alpha_bar[-1:] - _host.log(noise[-1:]))
    steps = 0.5 * (_host.log(sigma2[2:] / tilde[2:]) + (tilde[2:] + square[2:]) / sigma2[2:] - 1)
    first = 0.5 * (_host.log(2 * math.pi * sigma2[1:2]) + square[1:2] / sigma2[1:2])
    return _host.concatenate((first, steps, last))


def terms_of_16(schedule: Schedule, mean: Any, variance: Any, gain: Any, shift: Any, sigma2: Any) -> Any:
    """`affine_bound_16` for a step of mean A_t·x_t + B_t.

    Checked as: 16.
    """
    alpha_bar, signal = columns(schedule, mean, "alpha_bar", "sqrt_alpha_bar")
    sigma2 = _positive(rows(schedule, mean, "σ²", sigma2))
    first, v = entropy(variance), marginal_variance(schedule, variance)
    exact_gain, exact_shift, r = exact_step(schedule, mean, variance)
    more = exact_gain - gain
    square = (more * signal * mean + exact_shift - shift) ** 2 + more**2 * v  # (T+1, *dims)
    steps = 0.5 * (_host.log(sigma2[1:] / r[1:]) + (r[1:] + square[1:]) / sigma2[1:] - 1)
    last = 0.5 * (v[-1:] + alpha_bar[-1:] * mean**2 - 1 - _host.log(v[-1:]))
    return _host.concatenate((first[None], steps, last))


def expected_nll(schedule: Schedule, mean: Any, variance: Any, gain: Any, shift: Any, sigma2: Any) -> Any:
    """`affine_nll` for a step of mean A_t·x_t + B_t.

    Checked as: 16.
    """
    M, V = chain_end(gain, shift, _positive(rows(schedule, mean, "σ²", sigma2)))
    return 0.5 * (_host.log(2 * math.pi * V) + (variance + (mean - M) ** 2) / V)


def chain_end(gain: Any, shift: Any, sigma2: Any) -> tuple[Any, Any]:
    """Mean and variance of x₀ after x_{t−1} = A_t·x_t + B_t + σ_t·z from x_T ~ N(0, 1); (*dims) each.

    M_{t−1} = A_t·M_t + B_t and V_{t−1} = A_t²·V_t + σ_t², from M_T = 0 and V_T = 1.

    Checked as: 16.
    """
    mean, variance = _host.zeros(gain.shape[1:]), _host.ones(gain.shape[1:])
    for t in range(len(gain) - 1, 0, -1):
        mean, variance = gain[t] * mean + shift[t], gain[t] ** 2 * variance + sigma2[t]
    return mean, variance


# What they are made of.

def marginal_variance(schedule: Schedule, variance: Any) -> Any:
    """v_t = Var[x_t] = ᾱ_t·s² + 1 − ᾱ_t; (T + 1, *dims)."""
    alpha_bar, noise = columns(schedule, variance, "alpha_bar", "one_minus_alpha_bar")
    return alpha_bar * variance + noise


def exact_step(schedule: Schedule, mean: Any, variance: Any) -> tuple[Any, Any, Any]:
    """A_t = √α_t·v_{t−1}/v_t, B_t = √ᾱ_{t−1}·β_t/v_t·m and r_t = β_t·v_{t−1}/v_t of q(x_{t−1} | x_t).

    q(x_{t−1} | x_t) = N(A_t·x_t + B_t, r_t): x_{t−1} ~ N(√ᾱ_{t−1}·m, v_{t−1}), and x_t = √α_t·x_{t−1} + √β_t·z is seen.
    (T + 1, *dims) each, nan at 0.

    Checked as: 16.
    """
    sqrt_alpha, signal, beta = columns(schedule, mean, "sqrt_alpha", "sqrt_alpha_bar", "beta")
    v = marginal_variance(schedule, variance)
    return (from_one(math.nan, sqrt_alpha[1:] * v[:-1] / v[1:]),
            from_one(math.nan, signal[:-1] * beta[1:] / v[1:] * mean),
            from_one(math.nan, beta[1:] * v[:-1] / v[1:]))


def step_of(schedule: Schedule, mean: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Equation (11) for ε_θ = a_t·x + b_t: A_t = (1 − β_t·a_t/√(1 − ᾱ_t))/√α_t, B_t = −β_t·b_t/√(α_t·(1 − ᾱ_t)).

    (T + 1, *dims) each, nan at 0; `mean` only gives the dims.

    Checked as: 16.
    """
    sqrt_alpha, root, beta = columns(schedule, mean, "sqrt_alpha", "sqrt_one_minus_alpha_bar", "beta")
    a, b = rows(schedule, mean, "a", a), rows(schedule, mean, "b", b)
    drift = beta[1:] / root[1:]  # (T, 1, …): t = 1..T
    none = _host.zeros(mean.shape)  # (*dims)
    return (from_one(math.nan, (1 - drift * a[1:]) / sqrt_alpha[1:] + none),
            from_one(math.nan, -drift * b[1:] / sqrt_alpha[1:] + none))


def entropy(variance: Any) -> Any:
    """H(x₀) = ½·ln 2πe·s², nats; (*dims).

    Checked as: 16.
    """
    if not variance.all():
        raise ValueError("where s² = 0 the entropy is −∞ and the data has no density: give a variance above 0")
    return 0.5 * _host.log(2 * math.pi * math.e * variance)


def host_numbers(name: str, values: Any) -> Any:
    """`values` as a finite float64 host array that nothing can change."""
    array = _host.array(to_host(values), dtype=_host.float64)
    bad = array[~_host.isfinite(array)]
    if bad.size:
        raise ValueError(f"{name} must be finite numbers, got {bad[0]}")
    array.setflags(write=False)
    return array


def parameters(mean: Any, variance: Any) -> tuple[Any, Any]:
    """m and s² ≥ 0 as float64 host arrays of one shape, (*dims)."""
    mean, variance = host_numbers("the mean", mean), not_negative(host_numbers("the variance", variance))
    try:
        dims = _host.broadcast_shapes(mean.shape, variance.shape)
        return _host.broadcast_to(mean, dims), _host.broadcast_to(variance, dims)
    except ValueError:
        raise ValueError(f"expected a mean and a variance for the same dimensions, got shapes {mean.shape} and "
                         f"{variance.shape}") from None


def not_negative(variance: Any) -> Any:
    """The variances themselves, where none is negative."""
    bad = variance[variance < 0]
    if bad.size:
        raise ValueError(f"a variance must be at least 0, got {bad[0]}: give the square of the deviation")
    return variance


def columns(schedule: Schedule, like: Any, *names: str) -> list[Any]:
    """Tables of the schedule as (T + 1, 1, …), to go with parameters shaped as `like`, (*dims)."""
    return [getattr(schedule, name).reshape(-1, *[1] * like.ndim) for name in names]


def rows(schedule: Schedule, like: Any, name: str, table: Any, first: int = 1) -> Any:
    """A caller's table as (T + 1, 1, …) or (T + 1, *dims); the rows before `first`, which are not used, become nan."""
    table = _host.array(to_host(table), dtype=_host.float64)
    if table.shape not in ((schedule.T + 1,), (schedule.T + 1, *like.shape)):
        raise ValueError(f"expected a table of {name} of T + 1 = {schedule.T + 1} rows, index 0 unused, got shape "
                         f"{table.shape}")
    table[:first] = math.nan
    bad = ~_host.isfinite(table[first:])
    if bad.any():
        raise ValueError(f"{name} must be finite numbers, got {table[first:][bad][0]}")
    return table if table.ndim > 1 else table.reshape(-1, *[1] * like.ndim)


def from_one(first: float, values: Any) -> Any:
    """A table (T + 1, *dims): `first` for the data, then the values of t = 1..T."""
    return _host.concatenate((_host.full((1, *values.shape[1:]), first), values))


def _positive(sigma2: Any) -> Any:
    bad = ~(sigma2[1:] > 0)
    if bad.any():
        t = int(bad.reshape(len(bad), -1).any(axis=1).argmax()) + 1
        raise ValueError(f"every σ² must be positive, got {sigma2[1:][bad][0]} at t = {t}")
    return sigma2
