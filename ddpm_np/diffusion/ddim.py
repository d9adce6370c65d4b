"""DDIM (Song, Meng & Ermon 2021): chains with the same marginals as Algorithm 2, of any randomness, by any steps.

Its α is this paper's ᾱ. Each step goes from x_t to x_s for any s < t: at η = 0 without noise (an invertible map), at
η = 1 and s = t − 1 exactly as Algorithm 2 with σ² = β̃_t.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ddpm_np.backend import Array, Ints, of, real_dtype
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Reverse, predict
from ddpm_np.diffusion.sampler import NoiseAt
from ddpm_np.diffusion.schedule import Schedule


def ddim_sigma(schedule: Schedule, t: Ints, t_prev: Ints, eta: float, x: Array) -> Array:
    """σ(η) = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s), s = t_prev (DDIM, equation 16); (N, 1, …), of x's dtype.

    Computed in double precision: in single, 1 − ᾱ_t/ᾱ_s = β_t would lose four digits.

    Checked as: ddim-16.
    """
    now, then = (schedule.at(i, like=x, dtype="float64") for i in (t, t_prev))
    ratio = now.alpha_bar / then.alpha_bar  # (N, 1, …)
    xp = of(ratio)
    sigma = eta * xp.sqrt(then.one_minus_alpha_bar / now.one_minus_alpha_bar * (1 - ratio))
    return xp.astype(sigma, real_dtype(x))


def ddim_step(reverse: Reverse, x_t: Array, t: Ints, t_prev: Ints, eta: float = 0.0, noise: Array = None) -> Array:
    """x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z, s = t_prev (DDIM, equation 12).

    Checked as: ddim-12.

    Parameters
    ----------
    reverse
        The reverse process, of which the variance is not used. With its `clip`, x̂₀ is clipped and ε changed to match;
        the paper does not clip.
    x_t
        (N, …).
    t, t_prev
        Int (N,): 1 ≤ t ≤ T and 0 ≤ t_prev < t (checked on NumPy; not on CuPy, to avoid a device sync).
    eta
        0 is deterministic (`noise` is ignored); 1 matches Algorithm 2 with variance β̃; values between interpolate.
    noise
        z (N, …).

    Returns
    -------
    (N, …)
        x_s; at s = 0 it is x̂₀.
    """
    return step(reverse, x_t, t, t_prev, eta, noise)[0]


def step(reverse: Reverse, x_t: Array, t: Ints, t_prev: Ints, eta: float, noise: Array) -> tuple[Array, Array]:
    """`ddim_step`, with the x̂₀ from which x_s was drawn; (N, …) each."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be from 0 to 1, got {eta}")
    if eta > 0 and noise is None:
        raise ValueError(f"eta = {eta} needs noise, standard normal of shape {tuple(x_t.shape)}, got None")
    xp = of(x_t)
    if xp.name == "numpy" and (t_prev >= t).any():
        raise ValueError(f"a step goes from t down to a smaller t_prev, got t = {t} and t_prev = {t_prev}")
    x0_hat, eps, _ = predict(reverse, x_t, t)
    then, sigma = reverse.schedule.at(t_prev, like=x_t), ddim_sigma(reverse.schedule, t, t_prev, eta, x_t)
    left = then.one_minus_alpha_bar - xp.square(sigma)  # (N, 1, …): ≥ 0; rounding may make it −1e-17
    mean = then.sqrt_alpha_bar * x0_hat + xp.sqrt(xp.clip(left, 0.0, 1.0)) * eps  # (N, …)
    if eta == 0:
        return mean, x0_hat
    same_shape("noise", noise, x_t)
    return mean + sigma * noise, x0_hat


def descending(schedule: Schedule, steps: Sequence[int]) -> list[int]:
    """The steps, checked: distinct ints of 1..T from the largest down."""
    whole = [int(t) for t in steps]
    if not whole or whole != list(steps) or whole[0] > schedule.T or whole[-1] < 1 or any(
            a <= b for a, b in pairwise(whole)):
        raise ValueError(f"steps must descend within 1 to T = {schedule.T}, got {list(steps)}: see `timesteps`")
    return whole


def ddim(reverse: Reverse, x_T: Array, steps: Sequence[int], noise_at: NoiseAt | None = None, *,
         eta: float = 0.0) -> Iterator[tuple[int, Array, Array]]:
    """The chain over some steps: yields (s, x_s, x̂₀) down to s = 0, where x_s is x₀.

    Checked as: ddim-12.

    Parameters
    ----------
    reverse
        As in `ddim_step`.
    x_T
        (N, …), standard normal: x at the first step.
    steps
        Descending, such as `timesteps(T, 50)`.
    noise_at
        t -> z (N, …), called for each step but the last where η > 0.
    eta
        η, as in `ddim_step`.

    Yields
    ------
    (s, x_s, x0_hat)
        x_s (N, …) and the estimate x̂₀ (N, …) from which it was drawn.
    """
    if eta > 0 and noise_at is None:
        raise ValueError(f"eta = {eta} needs noise_at, t -> standard normal numbers of x's shape")
    x = x_T
    for t, s in pairwise([*descending(reverse.schedule, steps), 0]):
        noise = noise_at(t) if noise_at is not None and eta > 0 and s > 0 else of(x).zeros_like(x)  # (N, …)
        x, x0_hat = step(reverse, x, times(x, t), times(x, s), eta, noise)
        yield s, x, x0_hat


def ddim_invert(reverse: Reverse, x_0: Array, steps: Sequence[int], *,
                iterations: int = 1) -> Iterator[tuple[int, Array]]:
    """The η = 0 chain backwards, from an image to its noise: yields (t, x_t) for the ascending steps.

    x_t = √ᾱ_t·(x_s − √(1 − ᾱ_s)·ε)/√ᾱ_s + √(1 − ᾱ_t)·ε needs ε = ε_θ(x_t, t), which is not known before x_t: the net
    is evaluated at x_s first, and then at each x_t that comes out.

    Checked as: ddim-inversion.

    Parameters
    ----------
    reverse
        As in `ddim_step`.
    x_0
        (N, …).
    steps
        Descending, as for `ddim`.
    iterations
        How often the net is evaluated at each step. 1 is the usual approximation; with more, x_t converges to the
        point that `ddim` takes back to x_s, for nets that do not change too fast with x.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
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
