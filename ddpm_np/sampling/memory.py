"""How many images to generate at a time, so that they fit into memory."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import dataclass
from functools import lru_cache

from ddpm_np.autograd.tensor import no_grad
from ddpm_np.backend import get_backend
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.training.memory import gigabytes, tracing_memory

_host = get_backend("numpy").xp
_MOST, _NUMBERS = 250, 250 * 32 * 32 * 128  # images at a time, and numbers of one array of them at a net's first level
_ARRAYS = 64  # more arrays of the first level's size than a forward pass ever holds; the presets hold 11 to 40


@dataclass(frozen=True)
class ForwardMemory:
    """The peak memory of a forward pass in evaluation, in bytes.

    Attributes
    ----------
    worker : int
        What each worker needs beside its images.
    image : int
        What each image needs.
    """

    worker: int
    image: int

    def total(self, images: int, workers: int) -> int:
        """Return the peak memory of some images.

        Parameters
        ----------
        images, workers : int
            Images at a time, and workers that take them.

        Returns
        -------
        int
            Bytes.
        """
        return min(workers, images) * self.worker + images * self.image


@lru_cache(maxsize=8)
def forward_memory(config: UNetConfig) -> ForwardMemory:
    """Measure the memory of a forward pass: one and four images on the CPU in float32, every allocation counted.

    The kernels' working memory does not grow with every image, so that an image of a large batch needs less than a
    quarter of what four need: the result is what a pass takes or more, to a few per cent.

    Parameters
    ----------
    config : UNetConfig
        The net.

    Returns
    -------
    ForwardMemory
        The parts.
    """
    net = UNet(config).eval()
    label = None if config.num_classes is None else 0
    peaks = {}
    for n in (1, 4):
        x = _host.zeros((n, *config.size, config.in_channels), dtype=_host.float32)  # (n, H, W, C)
        ones = _host.ones(n, dtype=_host.int64)  # (n,)
        with tracing_memory(), no_grad():
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            net(x, ones, None if label is None else label * ones)
            peaks[n] = tracemalloc.get_traced_memory()[1] - before
    image = math.ceil(peaks[4] / 4)
    return ForwardMemory(max(0, peaks[1] - image), image)


def images_at_a_time(config: UNetConfig, workers: int = 1, free: int | None = None) -> int:
    """Return how many images of a net to generate at a time.

    Parameters
    ----------
    config : UNetConfig
        The net.
    workers : int
        Workers that take them.
    free : int or None
        Free memory in bytes; None: unknown.

    Returns
    -------
    int
        As many as need the memory of 250 images of the paper's CIFAR-10 net; at most 250, and no more than fit.

    Raises
    ------
    MemoryError
        If not even one image fits.

    Examples
    --------
    >>> images_at_a_time(UNetConfig.preset("cifar10")), images_at_a_time(UNetConfig.preset("ho256"))
    (250, 3)
    >>> images_at_a_time(UNetConfig.preset("digits"), free=10_000_000) < 40
    True
    """
    one = config.size[0] * config.size[1] * config.channels
    most = min(_MOST, max(1, _NUMBERS // one))
    if free is None or most * one * 4 * _ARRAYS <= free:
        return most
    memory = forward_memory(config)
    fitting = max((n for n in range(1, most + 1) if memory.total(n, workers) <= free), default=0)
    if fitting == 0:
        raise MemoryError(f"one image of this net needs about {gigabytes(memory.total(1, workers))} and "
                          f"{gigabytes(free)} are free: close other programs, or choose a smaller net or image")
    return fitting



def check_result(images: int, numbers: int, free: int | None) -> None:
    """Check that generated images fit into memory.

    Parameters
    ----------
    images, numbers : int
        How many images, and how many float32 numbers each has.
    free : int or None
        The host's free memory in bytes; None: unknown, and nothing is checked.

    Raises
    ------
    MemoryError
        If they do not fit.
    """
    need = 4 * images * numbers
    if free is not None and need > free:
        raise MemoryError(f"{images:,} images take {gigabytes(need)} and {gigabytes(free)} are free: draw fewer")
