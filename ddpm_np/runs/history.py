"""The checkpoints in a run's folder: their names, which is the newest, and which are kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ddpm_np.runs.checkpoint import FORMAT, Checkpoint, CheckpointError, no_checkpoint, read, read_metadata
from ddpm_np.storage import remove_leftovers

PATTERN = "checkpoint-*.safetensors"
_NAME = re.compile(r"checkpoint-[0-9]{8,18}\.safetensors")  # others, such as checkpoint-best, are the user's own


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
    return bool(listed(folder))


def listed(folder: str | Path) -> list[Path]:
    """List what bears a checkpoint's name in a run's folder.

    Parameters
    ----------
    folder : str or Path
        The folder, which need not exist.

    Returns
    -------
    list of Path
        By the step in the name, the highest first. Damaged files, folders and links to nothing are among them.
    """
    found = [path for path in Path(folder).glob(PATTERN) if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def keep_last(folder: str | Path, count: int, saved: Path, damaged: Collection[Path] = (),
              say: Callable[[str], Any] = lambda line: None) -> None:
    """Delete old checkpoints of a run after a new one was saved, and temporary files of killed processes.

    What cannot be read takes no place among those kept. To know that, the headers and sizes are read, not all tensors,
    which would take as long as saving. Deleted are only files of lower steps than the new one's: old checkpoints and
    damaged ones. Folders, links to nothing and files that are not readable at the moment stay.

    Parameters
    ----------
    folder : str or Path
        The run's folder. Only the process that holds its lock may call this.
    count : int
        Checkpoints to keep: the newest ones up to `saved`. The one with the least logged loss is kept as well.
    saved : Path
        The checkpoint that was just saved, which always stays.
    damaged : collection of Path
        Files that are known to be damaged, though their headers are not.
    say : callable
        Called with a line for each file that cannot be deleted.
    """
    remove_leftovers(folder, say=say)
    older = [path for path in listed(folder) if _step_of(path) < _step_of(saved)]
    try:
        losses, left = {saved: _loss_of(saved)}, set()
    except (CheckpointError, OSError) as error:
        say(f"{saved} was written but cannot be read, so older checkpoints are not deleted: {error}")
        return
    for path in older:
        try:
            if path in damaged:
                raise CheckpointError
            losses[path] = _loss_of(path)
        except CheckpointError:
            pass  # to be deleted: a newer one was saved
        except OSError:
            left.add(path)
    best = min(reversed(losses), key=lambda path: losses[path])
    kept = {*list(losses)[:count], *([best] if losses[best] < float("inf") else [])}
    for path in older:
        if path not in kept | left:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                say(f"{path} is no longer needed and cannot be deleted ({error.strerror}): delete it yourself")


def _loss_of(path: Path) -> float:
    """Return the loss in a checkpoint's metadata; infinity if it has none."""
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT or metadata.get("step") != str(_step_of(path)):
        raise OSError(f"{path} is not the checkpoint that its name says")  # but not damaged either: it stays
    try:
        loss = float(metadata.get("loss", "inf"))
    except ValueError as error:
        raise CheckpointError(f"{path} has no number as its loss") from error
    return loss if loss == loss else float("inf")


def newest(folder: str | Path, say: Callable[[str], Any] = lambda line: None,
           passed: Callable[[Path], Any] = lambda path: None) -> Checkpoint:
    """Read the newest checkpoint of a run that is not damaged.

    A training run may save and delete checkpoints in the meantime: if one is gone when it is read, the folder is
    listed again.

    Parameters
    ----------
    folder : str or Path
        The run's folder.
    say : callable
        Called with a line for each checkpoint that is skipped: a damaged or unreadable file, a folder, a link to
        nothing.
    passed : callable
        Called with the path of each damaged file that is skipped.

    Returns
    -------
    Checkpoint
        Its content.

    Raises
    ------
    FileNotFoundError
        If the folder has no checkpoint.
    CheckpointError
        If none of them can be read.
    """
    tried: set[Path] = set()
    unread = 0
    while paths := [path for path in listed(folder) if path not in tried]:
        for path in paths:
            tried.add(path)
            try:
                saved = read(path)
            except CheckpointError as error:
                passed(path)
                problem = str(error)
            except OSError as error:
                if not os.path.lexists(path):
                    say(f"{path} was deleted by a training run before it was read")
                    break  # because a newer one was saved
                what = ("it is a folder" if path.is_dir() else "it is a link to nothing" if path.is_symlink()
                        else error.strerror or str(error))
                problem = f"{path} cannot be read ({what}): use another checkpoint"
            else:
                if saved.step == _step_of(path):
                    return saved
                problem = f"{path} is the checkpoint of step {saved.step:,}: rename it to {path_of('', saved.step)}"
            unread += 1
            say(problem)
    if not unread:
        raise no_checkpoint("in", folder)
    raise CheckpointError(f"none of the {unread} checkpoints in {folder} can be read")
