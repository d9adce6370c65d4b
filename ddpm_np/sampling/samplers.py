"""A trained net with all that drawing from it needs: its schedule, what it predicts, a sampler, random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.backend import backend_of
from ddpm_np.config import DiffusionConfig
from ddpm_np.models import UNetConfig
from ddpm_np.nn import Module
from ddpm_np.sampling.predictor import predictor

SAMPLERS = ("ddpm", "ddim", "langevin")
_MOST, _NUMBERS = 250, 250 * 32 * 32 * 128  # images at a time, and numbers of one array of them at a net's first level


@dataclass(frozen=True)
class Method:
    """How images are drawn.

    Parameters
    ----------
    sampler
        ``"ddpm"`` (Algorithm 2), ``"ddim"`` or ``"langevin"`` (annealed).
    steps
        How many of 1..T are visited; None for all of them, and for 50 of DDIM's.
    spacing
        Which: see `diffusion.timesteps`.
    eta
        Of DDIM, 0 to 1.
    per_level, size
        Of Langevin dynamics: steps at each t, and their size.
    """

    sampler: str = "ddpm"
    steps: int | None = None
    spacing: str = "trailing"
    eta: float = 0.0
    per_level: int = 5
    size: float = 0.1

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {self.sampler!r}")

    def visits(self, T: int) -> list[int]:
        """The steps that are visited, descending."""
        n = self.steps if self.steps is not None else min(50, T) if self.sampler == "ddim" else T
        return diffusion.timesteps(T, n, self.spacing)

    def chain(self, schedule: diffusion.Schedule, eps: Any, images: Numbers, *, predicts: str, variance: Any,
              clip: bool) -> Iterator[tuple[int, Any]]:
        """The chain of some images: (t, x_t) down to (0, x₀); t counts the visits for Algorithm 2 in fewer steps."""
        x_T, visits = images.first(schedule), self.visits(schedule.T)
        if self.sampler == "ddim":
            return diffusion.ddim(schedule, eps, x_T, visits, images.noise_at, eta=self.eta, predicts=predicts,
                                  clip=clip)
        if self.sampler == "langevin":
            return diffusion.annealed_langevin(
                schedule, eps, x_T, visits, lambda t, k: images.noise_at(t * self.per_level + k),
                per_level=self.per_level, size=self.size, predicts=predicts, clip=clip)
        if len(visits) < schedule.T:
            schedule, eps = diffusion.respace(schedule, eps, visits)
        return diffusion.ancestral(schedule, eps, x_T, images.noise_at, predicts=predicts, variance=variance,
                                   clip=clip)


@dataclass(frozen=True)
class Numbers:
    """The random numbers of the images `first` .. `first + n − 1` of a seed: the same in any batch, on any backend."""

    backend: Any
    seed: int
    start: int
    n: int
    shape: tuple[int, ...]
    dtype: str = "float32"

    def first(self, schedule: diffusion.Schedule) -> Any:
        """x_T, (n, *shape)."""
        return diffusion.first_noise(self.backend, self.seed, schedule, self.start, self.n, self.shape, self.dtype)

    def noise_at(self, t: int) -> Any:
        """z of step t, (n, *shape)."""
        return diffusion.step_noise(self.backend, self.seed, self.start, self.n, self.shape, self.dtype)(t)


def at_a_time(config: UNetConfig) -> int:
    """How many images of a net to draw at a time.

    >>> at_a_time(UNetConfig.preset("cifar10")), at_a_time(UNetConfig.preset("ho256"))
    (250, 3)
    """
    height, width = config.size
    return min(_MOST, max(1, _NUMBERS // (height * width * config.channels)))


class Drawer:
    """A net as a function of (x, t), with its schedule and the options that every chain takes.

    Parameters
    ----------
    model
        A Module; or what has one as ``.model`` and its average as ``.ema.model``, perhaps a ``.schedule``, a
        ``.config`` and a ``.no_label`` (a `Trainer`, or what `load` returns).
    weights, workers
        As in `predictor`.
    schedule
        None for the model's own, or the paper's where it has none.
    predicts, variance, clip
        As in `diffusion.p_mean_variance`; None for the configuration's.
    labels
        For a net with labels: an int, or one an image; None for no label.
    guidance
        Of classifier-free guidance.

    Attributes
    ----------
    schedule : Schedule
    eps : callable
        (x, t) -> what the net predicts; (x, t, y) for a net with labels.
    options : dict
        ``predicts``, ``variance`` and ``clip``, as samplers take them.
    shape : tuple of int
        (H, W, C) of an image.
    at_a_time : int
        How many images to draw at a time: as many as take the memory of 250 of the paper's CIFAR-10 net, at most 250.
    """

    def __init__(self, model: Any, *, weights: str = "ema", workers: int | None = None,
                 schedule: diffusion.Schedule | None = None, predicts: str | None = None, variance: Any = None,
                 clip: bool | None = None, labels: Any = None, guidance: float = 0.0):
        net: Any = model if isinstance(model, Module) else model.model
        settings = getattr(getattr(model, "config", None), "diffusion", None) or DiffusionConfig()
        self.schedule = schedule or getattr(model, "schedule", None) or diffusion.linear_schedule(1000)
        self.eps: Any = predictor(model, weights, workers, fixed=True)
        self.options: dict[str, Any] = {"predicts": predicts or settings.predicts,
                                        "clip": settings.clip_sample if clip is None else clip,
                                        "variance": settings.variance if variance is None else variance}
        self.shape = (*net.config.size, net.config.in_channels)
        self.at_a_time = at_a_time(net.config)
        self.dtype = str(net.parameters()[0].dtype)
        self.backend = backend_of(net.parameters()[0].data)
        self.classes = net.config.num_classes
        self.labels, self.guidance = labels, guidance
        if self.classes is None and (labels is not None or guidance):
            raise ValueError("this net was trained without labels: leave labels and guidance out")
        self.none = getattr(model, "no_label", None if self.classes is None else self.classes - 1)
        if self.classes is not None and self.none is None and (labels is None or guidance):
            raise ValueError(f"this net was never asked without a label: give one from 0 to {self.classes - 1}, and no "
                             "guidance")
        given, last = np.asarray([] if labels is None else labels), (self.classes or 0) - 1 - (self.none is not None)
        if given.size and not (given.min() >= 0 and given.max() <= last):
            raise ValueError(f"labels must be from 0 to {last}, got {given.min()} to {given.max()}")

    def numbers(self, seed: int, first: int, n: int) -> Numbers:
        """The random numbers of some images."""
        return Numbers(self.backend, seed, first, n, self.shape, self.dtype)

    def said(self, start: int, n: int) -> diffusion.Denoiser:
        """The net as a function of (x, t) alone, for images `start` .. of those the labels are for."""
        if self.classes is None:
            return self.eps
        own = np.asarray(self.none if self.labels is None else self.labels, np.int64)
        rows = np.broadcast_to(own, (n,)) if own.ndim == 0 else own[start:start + n]
        if rows.shape != (n,):
            raise ValueError(f"labels must be one an image, got {own.shape[0]} for at least {start + n}")
        y, eps = self.backend.to_device(rows), self.eps
        return (lambda x, t: eps(x, t, y)) if self.none is None else diffusion.guided(eps, y, self.none, self.guidance)

    def chain(self, method: Method, numbers: Numbers, start: int = 0,
              watch: Callable[[Any, Any, Any], Any] | None = None) -> Iterator[tuple[int, Any]]:
        """The chain of some images, down to (0, x₀); `watch` is told each (x_t, t, what the net said of it)."""
        said = self.said(start, numbers.n)
        if watch is None:
            return method.chain(self.schedule, said, numbers, **self.options)

        def watched(x: Any, t: Any) -> Any:
            output = said(x, t)
            watch(x, t, output)
            return output

        return method.chain(self.schedule, watched, numbers, **self.options)
