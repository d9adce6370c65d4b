"""The variational bound (equations 3, 5, 8–10, 12, 13): what the net is judged by, in bits per dimension.

A KL divergence and a decoder's log likelihood are elementwise, in nats. What is called a term or a bound is a mean over
an image's dimensions, in bits; `vlb` sums such terms. The bound clips x̂₀ only where the reverse process does: the
authors' evaluation clips, and then it is no bound of the model that was trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.backend import Array, Ints, of, plain, real_dtype
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape, times
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance, predict
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.diffusion.variance import log_variance_at

BITS = 1 / math.log(2)  # nats to bits


def kl(mean1: Array, logvar1: Array, mean2: Array, logvar2: Array) -> Array:
    """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) = ½·(ln σ₂²/σ₁² + (σ₁² + (μ₁ − μ₂)²)/σ₂² − 1), elementwise, in nats.

    σ₁²/σ₂² − 1 − ln σ₁²/σ₂² is `exp_excess` of ln σ₁²/σ₂²: variances that are nearly equal cost no digits.

    Checked as: kl.

    >>> import numpy as np
    >>> kl(np.array(0.0), np.array(0.0), np.array(1.0), np.array(0.0))
    np.float64(0.5)
    """
    xp = of(mean1, mean2, logvar1, logvar2)
    return 0.5 * (exp_excess(logvar1 - logvar2) + xp.square(mean1 - mean2) * xp.exp(-logvar2))


def exp_excess(d: Array) -> Array:
    """eᵈ − 1 − d ≥ 0: expm1(d) − d, and for |d| < 0.01, where that cancels, its series up to d⁷/7!."""
    xp, data = of(d), plain(d)
    real = of(data).real(data) if "complex" in str(data.dtype) else data
    near = (real < 0.01) & (real > -0.01)
    e = xp.where(near, d, 0.0)
    series = e * e * (1 / 2 + e * (1 / 6 + e * (1 / 24 + e * (1 / 120 + e * (1 / 720 + e / 5040)))))
    return xp.where(near, series, xp.expm1(d) - d)


def log_normal(x: Array, mean: Array, logvar: Array) -> Array:
    """ln N(x; μ, σ²) = −½·(ln 2π + ln σ² + (x − μ)²/σ²), elementwise.

    Checked as: log-normal.
    """
    xp = of(x, mean, logvar)
    return -0.5 * (math.log(2 * math.pi) + logvar + xp.square(x - mean) * xp.exp(-logvar))


def decoder_log_likelihood(x_0: Array, mean: Array, log_scale: Array | float, levels: int = 256) -> Array:
    """Equation (13): the log probability of each element's level under N(μ, σ²), elementwise, in nats.

    ∫ from δ₋(x) to δ₊(x): half a level to either side of x, and to infinity beyond the first and the last level, so
    that the probabilities of all levels add up to 1. With a = (δ₋ − μ)/σ and b = (δ₊ − μ)/σ, Φ(b) − Φ(a) is computed
    on the side where both are small, as ln Φ(b) + ln(1 − exp(ln Φ(a) − ln Φ(b))): exact however far out in the tails,
    where Φ itself would be 0 or 1.

    Checked as: 13.

    Parameters
    ----------
    x_0
        (N, …), on the grid of `levels` values from −1 to 1.
    mean
        μ (N, …).
    log_scale
        ln σ, broadcast to x_0.
    levels
        256 for bytes, 17 for the digits: a bin is 2/(levels − 1) wide.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 256)
    >>> round(float(np.exp(decoder_log_likelihood(x, np.full(256, 0.3), -2.0)).sum()), 12)
    1.0
    """
    xp = of(x_0, mean, log_scale)
    half = 1 / (levels - 1)
    inverse = xp.exp(-log_scale) if hasattr(log_scale, "dtype") else math.exp(-log_scale)
    low, high = (x_0 - half - mean) * inverse, (x_0 + half - mean) * inverse  # (N, …): a and b
    first, last = plain(x_0) < -1 + half, plain(x_0) > 1 - half
    right = plain(low + high) > 0  # Φ(b) − Φ(a) = Φ(−a) − Φ(−b)
    near = xp.where(right, -low, high)
    far = xp.where(right, -high, low)
    upper = xp.log_ndtr(near)
    inside = upper + xp.log(-xp.expm1(xp.log_ndtr(far) - upper))
    return xp.where(first, xp.log_ndtr(high), xp.where(last, xp.log_ndtr(-low), inside))


def per_dimension(x: Array) -> Array:
    """The mean over each image, in bits: (N, …) nats -> (N,) bits per dimension."""
    return mean_over_image(x) * BITS


def prior_kl(schedule: Schedule, x_0: Array) -> Array:
    """L_T of (5): KL(q(x_T | x₀) ‖ N(0, I)), (N,) bits per dimension.

    Checked as: L_T.
    """
    t = times(x_0, schedule.T)  # (N,)
    mean = schedule.at(t, like=x_0).sqrt_alpha_bar * x_0  # (N, …)
    variance = schedule.at(t, like=x_0, dtype="float64").one_minus_alpha_bar  # almost 1: ln in double precision
    logvar = of(variance).astype(of(variance).log(variance), real_dtype(x_0))  # (N, 1, …)
    return per_dimension(kl(mean, logvar, 0 * mean, 0 * logvar))


def vlb_term(reverse: Reverse, x_0: Array, x_t: Array, t: Ints, *, levels: int | None = 256) -> Array:
    """A term of (5) at each image's t: L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)); L₀ at t = 1.

    Checked as: 8, L_0.

    Parameters
    ----------
    reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0, x_t
        (N, …); x_t a sample of q(x_t | x₀).
    t
        Int (N,), 1..T.
    levels
        Of the decoder (13): L₀ = −log p_θ(x₀ | x₁). None: x₀ is continuous, and L₀ is minus the log density.

    Returns
    -------
    (N,)
        Bits per dimension.
    """
    same_shape("x_t", x_t, x_0)
    mean, log_sigma2, _ = p_mean_log_variance(reverse, x_t, t)
    log_beta_tilde = reverse.schedule.at(t, like=x_t).posterior_log_variance_clipped  # (N, 1, …)
    divergence = kl(posterior_mean(reverse.schedule, x_0, x_t, t), log_beta_tilde, mean, log_sigma2)  # (N, …)
    if levels is None:
        likelihood = log_normal(x_0, mean, log_sigma2)  # (N, …)
    else:
        likelihood = decoder_log_likelihood(x_0, mean, 0.5 * log_sigma2, levels)  # (N, …)
    xp = of(divergence, likelihood)
    return xp.where(t == 1, -per_dimension(likelihood), per_dimension(divergence))


def vlb_terms(reverse: Reverse, x_0: Array, noise_at: Callable[[int], Array], *,
              levels: int | None = 256) -> Iterator[tuple[int, Array]]:
    """All terms of (5) as they come: yields (T + 1, L_T), (T, L_{T−1}), …, (1, L₀), each (N,) bits per dimension.

    Checked as: 5.

    Parameters
    ----------
    reverse
        The reverse process.
    x_0
        (N, …).
    noise_at
        t -> ε (N, …), from which x_t is drawn.
    levels
        As in `vlb_term`.
    """
    schedule = reverse.schedule
    yield schedule.T + 1, prior_kl(schedule, x_0)
    for t in range(schedule.T, 0, -1):
        now = times(x_0, t)  # (N,)
        x_t = q_sample(schedule, x_0, now, noise_at(t))  # (N, …)
        yield t, vlb_term(reverse, x_0, x_t, now, levels=levels)


def vlb(reverse: Reverse, x_0: Array, noises: Array, *, levels: int | None = 256) -> Array:
    """Equation (5): L = L_T + Σ_{t>1} L_{t−1} + L₀, an upper bound of −log p_θ(x₀); (N,) bits per dimension.

    `noises` is (T + 1, N, …): row t draws x_t; row 0 is unused.

    Checked as: 5.
    """
    total = 0.0
    for _, term in vlb_terms(reverse, x_0, lambda t: noises[t, ...], levels=levels):
        total = term + total
    return total


def mean_mismatch(reverse: Reverse, x_0: Array, x_t: Array, t: Ints) -> Array:
    """Equation (8) without its constant: ‖μ̃_t(x_t, x₀) − μ_θ(x_t, t)‖²/(2σ_t²), a mean over dimensions; (N,) nats.

    L_{t−1} is this and C = ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1) (`mismatch_constant`).

    Checked as: 8.
    """
    mean, log_sigma2, _ = p_mean_log_variance(reverse, x_t, t)
    return _half_weighted_square(posterior_mean(reverse.schedule, x_0, x_t, t) - mean, log_sigma2)


def mismatch_constant(schedule: Schedule, t: Ints, x: Array, variance: Any = "small") -> Array:
    """C of (8), per dimension: ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1), t ≥ 2; (N, 1, …) nats.

    Checked as: 8.
    """
    k = schedule.at(t, like=x)
    return 0.5 * exp_excess(k.posterior_log_variance_clipped - log_variance_at(k, variance))


def mean_mismatch_from_noise(reverse: Reverse, x_0: Array, t: Ints, noise: Array) -> Array:
    """Equation (9): (8) at x_t(x₀, ε), with x₀ written as (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t; (N,) nats.

    Checked as: 9.
    """
    x_t = q_sample(reverse.schedule, x_0, t, noise)  # (N, …)
    k = reverse.schedule.at(t, like=x_t)
    x_0_again = (x_t - k.sqrt_one_minus_alpha_bar * noise) / k.sqrt_alpha_bar  # (N, …)
    return mean_mismatch(reverse, x_0_again, x_t, t)


def mean_mismatch_simplified(reverse: Reverse, x_0: Array, t: Ints, noise: Array) -> Array:
    """Equation (10): ‖(x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t − μ_θ(x_t, t)‖²/(2σ_t²), a mean over dimensions; (N,) nats.

    Checked as: 10.
    """
    x_t = q_sample(reverse.schedule, x_0, t, noise)  # (N, …)
    mean, log_sigma2, _ = p_mean_log_variance(reverse, x_t, t)
    k = reverse.schedule.at(t, like=x_t)
    target = (x_t - k.beta / k.sqrt_one_minus_alpha_bar * noise) / k.sqrt_alpha  # (N, …)
    return _half_weighted_square(target - mean, log_sigma2)


def _half_weighted_square(difference: Array, log_sigma2: Array) -> Array:
    """The mean over dimensions of d²/(2σ²); (N,)."""
    xp = of(difference, log_sigma2)
    return mean_over_image(0.5 * xp.square(difference) * xp.exp(-log_sigma2))


def eq12_weight(schedule: Schedule, t: Ints, variance: Any = "small", dtype: Any = "float64") -> Array:
    """The weight of (12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (N,), for t ≥ 2.

    Checked as: 12.
    """
    k = schedule.at(t, like=t, dtype=dtype)  # (N,) each
    log_sigma2 = log_variance_at(k, variance)
    scale = k.beta**2 * of(log_sigma2).exp(-log_sigma2)
    return scale / (2 * k.alpha * k.one_minus_alpha_bar)


def weighted_noise_loss(reverse: Reverse, x_0: Array, t: Ints, noise: Array) -> Array:
    """Equation (12): (8) as a weighted error of ε_θ, weight·‖ε − ε_θ(x_t, t)‖², a mean over dimensions; (N,) nats.

    Checked as: 12.
    """
    x_t = q_sample(reverse.schedule, x_0, t, noise)  # (N, …)
    difference = noise - predict(reverse, x_t, t).eps
    weight = eq12_weight(reverse.schedule, t, reverse.variance, real_dtype(x_t))  # (N,)
    return weight * mean_over_image(of(difference).square(difference))
