"""Image editing with a trained model: guidance by a class, interpolation of two images, and inpainting."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ddpm_np import arguments
from ddpm_np.backend import Array, Ints, dtype_name, of
from ddpm_np.diffusion.forward import q_sample, q_step
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Denoiser, Reverse, p_mean_log_variance
from ddpm_np.diffusion.sampler import NoiseAt, add_noise, ancestral
from ddpm_np.diffusion.variance import split_output


def guided(model: Callable[[Array, Ints, Ints], Array], label: Ints, none: int, weight: float) -> Denoiser:
    """Classifier-free guidance: ε̃ = (1 + w)·ε_θ(x, t, y) − w·ε_θ(x, t, ∅).

    Checked as: guidance.

    Parameters
    ----------
    model : callable
        Maps x of shape (N, …), t of shape (N,) and labels y of shape (N,) to ε_θ of shape (N, …).
    label : int array of shape (N,)
        Labels y.
    none : int
        The label ∅ of the unconditional class, which replaced some labels in training.
    weight : float
        Guidance weight w: 0 is the conditional net, −1 the unconditional one.

    Returns
    -------
    Denoiser
        Maps (x, t) to ε̃, for batches of N images. A second output, for the variance, is the conditional net's own: only
        predictions are extrapolated.

    Raises
    ------
    TypeError, ValueError
        If the weight is not a finite number.

    Notes
    -----
    Equation (6) of Ho & Salimans (2022). Verified by ``ddpm-np check --equation guidance``.

    Examples
    --------
    >>> import numpy as np
    >>> def net(x, t, y):  # ε_θ(x, t, y) = y, so that ε̃ = (1 + w)·y for ∅ = 0
    ...     return 0 * x + y[:, None]
    >>> guided(net, np.array([3]), 0, 0.5)(np.zeros((1, 1)), np.array([1]))
    array([[4.5]])
    """
    arguments.number("weight", weight)

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
    """Interpolation in latent space (figure 8): decode (1 − λ)·x_t + λ·y_t by Algorithm 2 from t on.

    x_t ~ q(x_t | x₀) and y_t ~ q(y_t | y₀) use fixed noise, the same for every λ. t = 0 gives a mix of the two images;
    large t gives new images.

    Checked as: interpolation.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_0 : array of shape (H, W, C)
        The image at λ = 0.
    y_0 : array of shape (H, W, C)
        The image at λ = 1.
    t : int
        The depth, 0..T.
    fractions : array of shape (n,)
        The λ, one per result.
    noise_x : array of shape (H, W, C)
        Noise of x_t.
    noise_y : array of shape (H, W, C)
        Noise of y_t.
    noise_at : callable
        Maps t to the noise z of shape (n, H, W, C); equal rows show the effect of λ alone.

    Yields
    ------
    s : int
        The step: t, t − 1, …, 0.
    x_s : array of shape (n, H, W, C)
        Images at that step.
    x0_hat : array of shape (n, H, W, C) or None
        Estimate x̂₀ from which they were drawn; None at s = t, where the mix comes from no estimate.

    Raises
    ------
    ValueError
        If t is out of range or the images differ in shape.

    Notes
    -----
    Section 4.3 of Ho et al. (2020). Verified by ``ddpm-np check --equation interpolation``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> zero, one = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    >>> chain = interpolate(reverse, zero, one, 1, np.array([0.25]), zero, zero, lambda t: np.zeros((1, 1, 1, 1)))
    >>> [(s, x.ravel().round(12)) for s, x, _ in chain]  # √ᾱ₁ = 4/5: the mix λ·4/5, then λ
    [(1, array([0.2])), (0, array([0.25]))]
    """
    xp = of(x_0)
    arguments.count("the depth t", t, 0, reverse.schedule.T)
    same_shape("y_0", y_0, x_0)
    x_t, y_t = (q_sample(reverse.schedule, x[None, ...], times(x[None, ...], t), z[None, ...])
                for x, z in ((x_0, noise_x), (y_0, noise_y)))  # (1, H, W, C) each
    share = xp.reshape(xp.asarray(fractions, dtype=x_0.dtype), (-1, *(1,) * x_0.ndim))  # (n, 1, …)
    mixed = (1 - share) * x_t + share * y_t  # (n, H, W, C)
    yield t, mixed, None
    yield from ancestral(reverse, mixed, noise_at, start=t)


def inpaint(reverse: Reverse, known: Array, mask: Array, x_T: Array, noise_at: Callable[[str, int, int], Array], *,
            repeats: int = 10) -> Iterator[tuple[int, Array, Array]]:
    """Inpainting with resampling (RePaint): fill in the unknown part of an image.

    At each t, a step of Algorithm 2 draws the unknown part of x_{t−1}, and q(x_{t−1} | x₀) the known part. A forward
    step then takes both back to t and they are drawn again, `repeats` times in all, so that the two parts come to
    agree.

    Checked as: inpainting.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    known : array of shape (N, …)
        Images x₀; ignored where the mask is False.
    mask : bool array of shape (N, …)
        True where x₀ is known.
    x_T : array of shape (N, …)
        Standard normal noise.
    noise_at : callable
        Maps (purpose, t, k) to noise of shape (N, …), for the purposes ``"step"``, ``"known"`` and ``"back"`` and the
        repeats k = 0..repeats − 1.
    repeats : int
        How often each step is drawn.

    Yields
    ------
    t : int
        The step reached: T − 1, …, 0.
    x_t : array of shape (N, …)
        Images at that step; at t = 0 their known part is the given one.
    x0_hat : array of shape (N, …)
        Estimate x̂₀ from which the unknown part was drawn.

    Raises
    ------
    TypeError
        If the mask is not a bool array.
    ValueError
        If `repeats` is less than 1 or the mask has another shape than `known`.

    Notes
    -----
    Algorithm 1 of Lugmayr et al. (2022). Verified by ``ddpm-np check --equation inpainting``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> known, mask = np.array([[0.5, np.nan]]), np.array([[True, False]])
    >>> chain = inpaint(reverse, known, mask, np.array([[0.3, 0.6]]), lambda purpose, t, k: np.zeros((1, 2)), repeats=1)
    >>> [(t, x.round(12)) for t, x, _ in chain]  # known: 4/5·x₀, then x₀; unknown: 0.6/(3/4), then 0.8/(4/5)
    [(1, array([[0.4, 0.8]])), (0, array([[0.5, 1. ]]))]
    """
    arguments.count("repeats", repeats)
    same_shape("the mask", mask, known)
    if "bool" not in dtype_name(mask.dtype):
        raise TypeError(f"the mask must be a bool array, True where the image is known, got dtype {mask.dtype}")
    schedule, xp, x = reverse.schedule, of(known), x_T
    given = xp.where(mask, known, xp.zeros_like(known))  # (N, …): what is unknown may be nan
    for t in range(schedule.T, 0, -1):
        now, before = times(x, t), times(x, t - 1)  # (N,) each
        for k in range(repeats if t > 1 else 1):
            mean, log_sigma2, x0_hat = p_mean_log_variance(reverse, x, now)
            drawn = add_noise(mean, log_sigma2, now, noise_at("step", t, k))
            kept = q_sample(schedule, given, before, noise_at("known", t, k))
            lower = xp.where(mask, kept, drawn)  # (N, …)
            if k < repeats - 1 and t > 1:
                x = q_step(schedule, lower, now, noise_at("back", t, k))
        x = lower
        yield t - 1, x, x0_hat
