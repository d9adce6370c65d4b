"""Progressive lossy compression (section 4.3): Algorithms 3 and 4 by their expected code lengths, figure 5 and table 4.

Algorithm 3 sends x_T by p(x_T), then x_{T−1}, …, x₁ by p_θ(x_{t−1} | x_t), and at last x₀ by p_θ(x₀ | x₁). A sample of
q is sent by p in about KL(q ‖ p) bits (minimal random coding); so what has been sent when the receiver has x_t is

    rate_t = L_T + Σ_{s>t} L_{s−1},

and what Algorithm 4, the receiver, can make of x_t is x̂₀(x_t) of (15). Sending x₀ itself costs L₀ more: the sum of all
terms is the bound, the code length of lossless compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ddpm_np.backend import Array, of
from ddpm_np.diffusion.bound import prior_kl, vlb_term
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, times
from ddpm_np.diffusion.reverse import Denoiser, Reverse, predict


class Received(NamedTuple):
    """What the receiver has at a step.

    Attributes
    ----------
    t : int
        x_t has been received.
    rate : (N,)
        Bits per dimension sent so far.
    distortion : (N,)
        √(mean (x₀ − x̂₀)²) on the scale of levels 0..levels − 1.
    estimate : (N, …)
        x̂₀.
    """

    t: int
    rate: Array
    distortion: Array
    estimate: Array


def send(reverse: Reverse, x_0: Array, noise_at: Callable[[int], Array], *, levels: int = 256) -> Iterator[Received]:
    """Algorithms 3 and 4: what is sent and what is received, for t = T, …, 1, and for t = 0 the image itself.

    Checked as: algorithm-3, algorithm-4.

    Parameters
    ----------
    reverse
        The reverse process, known to both sides.
    x_0
        (N, …).
    noise_at
        t -> ε (N, …), from which x_t ~ q(x_t | x₀) is drawn.
    levels
        Of the data: the unit of the distortion, and the decoder's bins.
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
    """The model with this output at every (x, t)."""
    return lambda x, t: output


def distortion(x_0: Array, estimate: Array, levels: int = 256) -> Array:
    """Root mean squared error of an image on the scale of its levels, 0..levels − 1; (N,).

    Checked as: algorithm-4.
    """
    xp = of(x_0)
    return xp.sqrt(mean_over_image(xp.square(x_0 - estimate))) * ((levels - 1) / 2)
