"""The reverse process: what a prediction of the noise says about x₀ and x_{t−1} (equations 1, 11, 15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.schedule import Schedule, same_shape

Predictor = Callable[[Any, Any], Any]  # ε_θ(x_t, t) -> (N, …)


def predict_x0(schedule: Schedule, x_t: Any, t: Any, eps: Any) -> Any:
    """Equation (15): x̂₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t, equation (4) solved for x₀; (N, …)."""
    same_shape("a prediction of the noise", eps, x_t)
    noise = schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t) * eps
    return (x_t - noise) / schedule.at(schedule.sqrt_alpha_bar, t, x_t)


def predict_eps(schedule: Schedule, x_t: Any, t: Any, x_0: Any) -> Any:
    """ε = (x_t − √ᾱ_t·x₀)/√(1 − ᾱ_t), equation (4) solved for ε; (N, …), t ≥ 1."""
    same_shape("x_0", x_0, x_t)
    signal = schedule.at(schedule.sqrt_alpha_bar, t, x_t) * x_0
    return (x_t - signal) / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)


def mean_from_eps(schedule: Schedule, x_t: Any, t: Any, eps: Any) -> Any:
    """Equation (11): μ_θ = (x_t − β_t/√(1 − ᾱ_t)·ε_θ)/√α_t; (N, …).

    Equal to `posterior_mean` at x̂₀ = `predict_x0`, without the clip.
    """
    same_shape("a prediction of the noise", eps, x_t)
    drift = schedule.at(schedule.beta, t, x_t) / schedule.at(schedule.sqrt_one_minus_alpha_bar, t, x_t)
    return (x_t - drift * eps) / schedule.at(schedule.sqrt_alpha, t, x_t)


def log_variance(schedule: Schedule, variance: Any, t: Any, x: Any) -> Any:
    """ln σ_t² of the reverse step, (N, 1, …).

    Parameters
    ----------
    variance
        ``"small"``: σ_t² = β̃_t. ``"large"``: σ_t² = β_t. Both are β̃₂ at t = 1 (section 3.2 and the authors'
        code: "a better decoder log likelihood"). Or a table of σ² of T + 1 positive numbers, index 0 unused.
    """
    if isinstance(variance, str):
        if variance not in ("small", "large"):
            raise ValueError(f"variance must be 'small' (β̃_t), 'large' (β_t) or a table of T + 1 numbers, got "
                             f"{variance!r}")
        small = variance == "small"
        return schedule.at(schedule.posterior_log_variance_clipped if small else schedule.log_beta_clipped, t, x)
    rows = schedule.at(variance, t, x)
    bad = ~(variance[1:] > 0)
    if bad.any():
        raise ValueError(f"every σ² must be positive, got {variance[1:][bad][0]} at t = {int(bad.argmax()) + 1}")
    return of(rows).log(rows)


def p_mean_variance(schedule: Schedule, model: Predictor, x_t: Any, t: Any, *, variance: Any = "small",
                    clip: bool = False) -> tuple[Any, Any, Any]:
    """p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t²·I) of equation (1).

    μ_θ is the posterior mean (7) at x̂₀ of (15), which is (11) where nothing is clipped. With `clip`, x̂₀ is held in
    [−1, 1] first: the paper does not say so, its code does, and the quality of samples depends on it.

    Parameters
    ----------
    model
        ε_θ(x_t, t), called once.
    x_t, t
        (N, …) and int (N,), 1..T.
    variance
        As in `log_variance`.

    Returns
    -------
    mean, variance, x0_hat : (N, …) each
    """
    xp = of(x_t)
    x0_hat = predict_x0(schedule, x_t, t, model(x_t, t))
    if clip:
        x0_hat = of(x0_hat).clip(x0_hat, -1.0, 1.0)
    data = x_t.data if xp.name == "tensor" else x_t
    log_sigma2 = log_variance(schedule, variance, t, x_t)
    sigma2 = of(data).exp(log_sigma2) * of(data).ones_like(data)  # (N, …)
    return posterior_mean(schedule, x0_hat, x_t, t), sigma2, x0_hat
