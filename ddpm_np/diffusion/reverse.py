"""The reverse process p_θ(x_{t−1} | x_t): from a net's prediction to x̂₀, ε̂ and x_{t−1} (equations 1, 11, 15).

A net may predict the noise ε (the paper), x₀, the posterior mean μ̃, or the velocity v; each determines the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ddpm_np import arguments
from ddpm_np.backend import Array, Ints, of, plain
from ddpm_np.diffusion.parameterisation import predict_eps, predict_x0, x0_from_mean
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.diffusion.variance import log_variance, split_output
from ddpm_np.diffusion.velocity import x0_from_velocity

Denoiser = Callable[[Array, Ints], Array]  # (x_t (N, …), t (N,)) -> (N, …): ε_θ unless stated otherwise
PREDICTS = ("eps", "x0", "mean", "v")


@dataclass(frozen=True, eq=False)
class Reverse:
    """The reverse process p_θ(x_{t−1} | x_t) of equation (1): a schedule, a net, and how to read the net's output.

    Every sampler and every term of the bound takes one. `dataclasses.replace` makes a copy with other options.

    Attributes
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    model : Denoiser
        Maps x_t of shape (N, …) and t of shape (N,) to a prediction of shape (N, …); or to (N, …, 2C), with a second
        output for a learned variance.
    predicts : str
        The prediction: ``"eps"`` (the noise), ``"x0"``, ``"mean"`` (the posterior mean μ̃) or ``"v"`` (the velocity).
    variance : str or array of shape (T + 1,)
        The variance σ_t²: ``"small"`` (β̃_t), ``"large"`` (β_t), ``"learned"``, ``"learned_range"`` or a table; see
        `log_variance`.
    clip : bool
        Whether x̂₀ is clipped to [−1, 1]. The paper does not mention it, but the authors' code does it, and the quality
        of samples depends on it.

    Raises
    ------
    ValueError
        If `predicts` is none of these.

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
    variance: str | Array = "small"
    clip: bool = False

    def __post_init__(self) -> None:
        arguments.one_of("predicts", self.predicts, PREDICTS)


_TO_X0: dict[str, Callable[[Schedule, Array, Ints, Array], Array]] = {
    "eps": predict_x0, "x0": lambda schedule, x_t, t, x_0: x_0, "mean": x0_from_mean, "v": x0_from_velocity,
}


class Prediction(NamedTuple):
    """Predictions of a net at x_t.

    Attributes
    ----------
    x0 : array of shape (N, …)
        The estimate x̂₀.
    eps : array of shape (N, …)
        The noise ε̂ that belongs to it: x_t = √ᾱ_t·x̂₀ + √(1 − ᾱ_t)·ε̂.
    variance : array of shape (N, …) or None
        The net's second output, for a learned σ_t².
    """

    x0: Array
    eps: Array
    variance: Array | None


def predict(reverse: Reverse, x_t: Array, t: Ints) -> Prediction:
    """Evaluate the net once and convert its output to x̂₀ and ε̂, with x_t = √ᾱ_t·x̂₀ + √(1 − ᾱ_t)·ε̂.

    If x̂₀ is clipped, ε̂ belongs to the clipped x̂₀.

    Checked as: 15, clip, prediction.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its variance is not used.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    Prediction
        The estimate x̂₀, the noise ε̂ and the net's second output.

    Raises
    ------
    ValueError
        If the net's output has a wrong shape, a t is out of range, or ᾱ_t = 0 where the net predicts ε (the last two
        are not checked on CuPy, to avoid a device sync).

    Notes
    -----
    Equation (15) of Ho et al. (2020) and the authors' code.
    Verified by ``ddpm-np check --equation 15 --equation clip --equation prediction``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t, predicts="v")
    >>> x0, eps, _ = predict(reverse, np.array([[1.0]]), np.array([2]))  # v = 0: x̂₀ = 3/5·x_t, ε̂ = 4/5·x_t
    >>> x0.round(12), eps.round(12)
    (array([[0.6]]), array([[0.8]]))
    """
    reverse.schedule.at(t, like=x_t, least=1)  # raises before the net is evaluated
    output, second = split_output(reverse.model(x_t, t), x_t)
    x0 = _TO_X0[reverse.predicts](reverse.schedule, x_t, t, output)  # (N, …)
    if reverse.clip:
        x0 = of(x0).clip(x0, -1.0, 1.0)
    elif reverse.predicts == "eps":
        return Prediction(x0, output, second)
    return Prediction(x0, predict_eps(reverse.schedule, x_t, t, x0), second)


def p_mean_log_variance(reverse: Reverse, x_t: Array, t: Ints) -> tuple[Array, Array, Array]:
    """Mean, log variance and x̂₀ of the reverse step: `p_mean_variance` in logarithms.

    Checked as: 11.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its net is evaluated once.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    mean : array of shape (N, …)
        Mean μ_θ(x_t, t).
    log_sigma2 : array of shape (N, 1, …), or (N, …) if learned
        Log variance ln σ_t².
    x0_hat : array of shape (N, …)
        Estimate x̂₀.

    Notes
    -----
    Equation (11) of Ho et al. (2020). Verified by ``ddpm-np check --equation 11``.
    """
    x0_hat, _, second = predict(reverse, x_t, t)
    mean = posterior_mean(reverse.schedule, x0_hat, x_t, t)  # (N, …)
    return mean, log_variance(reverse.schedule, reverse.variance, t, x_t, second), x0_hat


def p_mean_variance(reverse: Reverse, x_t: Array, t: Ints) -> tuple[Array, Array, Array]:
    """Reverse step (1): p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t²·I).

    μ_θ is the posterior mean (7) at x̂₀ of (15), which equals (11) if nothing is clipped.

    Checked as: 11, sigma, clip.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its net is evaluated once.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    mean : array of shape (N, …)
        Mean μ_θ(x_t, t).
    variance : array of shape (N, …)
        Variance σ_t² of each element.
    x0_hat : array of shape (N, …)
        Estimate x̂₀.

    Notes
    -----
    Equations (1) and (11) and section 3.2 of Ho et al. (2020); the clip is the authors' code.
    Verified by ``ddpm-np check --equation 11 --equation sigma --equation clip``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> mean, variance, _ = p_mean_variance(reverse, np.array([[3.0]]), np.array([2]))
    >>> mean.round(12), (variance * 256).round(12)  # x_t/√α₂ = 3/(3/4) and β̃₂ = 63/256
    (array([[4.]]), array([[63.]]))
    """
    mean, log_sigma2, x0_hat = p_mean_log_variance(reverse, x_t, t)
    data = plain(x_t)
    sigma2 = of(log_sigma2).exp(log_sigma2) * of(data).ones_like(data)  # (N, …)
    return mean, sigma2, x0_hat
