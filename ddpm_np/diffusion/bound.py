"""The variational bound (equations 3, 5, 8–10, 12, 13): the quality of a model, in bits per dimension.

KL divergences and log likelihoods are elementwise, in nats. A term of the bound is a mean over an image's dimensions,
in bits, and `vlb` sums the terms. x̂₀ is clipped only if `Reverse.clip` is set. The authors' evaluation clips it; the
result is then not a bound on the likelihood of the model that was trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ddpm_np.backend import Array, Ints, of, real_dtype
from ddpm_np.diffusion.decoder import decoder_log_likelihood
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape, times
from ddpm_np.diffusion.normal import kl, log_normal
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule

BITS = 1 / math.log(2)  # nats to bits


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
