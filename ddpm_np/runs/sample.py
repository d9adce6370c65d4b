"""Images from a trained net: `sample`, and the predictions of them along the chain.

>>> from ddpm_np import load, sample                  # doctest: +SKIP
>>> images = sample(load("runs/digits"), n=16)        # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.arguments import count
from ddpm_np.arguments import seed as seed_of
from ddpm_np.backend import get_backend, to_host
from ddpm_np.diffusion import Schedule
from ddpm_np.memory import free_memory
from ddpm_np.runs.load import load
from ddpm_np.sampling import ImageGenerator, Sampler
from ddpm_np.sampling.memory import check_result


class NotFiniteError(RuntimeError):
    """Generated images that are not finite numbers: damaged weights, or a chain that diverged."""


def sample(model: Any, n: int, *, seed: int = 0, first: int = 0, sampler: Sampler | None = None,
           batch_size: int | None = None, weights: str = "ema", workers: int | None = None,
           schedule: Schedule | None = None, predicts: str | None = None, variance: Any = None,
           clip: bool | None = None, labels: Any = None, guidance: float = 0.0,
           on_step: Callable[[int], Any] = lambda images: None) -> np.ndarray:
    """Sample images from a net, by Algorithm 2 unless told otherwise.

    Parameters
    ----------
    model : UNet, Trainer, path or what `load` returns
        A UNet needs a `schedule` too, unless it is the paper's.
    n : int
        Number of images: those numbered `first` .. `first + n − 1` of the seed. An image is a function of its number
        alone: it comes out the same for any `n`, `batch_size` and `workers`, on a GPU up to rounding.
    seed, first : int
    sampler : Sampler or None
        The chain and its steps; None for Algorithm 2 with all of them.
    batch_size : int or None
        Images at a time; None for as many as need the memory of 250 of the paper's CIFAR-10 net, at most 250. In either
        case no more than fit into memory.
    weights : str
        ``"ema"`` (the average) or ``"model"`` (after the last step), if the model has both.
    workers : int or None
        Number of CPUs to use; None for all.
    schedule : Schedule or None
        None for the model's own.
    predicts : str or None
    variance : str, array of shape (T + 1,) or None
    clip : bool or None
        As in `diffusion.Reverse`; None for the configuration's, which is the paper's if the model has none.
    labels : int, int array of shape (n,) or None
        The classes, for a net with labels; None for the unconditional class.
    guidance : float
        The weight w of classifier-free guidance, see `diffusion.guided`.
    on_step : callable
        Called after each step of a batch, with the number of its images.

    Returns
    -------
    array of shape (n, H, W, C)
        In [−1, 1], in the net's dtype, on the host. `ddpm_np.data.to_levels` converts it to bytes.

    Raises
    ------
    ValueError
        For a number out of range, or labels that do not belong to the net.
    NotFiniteError
        If an image is not finite.
    MemoryError
        If the result, or one image at a time, does not fit into memory.

    Examples
    --------
    >>> from ddpm_np.models import UNet, UNetConfig
    >>> images = sample(UNet(UNetConfig.preset("digits")), n=2, sampler=Sampler("ddim", steps=2))
    >>> images.shape
    (2, 8, 8, 1)
    """
    count("n", n)
    seed_of(seed)
    count("first", first, 0)
    generator = ImageGenerator(_opened(model), weights=weights, workers=workers, schedule=schedule, predicts=predicts,
                               variance=variance, clip=clip, labels=labels, guidance=guidance, at_a_time=batch_size)
    sampler = sampler or Sampler()
    check_result(n, math.prod(generator.shape), free_memory(get_backend("numpy")))
    images = np.empty((n, *generator.shape), generator.dtype)
    for start in range(0, n, generator.at_a_time):
        size = min(generator.at_a_time, n - start)
        for _, x, _ in generator.chain(sampler, generator.noise(seed, first + start, size), start):
            on_step(size)
            x_0 = x
        images[start:start + size] = _finite(to_host(x_0))
    return images


def progressive_predictions(model: Any, n: int, *, places: int = 10, seed: int = 0, sampler: Sampler | None = None,
                            on_step: Callable[[int], Any] = lambda images: None, **options: Any) -> np.ndarray:
    """Return x̂₀ of each image at evenly spaced places of its chain: progressive generation.

    Parameters
    ----------
    model : UNet, Trainer, path or what `load` returns
    n : int
        As in `sample`.
    places : int
        Number of predictions; the last is the image itself.
    seed : int
    sampler : Sampler or None
    on_step : callable
        As in `sample`.
    **options
        Those of `ImageGenerator`.

    Returns
    -------
    array of shape (n, places, H, W, C)
        In [−1, 1].

    Notes
    -----
    Section 4.3 and figure 6 of Ho et al. (2020).
    """
    count("n", n)
    count("places", places)
    seed_of(seed)
    generator, sampler = ImageGenerator(_opened(model), **options), sampler or Sampler()
    check_result(n * places, math.prod(generator.shape), free_memory(get_backend("numpy")))
    visits = len(sampler.visits(generator.schedule.T))
    wanted = set(np.linspace(0, visits - 1, min(places - 1, visits)).round().astype(int).tolist())
    batches = []
    for start in range(0, n, generator.at_a_time):
        size = min(generator.at_a_time, n - start)
        seen = []
        for i, (_, x, x0_hat) in enumerate(generator.chain(sampler, generator.noise(seed, start, size), start)):
            on_step(size)
            image = x
            if i in wanted:
                seen.append(np.clip(to_host(x0_hat), -1, 1))
        batches.append(np.stack([*seen, _finite(to_host(image))], axis=1))
    return np.concatenate(batches)


def _finite(images: np.ndarray) -> np.ndarray:
    """Return images clipped to [−1, 1]; raise if some are not finite numbers."""
    if not np.isfinite(images).all():
        raise NotFiniteError("the images are not finite numbers: check the weights and settings")
    return np.clip(images, -1, 1)


def _opened(model: Any) -> Any:
    """What a path names; anything else as it is."""
    return load(model) if isinstance(model, (str, Path)) else model
