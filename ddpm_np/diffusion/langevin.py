"""Langevin dynamics by the score, at one noise level and annealed over all levels (Song & Ermon 2019).

dx = ½·∇ln p(x)·dτ + dw has the stationary distribution p. A step of size δ is x + δ/2·∇ln p(x) + √δ·z, whose stationary
distribution is p only in the limit δ → 0: on N(0, 1) its variance is 1/(1 − δ/4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ddpm_np import arguments
from ddpm_np.backend import Array, of
from ddpm_np.diffusion.ddim import descending
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Reverse, predict
from ddpm_np.diffusion.score import score_from_eps


def langevin_step(x: Array, score: Array, delta: Array | float, noise: Array) -> Array:
    """Step of Langevin dynamics: x + δ/2·s + √δ·z.

    Checked as: langevin.

    Parameters
    ----------
    x : array of shape (N, …)
        Images.
    score : array of shape (N, …)
        Score s = ∇ ln p(x).
    delta : float or array that broadcasts to (N, …)
        Step size δ.
    noise : array of shape (N, …)
        Noise z ~ N(0, I).

    Returns
    -------
    array of shape (N, …)
        Images after the step.

    Raises
    ------
    ValueError
        If `score` or `noise` has another shape than `x`.

    Notes
    -----
    Equation (4) of Song & Ermon (2019). Verified by ``ddpm-np check --equation langevin``.

    Examples
    --------
    >>> import numpy as np
    >>> langevin_step(np.array([1.0]), np.array([-1.0]), 0.25, np.array([2.0]))  # 1 − 0.125 + 0.5·2
    array([1.875])
    """
    same_shape("a score", score, x)
    same_shape("noise", noise, x)
    xp = of(x)
    root = xp.sqrt(delta) if hasattr(delta, "dtype") else delta**0.5
    return x + 0.5 * delta * score + root * noise


def annealed_langevin(reverse: Reverse, x_T: Array, steps: Sequence[int], noise_at: Callable[[int, int], Array], *,
                      per_level: int = 5, size: float = 0.1) -> Iterator[tuple[int, Array, Array]]:
    """Annealed Langevin dynamics: steps x + δ_t/2·s_θ + √δ_t·z at each noise level t in turn, from noise to images.

    At level t the score is s_θ = −ε_θ(x, t)/√(1 − ᾱ_t), and the step size δ_t = size·(1 − ᾱ_t) is proportional to the
    variance of the noise. From level s to level t < s, x is multiplied by √(ᾱ_t/ᾱ_s), which rescales the signal (if
    ᾱ_s = 0, x holds no signal and is left unchanged). At the end x is replaced by x̂₀ of (15), which removes its noise.

    Checked as: annealed-langevin.

    Parameters
    ----------
    reverse : Reverse
        The reverse process; its variance is not used. Its `clip` applies to every evaluation of the net.
    x_T : array of shape (N, …)
        Standard normal noise.
    steps : sequence of int
        The levels in descending order; see `timesteps`.
    noise_at : callable
        Maps (t, i) to the noise z of shape (N, …) of step i = 0..per_level − 1 at level t.
    per_level : int
        Steps per level.
    size : float
        Relative step size, between 0 and 4.

    Yields
    ------
    t : int
        The level completed; at last 0.
    x_t : array of shape (N, …)
        Images after the level; at t = 0 they are x̂₀.
    x0_hat : array of shape (N, …)
        Estimate x̂₀ of the level's last step.

    Raises
    ------
    ValueError
        If the steps do not descend within T..1, or `per_level` or `size` is out of range.

    Notes
    -----
    Algorithm 1 of Song & Ermon (2019). Verified by ``ddpm-np check --equation annealed-langevin``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> chain = annealed_langevin(reverse, np.array([[0.6]]), [2, 1], lambda t, i: np.zeros((1, 1)))
    >>> [(t, x.round(12)) for t, x, _ in chain]  # score and noise are 0: only the signal is rescaled
    [(2, array([[0.6]])), (1, array([[0.8]])), (0, array([[1.]]))]
    """
    arguments.count("per_level", per_level)
    arguments.number("size", size, above=0, below=4, advice="beyond, the steps diverge")
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
