"""Open a trained net: a run, a checkpoint, a diffusers folder, or a net of the package by its name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ddpm_np import diffusion, trained
from ddpm_np.config import Config
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint, history, weights


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
    """Open a trained net: a run, a checkpoint, a folder of published weights, or a net of the package by its name.

    Parameters
    ----------
    path : str or Path
        A checkpoint file; a run's folder, of which the newest checkpoint that is not damaged is opened; a diffusers
        folder (a pipeline or a net); or a name in `trained.names`, such as ``"digits"``, unless there is a file or
        folder of that name. The weights of the last two become both ``model`` and ``ema.model``.
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
        If there is no checkpoint; the message has the closest path or name that could be opened.
    CheckpointError
        If the checkpoint is damaged, or all of a run's are.
    ValueError
        If a diffusers folder is damaged or needs what this package does not support; see `interop.diffusers`.

    Examples
    --------
    >>> net = load("digits")
    >>> net.config.trained_on, net.no_label
    ('digits', 10)
    """
    path = located(path)
    if diffusers.is_folder(path) and not history.holds_run(path):
        net, settings = diffusers.load_pipeline(path, dtype=dtype, backend=backend)
        config = Config.of_net(net.config, settings)
        return TrainedNet(config, settings.build(), net, SimpleNamespace(model=net), 0, None)
    if path.is_file() and path.name in diffusers.FILES:
        raise ValueError(f"{path} is one file of a diffusers folder: name the folder, {path.parent}")
    if path.is_file() and checkpoint.read_metadata(path).get("format") == checkpoint.WEIGHTS:
        return net_of(weights.read(path), dtype=dtype, backend=backend)
    saved = history.newest(path, say) if path.is_dir() else checkpoint.read(path)
    nets = {which: UNet(saved.config.model, dtype=dtype, backend=backend, weights=saved.weights(which))
            for which in ("model", "ema")}
    return TrainedNet(saved.config, saved.config.diffusion.build(), nets["model"], SimpleNamespace(model=nets["ema"]),
                      saved.step, saved.config.no_label)


def net_of(kept: weights.Weights, *, dtype: str = "float32", backend: str = "numpy") -> TrainedNet:
    """Make a net of averaged weights.

    Parameters
    ----------
    kept : Weights
        The content of a file of weights. They become both ``model`` and ``ema.model``.
    dtype : {"float32", "float64"}
    backend : {"numpy", "cupy"}
        As in `load`.

    Returns
    -------
    TrainedNet
        The net, its schedule and its configuration.
    """
    net = UNet(kept.config.model, dtype=dtype, backend=backend, weights=kept.tensors)
    return TrainedNet(kept.config, kept.config.diffusion.build(), net, SimpleNamespace(model=net), kept.step,
                      kept.config.no_label)


def located(net: str | Path) -> Path:
    """Return the path of what a path or a name names: a path that exists, or else a net of the package.

    Parameters
    ----------
    net : str or Path
        As in `load`. ``"digits"`` may be a name, ``"./digits"`` is a path.

    Returns
    -------
    Path
        The file or folder, which need not exist if it is not a net of the package.

    Raises
    ------
    FileNotFoundError
        If a folder that cannot be opened hides a net of the package.

    Examples
    --------
    >>> located("digits").name, str(located("runs/mine"))
    ('digits.safetensors', 'runs/mine')
    """
    path = Path(net)
    if str(net) not in trained.names():
        return path
    if not os.path.lexists(path):
        return trained.path_of(str(net))
    if path.is_dir() and not history.holds_run(path) and not diffusers.is_folder(path):
        raise FileNotFoundError(f"the folder {net} holds no checkpoint, and hides the trained net of this name: rename "
                                "the folder, or run this from another one")
    return path


def beside(net: str | Path, name: str) -> Path:
    """Return where a file about a trained net belongs.

    Parameters
    ----------
    net : str or Path
        As in `load`.
    name : str
        The file's name.

    Returns
    -------
    Path
        In the run's folder, or that of the checkpoint file; for a net of the package, ``NET-NAME`` in the working
        folder.

    Raises
    ------
    FileNotFoundError
        If there is no such net.

    Examples
    --------
    >>> str(beside("digits", "evaluation.json"))
    'digits-evaluation.json'
    """
    path = located(net)
    if not path.exists():
        raise checkpoint.no_checkpoint("at", path)
    if str(net) in trained.names() and path == trained.path_of(str(net)):
        return Path(f"{net}-{name}")
    return (path if path.is_dir() else path.parent) / name
