"""Trained weights as a new run: published ones, or those of this package's own nets."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.config import UNKNOWN, Config
from ddpm_np.data import located, names
from ddpm_np.data.identity import FILES, FOLDER
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint, history
from ddpm_np.runs.load import load
from ddpm_np.runs.lock import taken
from ddpm_np.training.trainer import Trainer


def import_run(source: str | Path, folder: str | Path, preset: str | None = None,
               change: Callable[[Config], Config] = lambda recipe: recipe,
               say: Callable[[str], Any] = warnings.warn) -> UNet:
    """Import the weights of a trained net as a run you can keep training.

    The run is at step 0, with these weights as weights and as their average, and with Adam's moments zero. Train it
    with ``Run.resume(folder)``. To sample from trained weights, this is not needed: `load` opens them.

    Parameters
    ----------
    source : str or Path
        As in `load`: a diffusers folder (a pipeline or a net), a trained net of the package by its name, a run or a
        checkpoint, whose averaged weights are taken.
    folder : str or Path
        The folder of the run.
    preset : str or None
        The preset whose recipe the run is trained by. None for the net's own recipe, or ``"cifar10"`` for published
        weights, which do not record theirs.
    change : callable
        Returns the run's configuration, given the recipe with this net: to name another data set, for example.
    say : callable
        Called with a line if the folder cannot be locked, and for each damaged checkpoint that is skipped.

    Returns
    -------
    UNet
        The net.

    Raises
    ------
    ValueError
        If `folder` holds a run, is written to by another one or is a diffusers folder, if `change` changes the net or
        its schedule, if there is no such data set, or if the net has labels but no unconditional class. And as in
        `load`.
    FileNotFoundError
        If there is no such source, or a file of it is missing.
    """
    with taken(folder, say) as lock:
        if history.holds_run(folder):
            raise ValueError(f"{folder} already holds a run: name another folder")
        if diffusers.is_folder(folder):
            raise ValueError(f"{folder} is a diffusers folder: name another one for the run")
        net, config = _imported(source, preset, change, say)
        checkpoint.save(history.path_of(folder, 0), Trainer(net, config.diffusion.build()), config)
        lock.release()
    return net


def _imported(source: str | Path, preset: str | None, change: Callable[[Config], Config],
              say: Callable[[str], Any]) -> tuple[UNet, Config]:
    """Return a trained net and the configuration to train it with."""
    opened = load(source, say=say)
    net, given = opened.ema.model, opened.config
    if net.config.num_classes is not None and opened.no_label is None:
        raise ValueError(f"{source} is a net with labels and without an unconditional class, which training here needs")
    if preset is not None or given.training.dataset == UNKNOWN:
        given = Config.of_net(net.config, given.diffusion, preset or "cifar10")
    config = change(given)
    config = config.replace(dataset=located(config.training.dataset))
    if (config.model, config.diffusion) != (given.model, given.diffusion):
        raise ValueError(f"model and diffusion are fixed by {source}: change only values of [training]")
    dataset = config.training.dataset
    if not (dataset in names() or dataset.startswith(FOLDER) or dataset.lower().endswith(FILES)):
        raise ValueError(f"no data set is called {dataset!r}: there are {', '.join(names())}, folder:PATH and FILE.npz")
    return net, config
