"""Checkpoints: the whole state of a run in one safetensors file, written atomically.

Tensors are named ``model/…`` (weights), ``ema/…`` (their moving average), ``adam.m/…`` and ``adam.v/…`` (Adam's
moments). The metadata holds the configuration, the step, the package's version, and a SHA-256 of the metadata and all
tensors. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import __version__
from ddpm_np.backend import Array, to_host
from ddpm_np.config import Config
from ddpm_np.storage import digest, safetensors_pieces, write_atomically
from ddpm_np.training.trainer import Trainer

FORMAT = "ddpm_np checkpoint 1"
PATTERN = "checkpoint-*.safetensors"


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or is a damaged one."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes
    ----------
    config : Config
        The run's configuration.
    step : int
        Training steps taken.
    updates : int
        Updates of the weights; fewer than `step` if a gradient was not finite.
    unlogged : tuple of (float, float, int)
        Loss and gradient norm summed over the steps since the last record, and the number of those steps.
    tensors : dict of str to array
        All tensors, by the names in the file.
    loss : float
        The last logged loss; infinite if there is none.
    counts : dict of str to int
        The updates of single parameters by name, of those that were frozen for some; empty if none was.
    """

    config: Config
    step: int
    updates: int
    unlogged: tuple[float, float, int]
    tensors: dict[str, np.ndarray]
    loss: float = float("inf")
    counts: dict[str, int] = field(default_factory=dict)

    def weights(self, which: str) -> dict[str, np.ndarray]:
        """Return the weights of a net by the names that the net itself gives them.

        Parameters
        ----------
        which : {"model", "ema"}
            The weights after the last step, or their average.

        Returns
        -------
        dict of str to array
            As `Module.load_state_dict` takes them.
        """
        return {k.removeprefix(f"{which}/"): v for k, v in self.tensors.items() if k.startswith(f"{which}/")}


def save(path: str | Path, trainer: Trainer, config: Config, loss: float = float("inf")) -> None:
    """Write a checkpoint of a run; the same run gives the same bytes.

    Parameters
    ----------
    path : str or Path
        The file; see `path_of`.
    trainer : Trainer
        The state of the run.
    config : Config
        Its configuration.
    loss : float
        The last logged loss, by which `keep_last` finds the best checkpoint.

    Raises
    ------
    OSError
        If the file cannot be written. What it held before is still there.
    """
    names = [name for name, _ in trainer.model.named_parameters()]
    tensors = {
        f"{group}/{name}": to_host(view)
        for group, array in _groups(trainer).items()
        for name, view in zip(names, trainer.flat.views(array), strict=True)
    }
    unlogged, norm, count = trainer.unlogged
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "config": json.dumps(config.to_dict(), sort_keys=True),
        "step": str(trainer.steps),
        "updates": str(int(to_host(trainer.adam.updates))),
        "loss": repr(float(loss)),
        "unlogged": f"{float(to_host(unlogged)).hex()} {float(to_host(norm)).hex()} {count}",
    }
    updates = [int(to_host(count)) for count in trainer.adam.counts]
    own = {name: updates[group] for name, group in zip(names, trainer.adam.groups, strict=True)}
    if set(own.values()) != {int(metadata["updates"])}:  # parameters that were frozen for some updates
        metadata["counts"] = json.dumps({name: count for name, count in own.items()
                                         if count != int(metadata["updates"])})
    metadata["sha256"] = digest(metadata, tensors)
    write_atomically(Path(path), safetensors_pieces(tensors, metadata))


def _groups(trainer: Trainer) -> dict[str, Array]:
    """Return a run's flat arrays by the first part of their tensors' names."""
    return {"model": trainer.flat.data, "ema": trainer.ema.data, "adam.m": trainer.adam.m, "adam.v": trainer.adam.v}


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint and verify its SHA-256.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Checkpoint
        Its content.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is not a checkpoint of this package, or has changed since it was written.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: train one with ddpm-np train --out DIR, or name a "
                                "folder of published weights")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): use another checkpoint") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by ddpm_np: its format is {metadata.get('format')!r}")
    if metadata.pop("sha256", None) != digest(metadata, tensors):
        raise CheckpointError(f"{path} has changed since it was written (its SHA-256 differs): use another checkpoint")
    try:
        config = Config.from_dict(json.loads(metadata["config"]))
        loss, norm, count = metadata["unlogged"].split()
        return Checkpoint(config, int(metadata["step"]), int(metadata["updates"]),
                          (float.fromhex(loss), float.fromhex(norm), int(count)), tensors,
                          float(metadata.get("loss", "inf")),
                          {name: int(count) for name, count in json.loads(metadata.get("counts", "{}")).items()})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was written by another version of ddpm_np, or by hand ({error})") from error


def restore(trainer: Trainer, saved: Checkpoint) -> None:
    """Put a trainer in the state of a saved run: weights, average, moments, step. Training continues bit for bit.

    Parameters
    ----------
    trainer : Trainer
        A new trainer of the same configuration; changed in place.
    saved : Checkpoint
        The state.

    Raises
    ------
    CheckpointError
        If the tensors are not those of the trainer's net.
    """
    names = [name for name, _ in trainer.model.named_parameters()]
    adam, xp = trainer.adam, trainer.backend.xp
    expected = {f"{group}/{name}": tuple(p.shape) for group in _groups(trainer)
                for name, p in trainer.model.named_parameters()}
    if {name: array.shape for name, array in saved.tensors.items()} != expected:
        raise CheckpointError("the checkpoint's tensors are not those of the net that its configuration describes")
    for group, array in _groups(trainer).items():
        for name, view in zip(names, trainer.flat.views(array), strict=True):
            view[...] = trainer.backend.to_device(saved.tensors[f"{group}/{name}"])
    adam.set_counts(saved.updates, {names.index(name): count for name, count in saved.counts.items()})
    trainer.steps = saved.step
    loss, norm, count = saved.unlogged
    trainer.unlogged = xp.asarray(loss, dtype=xp.float64), xp.asarray(norm, dtype=xp.float64), count


def path_of(folder: str | Path, step: int) -> Path:
    """Return the path of a step's checkpoint in a run's folder.

    Parameters
    ----------
    folder : str or Path
        The run's folder.
    step : int
        Training steps taken.

    Returns
    -------
    Path
        The file, which need not exist.

    Examples
    --------
    >>> path_of("runs/digits", 200).name
    'checkpoint-00000200.safetensors'
    """
    return Path(folder) / f"checkpoint-{step:08d}.safetensors"


def holds_run(folder: str | Path) -> bool:
    """Return whether a folder has checkpoints.

    Parameters
    ----------
    folder : str or Path
        The folder, which need not exist.

    Returns
    -------
    bool
        True also if all of them are damaged.
    """
    return any(Path(folder).glob(PATTERN))


def keep_last(folder: str | Path, count: int) -> None:
    """Delete old checkpoints of a run, and temporary files of killed saves.

    Parameters
    ----------
    folder : str or Path
        The run's folder.
    count : int
        Checkpoints to keep: the newest ones. The one with the least logged loss is kept as well.
    """
    paths = sorted(Path(folder).glob(PATTERN))
    losses = {path: _loss_of(path) for path in paths}
    best = [path for path in paths if losses[path] == min(losses.values()) < float("inf")][:1]
    for path in [*(path for path in paths[:-count] if path not in best), *Path(folder).glob(f".{PATTERN}.*.tmp")]:
        path.unlink()


def _loss_of(path: Path) -> float:
    """Return the loss in a checkpoint's metadata; infinity if it has none or cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return float((file.metadata() or {})["loss"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return float("inf")


def newest(folder: str | Path, say: Callable[[str], Any] = lambda line: None) -> Checkpoint:
    """Read the newest checkpoint of a run that is not damaged.

    Parameters
    ----------
    folder : str or Path
        The run's folder.
    say : callable
        Called with a line for each damaged checkpoint that is skipped.

    Returns
    -------
    Checkpoint
        Its content.

    Raises
    ------
    FileNotFoundError
        If the folder has no checkpoint.
    CheckpointError
        If all of them are damaged.
    """
    paths = sorted(Path(folder).glob(PATTERN), reverse=True)
    if not paths:
        raise FileNotFoundError(f"no checkpoint in {folder}: train one with ddpm-np train --out DIR, or name a "
                                "folder of published weights")
    for path in paths:
        try:
            return read(path)
        except CheckpointError as error:
            say(str(error))
    raise CheckpointError(f"none of the {len(paths)} checkpoints in {folder} can be read")
