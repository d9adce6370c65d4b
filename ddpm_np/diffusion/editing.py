"""What can be done with a trained chain besides drawing: guide it, mix two images, fill in a part of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.forward import q_sample, q_step
from ddpm_np.diffusion.reverse import Predictor
from ddpm_np.diffusion.sampler import NoiseAt, ancestral, p_sample
from ddpm_np.diffusion.schedule import Schedule, same_shape
from ddpm_np.diffusion.variance import split_output


def guided(model: Callable[[Any, Any, Any], Any], label: Any, none: int, weight: float) -> Predictor:
    """Classifier-free guidance (Ho & Salimans 2022, equation 6): ε̃ = (1 + w)·ε_θ(x, t, y) − w·ε_θ(x, t, ∅).

    Checked as: guidance.

    Parameters
    ----------
    model
        (x (N, …), t (N,), y (N,)) -> (N, …).
    label
        y, int (N,).
    none
        The label ∅, which the net was shown in place of the right one now and then in training.
    weight
        w; 0 is the conditional net itself, −1 the unconditional one.

    Returns
    -------
    callable
        (x, t) -> ε̃, for batches of as many images as there are labels. Of a net with a second output, for the
        variance, that is passed on as it is for y: only predictions are extrapolated.
    """

    def eps(x: Any, t: Any) -> Any:
        conditional = model(x, t, label)
        if weight == 0:
            return conditional
        prediction, second = split_output(conditional, x)
        other, _ = split_output(model(x, t, of(t).full(t.shape, none, dtype=t.dtype)), x)
        mixed = (1 + weight) * prediction - weight * other
        return mixed if second is None else of(mixed).concat((mixed, second), axis=x.ndim - 1)

    return eps


def interpolate(schedule: Schedule, model: Predictor, x_0: Any, y_0: Any, t: int, fractions: Any, noise_x: Any,
                noise_y: Any, noise_at: NoiseAt, *, predicts: str = "eps", variance: Any = "small",
                clip: bool = False) -> Iterator[tuple[int, Any]]:
    """Interpolation in latent space (section 4.3, figure 8): decode (1 − λ)·x_t + λ·y_t.

    x_t ~ q(x_t | x₀) and y_t ~ q(y_t | y₀) by fixed noise, the same for every λ; then Algorithm 2 from t on. At t = 0
    it is the mix of the images themselves; at large t, new images.

    Checked as: interpolation.

    Parameters
    ----------
    x_0, y_0, noise_x, noise_y
        (H, W, C): one image each.
    t
        The depth, 0..T.
    fractions
        λ, an array (n,).
    noise_at
        t -> z (n, H, W, C). To see λ alone at work, the same z for every row.

    Yields
    ------
    (s, x_s)
        s = t, t − 1, …, 0; each (n, H, W, C).
    """
    if not 0 <= t <= schedule.T:
        raise ValueError(f"the depth t must be from 0 to T = {schedule.T}, got {t}")
    same_shape("y_0", y_0, x_0)
    xp = of(x_0)
    one = xp.full((1,), t, dtype=xp.int64)  # (1,)
    x_t, y_t = (q_sample(schedule, x[None, ...], one, z[None, ...]) for x, z in ((x_0, noise_x), (y_0, noise_y)))
    share = xp.reshape(xp.asarray(fractions, dtype=x_0.dtype), (-1, *(1,) * x_0.ndim))  # (n, 1, …)
    mixed = (1 - share) * x_t + share * y_t  # (n, H, W, C)
    yield t, mixed
    yield from ancestral(schedule, model, mixed, noise_at, start=t, predicts=predicts, variance=variance, clip=clip)


def inpaint(schedule: Schedule, model: Predictor, known: Any, mask: Any, x_T: Any,
            noise_at: Callable[[str, int, int], Any], *, repeats: int = 10, predicts: str = "eps",
            variance: Any = "small", clip: bool = False) -> Iterator[tuple[int, Any]]:
    """Fill in what is unknown of an image, with resampling (Lugmayr et al. 2022, RePaint, algorithm 1).

    At each t the unknown part comes from a step of Algorithm 2 and the known part from q(x_{t−1} | x₀); then a step of
    q takes both back to t and they are drawn anew, `repeats` times in all, so that the parts come to agree.

    Checked as: inpainting.

    Parameters
    ----------
    known
        x₀ (N, …); where the mask is False it is not looked at.
    mask
        Bool (N, …), True where x₀ is known.
    x_T
        (N, …), standard normal.
    noise_at
        (what, t, k) -> z (N, …) for what = "step", "known", "back", k = 0..repeats − 1.

    Yields
    ------
    (t − 1, x_{t−1})
        Down to (0, x₀), where the known part is the given one.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    same_shape("the mask", mask, known)
    xp, x = of(known), x_T
    options = {"predicts": predicts, "variance": variance, "clip": clip}
    given = xp.where(mask, known, xp.zeros_like(known))  # (N, …): what is unknown may be nan
    for t in range(schedule.T, 0, -1):
        now, before = (xp.full((x.shape[0],), i, dtype=xp.int64) for i in (t, t - 1))  # (N,)
        for k in range(repeats if t > 1 else 1):
            drawn = p_sample(schedule, model, x, now, noise_at("step", t, k), **options)
            kept = q_sample(schedule, given, before, noise_at("known", t, k))
            lower = xp.where(mask, kept, drawn)
            if k < repeats - 1 and t > 1:
                x = q_step(schedule, lower, now, noise_at("back", t, k))
        x = lower
        yield t - 1, x
