"""Progressive lossy compression (section 4.3): Algorithms 3 and 4 by their expected code lengths, figure 5 and table 4.

Algorithm 3 sends x_T by p(x_T), then x_{T−1}, …, x₁ by p_θ(x_{t−1} | x_t), and finally x₀ by p_θ(x₀ | x₁). Minimal
random coding sends a sample of q by p in about KL(q ‖ p) bits. Once the receiver has x_t, the bits sent are

    rate_t = L_T + Σ_{s>t} L_{s−1},

and Algorithm 4, the receiver, estimates the image by x̂₀(x_t) of (15). Sending x₀ itself costs L₀ more: the sum of all
terms is the bound, the code length of lossless compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ddpm_np.arguments import count
from ddpm_np.backend import Array, of
from ddpm_np.diffusion.bound import prior_kl, vlb_term
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape, times
from ddpm_np.diffusion.reverse import Denoiser, Reverse, predict


class Received(NamedTuple):
    """What the receiver has after one step.

    Attributes
    ----------
    t : int
        The step: x_t has been received.
    rate : array of shape (N,)
        Bits per dimension sent so far.
    distortion : array of shape (N,)
        √(mean (x₀ − x̂₀)²), on the scale of levels 0..levels − 1.
    estimate : array of shape (N, …)
        The estimate x̂₀.
    """

    t: int
    rate: Array
    distortion: Array
    estimate: Array


def send(reverse: Reverse, x_0: Array, noise_at: Callable[[int], Array], *, levels: int = 256) -> Iterator[Received]:
    """Send and receive images by Algorithms 3 and 4: rate_t = L_T + Σ_{s>t} L_{s−1}, for t = T, …, 0.

    At t = 0 the receiver has the image itself.

    Checked as: algorithm-3, algorithm-4.

    Parameters
    ----------
    reverse : Reverse
        The reverse process, known to both sides.
    x_0 : array of shape (N, …)
        Images.
    noise_at : callable
        Maps t to the noise ε of shape (N, …) of x_t ~ q(x_t | x₀).
    levels : int
        Data levels: the unit of the distortion, and the decoder's bins.

    Yields
    ------
    Received
        Step, rate, distortion and estimate, for t = T, …, 0.

    Notes
    -----
    Algorithms 3 and 4 of Ho et al. (2020). Verified by ``ddpm-np check --equation algorithm-3 --equation algorithm-4``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 1.0])  # ᾱ₂ = 0: x₂ carries no information and costs no bits
    >>> reverse = Reverse(schedule, lambda x_t, t: 0 * x_t, predicts="x0")
    >>> first, *_, at_the_end = send(reverse, np.array([[1.0]]), lambda t: np.zeros((1, 1)))
    >>> first.t, first.rate, first.distortion  # x̂₀ = 0 is half of the 255 level steps from x₀ = 1
    (2, array([0.]), array([127.5]))
    >>> at_the_end.t, at_the_end.distortion
    (0, array([0.]))
    """
    rate = prior_kl(reverse.schedule, x_0)  # (N,)
    for t in range(reverse.schedule.T, 0, -1):
        now = times(x_0, t)  # (N,)
        x_t = q_sample(reverse.schedule, x_0, now, noise_at(t))  # (N, …)
        evaluated = replace(reverse, model=_constant(reverse.model(x_t, now)))  # once, for the estimate and the term
        estimate = predict(evaluated, x_t, now).x0  # (N, …)
        yield Received(t, rate, distortion(x_0, estimate, levels), estimate)
        rate = rate + vlb_term(evaluated, x_0, x_t, now, levels=levels)  # (N,)
    yield Received(0, rate, 0 * rate, x_0)


def _constant(output: Array) -> Denoiser:
    """Return a model with the same output at every (x, t)."""
    return lambda x, t: output


def distortion(x_0: Array, estimate: Array, levels: int = 256) -> Array:
    """Root mean squared error √(mean (x₀ − x̂₀)²) of each image, on the scale of levels 0..levels − 1.

    Checked as: algorithm-4.

    Parameters
    ----------
    x_0 : array of shape (N, …)
        Images in [−1, 1].
    estimate : array of shape (N, …)
        Estimates x̂₀.
    levels : int
        Data levels.

    Returns
    -------
    array of shape (N,)
        Distortions, 0..levels − 1 for estimates in [−1, 1].

    Raises
    ------
    ValueError
        If `estimate` has another shape than `x_0`, or there are fewer than two levels.

    Notes
    -----
    Section 4.3 of Ho et al. (2020). Verified by ``ddpm-np check --equation algorithm-4``.

    Examples
    --------
    >>> import numpy as np
    >>> distortion(np.array([[-1.0, 1.0]]), np.array([[-1.0, -1.0]])) / 255 * 2**0.5
    array([1.])
    """
    same_shape("the estimate", estimate, x_0)
    count("levels", levels, 2)
    xp = of(x_0)
    return xp.sqrt(mean_over_image(xp.square(x_0 - estimate))) * ((levels - 1) / 2)
