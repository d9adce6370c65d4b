"""Bits per dimension by term, and the rate–distortion curve, of a trained net on a data set (section 4.3)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.backend import to_host
from ddpm_np.data.dataset import Images
from ddpm_np.sampling import ImageGenerator


@dataclass(frozen=True)
class Curve:
    """The bound with x̂₀ clipped, or not: means over images, and what they spread.

    Attributes
    ----------
    terms : tuple of T + 1 floats
        L₀, L₁, …, L_{T−1}, L_T in bits per dimension: entry t − 1 is the term of step t, the last is the prior's.
    rate, distortion : tuple of T + 1 floats
        Index t: bits per dimension sent when the receiver has x_t, and the root mean squared error of x̂₀(x_t) on the
        scale of the data's levels, as the root of the mean over images. At t = 0 the rate is the bound itself.
    error : float
        Standard error of the bound, from its spread over images.
    """

    terms: tuple[float, ...]
    rate: tuple[float, ...]
    distortion: tuple[float, ...]
    error: float

    @property
    def bits(self) -> float:
        """The bound: bits per dimension."""
        return self.rate[0]

    @property
    def parts(self) -> dict[str, float]:
        """L_T, the sum of L_{t−1} over t > 1, and L₀, in bits per dimension."""
        return {"L_T": self.terms[-1], "L_1..L_T-1": math.fsum(self.terms[1:-1]), "L_0": self.terms[0]}


@dataclass(frozen=True)
class Likelihood:
    """The bound on a set of images, with all that it depends on.

    Attributes
    ----------
    unclipped : Curve
        The bound of the model that was trained.
    clipped : Curve
        With x̂₀ held in [−1, 1], as the authors evaluate. It is the bound of another model, which knows that images
        lie there, and a bound all the same.
    """

    dataset: str
    split: str
    images: int
    levels: int
    T: int
    variance: str
    weights: str
    step: int
    unclipped: Curve
    clipped: Curve

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Likelihood:
        """What `to_dict` gave."""
        curves = {}
        for name in ("unclipped", "clipped"):
            given = values[name]
            terms, rate, distortion = (tuple(given[key]) for key in ("terms", "rate", "distortion"))
            curves[name] = Curve(terms, rate, distortion, given["error"])
        return cls(**{**values, **curves})

    def __str__(self) -> str:
        lines = [f"bits per dimension of {self.images:,} images of {self.dataset} {self.split} ({self.levels} levels); "
                 f"T = {self.T}, variance {self.variance}, {self.weights} weights after {self.step:,} steps"]
        for name, curve in (("x̂₀ not clipped", self.unclipped), ("x̂₀ clipped", self.clipped)):
            parts = ", ".join(f"{key} {value:.4f}" for key, value in curve.parts.items())
            lines.append(f"  {name}: {curve.bits:.4f} ± {curve.error:.4f} ({parts}); "
                         f"rate {curve.rate[1]:.4f} at distortion {curve.distortion[1]:.3f}")
        return "\n".join(lines)


def likelihood(generator: ImageGenerator, dataset: Images, images: int, *, split: str = "test", weights: str = "ema",
               step: int = 0, seed: int = 0, batch_size: int = 50,
               on_step: Callable[[int], Any] = lambda images: None) -> Likelihood:
    """The terms of (5) and the code lengths of Algorithms 3 and 4, each x_t being drawn once an image.

    Parameters
    ----------
    generator
        The net.
    dataset
        Of which the first `images` are taken, in an order of the seed's own.
    split, weights, step
        What the result says of them.
    seed
        Of the images and of ε.
    on_step
        Called T + 1 times a batch, with the number of its images.

    Returns
    -------
    Likelihood
    """
    if not 1 <= images <= len(dataset):
        raise ValueError(f"{dataset.name!r} has {len(dataset):,} images to evaluate on, asked for {images}")
    T, device, levels = generator.schedule.T, generator.backend, dataset.levels
    index = np.random.default_rng(seed).permutation(len(dataset))[:images]
    rates = {clip: np.empty((T + 1, images)) for clip in (False, True)}  # [t, image]
    squares = {clip: np.empty((T + 1, images)) for clip in (False, True)}
    for first in range(0, images, batch_size):
        rows = slice(first, min(first + batch_size, images))
        x_0 = device.to_device(dataset.scaled(np.sort(index[rows])).astype(generator.dtype))  # (n, H, W, C)
        n, reverse = len(x_0), generator.reverse_of(len(x_0), first)
        shared = _evaluated_once(reverse.model)

        def noise_at(t: int, first: int = first, n: int = n) -> Any:
            return device.normal(seed, "evaluate", t, first, n, generator.shape, generator.dtype)

        both = (diffusion.send(dataclasses.replace(reverse, model=shared, clip=clip), x_0, noise_at, levels=levels)
                for clip in (False, True))
        for received in zip(*both, strict=True):
            for clip, at in zip((False, True), received, strict=True):
                rates[clip][at.t, rows] = to_host(at.rate)
                squares[clip][at.t, rows] = to_host(at.distortion).astype(np.float64) ** 2
            on_step(n)
    curves = {}
    for clip in (False, True):
        rate = rates[clip].mean(axis=1)  # (T+1,)
        spread = rates[clip][0].std(ddof=1) / math.sqrt(images) if images > 1 else float("inf")
        terms = [*(rate[:-1] - rate[1:]).tolist(), float(rate[-1])]
        curves[clip] = Curve(tuple(terms), tuple(rate.tolist()),
                             tuple(np.sqrt(squares[clip].mean(axis=1)).tolist()), float(spread))
    return Likelihood(dataset.name, split, images, levels, T, str(generator.variance), weights, step,
                      curves[False], curves[True])


def _evaluated_once(model: diffusion.Denoiser) -> diffusion.Denoiser:
    """The model, evaluated once for each t however often it is called with that t."""
    latest: list[Any] = [None, None]

    def shared(x: Any, t: Any) -> Any:
        now = int(to_host(t)[0])
        if latest[0] != now:
            latest[:] = [now, model(x, t)]
        return latest[1]

    return shared
