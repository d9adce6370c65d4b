"""What can be done with a trained chain besides drawing: guide it, mix two images, fill in a part of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.forward import q_sample, q_step
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Denoiser, Reverse
from ddpm_np.diffusion.sampler import NoiseAt, ancestral, step
from ddpm_np.diffusion.variance import split_output


def guided(model: Callable[[Array, Ints, Ints], Array], label: Ints, none: int, weight: float) -> Denoiser:
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

    def eps(x: Array, t: Ints) -> Array:
        conditional = model(x, t, label)
        if weight == 0:
            return conditional
        prediction, second = split_output(conditional, x)
        other, _ = split_output(model(x, t, of(t).full(t.shape, none, dtype=t.dtype)), x)
        mixed = (1 + weight) * prediction - weight * other
        return mixed if second is None else of(mixed).concat((mixed, second), axis=x.ndim - 1)

    return eps


def interpolate(reverse: Reverse, x_0: Array, y_0: Array, t: int, fractions: Array, noise_x: Array, noise_y: Array,
                noise_at: NoiseAt) -> Iterator[tuple[int, Array, Array | None]]:
    """Interpolation in latent space (section 4.3, figure 8): decode (1 − λ)·x_t + λ·y_t.

    x_t ~ q(x_t | x₀) and y_t ~ q(y_t | y₀) by fixed noise, the same for every λ; then Algorithm 2 from t on. At t = 0
    it is the mix of the images themselves; at large t, new images.

    Checked as: interpolation.

    Parameters
    ----------
    reverse
        The reverse process.
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
    (s, x_s, x0_hat)
        s = t, t − 1, …, 0; x_s and the estimate x̂₀ from which it was drawn, each (n, H, W, C). The first is
        (t, x_t, None): the mix was drawn from no estimate.
    """
    T, xp = reverse.schedule.T, of(x_0)
    if not 0 <= t <= T:
        raise ValueError(f"the depth t must be from 0 to T = {T}, got {t}")
    same_shape("y_0", y_0, x_0)
    x_t, y_t = (q_sample(reverse.schedule, x[None, ...], times(x[None, ...], t), z[None, ...])
                for x, z in ((x_0, noise_x), (y_0, noise_y)))  # (1, H, W, C) each
    share = xp.reshape(xp.asarray(fractions, dtype=x_0.dtype), (-1, *(1,) * x_0.ndim))  # (n, 1, …)
    mixed = (1 - share) * x_t + share * y_t  # (n, H, W, C)
    yield t, mixed, None
    yield from ancestral(reverse, mixed, noise_at, start=t)


def inpaint(reverse: Reverse, known: Array, mask: Array, x_T: Array, noise_at: Callable[[str, int, int], Array], *,
            repeats: int = 10) -> Iterator[tuple[int, Array, Array]]:
    """Fill in what is unknown of an image, with resampling (Lugmayr et al. 2022, RePaint, algorithm 1).

    At each t the unknown part comes from a step of Algorithm 2 and the known part from q(x_{t−1} | x₀); then a step of
    q takes both back to t and they are drawn anew, `repeats` times in all, so that the parts come to agree.

    Checked as: inpainting.

    Parameters
    ----------
    reverse
        The reverse process.
    known
        x₀ (N, …); ignored where the mask is False.
    mask
        Bool (N, …), True where x₀ is known.
    x_T
        (N, …), standard normal.
    noise_at
        (what, t, k) -> z (N, …) for what = "step", "known", "back", k = 0..repeats − 1.

    Yields
    ------
    (t, x_t, x0_hat)
        For t = T − 1, …, 0: x_t and the estimate x̂₀ from which its unknown part was drawn, each (N, …). At t = 0 the
        known part is the given one.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    same_shape("the mask", mask, known)
    schedule, xp, x = reverse.schedule, of(known), x_T
    given = xp.where(mask, known, xp.zeros_like(known))  # (N, …): what is unknown may be nan
    for t in range(schedule.T, 0, -1):
        now, before = times(x, t), times(x, t - 1)  # (N,) each
        for k in range(repeats if t > 1 else 1):
            drawn, x0_hat = step(reverse, x, now, noise_at("step", t, k))
            kept = q_sample(schedule, given, before, noise_at("known", t, k))
            lower = xp.where(mask, kept, drawn)  # (N, …)
            if k < repeats - 1 and t > 1:
                x = q_step(schedule, lower, now, noise_at("back", t, k))
        x = lower
        yield t - 1, x, x0_hat
