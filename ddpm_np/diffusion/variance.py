"""The variance σ_t² of the reverse step: fixed small, fixed large, a table, or learned (section 3.2 of the paper)."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.schedule import Schedule, same_shape

LEARNED = ("learned", "learned_range")  # those that need the net's second output


def log_variance(schedule: Schedule, variance: Any, t: Any, x: Any, output: Any = None) -> Any:
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
    if isinstance(variance, str):
        if variance in LEARNED:
            if output is None:
                raise ValueError(f"variance {variance!r} needs a net with two outputs an element, (N, …, 2C); this one "
                                 "predicts one: choose 'small' or 'large'")
            return output if variance == "learned" else learned_range_log_variance(schedule, output, t)
        if variance not in ("small", "large"):
            raise ValueError("variance must be 'small' (β̃_t), 'large' (β_t), 'learned', 'learned_range' or a table of "
                             f"T + 1 numbers, got {variance!r}")
        small = variance == "small"
        return schedule.at(schedule.posterior_log_variance_clipped if small else schedule.log_beta_clipped, t, x)
    rows = schedule.at(variance, t, x)
    sigma2 = (variance.data if of(variance).name == "tensor" else variance)[1:]  # (T,)
    bad = ~(sigma2 > 0)
    if bad.any():
        raise ValueError(f"every σ² must be positive, got {sigma2[bad][0]} at t = {int(bad.argmax()) + 1}")
    return of(rows).log(rows)


def learned_range_log_variance(schedule: Schedule, v: Any, t: Any) -> Any:
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
    w = (v + 1.0) * 0.5  # (N, …)
    high = schedule.at(schedule.log_beta, t, v)
    low = schedule.at(schedule.posterior_log_variance_clipped, t, v)
    return w * high + (1.0 - w) * low


def learned_range_variance(schedule: Schedule, v: Any, t: Any) -> Any:
    """Σ_θ itself: exp of `learned_range_log_variance`; (N, …).

    Checked as: learned-range.
    """
    log_sigma2 = learned_range_log_variance(schedule, v, t)
    return of(log_sigma2).exp(log_sigma2)


def split_output(output: Any, x_t: Any) -> tuple[Any, Any]:
    """A net's output as (prediction, what it says of the variance): the halves of the last axis of (N, …, 2C).

    The second is None for an output of x_t's own shape.
    """
    if x_t.ndim > 1 and tuple(output.shape) == (*x_t.shape[:-1], 2 * x_t.shape[-1]):
        c = x_t.shape[-1]
        return output[..., :c], output[..., c:]
    same_shape("a prediction", output, x_t)
    return output, None
