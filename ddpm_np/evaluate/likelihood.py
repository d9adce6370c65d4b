"""Bits per dimension by term and the rate–distortion curve of a trained net (section 4.3 of Ho et al. 2020)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ddpm_np import arguments, diffusion
from ddpm_np.backend import Array, Ints, to_host
from ddpm_np.data.dataset import Images
from ddpm_np.sampling import ImageGenerator


@dataclass(frozen=True)
class Curve:
    """The variational bound and the rate–distortion curve, averaged over images, with or without clipping x̂₀.

    Attributes
    ----------
    terms : tuple of T + 1 floats
        L₀, L₁, …, L_{T−1}, L_T in bits per dimension: entry t − 1 is the term of step t, the last is the prior's.
    rate : tuple of T + 1 floats
        Entry t: bits per dimension sent until the receiver has x_t. Entry 0 is the bound itself.
    distortion : tuple of T + 1 floats
        Entry t: root mean squared error of x̂₀(x_t) in units of the data's levels, the mean being over images too.
    error : float
        Standard error of the bound over images.
    """

    terms: tuple[float, ...]
    rate: tuple[float, ...]
    distortion: tuple[float, ...]
    error: float

    @property
    def bits(self) -> float:
        """The variational bound in bits per dimension.

        Returns
        -------
        float
            Entry 0 of `rate`.
        """
        return self.rate[0]

    @property
    def parts(self) -> dict[str, float]:
        """L_T, the sum of L_{t−1} over t > 1, and L₀, in bits per dimension.

        Returns
        -------
        dict
            The keys ``"L_T"``, ``"L_1..L_T-1"`` and ``"L_0"``, which sum to `bits`.
        """
        return {"L_T": self.terms[-1], "L_1..L_T-1": math.fsum(self.terms[1:-1]), "L_0": self.terms[0]}

    @classmethod
    def from_dict(cls, values: dict[str, Any], T: int) -> Curve:
        """Build a curve from a dict of its attributes.

        Parameters
        ----------
        values : dict
            The values; lists stand for tuples, as JSON returns them.
        T : int
            Number of steps.

        Returns
        -------
        Curve
            The curve.

        Raises
        ------
        KeyError, TypeError, ValueError
            If they are not T + 1 numbers each, and a number as the error.
        """
        terms, rate, distortion = (tuple(values[key]) for key in ("terms", "rate", "distortion"))
        if {len(terms), len(rate), len(distortion)} != {T + 1}:
            raise ValueError(f"expected {T + 1} numbers in each list")
        if not all(type(value) in (int, float) for value in (*terms, *rate, *distortion, values["error"])):
            raise TypeError("expected numbers")
        return cls(terms, rate, distortion, values["error"])


@dataclass(frozen=True)
class Likelihood:
    """The variational bound on a set of images, with everything that it depends on.

    Attributes
    ----------
    dataset : str
        Name of the data set.
    split : str
        Its split, ``"train"`` or ``"test"``; empty if it has none.
    images : int
        Number of images.
    levels : int
        Values that an element can take: 256 for bytes.
    T : int
        Steps of the chain.
    variance : str
        Variance of the reverse process, such as ``"large"``.
    weights : str
        ``"ema"`` or ``"model"``.
    step : int
        Training steps taken.
    unclipped : Curve
        The bound of the model as trained.
    clipped : Curve
        The bound with x̂₀ clipped to [−1, 1], as the authors evaluate: a valid bound, of a different model, which knows
        that images lie there.
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
        """Return plain values for JSON.

        Returns
        -------
        dict
            The attributes by name, each curve as a dictionary too.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Likelihood:
        """Build a result from the values of `to_dict`.

        Parameters
        ----------
        values : dict
            The values; lists stand for tuples, as JSON returns them.

        Returns
        -------
        Likelihood
            The result.

        Raises
        ------
        ValueError
            If they are not such values.
        """
        try:
            curves = {name: Curve.from_dict(values[name], values["T"]) for name in ("unclipped", "clipped")}
            for key in ("images", "levels", "T", "step"):
                arguments.count(key, values[key], 0 if key == "step" else 1)
            if not all(isinstance(values[key], str) for key in ("dataset", "split", "variance", "weights")):
                raise TypeError("a name must be a str")
            return cls(**{**values, **curves})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"these are not the values of a Likelihood ({type(error).__name__}: {error}): evaluate "
                             "again") from error

    def __str__(self) -> str:
        data = f"{self.dataset} {self.split}".strip()
        lines = [f"bits per dimension of {self.images:,} images of {data} ({self.levels} levels); "
                 f"T = {self.T}, variance {self.variance}, {self.weights} weights after {self.step:,} steps"]
        for name, curve in (("x̂₀ not clipped", self.unclipped), ("x̂₀ clipped", self.clipped)):
            parts = ", ".join(f"{key} {value:.4f}" for key, value in curve.parts.items())
            lines.append(f"  {name}: {curve.bits:.4f} ± {curve.error:.4f} ({parts}); "
                         f"rate {curve.rate[1]:.4f} at distortion {curve.distortion[1]:.3f}")
        return "\n".join(lines)


def likelihood(generator: ImageGenerator, dataset: Images, images: int, *, split: str = "test", weights: str = "ema",
               step: int = 0, seed: int = 0, batch_size: int = 50,
               on_step: Callable[[int], Any] = lambda images: None) -> Likelihood:
    """Estimate the terms of the bound (5) and the code lengths of Algorithms 3 and 4.

    Each x_t is drawn once for each image.

    Parameters
    ----------
    generator : ImageGenerator
        The net with its schedule and options.
    dataset : Images
        The data set.
    images : int
        Number of images, chosen at random by the seed.
    split : str
        Split of the data set, recorded in the result.
    weights : str
        Weights of the net, recorded in the result.
    step : int
        Training steps taken, recorded in the result.
    seed : int
        Seed of the choice of images and of the noise.
    batch_size : int
        Images at a time.
    on_step : callable
        Called T + 1 times in a batch with the batch's number of images.

    Returns
    -------
    Likelihood
        The bound with x̂₀ clipped and unclipped.

    Raises
    ------
    ValueError
        If `images` is not from 1 to the size of the data set.

    Notes
    -----
    Section 4.3 of Ho et al. (2020); `ddpm_np.diffusion.send` has the equations.
    """
    arguments.count("images", images, 1, len(dataset), f"{dataset.name!r} has no more")
    arguments.count("batch_size", batch_size)
    arguments.seed(seed)
    T, device, levels = generator.schedule.T, generator.backend, dataset.levels
    index = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:images])  # in any batch, i has one noise
    rates = {clip: np.empty((T + 1, images)) for clip in (False, True)}  # [t, image]
    squares = {clip: np.empty((T + 1, images)) for clip in (False, True)}
    for first in range(0, images, batch_size):
        rows = slice(first, min(first + batch_size, images))
        x_0 = device.to_device(dataset.scaled(index[rows]).astype(generator.dtype))  # (n, H, W, C)
        n, reverse = len(x_0), generator.reverse_of(len(x_0), first)
        shared = _evaluated_once(reverse.model)

        def noise_at(t: int, first: int = first, n: int = n) -> Array:
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
    """Cache the model's output for the latest t, so that repeated calls at one t evaluate it once."""
    latest: list[Any] = [None, None]

    def shared(x: Array, t: Ints) -> Array:
        now = int(to_host(t)[0])
        if latest[0] != now:
            latest[:] = [now, model(x, t)]
        return latest[1]

    return shared
