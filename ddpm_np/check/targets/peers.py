"""What the targets of PyTorch libraries share: importing them, arrays there and back."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np


def imported(module: str, package: str) -> Any:
    """A library's module.

    Raises
    ------
    ImportError
        In one line, where the library, or PyTorch, is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{package} is not installed: pip install 'ddpm_np[peers]' ({error})") from error


def tensor(values: Any) -> Any:
    """A PyTorch tensor of an array, of the same dtype."""
    return importlib.import_module("torch").from_numpy(np.array(values))


def by_step(t: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(step, which images are at it): for functions that take one step for a whole batch."""
    for step in np.unique(t):
        yield int(step), t == step
