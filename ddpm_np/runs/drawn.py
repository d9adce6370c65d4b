"""Files of generated images: bytes in a ``.npz``, with a note of what they were drawn from."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data import to_levels
from ddpm_np.runs.load import TrainedNet
from ddpm_np.sampling import Sampler
from ddpm_np.storage import write_atomically


def note_of(net: TrainedNet, sampler: Sampler, **options: Any) -> dict[str, Any]:
    """Return a note of what images are drawn from.

    Parameters
    ----------
    net : TrainedNet
        The net.
    sampler : Sampler
        The chain and its steps.
    **options
        Other options of `sample`, such as weights and seed. Those that are None are left out.

    Returns
    -------
    dict
        Plain values by name.
    """
    values = {"step": net.step, "T": net.schedule.T, "sampler": sampler.name,
              "steps": len(sampler.visits(net.schedule.T)), **options}
    return {name: value for name, value in values.items() if value is not None}


def save_drawn(path: str | Path, images: np.ndarray, note: Mapping[str, Any]) -> None:
    """Write generated images with a note of what they are.

    Parameters
    ----------
    path : str or Path
        The ``.npz`` file. Its array ``images`` holds bytes, as `data.open_dataset` reads them.
    images : array of shape (N, …, H, W, C)
        Images in [−1, 1].
    note : mapping of str to str, int or float
        What they were drawn from: weights, step, sampler, seed.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_drawn(f"{folder}/a.npz", np.zeros((2, 8, 8, 1)), {"weights": "ema"})
    ...     read_note(f"{folder}/a.npz")
    {'weights': 'ema'}
    """
    content = io.BytesIO()
    np.savez_compressed(content, images=to_levels(images), drawn=np.array(json.dumps(dict(note))))
    write_atomically(Path(path), [content.getbuffer()])


def read_note(path: str | Path) -> dict[str, Any]:
    """Return what a file's images were drawn from.

    Parameters
    ----------
    path : str or Path
        A ``.npz`` file whose images can be read.

    Returns
    -------
    dict
        The note that `save_drawn` wrote; empty if the file has none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = json.loads(str(file["drawn"]))
    except (KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
