"""A run on disk: one safetensors file, written whole or not at all.

Tensors are named ``model/…`` (weights), ``ema/…`` (their average), ``adam.m/…`` and ``adam.v/…`` (moments). The
metadata holds the configuration, the step, the package's version, and a SHA-256 over all of it and every tensor.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import __version__
from ddpm_np.backend import to_host
from ddpm_np.config import Config
from ddpm_np.storage import digest, safetensors_pieces, write_atomically
from ddpm_np.training.trainer import Trainer

FORMAT = "ddpm_np checkpoint 1"
PATTERN = "checkpoint-*.safetensors"


class CheckpointError(ValueError):
    """A file that is no checkpoint, or a damaged one."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: the run's configuration, how many steps and updates it took, and the tensors by name."""

    config: Config
    step: int
    updates: int
    unlogged: tuple[float, float, int]
    tensors: dict[str, np.ndarray]

    def weights(self, which: str) -> dict[str, np.ndarray]:
        """The tensors of ``"model"`` or ``"ema"`` under the model's own names."""
        return {k.removeprefix(f"{which}/"): v for k, v in self.tensors.items() if k.startswith(f"{which}/")}


def save(path: str | Path, trainer: Trainer, config: Config, loss: float = float("inf")) -> None:
    """Write the run to `path`, with the last logged loss, by which the best is known. The same run, the same bytes."""
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
    metadata["sha256"] = digest(metadata, tensors)
    write_atomically(Path(path), safetensors_pieces(tensors, metadata))


def _groups(trainer: Trainer) -> dict[str, Any]:
    """The flat arrays of a run by the first part of their tensors' names."""
    return {"model": trainer.flat.data, "ema": trainer.ema.data, "adam.m": trainer.adam.m, "adam.v": trainer.adam.v}


def read(path: str | Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is no checkpoint of ours, or not the one that was written.
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
                          (float.fromhex(loss), float.fromhex(norm), int(count)), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was written by another version of ddpm_np, or by hand ({error})") from error


def restore(trainer: Trainer, saved: Checkpoint) -> None:
    """Put a trainer where the saved run was: weights, average, moments, step. It goes on bit for bit."""
    names = [name for name, _ in trainer.model.named_parameters()]
    adam, xp = trainer.adam, trainer.backend.xp
    expected = {f"{group}/{name}": tuple(p.shape) for group in _groups(trainer)
                for name, p in trainer.model.named_parameters()}
    if {name: array.shape for name, array in saved.tensors.items()} != expected:
        raise CheckpointError("the checkpoint's tensors are not those of the net that its configuration describes")
    for group, array in _groups(trainer).items():
        for name, view in zip(names, trainer.flat.views(array), strict=True):
            view[...] = trainer.backend.to_device(saved.tensors[f"{group}/{name}"])
    adam.updates = xp.asarray(float(saved.updates), dtype=xp.float64)
    trainer.steps = saved.step
    loss, norm, count = saved.unlogged
    trainer.unlogged = xp.asarray(loss, dtype=xp.float64), xp.asarray(norm, dtype=xp.float64), count


def path_of(folder: str | Path, step: int) -> Path:
    """Where the checkpoint of a step lies in a run's folder."""
    return Path(folder) / f"checkpoint-{step:08d}.safetensors"


def keep_last(folder: str | Path, count: int) -> None:
    """Delete all but the newest `count` checkpoints of a run and the one with the least loss; and what kills left."""
    paths = sorted(Path(folder).glob(PATTERN))
    losses = {path: _loss_of(path) for path in paths}
    best = [path for path in paths if losses[path] == min(losses.values()) < float("inf")][:1]
    for path in [*(path for path in paths[:-count] if path not in best), *Path(folder).glob(f".{PATTERN}.*.tmp")]:
        path.unlink()


def _loss_of(path: Path) -> float:
    """The loss that a checkpoint's metadata names; infinite for a file that does not say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return float((file.metadata() or {})["loss"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return float("inf")


def newest(folder: str | Path, say: Callable[[str], Any] = lambda line: None) -> Checkpoint:
    """The newest checkpoint of a run that can be read; `say` is told of each one that cannot.

    Raises
    ------
    FileNotFoundError, CheckpointError
        If there is none, or none can be read.
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
