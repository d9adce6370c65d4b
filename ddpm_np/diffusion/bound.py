"""The variational bound (equations 3, 5, 8–10, 12, 13): the quality of a model, in bits per dimension.

KL divergences and log likelihoods are elementwise, in nats. A term of the bound is a mean over an image's dimensions,
in bits, and `vlb` sums the terms. x̂₀ is clipped only if `Reverse.clip` is set. The authors' evaluation clips it; the
result is then not a bound on the likelihood of the model that was trained.
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
    """KL divergence of two normals: ½·(ln σ₂²/σ₁² + (σ₁² + (μ₁ − μ₂)²)/σ₂² − 1), elementwise, in nats.

    σ₁²/σ₂² − 1 − ln σ₁²/σ₂² is computed as `exp_excess` of ln σ₁²/σ₂², so that nearly equal variances cost no digits.

    Checked as: kl.

    Parameters
    ----------
    mean1 : array of shape (N, …)
        Mean μ₁.
    logvar1 : array that broadcasts to (N, …)
        Log variance ln σ₁².
    mean2 : array of shape (N, …)
        Mean μ₂.
    logvar2 : array that broadcasts to (N, …)
        Log variance ln σ₂².

    Returns
    -------
    array of shape (N, …)
        KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) ≥ 0.

    Notes
    -----
    Below equation (5) of Ho et al. (2020). Verified by ``ddpm-np check --equation kl``.

    Examples
    --------
    >>> import numpy as np
    >>> kl(np.array(0.0), np.array(0.0), np.array(1.0), np.array(0.0))
    np.float64(0.5)
    """
    xp = of(mean1, mean2, logvar1, logvar2)
    return 0.5 * (exp_excess(logvar1 - logvar2) + xp.square(mean1 - mean2) * xp.exp(-logvar2))


def exp_excess(d: Array) -> Array:
    """Excess of the exponential over its tangent at 0: eᵈ − 1 − d ≥ 0, elementwise.

    It is expm1(d) − d; for |d| < 0.01, where the difference cancels, the Taylor series up to d⁷/7!.

    Parameters
    ----------
    d : array
        Exponents.

    Returns
    -------
    array of the same shape
        Values of eᵈ − 1 − d.

    Examples
    --------
    >>> import numpy as np
    >>> exp_excess(np.array([0.0, 1e-9])) * 2  # d² to first order
    array([0.e+00, 1.e-18])
    """
    xp, data = of(d), plain(d)
    real = of(data).real(data) if "complex" in str(data.dtype) else data
    near = (real < 0.01) & (real > -0.01)
    e = xp.where(near, d, 0.0)
    series = e * e * (1 / 2 + e * (1 / 6 + e * (1 / 24 + e * (1 / 120 + e * (1 / 720 + e / 5040)))))
    return xp.where(near, series, xp.expm1(d) - d)


def log_normal(x: Array, mean: Array, logvar: Array) -> Array:
    """Log density of a normal: ln N(x; μ, σ²) = −½·(ln 2π + ln σ² + (x − μ)²/σ²), elementwise, in nats.

    Checked as: log-normal.

    Parameters
    ----------
    x : array of shape (N, …)
        Values.
    mean : array that broadcasts to (N, …)
        Mean μ.
    logvar : array that broadcasts to (N, …)
        Log variance ln σ².

    Returns
    -------
    array of shape (N, …)
        Log densities.

    Notes
    -----
    The factors of equations (1) and (2) of Ho et al. (2020). Verified by ``ddpm-np check --equation log-normal``.

    Examples
    --------
    >>> import numpy as np
    >>> density = log_normal(np.array(1.0), np.array(0.0), np.array(-math.log(2 * math.pi)))  # σ² = 1/(2π): −½·2π
    >>> round(float(density), 6)
    -3.141593
    """
    xp = of(x, mean, logvar)
    return -0.5 * (math.log(2 * math.pi) + logvar + xp.square(x - mean) * xp.exp(-logvar))


def decoder_log_likelihood(x_0: Array, mean: Array, log_scale: Array | float, levels: int = 256) -> Array:
    """Discretised decoder (13): ln ∫ from δ₋(x₀) to δ₊(x₀) of N(x; μ, σ²) dx, elementwise, in nats.

    The interval [δ₋, δ₊] reaches half a level to either side of x₀, and to ∓∞ from the first and the last level: the
    probabilities of all levels add up to 1. With a = (δ₋ − μ)/σ and b = (δ₊ − μ)/σ, ln(Φ(b) − Φ(a)) is computed on the
    side where both are small, as ln Φ(b) + ln(1 − exp(ln Φ(a) − ln Φ(b))). That is exact far out in the tails, where Φ
    itself rounds to 0 or 1.

    Checked as: 13.

    Parameters
    ----------
    x_0 : array of shape (N, …)
        Data, on the grid of `levels` values from −1 to 1.
    mean : array of shape (N, …)
        Mean μ.
    log_scale : float or array that broadcasts to (N, …)
        Log standard deviation ln σ.
    levels : int
        Data levels: 256 for bytes, 17 for the digits. A bin is 2/(levels − 1) wide.

    Returns
    -------
    array of shape (N, …)
        Log probability of each element's level.

    Notes
    -----
    Equation (13) of Ho et al. (2020). Verified by ``ddpm-np check --equation 13``.

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
    """Mean over each image, from nats to bits per dimension.

    Parameters
    ----------
    x : array of shape (N, …)
        Elementwise values, in nats.

    Returns
    -------
    array of shape (N,)
        Bits per dimension.
    """
    return mean_over_image(x) * BITS


def prior_kl(schedule: Schedule, x_0: Array) -> Array:
    """Prior term of the bound (5): L_T = KL(q(x_T | x₀) ‖ N(0, I)).

    Checked as: L_T.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.

    Returns
    -------
    array of shape (N,)
        L_T, in bits per dimension.

    Notes
    -----
    Equation (5) of Ho et al. (2020). Verified by ``ddpm-np check --equation L_T``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> prior_kl(Schedule.from_betas([1.0]), np.array([[0.5]]))  # ᾱ_T = 0: x_T is pure noise
    array([0.])
    """
    t = times(x_0, schedule.T)  # (N,)
    mean = schedule.at(t, like=x_0).sqrt_alpha_bar * x_0  # (N, …)
    variance = schedule.at(t, like=x_0, dtype="float64").one_minus_alpha_bar  # almost 1: ln in double precision
    logvar = of(variance).astype(of(variance).log(variance), real_dtype(x_0))  # (N, 1, …)
    return per_dimension(kl(mean, logvar, 0 * mean, 0 * logvar))


def vlb_term(reverse: Reverse, x_0: Array, x_t: Array, t: Ints, *, levels: int | None = 256) -> Array:
    """Term t of the bound (5): L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)), and L₀ = −ln p_θ(x₀ | x₁).

    Images at t ≥ 2 give L_{t−1}, images at t = 1 give L₀.

    Checked as: 8, L_0.

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
    levels : int or None
        Data levels of the decoder (13); None if x₀ is continuous, with L₀ minus the log density.

    Returns
    -------
    array of shape (N,)
        Terms, in bits per dimension.

    Raises
    ------
    ValueError
        If `x_t` has another shape than `x_0`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Equations (5) and (8) of Ho et al. (2020). Verified by ``ddpm-np check --equation 8 --equation L_0``.
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
    """All terms of the bound (5), one by one: L_T, L_{T−1}, …, L₀.

    Checked as: 5.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0 : array of shape (N, …)
        Data.
    noise_at : callable
        Maps t to the noise ε of shape (N, …) of x_t.
    levels : int or None
        Data levels, as in `vlb_term`.

    Yields
    ------
    t : int
        T + 1 for the prior term L_T, then T, …, 1 for L_{t−1}.
    term : array of shape (N,)
        The term, in bits per dimension.

    Notes
    -----
    Equation (5) of Ho et al. (2020). Verified by ``ddpm-np check --equation 5``.
    """
    schedule = reverse.schedule
    yield schedule.T + 1, prior_kl(schedule, x_0)
    for t in range(schedule.T, 0, -1):
        now = times(x_0, t)  # (N,)
        x_t = q_sample(schedule, x_0, now, noise_at(t))  # (N, …)
        yield t, vlb_term(reverse, x_0, x_t, now, levels=levels)


def vlb(reverse: Reverse, x_0: Array, noises: Array, *, levels: int | None = 256) -> Array:
    """Variational bound (5): L = L_T + Σ_{t>1} L_{t−1} + L₀, whose mean over the noise bounds −log p_θ(x₀) from above.

    Checked as: 5.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0 : array of shape (N, …)
        Data.
    noises : array of shape (T + 1, N, …)
        Standard normal noise: row t draws x_t, row 0 is unused.
    levels : int or None
        Data levels, as in `vlb_term`.

    Returns
    -------
    array of shape (N,)
        The bound, in bits per dimension.

    Notes
    -----
    Equation (5) of Ho et al. (2020). Verified by ``ddpm-np check --equation 5``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([1.0]), lambda x_t, t: 0 * x_t, predicts="x0", variance=np.ones(2))
    >>> zero = np.zeros((1, 1))  # L₁ = 0 as ᾱ₁ = 0; L₀ = −log₂ N(0; 0, 1) = ½·log₂ 2π
    >>> vlb(reverse, zero, np.stack([zero, zero]), levels=None).round(4), round(0.5 * math.log2(2 * math.pi), 4)
    (array([1.3257]), 1.3257)
    """
    total = 0.0
    for _, term in vlb_terms(reverse, x_0, lambda t: noises[t, ...], levels=levels):
        total = term + total
    return total


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
