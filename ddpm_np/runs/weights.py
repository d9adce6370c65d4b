"""Files of averaged weights alone, in half precision: an eighth of a checkpoint of the same net.

The tensors have the names that the net gives them. The metadata hold the configuration (and with it the schedule and
the unconditional class), the step, licence, credit and figures, and a SHA-256 of the metadata and all tensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import __version__
from ddpm_np.backend import Array, to_host
from ddpm_np.config import Config
from ddpm_np.runs.checkpoint import WEIGHTS, CheckpointError, printable, read_verified
from ddpm_np.storage import digest, safetensors_pieces, write_atomically


@dataclass(frozen=True)
class Weights:
    """The content of a file of weights.

    Attributes
    ----------
    config : Config
        The configuration of the run that the weights come from.
    step : int
        Training steps that the run had taken.
    tensors : dict of str to float16 array
        The averaged weights, by the names that the net gives them.
    licence : str
        The licence of the weights.
    credit : str
        The data that they were trained on, and their licence.
    figures : dict
        Measured qualities, as the script that trained the net wrote them.
    """

    config: Config
    step: int
    tensors: dict[str, np.ndarray]
    licence: str
    credit: str
    figures: dict[str, Any]


def halved(weights: dict[str, Array]) -> dict[str, np.ndarray]:
    """Round weights to half precision.

    Parameters
    ----------
    weights : dict of str to array
        By name.

    Returns
    -------
    dict of str to float16 array
        The nearest half-precision numbers.

    Raises
    ------
    ValueError
        If a weight is not finite, or is beyond ±65,504, the range of half precision.

    Examples
    --------
    >>> halved({"w": np.array([1 / 3])})["w"].astype(np.float64).round(6)
    array([0.333252])
    """
    with np.errstate(over="ignore"):
        rounded = {name: to_host(array).astype(np.float16) for name, array in weights.items()}
    for name, array in rounded.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has values beyond ±65,504 or not finite, which half precision cannot hold: keep "
                             "the checkpoint instead")
    return rounded


def save(path: str | Path, weights: Weights) -> None:
    """Write a file of weights, atomically; the same weights give the same bytes.

    Parameters
    ----------
    path : str or Path
        The file.
    weights : Weights
        Its content.

    Raises
    ------
    OSError
        If the file cannot be written. What it held before is still there.
    """
    metadata = {
        "format": WEIGHTS,
        "version": __version__,
        "config": json.dumps(weights.config.to_dict(), sort_keys=True),
        "step": str(weights.step),
        "licence": weights.licence,
        "credit": weights.credit,
        "figures": json.dumps(weights.figures, sort_keys=True),
    }
    metadata["sha256"] = digest(metadata, weights.tensors)
    write_atomically(Path(path), safetensors_pieces(weights.tensors, metadata))


def read(path: str | Path) -> Weights:
    """Read a file of weights and verify its SHA-256.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Weights
        Its content.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read.
    CheckpointError
        If it holds something else, or has changed since it was written.
    """
    metadata, tensors = read_verified(path, WEIGHTS)
    try:
        return Weights(Config.from_dict(json.loads(metadata["config"])), int(metadata["step"]), tensors,
                       metadata["licence"], metadata["credit"], dict(json.loads(metadata["figures"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was written by another version of ddpm_np, or by hand ({printable(error)})"
                              ) from error
