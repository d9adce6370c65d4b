"""Targets named KIND:PATH: somebody's code in a checkout on this machine, and the adapter for its kind.

The table of kinds is `ddpm_np.cli.check.KINDS`. An adapter is a module of this package with a function
``targets(where)``: `where` is what follows the kind's colon, the result the factories by name. It raises ValueError in
one plain line if the path does not hold such code, and ImportError if a library that the code needs is not installed. A
factory can have ``notes``, lines that are shown before the verdicts and kept in the report: what was replaced, or found
by trying.
"""

from __future__ import annotations

from pathlib import Path


def path_and_rest(where: str) -> tuple[Path, str]:
    """Split PATH[:REST]; a path that exists as it stands is not split.

    Parameters
    ----------
    where : str
        What follows the kind's colon.

    Returns
    -------
    tuple of Path and str
        The path, and what follows its colon, empty if nothing does.

    Raises
    ------
    ValueError
        If there is no such path.
    """
    if where and Path(where).exists():
        return Path(where), ""
    path, _, rest = where.rpartition(":")
    if path and Path(path).exists():
        return Path(path), rest
    raise ValueError(f"there is no file or folder {path if path and rest.isidentifier() else where}")
