"""Open a trained net from disk, and sample from it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.backend import to_host
from ddpm_np.config import Config
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint
from ddpm_np.sampling.samplers import Drawer, Method


@dataclass(frozen=True)
class TrainedNet:
    """A trained net with everything that sampling from it and evaluating it need; what `load` returns.

    Parameters
    ----------
    config : Config
        The configuration of its run.
    schedule : Schedule
        The schedule β₁..β_T that it was trained with.
    model : UNet
        The net with the weights after the last step.
    ema : object
        ``ema.model`` is the net with the moving average of the weights.
    step : int
        Training steps taken; 0 for published weights, which do not record it.
    no_label : int or None
        The unconditional class of a net with labels; None if it has none.
    """

    config: Config
    schedule: diffusion.Schedule
    model: UNet
    ema: Any
    step: int
    no_label: int | None


def load(path: str | Path, *, dtype: str = "float32", backend: str = "numpy",
         say: Callable[[str], Any] = warnings.warn) -> TrainedNet:
    """Open a trained net: a run, a checkpoint, or a folder of published weights.

    Parameters
    ----------
    path : str or Path
        A checkpoint file; a run's folder, of which the newest checkpoint that is not damaged is opened; or a diffusers
        folder (a pipeline or a net), whose weights become both ``model`` and ``ema.model``.
    dtype : {"float32", "float64"}
        Dtype of the weights.
    backend : {"numpy", "cupy"}
        Backend of the weights.
    say : callable
        Called with a line for each damaged checkpoint that is skipped.

    Returns
    -------
    TrainedNet
        The net, its average, its schedule and its configuration.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    CheckpointError
        If the checkpoint is damaged, or all of a run's are.
    ValueError
        If a diffusers folder is damaged or needs what this package does not support; see `interop.diffusers`.

    Examples
    --------
    >>> from ddpm_np import load, sample                  # doctest: +SKIP
    >>> images = sample(load("runs/digits"), n=16)        # doctest: +SKIP
    """
    path = Path(path)
    if diffusers.is_folder(path) and not checkpoint.holds_run(path):
        net, settings = diffusers.load_pipeline(path, dtype=dtype, backend=backend)
        config = Config.of_net(net.config, settings)
        return TrainedNet(config, settings.build(), net, SimpleNamespace(model=net), 0, None)
    if path.is_file() and path.name in diffusers.FILES:
        raise ValueError(f"{path} is one file of a diffusers folder: name the folder, {path.parent}")
    saved = checkpoint.newest(path, say) if path.is_dir() else checkpoint.read(path)
    nets = {which: UNet(saved.config.model, dtype=dtype, backend=backend, weights=saved.weights(which))
            for which in ("model", "ema")}
    return TrainedNet(saved.config, saved.config.diffusion.build(), nets["model"], SimpleNamespace(model=nets["ema"]),
                      saved.step, saved.config.no_label)


def sample(model: Any, n: int, *, seed: int = 0, first: int = 0, weights: str = "ema", predicts: str | None = None,
           variance: Any = None, clip: bool | None = None, batch_size: int | None = None,
           schedule: diffusion.Schedule | None = None, workers: int | None = None, method: Method | None = None,
           labels: Any = None, guidance: float = 0.0,
           on_step: Callable[[int], Any] = lambda images: None) -> np.ndarray:
    """Draw images, by Algorithm 2 unless told otherwise.

    Parameters
    ----------
    model
        What `load` returned, a Trainer, the path of a checkpoint, or a UNet (then give `schedule` unless it is the
        paper's).
    n
        How many images: number `first` .. `first` + n − 1 of the seed. Each is a function of its number, whatever
        `n`, `batch_size` and `workers` are.
    batch_size
        Images at a time; None for as many as take the memory of 250 of the paper's CIFAR-10 net, at most 250.
    weights
        ``"ema"`` or ``"model"``, where the model has both.
    predicts, variance
        As in `diffusion.p_mean_variance`, or None for the configuration's (the paper's where there is none).
    clip
        Whether x̂₀ is held in [−1, 1] at each step; None for the configuration's.
    method
        The sampler and its steps.
    labels
        For a net with labels: an int, or n ints; None draws without a label.
    guidance
        w of classifier-free guidance, see `diffusion.guided`.
    on_step
        Called after each step of a batch, with the number of its images.

    Returns
    -------
    array (n, H, W, C)
        In [−1, 1], in the net's dtype, on the host; `ddpm_np.data.to_levels` makes bytes of them.
    """
    if n < 1 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"n and batch_size must be at least 1, got {n} and {batch_size}")
    method = method or Method()
    drawer = Drawer(load(model) if isinstance(model, (str, Path)) else model, weights=weights, workers=workers,
                    schedule=schedule, predicts=predicts, variance=variance, clip=clip, labels=labels,
                    guidance=guidance)
    images, batch_size = [], batch_size or drawer.at_a_time
    for start in range(0, n, batch_size):
        count = min(batch_size, n - start)
        for _, x in drawer.chain(method, drawer.numbers(seed, first + start, count), start):
            on_step(count)
            x_0 = x
        images.append(np.clip(to_host(x_0), -1, 1))
    return np.concatenate(images)


def estimates(model: Any, n: int, *, places: int = 10, seed: int = 0, method: Method | None = None,
              on_step: Callable[[int], Any] = lambda images: None, **options: Any) -> np.ndarray:
    """Progressive generation (section 4.3): x̂₀ of each image at evenly spaced places along its chain.

    Parameters
    ----------
    n, seed, method, on_step
        As in `sample`; `options` are those of `Drawer`.
    places
        How many, the image itself, which is the last, among them.

    Returns
    -------
    array (n, places, H, W, C)
        In [−1, 1].
    """
    drawer, method = Drawer(load(model) if isinstance(model, (str, Path)) else model, **options), method or Method()
    count = len(method.visits(drawer.schedule.T))
    wanted = set(np.linspace(0, count - 1, min(places - 1, count)).round().astype(int).tolist())
    return np.concatenate([_seen(drawer, method, wanted, seed, first, min(drawer.at_a_time, n - first), on_step)
                           for first in range(0, n, drawer.at_a_time)])


def _seen(drawer: Drawer, method: Method, wanted: set[int], seed: int, first: int, n: int,
          on_step: Callable[[int], Any]) -> np.ndarray:
    """x̂₀ of the images `first` .. at the `wanted` visits of their chain, and the images: (n, places, H, W, C)."""
    seen: list[Any] = []
    asked: list[tuple[Any, Any, Any]] = []
    chain = drawer.chain(method, drawer.numbers(seed, first, n), first,
                         watch=lambda x, t, said: asked.append((x, t, said)))
    for i, (_, x) in enumerate(chain):
        on_step(n)
        image = x
        if i in wanted:
            x_t, t, output = asked[-1]
            x0 = diffusion.predict(drawer.schedule, lambda x, t, output=output: output, x_t, t,  # type: ignore[misc]
                                   predicts=drawer.options["predicts"], clip=True).x0
            seen.append(np.clip(to_host(x0), -1, 1))
        asked.clear()
    return np.stack([*seen, np.clip(to_host(image), -1, 1)], axis=1)
