"""A trained net that generates images: its reverse process, its labels, and the sizes that a sampler has to know."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ddpm_np import arguments
from ddpm_np.backend import Array, backend_of, get_backend, of
from ddpm_np.config import DiffusionConfig
from ddpm_np.diffusion import Denoiser, Reverse, Schedule, guided, linear_schedule
from ddpm_np.memory import free_memory, in_more_parts
from ddpm_np.nn import Module
from ddpm_np.parallel.threads import default_workers
from ddpm_np.sampling.memory import images_at_a_time
from ddpm_np.sampling.predictor import predictor
from ddpm_np.sampling.samplers import ImageNoise, Sampler

_host = get_backend("numpy").xp


class ImageGenerator:
    """A trained net with its schedule, how its output is read, and its labels.

    Parameters
    ----------
    model : Module, Trainer or what `load` returns
        A net; or an object with a net as ``.model`` and its average as ``.ema.model``, and perhaps a ``.schedule``, a
        ``.config`` and a ``.no_label``.
    weights : str
        ``"ema"`` or ``"model"``, as in `predictor`.
    workers : int or None
        As in `predictor`.
    schedule : Schedule or None
        None for the model's own, or the paper's if it has none.
    predicts : str or None
    variance : str, array of shape (T + 1,) or None
    clip : bool or None
        As in `diffusion.Reverse`; None for those of the model's configuration.
    labels : int, int array of shape (n,) or None
        The classes of the images, for a net with labels; None for the unconditional class.
    guidance : float
        The weight w of classifier-free guidance, see `diffusion.guided`.
    at_a_time : int or None
        The most images that the net is evaluated on at once, but for a lot of `lot_of`; None: see `images_at_a_time`.
        In either case no more than fit into memory. The result does not depend on it, on a GPU up to rounding.

    Attributes
    ----------
    schedule : Schedule
    predicts : str
    variance : str or array of shape (T + 1,)
    clip : bool
        As given, or as configured.
    shape : tuple of int
        (H, W, C) of an image.
    at_a_time : int
        The most images that the net is evaluated on at once.
    backend : Backend
    dtype : str
        Of the weights.

    Raises
    ------
    ValueError
        If labels or guidance are given that the net does not support, or a label is out of range.
    TypeError
        If the net is not a U-Net, or like one in its `config`.
    """

    def __init__(self, model: Any, *, weights: str = "ema", workers: int | None = None,
                 schedule: Schedule | None = None, predicts: str | None = None, variance: Any = None,
                 clip: bool | None = None, labels: Any = None, guidance: float = 0.0,
                 at_a_time: int | None = None):
        net: Any = model if isinstance(model, Module) else model.model
        if not hasattr(getattr(net, "config", None), "size"):
            raise TypeError(f"{type(net).__name__} has no config with the size of its images: sample from it with "
                            "Sampler.chain, a diffusion.Reverse of its predictor, and an ImageNoise")
        settings = getattr(getattr(model, "config", None), "diffusion", None) or DiffusionConfig()
        self.schedule = schedule or getattr(model, "schedule", None) or linear_schedule(1000)
        self.predicts = predicts or settings.predicts
        self.variance = settings.variance if variance is None else variance
        self.clip = settings.clip_sample if clip is None else clip
        self.shape = (*net.config.size, net.config.in_channels)
        self.dtype = str(net.parameters()[0].dtype)
        self.backend = backend_of(net.parameters()[0].data)
        fitting = images_at_a_time(net.config, workers or default_workers(), free_memory(self.backend),
                                   None if self.backend.name == "numpy" else net)
        self.at_a_time = fitting if at_a_time is None else min(arguments.count("batch_size", at_a_time), fitting)
        self._lot = lot_of(self.shape) if self.backend.name == "numpy" else 1
        self._predictor: Any = predictor(model, weights, workers, fixed=True, together=self._lot)
        self._classes = net.config.num_classes
        self._labels, self._guidance = labels, guidance
        arguments.number("guidance", guidance)
        if self._classes is None and (labels is not None or guidance):
            raise ValueError("this net was trained without labels: leave labels and guidance out")
        if guidance and labels is None:
            raise ValueError("guidance goes towards a class: pass a label with it, or leave it out")
        self._no_label = getattr(model, "no_label", None if self._classes is None else self._classes - 1)
        if self._classes is not None and self._no_label is None and (labels is None or guidance):
            raise ValueError(f"this net has no unconditional class: pass a label from 0 to {self._classes - 1} and no "
                             "guidance")
        given = _host.asarray([] if labels is None else labels)
        last = (self._classes or 0) - 1 - (self._no_label is not None)
        if given.size and not (given.min() >= 0 and given.max() <= last):
            raise ValueError(f"labels must be from 0 to {last}, got {given.min()} to {given.max()}")

    def noise(self, seed: int, first: int, n: int) -> ImageNoise:
        """Return the random numbers of some images.

        Parameters
        ----------
        seed : int
        first, n : int
            The number of the first image of the seed, and the number of images.

        Returns
        -------
        ImageNoise
        """
        return ImageNoise(self.backend, seed, first, n, self.shape, self.dtype)

    def reverse_of(self, n: int, start: int = 0, first: int | None = None) -> Reverse:
        """Return the reverse process of some images: labels and guidance are in its model (x, t) → ε.

        Parameters
        ----------
        n : int
            The number of images.
        start : int
            The place of the first of them among the labels.
        first : int or None
            The number of the first of them; None: `start`. On the CPU an image's bits depend on its number, and on no
            other image.

        Returns
        -------
        Reverse

        Raises
        ------
        ValueError
            If there are fewer labels than images.
        """
        net = partial(_in_parts, self._predictor, self.at_a_time, self._lot, start if first is None else first)
        model = net if self._classes is None else self._conditional(net, n, start)
        return Reverse(self.schedule, model, self.predicts, self.variance, self.clip)

    def _conditional(self, net: Any, n: int, start: int) -> Denoiser:
        """The net as a function of (x, t) for the classes of n images."""
        own = _host.asarray(self._no_label if self._labels is None else self._labels, _host.int64)
        rows = _host.broadcast_to(own, (n,)) if own.ndim == 0 else own[start:start + n]
        if rows.shape != (n,):
            raise ValueError(f"expected one label for each image, got {own.shape[0]} for at least {start + n}")
        y = self.backend.to_device(rows)  # (n,)
        return (lambda x, t: net(x, t, y)) if self._no_label is None else guided(net, y, self._no_label, self._guidance)

    def chain(self, sampler: Sampler, noise: ImageNoise, start: int = 0) -> Iterator[tuple[int, Array, Array]]:
        """Run the chain of some images, see `Sampler.chain`.

        Parameters
        ----------
        sampler : Sampler
        noise : ImageNoise
            The images' random numbers.
        start : int
            The place of the first image among the labels.

        Returns
        -------
        iterator of (t, x_t, x0_hat)
            Down to t = 0.
        """
        return sampler.chain(self.reverse_of(noise.n, start, noise.first), noise)


def lot_of(shape: tuple[int, ...]) -> int:
    """Return how many images are multiplied as one matrix, for enough rows at a net's lowest level.

    Parameters
    ----------
    shape : tuple of int
        Of an image: (H, W, C).

    Returns
    -------
    int
        From 1 to 4.

    Examples
    --------
    >>> lot_of((8, 8, 1)), lot_of((32, 32, 3)), lot_of((64, 64, 3))
    (4, 2, 1)
    """
    return max(1, min(4, 2048 // (shape[0] * shape[1])))


def _in_parts(net: Callable[..., Array], most: int, lot: int, first: int, *inputs: Array) -> Array:
    """Evaluate a net on at most so many images at once, or one lot: the same numbers, in less memory.

    Parts begin where lots do. Where a device's memory is full all the same, it is evaluated on half as many, and so on.
    """
    n, before = inputs[0].shape[0], first % lot

    def in_parts(count: int) -> Array:
        lots = math.ceil((before + n) / count / lot)
        size = max(1, min(lots, most // lot)) * lot
        ends = [*range(size - before, n, size), n]
        parts = [net(*(array[start:end] for array in inputs), place=first + start)
                 for start, end in itertools.pairwise([0, *ends])]
        return of(parts[0]).concat(parts, axis=0) if len(parts) > 1 else parts[0]  # (N, …)

    return in_more_parts(in_parts, math.ceil(n / most), n, backend_of(inputs[0]), "one image at a time does not fit "
                         "into the device's memory: choose a smaller net or image")[0]
