"""The score ∇ ln q(x_t), a multiple of the predicted noise (Ho et al., section 3.2; Vincent 2011)."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape
from ddpm_np.diffusion.reverse import Denoiser, Reverse, predict
from ddpm_np.diffusion.schedule import Schedule


def score_from_eps(schedule: Schedule, x_t: Array, t: Ints, eps: Array) -> Array:
    """Score of a noise prediction: s = −ε/√(1 − ᾱ_t), which is ∇ ln q(x_t) for ε = E[ε | x_t].

    Checked as: score.

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
        Scores.

    Raises
    ------
    ValueError
        If `eps` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Section 3.2 of Ho et al. (2020). Verified by ``ddpm-np check --equation score``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √(1 − ᾱ₂) = 4/5
    >>> score_from_eps(schedule, np.zeros((1, 1)), np.array([2]), np.array([[1.0]])).round(12)
    array([[-1.25]])
    """
    same_shape("a prediction of the noise", eps, x_t)
    return -eps / schedule.at(t, like=x_t, least=1).sqrt_one_minus_alpha_bar  # (N, …)


def eps_from_score(schedule: Schedule, x_t: Array, t: Ints, score: Array) -> Array:
    """Noise of a score: ε = −√(1 − ᾱ_t)·s.

    Checked as: score.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    score : array of shape (N, …)
        Scores s.

    Returns
    -------
    array of shape (N, …)
        Predicted noise.

    Raises
    ------
    ValueError
        If `score` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Section 3.2 of Ho et al. (2020). Verified by ``ddpm-np check --equation score``.
    """
    same_shape("a score", score, x_t)
    return -schedule.at(t, like=x_t).sqrt_one_minus_alpha_bar * score  # (N, …)


def score_matching_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *,
                        predicts: str = "eps") -> Array:
    """Denoising score matching at level t: ‖s_θ(x_t, t) − ∇ ln q(x_t | x₀)‖², averaged over dimensions.

    ∇ ln q(x_t | x₀) = −(x_t − √ᾱ_t·x₀)/(1 − ᾱ_t) = −ε/√(1 − ᾱ_t), so this is ‖ε − ε_θ‖²/(1 − ᾱ_t). Equation (12) has
    the same error with the weight β_t²/(2σ_t²·α_t·(1 − ᾱ_t)) (`eq12_weight`).

    Checked as: score-matching.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    model : Denoiser
        The net ε_θ(x_t, t).
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I) of x_t.
    predicts : str
        What the net predicts, as in `Reverse`.

    Returns
    -------
    array of shape (N,)
        One loss per image.

    Notes
    -----
    Vincent (2011); Ho et al. (2020), section 3.2. Verified by ``ddpm-np check --equation score-matching``.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    score = score_from_eps(schedule, x_t, t, predict(Reverse(schedule, model, predicts), x_t, t).eps)
    k = schedule.at(t, like=x_0)
    target = -(x_t - k.sqrt_alpha_bar * x_0) / k.one_minus_alpha_bar  # (N, …): ∇ ln q(x_t | x₀)
    difference = score - target
    return mean_over_image(of(difference).square(difference))
