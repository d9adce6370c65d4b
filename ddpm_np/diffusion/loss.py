"""Training objectives: numbers per image, whose mean over a batch is minimised."""

from __future__ import annotations

import math
from typing import Any

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.bound import prior_kl, vlb_term
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import PREDICTS, Denoiser, Reverse
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.diffusion.variance import split_output
from ddpm_np.diffusion.velocity import velocity


def simple_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *,
                predicts: str = "eps") -> Array:
    """Equation (14), L_simple: ‖ε − ε_θ(√ᾱ_t·x₀ + √(1 − ᾱ_t)·ε, t)‖², as the mean over an image's dimensions.

    Checked as: 14, prediction.

    Parameters
    ----------
    schedule
        β₁..β_T.
    model
        ε_θ(x_t, t), returning an array or a Tensor (N, …).
    x_0, noise
        (N, …): data and ε.
    t
        Int array (N,), 1..T.
    predicts
        What the net is asked for instead of the noise: ``"x0"``, ``"mean"`` (μ̃, the paper's ablation) or ``"v"``.

    Returns
    -------
    (N,)
        One loss an image; of the kind that `model` returns.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    output = model(x_t, t)
    same_shape("a prediction", output, x_t)
    difference = target(schedule, x_0, x_t, t, noise, predicts) - output
    return mean_over_image(of(difference).square(difference))


def target(schedule: Schedule, x_0: Array, x_t: Array, t: Ints, noise: Array, predicts: str) -> Array:
    """What a net that predicts ``"eps"``, ``"x0"``, ``"mean"`` or ``"v"`` should say at x_t; (N, …).

    Checked as: prediction.
    """
    if predicts == "eps":
        same_shape("noise", noise, x_0)
        return noise
    if predicts == "x0":
        return x_0
    if predicts == "mean":
        return posterior_mean(schedule, x_0, x_t, t)
    if predicts == "v":
        return velocity(schedule, x_0, t, noise)
    raise ValueError(f"predicts must be one of {', '.join(PREDICTS)}, got {predicts!r}")


def bound_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *, predicts: str = "eps",
               variance: Any = "small", levels: int | None = 256) -> Array:
    """The whole bound (5) by one term of it: L_T + T·(the term at t), t uniform on 1..T; (N,) bits per dimension.

    Its mean over t is the bound itself. L_T has a gradient only where the schedule is learned.

    Checked as: bound-loss.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    term = vlb_term(Reverse(schedule, model, predicts, variance), x_0, x_t, t, levels=levels)  # (N,)
    return prior_kl(schedule, x_0) + schedule.T * term


def hybrid_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *, predicts: str = "eps",
                variance: str = "learned_range", weight: float = 0.001, levels: int | None = 256) -> Array:
    """L_simple + λ·L_vlb (Nichol & Dhariwal 2021, equation 16): L_vlb teaches the variance alone.

    L_vlb is T·(the term at t) in bits per dimension, and the gradient does not pass from it through the mean μ_θ.

    Checked as: hybrid.

    Parameters
    ----------
    model
        With two outputs an element, (N, …, 2C): a prediction, and what `variance` makes σ² of.
    weight
        λ.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    output = model(x_t, t)
    prediction, second = split_output(output, x_t)
    if second is None:
        raise ValueError(f"the hybrid loss needs a net with two outputs an element, (N, …, {2 * x_t.shape[-1]}), got "
                         f"{tuple(output.shape)}: set out_channels to twice in_channels")
    xp = of(output)
    held = xp.concat((xp.stop_gradient(prediction), second), axis=x_t.ndim - 1)  # (N, …, 2C)
    difference = target(schedule, x_0, x_t, t, noise, predicts) - prediction
    simple = mean_over_image(of(difference).square(difference))  # (N,)
    term = vlb_term(Reverse(schedule, lambda x, s: held, predicts, variance), x_0, x_t, t, levels=levels)  # (N,)
    return simple + weight * schedule.T * term


def min_snr_weight(schedule: Schedule, t: Ints, x: Array, gamma: float = 5.0, predicts: str = "eps") -> Array:
    """The min-SNR-γ weight (Hang et al. 2023) of a loss in ε, x₀ or v; (N,).

    With SNR = ᾱ_t/(1 − ᾱ_t): min(SNR, γ)/SNR, min(SNR, γ) and min(SNR, γ)/(SNR + 1). The three weighted losses are
    equal, for ‖ε − ε̂‖² = SNR·‖x₀ − x̂₀‖² and ‖v − v̂‖² = (SNR + 1)·‖x₀ − x̂₀‖². The first is computed as
    1/max(1, SNR/γ), which is 1 where SNR = 0.

    Checked as: min-snr.
    """
    k = schedule.at(t, like=x)
    ratio = k.alpha_bar / k.one_minus_alpha_bar  # (N, 1, …)
    xp = of(ratio)
    snr = xp.reshape(ratio, t.shape)  # (N,)
    if predicts == "eps":
        return 1.0 / xp.clip(snr / gamma, 1.0, math.inf)
    if predicts == "x0":
        return xp.clip(snr, 0.0, gamma)
    if predicts == "v":
        return xp.clip(snr, 0.0, gamma) / (snr + 1.0)
    raise ValueError(f"predicts must be one of eps, x0, v, got {predicts!r}")
