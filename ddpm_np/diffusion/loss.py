"""Training objectives: numbers per image, whose mean over a batch is minimised."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.reverse import Predictor
from ddpm_np.diffusion.schedule import Schedule, same_shape


def simple_loss(schedule: Schedule, model: Predictor, x_0: Any, t: Any, noise: Any) -> Any:
    """Equation (14), L_simple: ‖ε − ε_θ(√ᾱ_t·x₀ + √(1 − ᾱ_t)·ε, t)‖², as the mean over an image's dimensions.

    Parameters
    ----------
    schedule
        β₁..β_T.
    model
        ε_θ(x_t, t), returning an array or a Tensor (N, …).
    x_0, noise
        (N, …): data and ε.
    t
        Int array (N,), 1..T.

    Returns
    -------
    (N,)
        One loss an image; of the kind that `model` returns.
    """
    eps = model(q_sample(schedule, x_0, t, noise), t)  # (N, …)
    same_shape("a prediction of the noise", eps, noise)
    difference = noise - eps
    xp = of(difference)
    return xp.mean(xp.square(difference), axis=tuple(range(1, difference.ndim)))
