"""DDIM (Song, Meng & Ermon 2021): chains with the same marginals as Algorithm 2, of any randomness, by any steps.

Its α is this paper's ᾱ. Each step goes from x_t to x_s for any s < t: at η = 0 without noise (an invertible map), at
η = 1 and s = t − 1 exactly as Algorithm 2 with σ² = β̃_t.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from ddpm_np.backend import of, real_dtype
from ddpm_np.diffusion.reverse import Predictor, predict
from ddpm_np.diffusion.sampler import NoiseAt
from ddpm_np.diffusion.schedule import Schedule, same_shape


def ddim_sigma(schedule: Schedule, t: Any, t_prev: Any, eta: float, x: Any) -> Any:
    """σ(η) = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s), s = t_prev (DDIM, equation 16); (N, 1, …), of x's dtype.

    Computed in double precision: in single, 1 − ᾱ_t/ᾱ_s = β_t would lose four digits.

    Checked as: ddim-16.
    """
    xp = of(x)
    wide = xp.zeros((x.shape[0],) + (1,) * (x.ndim - 1), dtype=xp.float64)  # (N, 1, …)
    here, before = (schedule.at(schedule.one_minus_alpha_bar, i, wide) for i in (t, t_prev))
    ratio = schedule.at(schedule.alpha_bar, t, wide) / schedule.at(schedule.alpha_bar, t_prev, wide)
    return xp.astype(eta * xp.sqrt(before / here * (1 - ratio)), real_dtype(x), copy=False)


def ddim_step(schedule: Schedule, model: Predictor, x_t: Any, t: Any, t_prev: Any, eta: float = 0.0,
              noise: Any = None, *, predicts: str = "eps", clip: bool = False) -> Any:
    """x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z, s = t_prev (DDIM, equation 12).

    Checked as: ddim-12.

    Parameters
    ----------
    model, predicts
        As in `p_mean_variance`.
    x_t
        (N, …).
    t, t_prev
        Int (N,): 1 ≤ t ≤ T and 0 ≤ t_prev < t (looked at on the host; a device is not asked).
    eta
        0: no noise, `noise` is not looked at. 1: as much as Algorithm 2 with β̃. In between, in between.
    noise
        z (N, …).
    clip
        Whether x̂₀ is held in [−1, 1], and ε with it. The paper does not.

    Returns
    -------
    (N, …)
        x_s; at s = 0 it is x̂₀.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be from 0 to 1, got {eta}")
    if eta > 0 and noise is None:
        raise ValueError(f"eta = {eta} needs noise, standard normal of shape {tuple(x_t.shape)}, got None")
    xp = of(x_t)
    if xp.name == "numpy" and (t_prev >= t).any():
        raise ValueError(f"a step goes from t down to a smaller t_prev, got t = {t} and t_prev = {t_prev}")
    x0, eps, _ = predict(schedule, model, x_t, t, predicts=predicts, clip=clip)
    sigma = ddim_sigma(schedule, t, t_prev, eta, x_t)
    left = schedule.at(schedule.one_minus_alpha_bar, t_prev, x_t) - xp.square(sigma)  # ≥ 0; rounding may say −1e-17
    mean = schedule.at(schedule.sqrt_alpha_bar, t_prev, x_t) * x0 + xp.sqrt(xp.clip(left, 0.0, 1.0)) * eps
    if eta == 0:
        return mean
    same_shape("noise", noise, x_t)
    return mean + sigma * noise


def descending(schedule: Schedule, steps: Sequence[int]) -> list[int]:
    """The steps, checked: distinct ints of 1..T from the largest down."""
    whole = [int(t) for t in steps]
    if not whole or whole != list(steps) or whole[0] > schedule.T or whole[-1] < 1 or any(
            a <= b for a, b in pairwise(whole)):
        raise ValueError(f"steps must descend within 1 to T = {schedule.T}, got {list(steps)}: see `timesteps`")
    return whole


def ddim(schedule: Schedule, model: Predictor, x_T: Any, steps: Sequence[int], noise_at: NoiseAt | None = None, *,
         eta: float = 0.0, predicts: str = "eps", clip: bool = False) -> Iterator[tuple[int, Any]]:
    """The chain over some steps: yields (s, x_s) down to (0, x₀).

    Checked as: ddim-12.

    Parameters
    ----------
    x_T
        (N, …), standard normal: x at the first step.
    steps
        Descending, such as `timesteps(T, 50)`.
    noise_at
        t -> z (N, …), asked for each step but the last where η > 0.
    """
    if eta > 0 and noise_at is None:
        raise ValueError(f"eta = {eta} needs noise_at, t -> standard normal numbers of x's shape")
    xp, x = of(x_T), x_T
    for t, s in pairwise([*descending(schedule, steps), 0]):
        now, then = (xp.full((x.shape[0],), i, dtype=xp.int64) for i in (t, s))  # (N,)
        noise = noise_at(t) if noise_at is not None and eta > 0 and s > 0 else xp.zeros_like(x)
        x = ddim_step(schedule, model, x, now, then, eta, noise, predicts=predicts, clip=clip)
        yield s, x


def ddim_invert(schedule: Schedule, model: Predictor, x_0: Any, steps: Sequence[int], *, iterations: int = 1,
                predicts: str = "eps") -> Iterator[tuple[int, Any]]:
    """The η = 0 chain backwards, from an image to its noise: yields (t, x_t) for the ascending steps.

    x_t = √ᾱ_t·(x_s − √(1 − ᾱ_s)·ε)/√ᾱ_s + √(1 − ᾱ_t)·ε wants ε = ε_θ(x_t, t), which is not known before x_t: it is
    asked at x_s first, and then at each x_t that comes out.

    Checked as: ddim-inversion.

    Parameters
    ----------
    x_0
        (N, …).
    steps
        Descending, as for `ddim`.
    iterations
        How often the net is asked at each step. 1 is the usual approximation; with more, x_t converges to the point
        that `ddim` takes back to x_s, for nets that do not change too fast with x.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    xp, x_s = of(x_0), x_0
    for s, t in pairwise([0, *reversed(descending(schedule, steps))]):
        now, then = (xp.full((x_0.shape[0],), i, dtype=xp.int64) for i in (t, s))  # (N,)
        gain = schedule.at(schedule.sqrt_alpha_bar, now, x_0) / schedule.at(schedule.sqrt_alpha_bar, then, x_0)
        noise_s = schedule.at(schedule.sqrt_one_minus_alpha_bar, then, x_0)
        noise_t = schedule.at(schedule.sqrt_one_minus_alpha_bar, now, x_0)
        x_t = x_s
        for _ in range(iterations):
            eps = predict(schedule, model, x_t, now, predicts=predicts).eps
            x_t = gain * (x_s - noise_s * eps) + noise_t * eps
        x_s = x_t
        yield t, x_s
