"""Langevin dynamics through the score, at one noise level and annealed over all (Song & Ermon 2019).

dx = ½·∇ln p(x)·dτ + dw has p as its stationary law. A step of size δ is x + δ/2·∇ln p(x) + √δ·z, whose stationary
law is p only for δ → 0: on N(0, 1) its variance is 1/(1 − δ/4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.ddim import descending
from ddpm_np.diffusion.reverse import Predictor, predict
from ddpm_np.diffusion.schedule import Schedule, same_shape
from ddpm_np.diffusion.score import score_from_eps


def langevin_step(x: Any, score: Any, delta: Any, noise: Any) -> Any:
    """x + δ/2·s + √δ·z; (N, …).

    Checked as: langevin.
    """
    same_shape("a score", score, x)
    same_shape("noise", noise, x)
    xp = of(x)
    root = xp.sqrt(delta) if hasattr(delta, "dtype") else delta**0.5
    return x + 0.5 * delta * score + root * noise


def annealed_langevin(schedule: Schedule, model: Predictor, x_T: Any, steps: Sequence[int],
                      noise_at: Callable[[int, int], Any], *, per_level: int = 5, size: float = 0.1,
                      predicts: str = "eps", clip: bool = False) -> Iterator[tuple[int, Any]]:
    """Langevin dynamics on q(x_t) for one t after the other, from noise to images; yields (t, x_t), then (0, x̂₀).

    At level t the score is −ε_θ(x, t)/√(1 − ᾱ_t) and a step is δ_t = size·(1 − ᾱ_t), as large as the noise is. A level
    is entered from the last at s > t by x·√(ᾱ_t/ᾱ_s), so that what there is of the data has its size (from ᾱ_s = 0,
    where there is nothing of it, as it is). What is left at the last level is replaced by x̂₀ of (15), which takes its
    noise away.

    Checked as: annealed-langevin.

    Parameters
    ----------
    x_T
        (N, …), standard normal.
    steps
        The levels, descending; see `timesteps`.
    noise_at
        (t, k) -> z (N, …) of step k = 0..per_level − 1 at level t.
    per_level, size
        Steps a level, and their size.
    clip
        Whether x̂₀ is held in [−1, 1] wherever the net is asked.
    """
    if per_level < 1 or not 0 < size < 4:
        raise ValueError(f"per_level must be at least 1 and size between 0 and 4 (beyond, the steps diverge), got "
                         f"{per_level} and {size}")
    xp, x, before = of(x_T), x_T, None
    for t in descending(schedule, steps):
        now = xp.full((x.shape[0],), t, dtype=xp.int64)  # (N,)
        signal = schedule.at(schedule.sqrt_alpha_bar, now, x)
        x = x if before is None else x * (signal / before)
        before = signal if schedule.alpha_bar[t] > 0 else None
        delta = size * schedule.at(schedule.one_minus_alpha_bar, now, x)
        for k in range(per_level):
            eps = predict(schedule, model, x, now, predicts=predicts, clip=clip).eps
            x = langevin_step(x, score_from_eps(schedule, x, now, eps), delta, noise_at(t, k))
        yield t, x
    yield 0, predict(schedule, model, x, now, predicts=predicts, clip=clip).x0
