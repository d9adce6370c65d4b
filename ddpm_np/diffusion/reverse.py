"""The reverse process: what a net's prediction says about x₀, the noise and x_{t−1} (equations 1, 11, 15).

A net may predict the noise ε (the paper), x₀, the posterior's mean μ̃, or the velocity v; each follows from any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ddpm_np.backend import of
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.schedule import Schedule, same_shape
from ddpm_np.diffusion.variance import log_variance, split_output
from ddpm_np.diffusion.velocity import x0_from_velocity

Predictor = Callable[[Any, Any], Any]  # (x_t (N, …), t (N,)) -> (N, …), ε_θ unless said otherwise
PREDICTS = ("eps", "x0", "mean", "v")


def predict_x0(schedule: Schedule, x_t: Any, t: Any, eps: Any) -> Any:
    """Equation (15): x̂₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t, equation (4) solved for x₀; (N, …).

    Where ᾱ_t = 0 there is no such x̂₀ and ValueError is raised (on the host; a device is not asked).

    Checked as: 15.
    """
    same_shape("a prediction of the noise", eps, x_t)
    noise = schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t) * eps
    _need_signal(schedule.sqrt_alpha_bar, t)
    return (x_t - noise) / schedule.at(schedule.sqrt_alpha_bar, t, x_t)


def _need_signal(root: Any, t: Any) -> None:
    """Raise where √ᾱ_t, or √α_t, is 0 (at T where β_T = 1; or ᾱ_t is less than any float): x_t holds nothing of x₀."""
    on_host = of(root).name == of(t).name == "numpy"
    if on_host and root[-1] == 0 and (root[t] == 0).any():
        raise ValueError(f"ᾱ_t = 0 at t = {t[root[t] == 0][0]}: x_t is noise, and x̂₀ does not follow from a prediction "
                         "of the noise: use a net that predicts x0 or v")


def predict_eps(schedule: Schedule, x_t: Any, t: Any, x_0: Any) -> Any:
    """ε = (x_t − √ᾱ_t·x₀)/√(1 − ᾱ_t), equation (4) solved for ε; (N, …), t ≥ 1.

    Checked as: eps.
    """
    same_shape("x_0", x_0, x_t)
    signal = schedule.at(schedule.sqrt_alpha_bar, t, x_t) * x_0
    return (x_t - signal) / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)


def mean_from_eps(schedule: Schedule, x_t: Any, t: Any, eps: Any) -> Any:
    """Equation (11): μ_θ = (x_t − β_t/√(1 − ᾱ_t)·ε_θ)/√α_t; (N, …).

    Equal to `posterior_mean` at x̂₀ = `predict_x0`, without the clip.

    Checked as: 11.
    """
    same_shape("a prediction of the noise", eps, x_t)
    drift = schedule.at(schedule.beta, t, x_t) / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)
    _need_signal(schedule.sqrt_alpha, t)
    return (x_t - drift * eps) / schedule.at(schedule.sqrt_alpha, t, x_t)


def eps_from_mean(schedule: Schedule, x_t: Any, t: Any, mean: Any) -> Any:
    """ε = (x_t − √α_t·μ)·√(1 − ᾱ_t)/β_t, equation (11) solved for ε; (N, …).

    Checked as: 11.
    """
    same_shape("a prediction of the mean", mean, x_t)
    drift = schedule.at(schedule.beta, t, x_t) / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)
    return (x_t - schedule.at(schedule.sqrt_alpha, t, x_t) * mean) / drift


def x0_from_mean(schedule: Schedule, x_t: Any, t: Any, mean: Any) -> Any:
    """x̂₀ = (μ − c_t·x_t)/c₀, equation (7) solved for x₀; c₀, c_t its coefficients; (N, …).

    Checked as: 15.
    """
    same_shape("a prediction of the mean", mean, x_t)
    known = schedule.at(schedule.posterior_mean_xt, t, x_t) * x_t
    return (mean - known) / schedule.at(schedule.posterior_mean_x0, t, x_t)


class Prediction(NamedTuple):
    """What a net says at x_t: of x₀, of the noise in x_t, and, where it has a second output, of the variance."""

    x0: Any
    eps: Any
    variance: Any


def predict(schedule: Schedule, model: Predictor, x_t: Any, t: Any, *, predicts: str = "eps",
            clip: bool = False) -> Prediction:
    """Ask the net once, and turn what it predicts into x̂₀ and ε̂.

    Checked as: 15, clip, prediction.

    Parameters
    ----------
    model
        (x_t, t) -> (N, …), or (N, …, 2C) with a second output for the variance.
    predicts
        What the first output is: ``"eps"``, ``"x0"``, ``"mean"`` (μ̃) or ``"v"`` (velocity).
    clip
        Whether x̂₀ is held in [−1, 1]; ε̂ then belongs to the held one: x_t = √ᾱ_t·x̂₀ + √(1 − ᾱ_t)·ε̂ always.
    """
    if predicts not in PREDICTS:
        raise ValueError(f"predicts must be one of {', '.join(PREDICTS)}, got {predicts!r}")
    output, second = split_output(model(x_t, t), x_t)
    to_x0 = {"eps": predict_x0, "x0": lambda schedule, x_t, t, x_0: x_0, "mean": x0_from_mean, "v": x0_from_velocity}
    x0 = to_x0[predicts](schedule, x_t, t, output)
    if clip:
        x0 = of(x0).clip(x0, -1.0, 1.0)
    elif predicts == "eps":
        return Prediction(x0, output, second)
    return Prediction(x0, predict_eps(schedule, x_t, t, x0), second)


def p_mean_log_variance(schedule: Schedule, model: Predictor, x_t: Any, t: Any, *, predicts: str = "eps",
                        variance: Any = "small", clip: bool = False) -> tuple[Any, Any, Any]:
    """As `p_mean_variance`, with ln σ_t² for σ_t²: (mean (N, …), (N, 1, …) or (N, …) if learned, x0_hat (N, …)).

    Checked as: 11.
    """
    x0, _, second = predict(schedule, model, x_t, t, predicts=predicts, clip=clip)
    return posterior_mean(schedule, x0, x_t, t), log_variance(schedule, variance, t, x_t, second), x0


def p_mean_variance(schedule: Schedule, model: Predictor, x_t: Any, t: Any, *, predicts: str = "eps",
                    variance: Any = "small", clip: bool = False) -> tuple[Any, Any, Any]:
    """p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t²·I) of equation (1).

    μ_θ is the posterior mean (7) at x̂₀ of (15), which is (11) where nothing is clipped. With `clip`, x̂₀ is held in
    [−1, 1] first: the paper does not say so, its code does, and the quality of samples depends on it.

    Checked as: 11, sigma, clip.

    Parameters
    ----------
    model
        ε_θ(x_t, t), or what else `predicts` says; called once.
    x_t, t
        (N, …) and int (N,), 1..T.
    predicts
        As in `predict`.
    variance
        As in `log_variance`.

    Returns
    -------
    mean, variance, x0_hat : (N, …) each
    """
    options = {"predicts": predicts, "variance": variance, "clip": clip}
    mean, log_sigma2, x0_hat = p_mean_log_variance(schedule, model, x_t, t, **options)
    data = x_t.data if of(x_t).name == "tensor" else x_t
    sigma2 = of(log_sigma2).exp(log_sigma2) * of(data).ones_like(data)  # (N, …)
    return mean, sigma2, x0_hat
