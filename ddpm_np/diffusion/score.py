"""The score ∇ ln q(x_t), which a prediction of the noise is but for a factor (Ho et al., section 3.2; Vincent 2011)."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape
from ddpm_np.diffusion.reverse import Denoiser, Reverse, predict
from ddpm_np.diffusion.schedule import Schedule


def score_from_eps(schedule: Schedule, x_t: Array, t: Ints, eps: Array) -> Array:
    """s = −ε/√(1 − ᾱ_t); (N, …). Where ε = E[ε | x_t], s = ∇ ln q(x_t).

    Checked as: score.
    """
    same_shape("a prediction of the noise", eps, x_t)
    return -eps / schedule.at(t, like=x_t).sqrt_one_minus_alpha_bar  # (N, …)


def eps_from_score(schedule: Schedule, x_t: Array, t: Ints, score: Array) -> Array:
    """ε = −√(1 − ᾱ_t)·s; (N, …).

    Checked as: score.
    """
    same_shape("a score", score, x_t)
    return -schedule.at(t, like=x_t).sqrt_one_minus_alpha_bar * score  # (N, …)


def score_matching_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *,
                        predicts: str = "eps") -> Array:
    """Denoising score matching at level t: ‖s_θ(x_t, t) − ∇ ln q(x_t | x₀)‖², its mean over dimensions; (N,).

    ∇ ln q(x_t | x₀) = −(x_t − √ᾱ_t·x₀)/(1 − ᾱ_t) = −ε/√(1 − ᾱ_t), so this is ‖ε − ε_θ‖²/(1 − ᾱ_t): equation (12) but
    for the weight, which there is β_t²/(2σ_t²·α_t·(1 − ᾱ_t)) (`eq12_weight`).

    Checked as: score-matching.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    score = score_from_eps(schedule, x_t, t, predict(Reverse(schedule, model, predicts), x_t, t).eps)
    k = schedule.at(t, like=x_0)
    target = -(x_t - k.sqrt_alpha_bar * x_0) / k.one_minus_alpha_bar  # (N, …): ∇ ln q(x_t | x₀)
    difference = score - target
    return mean_over_image(of(difference).square(difference))
