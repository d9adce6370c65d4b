"""How many images to generate at a time, so that they fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ddpm_np.autograd.op import chosen_kernels
from ddpm_np.autograd.tensor import no_grad
from ddpm_np.backend import Backend, backend_of, get_backend
from ddpm_np.memory import gigabytes, memory_of_images
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import Module

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

    See `memory_of_images`: the result is what a pass takes or more, to a few per cent.

    Parameters
    ----------
    config : UNetConfig
        The net.

    Returns
    -------
    ForwardMemory
        The parts.
    """
    return _measured(UNet(config).eval(), config, get_backend("numpy"), "float32")


def device_forward_memory(net: Module) -> ForwardMemory:
    """Measure the memory of a forward pass of a net on a device, by one and four images on the device itself.

    It is measured once for each configuration, dtype and choice of kernels.

    Parameters
    ----------
    net : Module
        A net with a ``config`` as a U-Net's.

    Returns
    -------
    ForwardMemory
        The parts.

    Raises
    ------
    MemoryError
        Or CUDA's error, if one image does not fit.
    """
    weights, config = net.parameters()[0].data, vars(net)["config"]
    backend, dtype = backend_of(weights), str(weights.dtype)
    key = config, dtype, chosen_kernels()
    if key not in _known:
        _known[key] = _measured(net.clone(lambda p: p).eval(), config, backend, dtype)
    return _known[key]


_known: dict[Any, ForwardMemory] = {}


def _measured(net: Module, config: UNetConfig, backend: Backend, dtype: str) -> ForwardMemory:
    """Return the parts, measured by one image and by four."""
    xp = backend.xp
    x = xp.zeros((4, *config.size, config.in_channels), dtype=getattr(xp, dtype))  # (4, H, W, C)
    ones = xp.ones(4, dtype=xp.int64)  # (4,)

    def forward(n: int) -> None:
        with no_grad():
            net(x[:n], ones[:n], *([] if config.num_classes is None else [0 * ones[:n]]))

    return ForwardMemory(*memory_of_images(forward, 4, backend))


def images_at_a_time(config: UNetConfig, workers: int = 1, free: int | None = None, net: Module | None = None) -> int:
    """Return how many images of a net to generate at a time.

    Parameters
    ----------
    config : UNetConfig
        The net.
    workers : int
        Workers that take them.
    free : int or None
        Free memory in bytes; None: unknown.
    net : Module or None
        The net itself if it is on a device, where its memory is then measured; None: on the CPU.

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
    if free is None or (net is None and most * one * 4 * _ARRAYS <= free):
        return most
    memory, workers = (forward_memory(config), workers) if net is None else (device_forward_memory(net), 1)
    fitting = max((n for n in range(1, most + 1) if memory.total(n, workers) <= free), default=0)
    if fitting == 0:
        left = (f"{gigabytes(free)} are free" if net is None else
                f"arrays can take {gigabytes(free)} of the device's memory")
        raise MemoryError(f"one image of this net needs about {gigabytes(memory.total(1, workers))} and {left}: close "
                          "other programs, or choose a smaller net or image")
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
