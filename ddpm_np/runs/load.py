"""Open a trained net: a checkpoint, a run, or a diffusers folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ddpm_np import diffusion
from ddpm_np.config import Config
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint, history


@dataclass(frozen=True)
class TrainedNet:
    """A trained net with everything that sampling from it and evaluating it need; what `load` returns.

    Attributes
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
    if diffusers.is_folder(path) and not history.holds_run(path):
        net, settings = diffusers.load_pipeline(path, dtype=dtype, backend=backend)
        config = Config.of_net(net.config, settings)
        return TrainedNet(config, settings.build(), net, SimpleNamespace(model=net), 0, None)
    if path.is_file() and path.name in diffusers.FILES:
        raise ValueError(f"{path} is one file of a diffusers folder: name the folder, {path.parent}")
    saved = history.newest(path, say) if path.is_dir() else checkpoint.read(path)
    nets = {which: UNet(saved.config.model, dtype=dtype, backend=backend, weights=saved.weights(which))
            for which in ("model", "ema")}
    return TrainedNet(saved.config, saved.config.diffusion.build(), nets["model"], SimpleNamespace(model=nets["ema"]),
                      saved.step, saved.config.no_label)
