"""Progressive lossy compression (section 4.3): Algorithms 3 and 4 by their expected code lengths, figure 5 and table 4.

Algorithm 3 sends x_T by p(x_T), then x_{T−1}, …, x₁ by p_θ(x_{t−1} | x_t), and at last x₀ by p_θ(x₀ | x₁). A sample of
q is sent by p in about KL(q ‖ p) bits (minimal random coding); so what has been sent when the receiver has x_t is

    rate_t = L_T + Σ_{s>t} L_{s−1},

and what Algorithm 4, the receiver, can make of x_t is x̂₀(x_t) of (15). Sending x₀ itself costs L₀ more: the sum of all
terms is the bound, the code length of lossless compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ddpm_np.backend import of
from ddpm_np.diffusion.bound import prior_kl, vlb_term
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.reverse import Predictor, predict
from ddpm_np.diffusion.schedule import Schedule


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
    rate: Any
    distortion: Any
    estimate: Any


def send(schedule: Schedule, model: Predictor, x_0: Any, noise_at: Callable[[int], Any], *, predicts: str = "eps",
         variance: Any = "small", clip: bool = False, levels: int = 256) -> Iterator[Received]:
    """Algorithms 3 and 4: what is sent and what is received, for t = T, …, 1, and for t = 0 the image itself.

    Checked as: algorithm-3, algorithm-4.

    Parameters
    ----------
    noise_at
        t -> ε (N, …), from which x_t ~ q(x_t | x₀) is drawn.
    levels
        Of the data: the unit of the distortion, and the decoder's bins.
    """
    options = {"predicts": predicts, "variance": variance, "clip": clip, "levels": levels}
    xp = of(x_0)
    rate = prior_kl(schedule, x_0)  # (N,)
    for t in range(schedule.T, 0, -1):
        now = xp.full((x_0.shape[0],), t, dtype=xp.int64)  # (N,)
        x_t = q_sample(schedule, x_0, now, noise_at(t))
        said = _constant(model(x_t, now))  # asked once, used twice
        estimate = predict(schedule, said, x_t, now, predicts=predicts, clip=clip).x0
        yield Received(t, rate, distortion(x_0, estimate, levels), estimate)
        rate = rate + vlb_term(schedule, said, x_0, x_t, now, **options)
    yield Received(0, rate, 0 * rate, x_0)


def _constant(output: Any) -> Predictor:
    """The model that says this whatever it is asked."""
    return lambda x, t: output


def distortion(x_0: Any, estimate: Any, levels: int = 256) -> Any:
    """Root mean squared error of an image on the scale of its levels, 0..levels − 1; (N,).

    Checked as: algorithm-4.
    """
    xp = of(x_0)
    mean = xp.mean(xp.square(x_0 - estimate), axis=tuple(range(1, x_0.ndim)))  # (N,)
    return xp.sqrt(mean) * ((levels - 1) / 2)
