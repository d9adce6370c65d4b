"""Trained nets in the package: a safetensors file each, found by its name; docs/trained-digits.md has their figures."""

from __future__ import annotations

from pathlib import Path


def names() -> list[str]:
    """Return the names of all trained nets in the package.

    Returns
    -------
    list of str
        The names, sorted.

    Examples
    --------
    >>> names()
    ['digits']
    """
    return sorted(path.stem for path in Path(__file__).parent.glob("*.safetensors"))


def path_of(name: str) -> Path:
    """Return the file of a trained net.

    Parameters
    ----------
    name : str
        The net's name, one of `names`.

    Returns
    -------
    Path
        The file; `runs.weights.read` reads it.
    """
    return Path(__file__).parent / f"{name}.safetensors"
