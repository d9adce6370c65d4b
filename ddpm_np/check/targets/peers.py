"""Helpers for targets of PyTorch libraries: imports, conversion of arrays, grouping by t."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np


def imported(module: str, package: str) -> Any:
    """Import a library's module without its warnings.

    Parameters
    ----------
    module : str
        Name of the module.
    package : str
        Name of the library, for the message.

    Returns
    -------
    module
        The module.

    Raises
    ------
    ImportError
        If the library, or PyTorch, is not installed, with a message of one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{package} is not installed: pip install 'ddpm_np[peers]' ({error})") from error


def tensor(values: Any) -> Any:
    """Convert an array to a PyTorch tensor of the same dtype."""
    return importlib.import_module("torch").from_numpy(np.array(values))


def array(values: Any) -> np.ndarray:
    """Return a copy of a tensor or an array, as an array."""
    return np.array(values.detach().numpy() if hasattr(values, "detach") else values)


def images(values: np.ndarray) -> Any:
    """Convert an array of any rank up to four to a PyTorch tensor of images (N, C, H, W)."""
    return tensor(values.reshape(values.shape + (1,) * (4 - values.ndim)))


def by_step(t: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (step, mask of the images at it), for functions that take one step for a whole batch."""
    for step in np.unique(t):
        yield int(step), t == step
