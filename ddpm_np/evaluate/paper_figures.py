"""What the paper's figures show, computed from a trained net: shared latents, interpolations, nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.backend import to_host
from ddpm_np.data.dataset import Images
from ddpm_np.sampling import ImageGenerator

OnStep = Callable[[int], Any]


def _reverse_of(generator: ImageGenerator, n: int, steps: int | None) -> diffusion.Reverse:
    """The reverse process of n images, in fewer steps for figures that need not take all of them."""
    reverse = generator.reverse_of(n)
    if steps is None or steps == reverse.schedule.T:
        return reverse
    return diffusion.respace(reverse, diffusion.timesteps(reverse.schedule.T, steps))


def depths(T: int, parts: int) -> list[int]:
    """`parts` + 1 depths from 0 to T, evenly spaced.

    >>> depths(1000, 4)
    [0, 250, 500, 750, 1000]
    """
    return [round(T * i / parts) for i in range(parts + 1)]


def shared_latents(generator: ImageGenerator, *, parts: int = 4, each: int = 8, seed: int = 0, steps: int | None = None,
                   on_step: OnStep = lambda t: None) -> tuple[list[int], np.ndarray]:
    """Figure 7: images that share x_t, for several t.

    One chain is drawn; from its x_t at each depth, `each` chains go on with noise of their own. From a small t on they
    differ in detail, from a large t on in everything.

    Returns
    -------
    depths, images
        The depths t > 0 and an array (parts, each + 1, H, W, C) in [−1, 1]; the first of each row is x_t.
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
        own = generator.noise(seed + 1, 0, each)  # another seed: the first chain's noise is not used again
        x_t = generator.backend.xp.concat([latents[depth]] * each, axis=0)  # (each, H, W, C)
        for t, x, _ in diffusion.ancestral(many, x_t, own.at_step, start=depth):
            on_step(t)
            x_0 = x
        rows.append(np.concatenate([to_host(latents[depth]), to_host(x_0)]))
    return chosen, np.clip(np.stack(rows), -1, 1)


def interpolations(generator: ImageGenerator, x: np.ndarray, y: np.ndarray, *, parts: int = 4, columns: int = 9,
                   seed: int = 0, steps: int | None = None, on_step: OnStep = lambda t: None
                   ) -> tuple[list[int], np.ndarray]:
    """Figure 8: interpolation between two images at several depths, with the same noise for every λ.

    Parameters
    ----------
    x, y
        (H, W, C) in [−1, 1].

    Returns
    -------
    depths, images
        The depths, and an array (parts + 1, columns + 2, H, W, C): x, the decoded mixes for λ = 0..1, and y.
    """
    reverse = _reverse_of(generator, columns, steps)
    xp, device = generator.backend.xp, generator.backend
    x_0, y_0 = (device.to_device(np.asarray(image, generator.dtype)) for image in (x, y))
    noise_x, noise_y = generator.noise(seed, 0, 2).x_T(reverse.schedule)
    fractions = device.to_device(np.linspace(0, 1, columns))

    def same(t: int) -> Any:
        """One z for all columns."""
        return xp.concat([device.normal(seed, "figure", t, 0, 1, generator.shape, generator.dtype)] * columns, axis=0)

    rows, chosen = [], depths(reverse.schedule.T, parts)
    for depth in chosen:
        for t, mixed, _ in diffusion.interpolate(reverse, x_0, y_0, depth, fractions, noise_x, noise_y, same):
            on_step(t)
            x_t = mixed
        rows.append(np.concatenate([x[None], to_host(x_t), y[None]]))
    return chosen, np.clip(np.stack(rows), -1, 1)


def nearest(images: np.ndarray, dataset: Images, count: int = 5, block: int = 2000,
            features: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """The training images nearest to each image, by Euclidean distance of pixels or of features; (N, count) indices.

    Parameters
    ----------
    block
        Training images held at a time.
    features
        None for pixels.
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

