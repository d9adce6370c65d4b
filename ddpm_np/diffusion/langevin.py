"""Langevin dynamics through the score, at one noise level and annealed over all (Song & Ermon 2019).

dx = ½·∇ln p(x)·dτ + dw has p as its stationary law. A step of size δ is x + δ/2·∇ln p(x) + √δ·z, whose stationary
law is p only for δ → 0: on N(0, 1) its variance is 1/(1 − δ/4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ddpm_np.backend import Array, of
from ddpm_np.diffusion.ddim import descending
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Reverse, predict
from ddpm_np.diffusion.score import score_from_eps


def langevin_step(x: Array, score: Array, delta: Array | float, noise: Array) -> Array:
    """x + δ/2·s + √δ·z; (N, …).

    Checked as: langevin.
    """
    same_shape("a score", score, x)
    same_shape("noise", noise, x)
    xp = of(x)
    root = xp.sqrt(delta) if hasattr(delta, "dtype") else delta**0.5
    return x + 0.5 * delta * score + root * noise


def annealed_langevin(reverse: Reverse, x_T: Array, steps: Sequence[int], noise_at: Callable[[int, int], Array], *,
                      per_level: int = 5, size: float = 0.1) -> Iterator[tuple[int, Array, Array]]:
    """Langevin dynamics on q(x_t) for one t after the other, from noise to images; yields (t, x_t, x̂₀).

    At level t the score is −ε_θ(x, t)/√(1 − ᾱ_t) and a step is δ_t = size·(1 − ᾱ_t), as large as the noise is. A level
    is entered from the last at s > t by x·√(ᾱ_t/ᾱ_s), which gives the signal in it its size (from ᾱ_s = 0, where x
    holds no signal, it is entered unchanged). At the end x is replaced by x̂₀ of (15), which removes its noise.

    Checked as: annealed-langevin.

    Parameters
    ----------
    reverse
        The reverse process, of which the variance is not used. Its `clip` holds wherever the net is evaluated.
    x_T
        (N, …), standard normal.
    steps
        The levels, descending; see `timesteps`.
    noise_at
        (t, i) -> z (N, …) of step i = 0..per_level − 1 at level t.
    per_level, size
        Steps a level, and their size.

    Yields
    ------
    (t, x_t, x0_hat)
        After each level, x (N, …) and the estimate x̂₀ (N, …) of its last step; then (0, x̂₀, x̂₀).
    """
    if per_level < 1 or not 0 < size < 4:
        raise ValueError(f"per_level must be at least 1 and size between 0 and 4 (beyond, the steps diverge), got "
                         f"{per_level} and {size}")
    schedule, x, before = reverse.schedule, x_T, None
    for t in descending(schedule, steps):
        now = times(x, t)  # (N,)
        k = schedule.at(now, like=x)
        signal = k.sqrt_alpha_bar  # (N, 1, …)
        x = x if before is None else x * (signal / before)
        before = signal if schedule.alpha_bar[t] > 0 else None
        delta = size * k.one_minus_alpha_bar  # (N, 1, …)
        for i in range(per_level):
            x0_hat, eps, _ = predict(reverse, x, now)
            x = langevin_step(x, score_from_eps(schedule, x, now, eps), delta, noise_at(t, i))
        yield t, x, x0_hat
    x0_hat = predict(reverse, x, now).x0
    yield 0, x0_hat, x0_hat
