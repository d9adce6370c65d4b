"""Published weights as a run that can be trained further."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.config import Config
from ddpm_np.data import located, names
from ddpm_np.data.identity import FILES, FOLDER
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint, history
from ddpm_np.runs.lock import taken
from ddpm_np.training.trainer import Trainer


def import_run(source: str | Path, folder: str | Path, preset: str = "cifar10",
               change: Callable[[Config], Config] = lambda recipe: recipe,
               say: Callable[[str], Any] = warnings.warn) -> UNet:
    """Import a diffusers checkpoint as a run you can keep training.

    The run is at step 0, with the published weights as weights and as their average, and with Adam's moments zero.
    Train it with ``Run.resume(folder)``. To sample from published weights, this is not needed: `load` opens them.

    Parameters
    ----------
    source : str or Path
        A diffusers folder: a pipeline or a net.
    folder : str or Path
        The folder of the run.
    preset : str
        The preset whose recipe the run is trained by.
    change : callable
        Returns the run's configuration, given the preset's with this net: to name another data set, for example.
    say : callable
        Called with a line if the folder cannot be locked.

    Returns
    -------
    UNet
        The net.

    Raises
    ------
    ValueError
        If `folder` holds a run, is written to by another one or is a diffusers folder, if `change` changes the net or
        its schedule, if there is no such data set, or if the net has labels but no unconditional class. And as in
        `interop.diffusers`.
    FileNotFoundError
        If a file of the source is missing.
    """
    with taken(folder, say) as lock:
        if history.holds_run(folder):
            raise ValueError(f"{folder} already holds a run: name another folder")
        if diffusers.is_folder(folder):
            raise ValueError(f"{folder} is a diffusers folder: name another one for the run")
        net, config = _imported(source, preset, change)
        checkpoint.save(history.path_of(folder, 0), Trainer(net, config.diffusion.build()), config)
        lock.release()
    return net


def _imported(source: str | Path, preset: str, change: Callable[[Config], Config]) -> tuple[UNet, Config]:
    """Return a published net and the configuration to train it with."""
    net, diffusion = diffusers.load_pipeline(source)
    if net.config.num_classes is not None:
        raise ValueError(f"{source} is a net with labels and without an unconditional class, which training here needs")
    config = change(Config.of_net(net.config, diffusion, preset))
    config = config.replace(dataset=located(config.training.dataset))
    if (config.model, config.diffusion) != (net.config, diffusion):
        raise ValueError(f"model and diffusion are fixed by {source}: change only values of [training]")
    dataset = config.training.dataset
    if not (dataset in names() or dataset.startswith(FOLDER) or dataset.lower().endswith(FILES)):
        raise ValueError(f"no data set is called {dataset!r}: there are {', '.join(names())}, folder:PATH and FILE.npz")
    return net, config
