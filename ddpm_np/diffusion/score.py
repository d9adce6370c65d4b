"""The score ∇ ln q(x_t), which a prediction of the noise is but for a factor (Ho et al., section 3.2; Vincent 2011)."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.reverse import Predictor, predict
from ddpm_np.diffusion.schedule import Schedule, same_shape


def score_from_eps(schedule: Schedule, x_t: Any, t: Any, eps: Any) -> Any:
    """s = −ε/√(1 − ᾱ_t); (N, …). Where ε = E[ε | x_t], s = ∇ ln q(x_t).

    Checked as: score.
    """
    same_shape("a prediction of the noise", eps, x_t)
    return -eps / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)


def eps_from_score(schedule: Schedule, x_t: Any, t: Any, score: Any) -> Any:
    """ε = −√(1 − ᾱ_t)·s; (N, …).

    Checked as: score.
    """
    same_shape("a score", score, x_t)
    return -schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t) * score


def score_matching_loss(schedule: Schedule, model: Predictor, x_0: Any, t: Any, noise: Any, *,
                        predicts: str = "eps") -> Any:
    """Denoising score matching at level t: ‖s_θ(x_t, t) − ∇ ln q(x_t | x₀)‖², its mean over dimensions; (N,).

    ∇ ln q(x_t | x₀) = −(x_t − √ᾱ_t·x₀)/(1 − ᾱ_t) = −ε/√(1 − ᾱ_t), so this is ‖ε − ε_θ‖²/(1 − ᾱ_t): equation (12) but
    for the weight, which there is β_t²/(2σ_t²·α_t·(1 − ᾱ_t)) (`eq12_weight`).

    Checked as: score-matching.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    score = score_from_eps(schedule, x_t, t, predict(schedule, model, x_t, t, predicts=predicts).eps)
    centre = schedule.at(schedule.sqrt_alpha_bar, t, x_0) * x_0
    target = -(x_t - centre) / schedule.at(schedule.one_minus_alpha_bar, t, x_0)
    difference = score - target
    return of(difference).mean(of(difference).square(difference), axis=tuple(range(1, difference.ndim)))
