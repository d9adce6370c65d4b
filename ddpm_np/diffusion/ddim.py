"""DDIM (Song, Meng & Ermon 2021): chains with the marginals of Algorithm 2, with less noise and over fewer steps.

Their α is this paper's ᾱ. A step goes from x_t to x_s for any s < t. At η = 0 it is deterministic (an invertible map);
at η = 1 and s = t − 1 it is Algorithm 2 with σ² = β̃_t.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ddpm_np import arguments
from ddpm_np.backend import Array, Ints, of, real_dtype
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Reverse, predict
from ddpm_np.diffusion.sampler import NoiseAt
from ddpm_np.diffusion.schedule import Schedule


def ddim_sigma(schedule: Schedule, t: Ints, t_prev: Ints, eta: float, x: Array) -> Array:
    """Standard deviation of a DDIM step: σ(η) = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s), s = t_prev.

    Computed in double precision: in single precision, 1 − ᾱ_t/ᾱ_s would lose four digits.

    Checked as: ddim-16.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 1..T.
    t_prev : int array of shape (N,)
        Steps s < t, 0..T − 1.
    eta : float
        The amount of noise η, 0..1.
    x : array of shape (N, …)
        Images, whose dtype, device and rank the result takes.

    Returns
    -------
    array of shape (N, 1, …)
        Standard deviations.

    Notes
    -----
    Equation (16) of Song, Meng & Ermon (2021). Verified by ``ddpm-np check --equation ddim-16``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # at η = 1, σ² = β̃₂ = 63/256
    >>> sigma = ddim_sigma(schedule, np.array([2]), np.array([1]), 1.0, np.zeros((1, 1)))
    >>> (sigma**2 * 256).round(12)
    array([[63.]])
    """
    arguments.number("eta", eta, least=0, most=1)
    now, then = (schedule.at(i, like=x, dtype="float64") for i in (t, t_prev))
    ratio = now.alpha_bar / then.alpha_bar  # (N, 1, …)
    xp = of(ratio)
    sigma = eta * xp.sqrt(then.one_minus_alpha_bar / now.one_minus_alpha_bar * (1 - ratio))
    return xp.astype(sigma, real_dtype(x))


def ddim_step(reverse: Reverse, x_t: Array, t: Ints, t_prev: Ints, eta: float = 0.0, noise: Array = None) -> Array:
    """DDIM step: x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z, s = t_prev.

    Checked as: ddim-12.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its variance is not used. If it clips x̂₀, ε is changed to match; the DDIM paper does not
        clip.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    t_prev : int array of shape (N,)
        Steps s, 0 ≤ s < t.
    eta : float
        0 is deterministic (`noise` is ignored); 1 matches Algorithm 2 with variance β̃; values between interpolate.
    noise : array of shape (N, …), optional
        Noise z ~ N(0, I), needed if `eta` > 0.

    Returns
    -------
    array of shape (N, …)
        Images x_s; at s = 0 they are x̂₀.

    Raises
    ------
    ValueError
        If `eta` is out of range, `noise` is missing or has another shape than `x_t`, or steps are out of range or
        t_prev ≥ t (steps are not checked on CuPy, to avoid a device sync).

    Notes
    -----
    Equation (12) of Song, Meng & Ermon (2021). Verified by ``ddpm-np check --equation ddim-12``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: x_t)  # ε_θ = x_t
    >>> ddim_step(reverse, np.array([[3.0]]), np.array([2]), np.array([1])).round(12)  # x̂₀ = 1: 4/5·1 + 3/5·3
    array([[2.6]])
    """
    return step(reverse, x_t, t, t_prev, eta, noise)[0]


def step(reverse: Reverse, x_t: Array, t: Ints, t_prev: Ints, eta: float, noise: Array) -> tuple[Array, Array]:
    """DDIM step, as `ddim_step`, together with its estimate x̂₀.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its variance is not used.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    t_prev : int array of shape (N,)
        Steps s, 0 ≤ s < t.
    eta : float
        The amount of noise, 0..1.
    noise : array of shape (N, …) or None
        Noise z ~ N(0, I), needed if `eta` > 0.

    Returns
    -------
    x : array of shape (N, …)
        Images x_s.
    x0_hat : array of shape (N, …)
        Estimate x̂₀ from which x_s was drawn.

    Raises
    ------
    ValueError
        As `ddim_step`.
    """
    arguments.number("eta", eta, least=0, most=1)
    if eta > 0 and noise is None:
        raise ValueError(f"eta = {eta} needs noise, standard normal of shape {tuple(x_t.shape)}, got None")
    xp = of(x_t)
    then, sigma = reverse.schedule.at(t_prev, like=x_t), ddim_sigma(reverse.schedule, t, t_prev, eta, x_t)
    if xp.name == "numpy" and (t_prev >= t).any():
        raise ValueError(f"a step goes from t down to a smaller t_prev, got t = {t} and t_prev = {t_prev}")
    x0_hat, eps, _ = predict(reverse, x_t, t)
    left = then.one_minus_alpha_bar - xp.square(sigma)  # (N, 1, …): ≥ 0; rounding may make it −1e-17
    mean = then.sqrt_alpha_bar * x0_hat + xp.sqrt(xp.clip(left, 0.0, 1.0)) * eps  # (N, …)
    if eta == 0:
        return mean, x0_hat
    same_shape("noise", noise, x_t)
    return mean + sigma * noise, x0_hat


def descending(schedule: Schedule, steps: Sequence[int]) -> list[int]:
    """Return the steps of a sampler as a list, checked to descend within T..1.

    Parameters
    ----------
    schedule : Schedule
        The schedule, for its T.
    steps : sequence of int
        The steps.

    Returns
    -------
    list of int
        The same steps.

    Raises
    ------
    ValueError
        If the steps are not distinct ints of 1..T in descending order.
    """
    given = list(steps) if hasattr(steps, "__iter__") else []
    if not given or not all(map(arguments.is_int, given)) or given[0] > schedule.T or given[-1] < 1 or any(
            a <= b for a, b in pairwise(given)):
        raise ValueError(f"steps must descend within 1 to T = {schedule.T}, got "
                         f"{given or arguments.described(steps)}: see `timesteps`")
    return [int(t) for t in given]


def ddim(reverse: Reverse, x_T: Array, steps: Sequence[int], noise_at: NoiseAt | None = None, *,
         eta: float = 0.0) -> Iterator[tuple[int, Array, Array]]:
    """DDIM over given steps: x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z from each step to the next, and to s = 0.

    Checked as: ddim-12.

    Parameters
    ----------
    reverse : Reverse
        The reverse process, as in `ddim_step`.
    x_T : array of shape (N, …)
        Standard normal noise: x at the first step.
    steps : sequence of int
        Steps in descending order, such as ``timesteps(T, 50)``.
    noise_at : callable, optional
        Maps t to the noise z of shape (N, …); called if η > 0, for each step but the last.
    eta : float
        The amount of noise η, as in `ddim_step`.

    Yields
    ------
    s : int
        The step reached; at last 0.
    x_s : array of shape (N, …)
        Images at that step; at s = 0 they are x₀.
    x0_hat : array of shape (N, …)
        Estimate x̂₀ from which they were drawn.

    Raises
    ------
    ValueError
        If the steps do not descend within T..1, `eta` is out of range, or η > 0 and `noise_at` is missing.

    Notes
    -----
    Equation (12) of Song, Meng & Ermon (2021). Verified by ``ddpm-np check --equation ddim-12``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> for s, x, x0_hat in ddim(reverse, np.array([[0.6]]), [2]):  # one step, from 2 to 0: x̂₀ = 0.6/(3/5)
    ...     print(s, x.round(12))
    0 [[1.]]
    """
    arguments.number("eta", eta, least=0, most=1)
    if eta > 0 and noise_at is None:
        raise ValueError(f"eta = {eta} needs noise_at, t -> standard normal numbers of x's shape")
    x = x_T
    for t, s in pairwise([*descending(reverse.schedule, steps), 0]):
        noise = noise_at(t) if noise_at is not None and eta > 0 and s > 0 else of(x).zeros_like(x)  # (N, …)
        x, x0_hat = step(reverse, x, times(x, t), times(x, s), eta, noise)
        yield s, x, x0_hat


def ddim_invert(reverse: Reverse, x_0: Array, steps: Sequence[int], *,
                iterations: int = 1) -> Iterator[tuple[int, Array]]:
    """DDIM inversion, from an image to its noise: x_t = √ᾱ_t·(x_s − √(1 − ᾱ_s)·ε)/√ᾱ_s + √(1 − ᾱ_t)·ε, s < t.

    This is the η = 0 chain backwards. It needs ε = ε_θ(x_t, t) before x_t is known, so the net is evaluated at x_s
    first, and then at each x_t obtained.

    Checked as: ddim-inversion.

    Parameters
    ----------
    reverse : Reverse
        The reverse process, as in `ddim_step`.
    x_0 : array of shape (N, …)
        Images.
    steps : sequence of int
        Steps in descending order, as for `ddim`.
    iterations : int
        Evaluations of the net per step. 1 is the usual approximation; with more, x_t converges to the point that `ddim`
        takes back to x_s, for nets that do not vary too fast with x.

    Yields
    ------
    t : int
        The steps, ascending.
    x_t : array of shape (N, …)
        Images at that step.

    Raises
    ------
    ValueError
        If the steps do not descend within T..1, or `iterations` is less than 1.

    Notes
    -----
    Section 4.3 of Song, Meng & Ermon (2021). Verified by ``ddpm-np check --equation ddim-inversion``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t + 1.0)  # ε_θ = 1
    >>> [(t, x.round(12)) for t, x in ddim_invert(reverse, np.array([[1.0]]), [2, 1])]  # 4/5 + 3/5, 3/5 + 4/5
    [(1, array([[1.4]])), (2, array([[1.4]]))]
    """
    arguments.count("iterations", iterations)
    x_s = x_0
    for s, t in pairwise([0, *reversed(descending(reverse.schedule, steps))]):
        now = times(x_0, t)  # (N,)
        at_t, at_s = (reverse.schedule.at(i, like=x_0) for i in (now, times(x_0, s)))
        gain = at_t.sqrt_alpha_bar / at_s.sqrt_alpha_bar  # (N, 1, …)
        noise_s, noise_t = at_s.sqrt_one_minus_alpha_bar, at_t.sqrt_one_minus_alpha_bar  # (N, 1, …) each
        x_t = x_s
        for _ in range(iterations):
            eps = predict(reverse, x_t, now).eps  # (N, …)
            x_t = gain * (x_s - noise_s * eps) + noise_t * eps
        x_s = x_t
        yield t, x_s
