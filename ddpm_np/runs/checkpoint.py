"""Checkpoints: the whole state of a run in one safetensors file, written atomically.

Tensors are named ``model/…`` (weights), ``ema/…`` (their moving average), ``adam.m/…`` and ``adam.v/…`` (Adam's
moments). The metadata holds the configuration, the step, the package's version, and a SHA-256 of the metadata and all
tensors. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import __version__, trained
from ddpm_np.backend import Array, to_host
from ddpm_np.config import Config
from ddpm_np.storage import digest, safetensors_pieces, write_atomically
from ddpm_np.training.trainer import Trainer

FORMAT = "ddpm_np checkpoint 1"
WEIGHTS = "ddpm_np weights 1"  # the format of `runs.weights`: no state to continue from


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
    data : dict
        The `data.identity` of the data that the run is trained on; empty if it is not known.
    """

    config: Config
    step: int
    updates: int
    unlogged: tuple[float, float, int]
    tensors: dict[str, np.ndarray]
    loss: float = float("inf")
    counts: dict[str, int] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

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


def save(path: str | Path, trainer: Trainer, config: Config, loss: float = float("inf"),
         data: dict[str, Any] | None = None) -> None:
    """Write a checkpoint of a run; the same run gives the same bytes.

    Parameters
    ----------
    path : str or Path
        The file; see `history.path_of`.
    trainer : Trainer
        The state of the run.
    config : Config
        Its configuration.
    loss : float
        The last logged loss, by which `history.keep_last` finds the best checkpoint.
    data : dict or None
        The `data.identity` of the run's data.

    Raises
    ------
    OSError
        If the file cannot be written. What it held before is still there.
    """
    names, xp = [name for name, _ in trainer.model.named_parameters()], trainer.backend.xp
    tensors = {
        f"{group}/{name}": view
        for group, array in _groups(trainer).items()
        for name, view in zip(names, trainer.flat.views(to_host(array)), strict=True)
    }
    *sums, count = trainer.unlogged
    numbers = [xp.asarray(x) for x in (*sums, trainer.adam.updates, *trainer.adam.counts)]
    unlogged, norm, *updates = to_host(xp.stack(numbers)).tolist()  # one copy, since each waits for the device
    made, *own_updates = map(int, updates)
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "config": json.dumps(config.to_dict(), sort_keys=True),
        "step": str(trainer.steps),
        "updates": str(made),
        "loss": repr(float(loss)),
        "unlogged": f"{unlogged.hex()} {norm.hex()} {count}",
    }
    if data:
        metadata["data"] = json.dumps(data, sort_keys=True)
    own = {name: own_updates[group] for name, group in zip(names, trainer.adam.groups, strict=True)}
    if set(own.values()) != {made}:  # parameters that were frozen for some updates
        metadata["counts"] = json.dumps({name: count for name, count in own.items() if count != made})
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
    OSError
        If it cannot be read, for want of permission for example.
    CheckpointError
        If it is not a checkpoint of this package, or has changed since it was written.
    """
    metadata, tensors = read_verified(path, FORMAT)
    try:
        config = Config.from_dict(json.loads(metadata["config"]))
        loss, norm, count = metadata["unlogged"].split()
        return Checkpoint(config, int(metadata["step"]), int(metadata["updates"]),
                          (float.fromhex(loss), float.fromhex(norm), int(count)), tensors,
                          float(metadata.get("loss", "inf")),
                          {name: int(count) for name, count in dict(json.loads(metadata.get("counts", "{}"))).items()},
                          dict(json.loads(metadata.get("data", "{}"))))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was written by another version of ddpm_np, or by hand ({printable(error)})"
                              ) from error


def read_verified(path: str | Path, wanted: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Read a safetensors file of one of this package's formats and verify its SHA-256.

    Parameters
    ----------
    path : str or Path
        The file.
    wanted : str
        The format that its metadata must name.

    Returns
    -------
    metadata : dict of str to str
        By name, without the SHA-256.
    tensors : dict of str to array
        By name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read.
    CheckpointError
        If it is of another format, or has changed since it was written.
    """
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    found = metadata.get("format", "")
    if found == WEIGHTS != wanted:
        raise CheckpointError(f"{path} holds averaged weights alone, not the state of a run: start a run from them "
                              f"with ddpm-np import {path} --out DIR")
    if found != wanted:
        raise CheckpointError(f"{path} was not written by ddpm_np: its format is {found[:40]!r}")
    if metadata.pop("sha256", None) != digest(metadata, tensors):
        raise CheckpointError(f"{path} has changed since it was written (its SHA-256 differs): use another checkpoint")
    return metadata, tensors


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read a checkpoint's metadata alone, which takes no time for a large net.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict of str to str
        By name; empty if the file has none. The SHA-256 is not verified.

    Raises
    ------
    OSError
        If it cannot be read.
    CheckpointError
        If it is not a whole safetensors file.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """Open a safetensors file, whose size must be what its header says; nothing but the header is read."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():  # a link to nothing, a folder or a pipe is none either
        raise no_checkpoint("at", path)
    with open(path, "rb"):
        pass  # an error of the operating system's own, which names the file
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error}): use another checkpoint") from error
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({printable(error)}): use another checkpoint"
                              ) from error


def printable(error: Exception) -> str:
    """Return an error's message as one short line, though it may quote any bytes of a damaged file.

    Parameters
    ----------
    error : Exception
        The error.

    Returns
    -------
    str
        Printable characters, 300 at most.
    """
    text = "".join(letter if letter.isprintable() else "?" for letter in str(error))
    return text if len(text) <= 300 else f"{text[:300]}…"


def no_checkpoint(where: str, path: str | Path) -> FileNotFoundError:
    """Return the error for a file or folder without a checkpoint.

    Parameters
    ----------
    where : {"at", "in"}
        Whether the path is a file's or a folder's.
    path : str or Path
        The path.

    Returns
    -------
    FileNotFoundError
        To be raised.
    """
    what, names = f"no checkpoint {where} {path}", trained.names()
    if str(path) in names:
        return FileNotFoundError(f"{what}: {path} is a trained net of the package, not a run: sample from it by this "
                                 f"name, or start a run from it with ddpm-np import {path} --out DIR")
    near = (get_close_matches(str(path), [*names, *_openable_near(Path(path))], 1, 0.7)
            or get_close_matches(Path(path).name, names, 1, 0.7))
    advice = f"did you mean {near[0]}? Else " if near else ""
    return FileNotFoundError(f"{what}: {advice}train one with ddpm-np train --out DIR, or name a folder of published "
                             f"weights or a trained net of the package ({', '.join(names)})")


def _openable_near(path: Path) -> list[str]:
    """Return checkpoints, runs and folders of published weights beside a path, and in the folder runs."""
    found = []
    for place in sorted({*path.parent.glob("*"), *Path("runs").glob("*")} - {path}):
        with contextlib.suppress(OSError):  # a folder that may not be read
            if (place.suffix == ".safetensors" or (place / "model_index.json").is_file()
                    or any(place.glob("checkpoint-*.safetensors"))):
                found.append(str(place))
    return found


def restore(trainer: Trainer, saved: Checkpoint) -> None:
    """Put a trainer in the state of a saved run: weights, average, moments, step.

    Training continues bit for bit; on a GPU, up to rounding.

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
    found = {name: array.shape for name, array in saved.tensors.items()}
    if found != expected or not saved.counts.keys() <= set(names):
        raise CheckpointError("the checkpoint's tensors are not those of the net that its configuration describes")
    for group, array in _groups(trainer).items():
        array[...] = trainer.backend.to_device(np.concatenate([saved.tensors[f"{group}/{name}"].ravel()
                                                               for name in names]))
    adam.set_counts(saved.updates, {names.index(name): count for name, count in saved.counts.items()})
    trainer.steps = saved.step
    loss, norm, count = saved.unlogged
    trainer.unlogged = xp.full((), loss, dtype=xp.float64), xp.full((), norm, dtype=xp.float64), count
