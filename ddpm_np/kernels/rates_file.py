"""The file of a machine's rates, in the user's cache folder: what it was measured on, and numbers by name.

A file holds for one processor model and one set of instructions, which its name gives; and for the BLAS and the NumPy
with which it was written, which stand in it. Any other is not used.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.kernels import processor
from ddpm_np.storage import cache_folder, write_atomically

VARIABLE = "DDPM_NP_RATES"
IGNORE = "default"  # its value that has the file ignored


class UnusableError(ValueError):
    """The file of rates cannot be used; the message says why."""


def key() -> dict[str, str]:
    """Return what rates hold for: the processor's model, its set of instructions as NumPy uses it, BLAS and NumPy.

    Returns
    -------
    dict of str to str
    """
    return {"cpu": processor.cpu(), "simd": processor.simd_of(processor.numpy_features()), "blas": processor.blas(),
            "numpy": np.__version__}


def is_ignored() -> bool:
    """Return whether the environment says to use no file."""
    return os.environ.get(VARIABLE) == IGNORE


def path(key: Mapping[str, str]) -> Path:
    """Return the file for a key.

    Parameters
    ----------
    key : mapping of str to str
        As `key` returns it.

    Returns
    -------
    Path
        It may not exist.

    Raises
    ------
    ValueError
        If the user has no home folder, and XDG_CACHE_HOME is not set.
    """
    folder = cache_folder()
    if folder is None:
        raise ValueError("there is no home folder to keep rates in: set XDG_CACHE_HOME to a folder")
    words = (re.sub(r"[^a-z0-9]+", "-", key[name].lower()).strip("-")[:80] for name in ("cpu", "simd"))
    return folder / f"rates-{'-'.join(words)}.json"


def read(limits: Mapping[str, tuple[float, float]]) -> dict[str, Any] | None:
    """Return the numbers in the file for this machine, by name; None where there is none, or it is to be ignored.

    Without any file of rates in the folder nothing is asked of the machine.

    Parameters
    ----------
    limits : mapping of str to (float, float)
        The least and the most of each number that is expected. Where both are ints, so is the number.

    Returns
    -------
    dict or None

    Raises
    ------
    UnusableError
        If the file cannot be read, holds for another BLAS or NumPy, or has a number that is out of range.
    """
    folder = cache_folder()
    if is_ignored() or folder is None or not any(folder.glob("rates-*.json")):
        return None
    here = key()
    file = path(here)
    try:
        found = json.loads(file.read_bytes())
        there, numbers = dict(found["key"]), dict(found["rates"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableError(f"{file} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnusableError(f"{file} is damaged") from error
    for name, value in here.items():
        if there.get(name) != value:
            raise UnusableError(f"{file} was measured with {name} {there.get(name)}, and here it is {value}")
    for name, (least, most) in limits.items():
        number, kinds = numbers.get(name), int if isinstance(least, int) else (int, float)
        if not isinstance(number, kinds) or not least <= number <= most:
            raise UnusableError(f"{file} has {name} = {number!r}, expected a number from {least:g} to {most:g}")
    return {name: numbers[name] for name in limits}


def write(numbers: Mapping[str, Any]) -> Path:
    """Write the file for this machine.

    Parameters
    ----------
    numbers : mapping of str to number
        The rates by name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is no folder for it.
    OSError
        If it cannot be written.
    """
    here = key()
    file = path(here)
    write_atomically(file, [(json.dumps({"key": here, "rates": dict(numbers)}, indent=1) + "\n").encode()])
    return file
