"""The variance σ_t² of the reverse step: fixed small, fixed large, a table, or learned (section 3.2 of the paper)."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import Array, Ints, of, plain
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Coefficients, Schedule

LEARNED = ("learned", "learned_range")  # those that need the net's second output


def log_variance(schedule: Schedule, variance: Any, t: Ints, x: Array, output: Array = None) -> Array:
    """ln σ_t² of the reverse step, (N, 1, …), or (N, …) where it is learned.

    Checked as: log-variance, sigma.

    Parameters
    ----------
    variance
        ``"small"``: σ_t² = β̃_t, the least that fits any data: right where x₀ is one image. ``"large"``: σ_t² = β_t,
        right where x₀ ~ N(0, I). Both are β̃₂ at t = 1 (section 3.2 and the authors' code: "a better decoder log
        likelihood"). A table (array or Tensor) of T + 1 positive σ², index 0 unused. ``"learned"``: ln σ² is the net's
        second output. ``"learned_range"``: `learned_range_log_variance` of it.
    x
        x_t, whose dtype, device and rank the rows take.
    output
        The net's second output (N, …), for what is learned.
    """
    return log_variance_at(schedule.at(t, like=x), variance, output)


def log_variance_at(k: Coefficients, variance: Any, output: Array = None) -> Array:
    """`log_variance` for the coefficients of a step."""
    if not isinstance(variance, str):
        sigma2 = k.rows(variance)  # (N, 1, …)
        _need_positive(plain(variance)[1:])
        return of(sigma2).log(sigma2)
    if variance == "small":
        return k.posterior_log_variance_clipped
    if variance == "large":
        return k.log_beta_clipped
    if variance not in LEARNED:
        raise ValueError("variance must be 'small' (β̃_t), 'large' (β_t), 'learned', 'learned_range' or a table of "
                         f"T + 1 numbers, got {variance!r}")
    if output is None:
        raise ValueError(f"variance {variance!r} needs a net with two outputs an element, (N, …, 2C); this one "
                         "predicts one: choose 'small' or 'large'")
    return output if variance == "learned" else learned_range_log_variance(k.schedule, output, k.t)


def _need_positive(sigma2: Array) -> None:
    """Raise where one of σ₁²..σ_T² is not positive."""
    bad = ~(sigma2 > 0)  # (T,)
    if bad.any():
        raise ValueError(f"every σ² must be positive, got {sigma2[bad][0]} at t = {int(bad.argmax()) + 1}")


def learned_range_log_variance(schedule: Schedule, v: Array, t: Ints) -> Array:
    """ln Σ_θ = w·ln β_t + (1 − w)·ln β̃_t with w = (v + 1)/2 (Nichol & Dhariwal 2021, equation 15).

    v = 1 gives β_t and v = −1 gives β̃_t, which is β̃₂ at t = 1; v = 0 their geometric mean.

    Checked as: learned-range.

    Parameters
    ----------
    v
        Array or Tensor (N, …): what the net puts out.
    t
        Int array (N,), 1..T.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])
    >>> ends = learned_range_log_variance(schedule, np.array([[1.0], [-1.0]]), np.array([2, 2]))
    >>> np.exp(ends[:, 0]) * 256  # β₂ = 7/16 and β̃₂ = 63/256
    array([112.,  63.])
    """
    k, w = schedule.at(t, like=v), (v + 1.0) * 0.5  # w: (N, …)
    return w * k.log_beta + (1.0 - w) * k.posterior_log_variance_clipped


def learned_range_variance(schedule: Schedule, v: Array, t: Ints) -> Array:
    """Σ_θ itself: exp of `learned_range_log_variance`; (N, …).

    Checked as: learned-range.
    """
    log_sigma2 = learned_range_log_variance(schedule, v, t)
    return of(log_sigma2).exp(log_sigma2)


def split_output(output: Array, x_t: Array) -> tuple[Array, Array | None]:
    """A net's output as (prediction, what it says of the variance): the halves of the last axis of (N, …, 2C).

    The second is None for an output of x_t's own shape.
    """
    if x_t.ndim > 1 and tuple(output.shape) == (*x_t.shape[:-1], 2 * x_t.shape[-1]):
        c = x_t.shape[-1]
        return output[..., :c], output[..., c:]
    same_shape("a prediction", output, x_t)
    return output, None
