"""Trained nets: open one from disk, draw images from one. The package's front door in three lines.

>>> from ddpm_np import load, sample                  # doctest: +SKIP
>>> images = sample(load("runs/digits"), n=16)        # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ddpm_np import checkpoint, diffusion
from ddpm_np.backend import backend_of, to_host
from ddpm_np.config import Config
from ddpm_np.models import UNet
from ddpm_np.nn import Module
from ddpm_np.predictor import predictor


@dataclass(frozen=True)
class Pretrained:
    """A trained net: `model` with the weights after the last step, `ema` with their average in ``ema.model``."""

    config: Config
    schedule: diffusion.Schedule
    model: UNet
    ema: Any
    step: int


def load(path: str | Path, *, dtype: str = "float32", backend: str = "numpy",
         say: Callable[[str], Any] = warnings.warn) -> Pretrained:
    """Open a checkpoint.

    Parameters
    ----------
    path
        A checkpoint file, or the folder of a run, whose newest checkpoint is taken.
    dtype, backend
        Of the weights.
    say
        Called with a line for each damaged checkpoint of a folder that is passed over.

    Raises
    ------
    FileNotFoundError, checkpoint.CheckpointError
        If there is none, or it is damaged.
    """
    path = Path(path)
    saved = checkpoint.newest(path, say) if path.is_dir() else checkpoint.read(path)
    nets = {which: UNet(saved.config.model, dtype=dtype, backend=backend, weights=saved.weights(which))
            for which in ("model", "ema")}
    return Pretrained(saved.config, saved.config.diffusion.build(), nets["model"], SimpleNamespace(model=nets["ema"]),
                      saved.step)


def sample(model: Any, n: int, *, seed: int = 0, first: int = 0, weights: str = "ema", variance: str | None = None,
           clip: bool = True, batch_size: int = 250, schedule: diffusion.Schedule | None = None,
           workers: int | None = None, on_step: Callable[[int], Any] = lambda images: None) -> np.ndarray:
    """Draw images by Algorithm 2.

    Parameters
    ----------
    model
        What `load` returned, a Trainer, the path of a checkpoint, or a UNet (then give `schedule` unless it is the
        paper's).
    n
        How many images: number `first` .. `first` + n − 1 of the seed. Each is a function of its number, whatever
        `n`, `batch_size` and `workers` are.
    weights
        ``"ema"`` or ``"model"``, where the model has both.
    variance
        ``"small"``, ``"large"``, or None for the configuration's (``"large"`` where there is none).
    clip
        Whether x̂₀ is held in [−1, 1] at each step.
    on_step
        Called after each of the T steps of a batch, with the number of its images.

    Returns
    -------
    array (n, H, W, C)
        In [−1, 1], in the net's dtype, on the host; `ddpm_np.data.to_levels` makes bytes of them.
    """
    if n < 1 or batch_size < 1:
        raise ValueError(f"n and batch_size must be at least 1, got {n} and {batch_size}")
    if isinstance(model, (str, Path)):
        model = load(model)
    net: Any = model if isinstance(model, Module) else model.model
    schedule = schedule or getattr(model, "schedule", None) or diffusion.linear_schedule(1000)
    if variance is None:
        variance = model.config.diffusion.variance if isinstance(model, Pretrained) else "large"
    device = backend_of(net.parameters()[0].data)
    eps = predictor(model, weights, workers)
    shape = (*net.config.size, net.config.in_channels)
    dtype = str(net.parameters()[0].dtype)
    images = []
    for start in range(first, first + n, batch_size):
        count = min(batch_size, first + n - start)
        chain = diffusion.draw(schedule, eps, count, shape, seed=seed, first=start, variance=variance, clip=clip,
                               dtype=dtype, backend=device)
        for _, x in chain:
            on_step(count)
            x_0 = x
        images.append(np.clip(to_host(x_0), -1, 1))
    return np.concatenate(images)
