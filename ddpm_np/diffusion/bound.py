"""The variational bound (equations 3, 5, 8–10, 12, 13): what the net is judged by, in bits per dimension.

A KL divergence and a decoder's log likelihood are elementwise, in nats. What is called a term or a bound is a mean over
an image's dimensions, in bits; `vlb` sums such terms. The bound never clips x̂₀ unless told: the authors' evaluation
does, and then it is no bound of the model that was trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ddpm_np.backend import dtype_of, of, real_dtype
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Predictor, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule, same_shape
from ddpm_np.diffusion.variance import log_variance

BITS = 1 / math.log(2)  # nats to bits


def kl(mean1: Any, logvar1: Any, mean2: Any, logvar2: Any) -> Any:
    """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) = ½·(ln σ₂²/σ₁² + (σ₁² + (μ₁ − μ₂)²)/σ₂² − 1), elementwise, in nats.

    σ₁²/σ₂² − 1 − ln σ₁²/σ₂² is `exp_excess` of ln σ₁²/σ₂²: variances that are nearly equal cost no digits.

    Checked as: kl.

    >>> import numpy as np
    >>> kl(np.array(0.0), np.array(0.0), np.array(1.0), np.array(0.0))
    np.float64(0.5)
    """
    xp = of(mean1, mean2, logvar1, logvar2)
    return 0.5 * (exp_excess(logvar1 - logvar2) + xp.square(mean1 - mean2) * xp.exp(-logvar2))


def exp_excess(d: Any) -> Any:
    """eᵈ − 1 − d ≥ 0: expm1(d) − d, and for |d| < 0.01, where that cancels, its series up to d⁷/7!."""
    xp, data = of(d), d.data if of(d).name == "tensor" else d
    real = of(data).real(data) if "complex" in str(data.dtype) else data
    near = (real < 0.01) & (real > -0.01)
    e = xp.where(near, d, 0.0)
    series = e * e * (1 / 2 + e * (1 / 6 + e * (1 / 24 + e * (1 / 120 + e * (1 / 720 + e / 5040)))))
    return xp.where(near, series, xp.expm1(d) - d)


def log_normal(x: Any, mean: Any, logvar: Any) -> Any:
    """ln N(x; μ, σ²) = −½·(ln 2π + ln σ² + (x − μ)²/σ²), elementwise.

    Checked as: log-normal.
    """
    xp = of(x, mean, logvar)
    return -0.5 * (math.log(2 * math.pi) + logvar + xp.square(x - mean) * xp.exp(-logvar))


def decoder_log_likelihood(x_0: Any, mean: Any, log_scale: Any, levels: int = 256) -> Any:
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
    data = x_0.data if of(x_0).name == "tensor" else x_0
    first, last = data < -1 + half, data > 1 - half
    middle = low + high
    right = (middle.data if of(middle).name == "tensor" else middle) > 0  # Φ(b) − Φ(a) = Φ(−a) − Φ(−b)
    near = xp.where(right, -low, high)
    far = xp.where(right, -high, low)
    upper = xp.log_ndtr(near)
    inside = upper + xp.log(-xp.expm1(xp.log_ndtr(far) - upper))
    return xp.where(first, xp.log_ndtr(high), xp.where(last, xp.log_ndtr(-low), inside))


def per_dimension(x: Any) -> Any:
    """The mean over all but the batch's axis, in bits: (N, …) nats -> (N,) bits per dimension."""
    return of(x).mean(x, axis=tuple(range(1, x.ndim))) * BITS


def prior_kl(schedule: Schedule, x_0: Any) -> Any:
    """L_T of (5): KL(q(x_T | x₀) ‖ N(0, I)), (N,) bits per dimension.

    Checked as: L_T.
    """
    data = x_0.data if of(x_0).name == "tensor" else x_0
    xp = of(data)
    t = xp.full((x_0.shape[0],), schedule.T, dtype=xp.int64)  # (N,)
    mean = schedule.at(schedule.sqrt_alpha_bar, t, x_0) * x_0
    wide = xp.zeros((x_0.shape[0],) + (1,) * (x_0.ndim - 1), dtype=xp.float64)  # 1 − ᾱ_T is almost 1: ln by float64
    variance = schedule.at(schedule.one_minus_alpha_bar, t, wide)  # (N, 1, …)
    logvar = of(variance).astype(of(variance).log(variance), real_dtype(data))
    return per_dimension(kl(mean, logvar, 0 * mean, 0 * logvar))


def vlb_term(schedule: Schedule, model: Predictor, x_0: Any, x_t: Any, t: Any, *, predicts: str = "eps",
             variance: Any = "small", clip: bool = False, levels: int | None = 256) -> Any:
    """A term of (5) at each image's t: L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)); L₀ at t = 1.

    Checked as: 8, L_0.

    Parameters
    ----------
    model, predicts, variance, clip
        As in `p_mean_variance`.
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
    mean, log_sigma2, _ = p_mean_log_variance(schedule, model, x_t, t, predicts=predicts, variance=variance, clip=clip)
    log_beta_tilde = schedule.at(schedule.posterior_log_variance_clipped, t, x_t)
    divergence = kl(posterior_mean(schedule, x_0, x_t, t), log_beta_tilde, mean, log_sigma2)  # (N, …)
    if levels is None:
        likelihood = log_normal(x_0, mean, log_sigma2)
    else:
        likelihood = decoder_log_likelihood(x_0, mean, 0.5 * log_sigma2, levels)
    xp = of(divergence, likelihood)
    return xp.where(t == 1, -per_dimension(likelihood), per_dimension(divergence))


def vlb_terms(schedule: Schedule, model: Predictor, x_0: Any, noise_at: Callable[[int], Any], *,
              predicts: str = "eps", variance: Any = "small", clip: bool = False, levels: int | None = 256) -> Any:
    """All terms of (5) as they come: yields (T + 1, L_T), (T, L_{T−1}), …, (1, L₀), each (N,) bits per dimension.

    Checked as: 5.

    Parameters
    ----------
    noise_at
        t -> ε (N, …), from which x_t is drawn.
    """
    options = {"predicts": predicts, "variance": variance, "clip": clip, "levels": levels}
    xp = of(x_0.data if of(x_0).name == "tensor" else x_0)
    yield schedule.T + 1, prior_kl(schedule, x_0)
    for t in range(schedule.T, 0, -1):
        steps = xp.full((x_0.shape[0],), t, dtype=xp.int64)  # (N,)
        x_t = q_sample(schedule, x_0, steps, noise_at(t))
        yield t, vlb_term(schedule, model, x_0, x_t, steps, **options)


def vlb(schedule: Schedule, model: Predictor, x_0: Any, noises: Any, *, predicts: str = "eps",
        variance: Any = "small", clip: bool = False, levels: int | None = 256) -> Any:
    """Equation (5): L = L_T + Σ_{t>1} L_{t−1} + L₀, an upper bound of −log p_θ(x₀); (N,) bits per dimension.

    `noises` is (T + 1, N, …): row t draws x_t; row 0 is unused.

    Checked as: 5.
    """
    options = {"predicts": predicts, "variance": variance, "clip": clip, "levels": levels}
    total = 0.0
    for _, term in vlb_terms(schedule, model, x_0, lambda t: noises[t, ...], **options):
        total = term + total
    return total


def mean_mismatch(schedule: Schedule, model: Predictor, x_0: Any, x_t: Any, t: Any, *, predicts: str = "eps",
                  variance: Any = "small") -> Any:
    """Equation (8) without its constant: ‖μ̃_t(x_t, x₀) − μ_θ(x_t, t)‖²/(2σ_t²), a mean over dimensions; (N,) nats.

    L_{t−1} is this and C = ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1) (`mismatch_constant`).

    Checked as: 8.
    """
    mean, log_sigma2, _ = p_mean_log_variance(schedule, model, x_t, t, predicts=predicts, variance=variance)
    return _half_weighted_square(posterior_mean(schedule, x_0, x_t, t) - mean, log_sigma2)


def mismatch_constant(schedule: Schedule, t: Any, x: Any, variance: Any = "small") -> Any:
    """C of (8), per dimension: ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1), t ≥ 2; (N, 1, …) nats.

    Checked as: 8.
    """
    log_beta_tilde = schedule.at(schedule.posterior_log_variance_clipped, t, x)
    d = log_beta_tilde - log_variance(schedule, variance, t, x)
    return 0.5 * exp_excess(d)


def mean_mismatch_from_noise(schedule: Schedule, model: Predictor, x_0: Any, t: Any, noise: Any, *,
                             predicts: str = "eps", variance: Any = "small") -> Any:
    """Equation (9): (8) at x_t(x₀, ε), with x₀ written as (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t; (N,) nats.

    Checked as: 9.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    return_ = x_t - schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t) * noise
    x_0_again = return_ / schedule.at(schedule.sqrt_alpha_bar, t, x_t)
    return mean_mismatch(schedule, model, x_0_again, x_t, t, predicts=predicts, variance=variance)


def mean_mismatch_simplified(schedule: Schedule, model: Predictor, x_0: Any, t: Any, noise: Any, *,
                             predicts: str = "eps", variance: Any = "small") -> Any:
    """Equation (10): ‖(x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t − μ_θ(x_t, t)‖²/(2σ_t²), a mean over dimensions; (N,) nats.

    Checked as: 10.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    mean, log_sigma2, _ = p_mean_log_variance(schedule, model, x_t, t, predicts=predicts, variance=variance)
    drift = schedule.at(schedule.beta, t, x_t) / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)
    target = (x_t - drift * noise) / schedule.at(schedule.sqrt_alpha, t, x_t)
    return _half_weighted_square(target - mean, log_sigma2)


def _half_weighted_square(difference: Any, log_sigma2: Any) -> Any:
    """The mean over dimensions of d²/(2σ²); (N,)."""
    xp = of(difference, log_sigma2)
    weighted = 0.5 * xp.square(difference) * xp.exp(-log_sigma2)  # (N, …)
    return xp.mean(weighted, axis=tuple(range(1, weighted.ndim)))


def eq12_weight(schedule: Schedule, t: Any, variance: Any = "small", dtype: Any = "float64") -> Any:
    """The weight of (12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (N,), for t ≥ 2.

    Checked as: 12.
    """
    table = schedule.beta.data if of(schedule.beta).name == "tensor" else schedule.beta
    xp = of(t, table)  # t is on the host where the tables are of more digits
    like = xp.zeros(t.shape, dtype=dtype_of(xp, dtype))  # (N,)
    log_sigma2 = log_variance(schedule, variance, t, like)
    scale = schedule.at(schedule.beta, t, like) ** 2 * xp.exp(-log_sigma2)
    return scale / (2 * schedule.at(schedule.alpha, t, like) * schedule.at(schedule.one_minus_alpha_bar, t, like))


def weighted_noise_loss(schedule: Schedule, model: Predictor, x_0: Any, t: Any, noise: Any, *,
                        variance: Any = "small") -> Any:
    """Equation (12): (8) as a weighted error of ε_θ, weight·‖ε − ε_θ(x_t, t)‖², a mean over dimensions; (N,) nats.

    Checked as: 12.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    difference = noise - model(x_t, t)
    squares = of(difference).mean(of(difference).square(difference), axis=tuple(range(1, x_t.ndim)))  # (N,)
    return eq12_weight(schedule, t, variance, x_t.dtype) * squares
