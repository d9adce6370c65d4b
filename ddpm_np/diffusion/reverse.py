"""The reverse process: what a net's prediction says about x₀, the noise and x_{t−1} (equations 1, 11, 15).

A net may predict the noise ε (the paper), x₀, the posterior's mean μ̃, or the velocity v; each follows from any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ddpm_np.backend import Array, Ints, of, plain
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.diffusion.variance import log_variance, split_output
from ddpm_np.diffusion.velocity import x0_from_velocity

Denoiser = Callable[[Array, Ints], Array]  # (x_t (N, …), t (N,)) -> (N, …), ε_θ unless said otherwise
PREDICTS = ("eps", "x0", "mean", "v")


@dataclass(frozen=True, eq=False)
class Reverse:
    """The reverse process p_θ(x_{t−1} | x_t) of equation (1): a schedule, a net, and how the net's output is read.

    Every sampler and every term of the bound takes one. `dataclasses.replace` makes another with other options.

    Parameters
    ----------
    schedule : Schedule
        β₁..β_T.
    model : callable
        (x_t (N, …), t (N,)) -> (N, …), or (N, …, 2C) with a second output for a learned variance.
    predicts : str
        What the first output is: the noise ``"eps"``, ``"x0"``, the posterior's mean ``"mean"`` (μ̃) or the velocity
        ``"v"``.
    variance : str or array (T + 1,)
        σ_t²: ``"small"`` (β̃_t), ``"large"`` (β_t), ``"learned"``, ``"learned_range"`` or a table; see `log_variance`.
    clip : bool
        Whether x̂₀ is clipped to [−1, 1]. The paper does not say so, its code does, and the quality of samples depends
        on it.

    Raises
    ------
    ValueError
        Where `predicts` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t, clip=True)
    >>> predict(reverse, np.array([[0.3], [2.0]]), np.array([2, 2])).x0  # x_t/√ᾱ₂ = x_t/(3/5), clipped
    array([[0.5], [1. ]])
    """

    schedule: Schedule
    model: Denoiser
    predicts: str = "eps"
    variance: Any = "small"
    clip: bool = False

    def __post_init__(self) -> None:
        if self.predicts not in PREDICTS:
            raise ValueError(f"predicts must be one of {', '.join(PREDICTS)}, got {self.predicts!r}")


def predict_x0(schedule: Schedule, x_t: Array, t: Ints, eps: Array) -> Array:
    """Equation (15): x̂₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t, equation (4) solved for x₀; (N, …).

    Where ᾱ_t = 0 there is no such x̂₀ and ValueError is raised (on the host; a device is not asked).

    Checked as: 15.
    """
    same_shape("a prediction of the noise", eps, x_t)
    k = schedule.at(t, like=x_t)
    _need_signal(schedule.sqrt_alpha_bar, t)
    return (x_t - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar  # (N, …)


def _need_signal(root: Array, t: Ints) -> None:
    """Raise where √ᾱ_t, or √α_t, is 0 (at T where β_T = 1; or ᾱ_t is less than any float): x_t holds nothing of x₀."""
    on_host = of(root).name == of(t).name == "numpy"
    if on_host and root[-1] == 0 and (root[t] == 0).any():
        raise ValueError(f"ᾱ_t = 0 at t = {t[root[t] == 0][0]}: x_t is noise, and x̂₀ does not follow from a prediction "
                         "of the noise: use a net that predicts x0 or v")


def predict_eps(schedule: Schedule, x_t: Array, t: Ints, x_0: Array) -> Array:
    """ε = (x_t − √ᾱ_t·x₀)/√(1 − ᾱ_t), equation (4) solved for ε; (N, …), t ≥ 1.

    Checked as: eps.
    """
    same_shape("x_0", x_0, x_t)
    k = schedule.at(t, like=x_t)
    return (x_t - k.sqrt_alpha_bar * x_0) / k.sqrt_one_minus_alpha_bar  # (N, …)


def mean_from_eps(schedule: Schedule, x_t: Array, t: Ints, eps: Array) -> Array:
    """Equation (11): μ_θ = (x_t − β_t/√(1 − ᾱ_t)·ε_θ)/√α_t; (N, …).

    Equal to `posterior_mean` at x̂₀ = `predict_x0`, without the clip.

    Checked as: 11.
    """
    same_shape("a prediction of the noise", eps, x_t)
    k = schedule.at(t, like=x_t)
    _need_signal(schedule.sqrt_alpha, t)
    return (x_t - k.beta / k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha  # (N, …)


def eps_from_mean(schedule: Schedule, x_t: Array, t: Ints, mean: Array) -> Array:
    """ε = (x_t − √α_t·μ)·√(1 − ᾱ_t)/β_t, equation (11) solved for ε; (N, …).

    Checked as: 11.
    """
    same_shape("a prediction of the mean", mean, x_t)
    k = schedule.at(t, like=x_t)
    return (x_t - k.sqrt_alpha * mean) / (k.beta / k.sqrt_one_minus_alpha_bar)  # (N, …)


def x0_from_mean(schedule: Schedule, x_t: Array, t: Ints, mean: Array) -> Array:
    """x̂₀ = (μ − c_t·x_t)/c₀, equation (7) solved for x₀; c₀, c_t its coefficients; (N, …).

    Checked as: 15.
    """
    same_shape("a prediction of the mean", mean, x_t)
    k = schedule.at(t, like=x_t)
    return (mean - k.posterior_xt * x_t) / k.posterior_x0  # (N, …)


_TO_X0: dict[str, Callable[[Schedule, Array, Ints, Array], Array]] = {
    "eps": predict_x0, "x0": lambda schedule, x_t, t, x_0: x_0, "mean": x0_from_mean, "v": x0_from_velocity,
}


class Prediction(NamedTuple):
    """What a net predicts at x_t.

    Attributes
    ----------
    x0, eps : (N, …)
        x̂₀ and the noise ε̂ that goes with it.
    variance : (N, …) or None
        The net's second output, from which a learned σ_t² is made.
    """

    x0: Array
    eps: Array
    variance: Array | None


def predict(reverse: Reverse, x_t: Array, t: Ints) -> Prediction:
    """Evaluate the net once, and turn its output into x̂₀ and ε̂.

    Where x̂₀ is clipped, ε̂ belongs to the clipped one: x_t = √ᾱ_t·x̂₀ + √(1 − ᾱ_t)·ε̂ always.

    Checked as: 15, clip, prediction.

    Parameters
    ----------
    reverse
        The reverse process, of which the variance is not used.
    x_t
        (N, …).
    t
        Int (N,), 1..T.

    Returns
    -------
    Prediction
    """
    output, second = split_output(reverse.model(x_t, t), x_t)
    x0 = _TO_X0[reverse.predicts](reverse.schedule, x_t, t, output)  # (N, …)
    if reverse.clip:
        x0 = of(x0).clip(x0, -1.0, 1.0)
    elif reverse.predicts == "eps":
        return Prediction(x0, output, second)
    return Prediction(x0, predict_eps(reverse.schedule, x_t, t, x0), second)


def p_mean_log_variance(reverse: Reverse, x_t: Array, t: Ints) -> tuple[Array, Array, Array]:
    """μ_θ(x_t, t), ln σ_t² and x̂₀: `p_mean_variance` in logarithms.

    Checked as: 11.

    Returns
    -------
    mean, log_sigma2, x0_hat
        (N, …); (N, 1, …), or (N, …) where it is learned; (N, …).
    """
    x0_hat, _, second = predict(reverse, x_t, t)
    mean = posterior_mean(reverse.schedule, x0_hat, x_t, t)  # (N, …)
    return mean, log_variance(reverse.schedule, reverse.variance, t, x_t, second), x0_hat


def p_mean_variance(reverse: Reverse, x_t: Array, t: Ints) -> tuple[Array, Array, Array]:
    """p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t²·I) of equation (1).

    μ_θ is the posterior mean (7) at x̂₀ of (15), which is (11) where nothing is clipped.

    Checked as: 11, sigma, clip.

    Parameters
    ----------
    reverse
        The reverse process; its net is evaluated once.
    x_t, t
        (N, …) and int (N,), 1..T.

    Returns
    -------
    mean, variance, x0_hat : (N, …) each
    """
    mean, log_sigma2, x0_hat = p_mean_log_variance(reverse, x_t, t)
    data = plain(x_t)
    sigma2 = of(log_sigma2).exp(log_sigma2) * of(data).ones_like(data)  # (N, …)
    return mean, sigma2, x0_hat
