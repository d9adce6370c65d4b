"""The variance σ_t² of the reverse step (section 3.2): fixed small, fixed large, a table, or learned."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of, plain
from ddpm_np.diffusion.images import same_shape
from ddpm_np.diffusion.schedule import Coefficients, Schedule

LEARNED = ("learned", "learned_range")  # those that need the net's second output


def log_variance(schedule: Schedule, variance: str | Array, t: Ints, x: Array, output: Array = None) -> Array:
    """Log variance of the reverse step: ln σ_t², for σ_t² = β̃_t, β_t, a table, or learned.

    Checked as: log-variance, sigma.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    variance : str or array of shape (T + 1,)
        - ``"small"``: σ_t² = β̃_t, the exact variance if x₀ is a single image, and a lower bound for any data.
        - ``"large"``: σ_t² = β_t, the exact variance if x₀ ~ N(0, I).
        - ``"learned"``: ln σ_t² is the net's second output.
        - ``"learned_range"``: `learned_range_log_variance` of the net's second output.
        - A table (array or Tensor) of T + 1 positive σ_t², index 0 unused.

        At t = 1, ``"small"`` and ``"large"`` are both β̃₂.
    t : int array of shape (N,)
        Steps, 1..T.
    x : array of shape (N, …)
        Images x_t, whose dtype, device and rank the result takes.
    output : array of shape (N, …), optional
        The net's second output, for a learned variance.

    Returns
    -------
    array of shape (N, 1, …), or (N, …) if learned
        Log variances.

    Raises
    ------
    ValueError
        If `variance` is unknown, a table is not positive or has a wrong shape, or a learned variance lacks `output`.

    Notes
    -----
    Section 3.2 of Ho et al. (2020); β̃₂ at t = 1 is the authors' code ("a better decoder log likelihood").
    Verified by ``ddpm-np check --equation log-variance --equation sigma``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule, t = Schedule.from_betas([9 / 25, 7 / 16]), np.array([1, 2])
    >>> np.exp(log_variance(schedule, "large", t, np.zeros((2, 1)))).ravel() * 256  # β̃₂ = 63/256, β₂ = 7/16
    array([ 63., 112.])
    """
    return log_variance_at(schedule.at(t, like=x), variance, output)


def log_variance_at(k: Coefficients, variance: str | Array, output: Array = None) -> Array:
    """Log variance of the reverse step, for the coefficients of a step: `log_variance`.

    Parameters
    ----------
    k : Coefficients
        Coefficients of the steps t, from `Schedule.at`.
    variance : str or array of shape (T + 1,)
        The choice of σ_t², as in `log_variance`.
    output : array of shape (N, …), optional
        The net's second output, for a learned variance.

    Returns
    -------
    array of shape (N, 1, …), or (N, …) if learned
        Log variances.

    Raises
    ------
    ValueError
        If `variance` is unknown, a table is not positive or has a wrong shape, or a learned variance lacks `output`.
    """
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
        raise ValueError(f"variance {variance!r} needs a net with two outputs per element, (N, …, 2C), but this one "
                         "has one: choose 'small' or 'large'")
    return output if variance == "learned" else learned_range_log_variance(k.schedule, output, k.t)


def _need_positive(sigma2: Array) -> None:
    """Raise if one of σ₁²..σ_T² is not positive."""
    bad = ~(sigma2 > 0)  # (T,)
    if bad.any():
        raise ValueError(f"every σ² must be positive, got {sigma2[bad][0]} at t = {int(bad.argmax()) + 1}")


def learned_range_log_variance(schedule: Schedule, v: Array, t: Ints) -> Array:
    """Learned log variance between ln β̃_t and ln β_t: ln Σ_θ = w·ln β_t + (1 − w)·ln β̃_t with w = (v + 1)/2.

    v = 1 gives β_t, v = −1 gives β̃_t (β̃₂ at t = 1), and v = 0 their geometric mean.

    Checked as: learned-range.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    v : array of shape (N, …)
        The net's second output.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    array of shape (N, …)
        Log variances ln Σ_θ.

    Notes
    -----
    Equation (15) of Nichol & Dhariwal (2021). Verified by ``ddpm-np check --equation learned-range``.

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
    """Learned variance Σ_θ = exp(w·ln β_t + (1 − w)·ln β̃_t): the exponential of `learned_range_log_variance`.

    Checked as: learned-range.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    v : array of shape (N, …)
        The net's second output.
    t : int array of shape (N,)
        Steps, 1..T.

    Returns
    -------
    array of shape (N, …)
        Variances Σ_θ.

    Notes
    -----
    Equation (15) of Nichol & Dhariwal (2021). Verified by ``ddpm-np check --equation learned-range``.
    """
    log_sigma2 = learned_range_log_variance(schedule, v, t)
    return of(log_sigma2).exp(log_sigma2)


def split_output(output: Array, x_t: Array) -> tuple[Array, Array | None]:
    """Split a net's output of shape (N, …, 2C) into a prediction and the output for the variance.

    Parameters
    ----------
    output : array of shape (N, …) or (N, …, 2C)
        The net's output at x_t.
    x_t : array of shape (N, …)
        Noisy images, with C channels in the last axis.

    Returns
    -------
    prediction : array of shape (N, …)
        The first half of the last axis, or all of an output of the shape of `x_t`.
    second : array of shape (N, …) or None
        The second half; None for an output of the shape of `x_t`.

    Raises
    ------
    ValueError
        If the output has neither shape.

    Examples
    --------
    >>> import numpy as np
    >>> split_output(np.array([[1.0, 2.0]]), np.array([[0.0]]))
    (array([[1.]]), array([[2.]]))
    """
    if x_t.ndim > 1 and tuple(output.shape) == (*x_t.shape[:-1], 2 * x_t.shape[-1]):
        c = x_t.shape[-1]
        return output[..., :c], output[..., c:]
    same_shape("a prediction", output, x_t)
    return output, None
