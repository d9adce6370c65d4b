"""The images of the paper's figures, computed from a trained net: shared latents, interpolations, neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.arguments import SEEDS
from ddpm_np.backend import Array, to_host
from ddpm_np.data.dataset import Images
from ddpm_np.sampling import ImageGenerator

OnStep = Callable[[int], Any]


def _reverse_of(generator: ImageGenerator, n: int, steps: int | None) -> diffusion.Reverse:
    """Return the reverse process of n images, respaced to `steps` steps; None keeps all T."""
    reverse = generator.reverse_of(n)
    if steps is None or steps == reverse.schedule.T:
        return reverse
    return diffusion.respace(reverse, diffusion.timesteps(reverse.schedule.T, steps))


def depths(T: int, parts: int) -> list[int]:
    """Return `parts` + 1 evenly spaced depths from 0 to T, or fewer where T has not as many.

    Parameters
    ----------
    T : int
        Steps of the chain.
    parts : int
        Number of intervals.

    Returns
    -------
    list of int
        The depths, 0 first and T last.

    Examples
    --------
    >>> depths(1000, 4), depths(2, 4)
    ([0, 250, 500, 750, 1000], [0, 1, 2])
    """
    return sorted({round(T * i / parts) for i in range(parts + 1)})


def shared_latents(generator: ImageGenerator, *, parts: int = 4, each: int = 8, seed: int = 0, steps: int | None = None,
                   on_step: OnStep = lambda t: None) -> tuple[list[int], np.ndarray]:
    """Generate images that share x_t, for several t, as in figure 7 of the paper.

    One chain is sampled; from its x_t at each depth, `each` chains continue with independent noise. Images that share
    x_t at a small t differ in detail, those that share it at a large t differ in everything.

    Parameters
    ----------
    generator : ImageGenerator
        The net with its schedule and options.
    parts : int
        Number of depths.
    each : int
        Chains that share an x_t.
    seed : int
        Seed of the first chain; the others use the next one.
    steps : int or None
        Steps of the chain, respaced. None: all T.
    on_step : callable
        Called with t after each step.

    Returns
    -------
    depths : list of int
        The depths t > 0.
    images : array of shape (parts, each + 1, H, W, C)
        Images in [−1, 1]; the first of each row is x_t.
    """
    one, many = _reverse_of(generator, 1, steps), _reverse_of(generator, each, steps)
    T, noise = one.schedule.T, generator.noise(seed, 0, 1)
    chosen = depths(T, parts)[1:]
    latents = {T: noise.x_T(one.schedule)}
    for t, x, _ in diffusion.ancestral(one, latents[T], noise.at_step):
        on_step(t)
        latents[t] = x
    rows = []
    for depth in chosen:
        own = generator.noise((seed + 1) % SEEDS, 0, each)  # another seed: no chain reuses the first one's noise
        x_t = generator.backend.xp.repeat(latents[depth], each, axis=0)  # (each, H, W, C)
        for t, x, _ in diffusion.ancestral(many, x_t, own.at_step, start=depth):
            on_step(t)
            x_0 = x
        rows.append(np.concatenate([to_host(latents[depth]), to_host(x_0)]))
    return chosen, np.clip(np.stack(rows), -1, 1)


def interpolations(generator: ImageGenerator, x: np.ndarray, y: np.ndarray, *, parts: int = 4, columns: int = 9,
                   seed: int = 0, steps: int | None = None, on_step: OnStep = lambda t: None
                   ) -> tuple[list[int], np.ndarray]:
    """Interpolate between two images at several depths with the same noise for every λ, as in figure 8 of the paper.

    Parameters
    ----------
    generator : ImageGenerator
        The net with its schedule and options.
    x : array of shape (H, W, C)
        An image in [−1, 1].
    y : array of shape (H, W, C)
        The other image.
    parts : int
        Number of intervals between the depths 0 and T.
    columns : int
        Values of λ, evenly spaced from 0 to 1.
    seed : int
        Seed of the noise.
    steps : int or None
        Steps of the chain, respaced. None: all T.
    on_step : callable
        Called with t after each step.

    Returns
    -------
    depths : list of int
        The depths t.
    images : array of shape (parts + 1, columns + 2, H, W, C)
        A row for each depth: x, the decoded interpolations for λ = 0..1, and y.
    """
    reverse = _reverse_of(generator, columns, steps)
    xp, device = generator.backend.xp, generator.backend
    x_0, y_0 = (device.to_device(np.asarray(image, generator.dtype)) for image in (x, y))
    noise_x, noise_y = generator.noise(seed, 0, 2).x_T(reverse.schedule)
    fractions = device.to_device(np.linspace(0, 1, columns))

    def same(t: int) -> Array:
        """Return the noise of step t, the same for all columns."""
        return xp.repeat(device.normal(seed, "figure", t, 0, 1, generator.shape, generator.dtype), columns, axis=0)

    rows, chosen = [], depths(reverse.schedule.T, parts)
    for depth in chosen:
        for t, mixed, _ in diffusion.interpolate(reverse, x_0, y_0, depth, fractions, noise_x, noise_y, same):
            on_step(t)
            x_t = mixed
        rows.append(np.concatenate([x[None], to_host(x_t), y[None]]))
    return chosen, np.clip(np.stack(rows), -1, 1)


def nearest(images: np.ndarray, dataset: Images, count: int = 5, block: int = 2000,
            features: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Find the training images nearest to each image by Euclidean distance.

    Parameters
    ----------
    images : array of shape (N, H, W, C)
        Images in [−1, 1].
    dataset : Images
        The training images.
    count : int
        Neighbours of each image.
    block : int
        Training images held in memory at a time.
    features : callable or None
        Function from images to feature vectors whose distance is measured. None: the pixels.

    Returns
    -------
    int array of shape (N, count)
        Indices into `dataset`, the nearest first.
    """
    def flat(x: np.ndarray) -> np.ndarray:
        return np.asarray(x.reshape(len(x), -1) if features is None else features(x), np.float64)

    wanted = flat(images)  # (N, F)
    best: Any = np.empty((len(images), 0), np.int64)
    distances: Any = np.empty((len(images), 0))
    for first in range(0, len(dataset), block):
        index = np.arange(first, min(first + block, len(dataset)))
        those = flat(dataset.scaled(index))  # (B, F)
        square = (wanted**2).sum(1)[:, None] - 2 * wanted @ those.T + (those**2).sum(1)  # (N, B)
        distances = np.concatenate([distances, square], axis=1)
        best = np.concatenate([best, np.broadcast_to(index, square.shape)], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        distances, best = (np.take_along_axis(a, order, axis=1) for a in (distances, best))
    return best

