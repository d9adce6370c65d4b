"""Where the code of a target KIND:PATH lies: the file, and the folder that its imports start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    raise ValueError(f"--target: there is no file or folder {path if path and rest.isidentifier() else where!r}")


def file_in(where: str, *places: str) -> Path:
    """Return the first of these places below a path that exists, or the path itself if it is a file.

    Parameters
    ----------
    where : str
        Path of a checkout, or of the file.
    *places : str
        Where the file is in a checkout.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is none.
    """
    path, _ = path_and_rest(where)
    if path.is_file():
        return path.resolve()
    for place in places:
        if (path / place).is_file():
            return (path / place).resolve()
    raise ValueError(f"--target: {path} has no {' and no '.join(places)}: give a checkout of the repository")


def found(path: Path, package: str, name: str, text: str) -> Path:
    """Return the file of this name in a checkout that contains a text.

    Parameters
    ----------
    path : Path
        The checkout, or the file itself, which can then have any name.
    package : str
        The file's package, with dots or slashes, or the end of it; empty if there is only one such file.
    name : str
        The file's name.
    text : str
        What it contains.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is no such file, or there are several.
    """
    files = [path]
    if path.is_dir():
        files = [Path(folder) / name for folder, folders, names in _walk(path) if name in names]
    files = [file for file in files if text in file.read_text("utf-8", "replace")]
    parts = tuple(package.replace("/", ".").split(".")) if package else ()
    wanted = [file for file in files if file.resolve().parent.parts[-len(parts):] == parts] if parts else files
    if len(wanted) == 1:
        return wanted[0].resolve()
    if not files:
        raise ValueError(f"--target: there is no {text} in {f'any {name} below ' if path.is_dir() else ''}{path}")
    packages = ", ".join(str(file.parent.relative_to(path)) for file in wanted or files)
    raise ValueError(f"--target: {text} is in {packages} of {path}: "
                     + (f"there is no package {package}" if not wanted else "name one as PATH:PACKAGE"))


def _walk(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in ("site-packages", "node_modules"))
        yield folder, folders, names


def root_of(path: Path, file: Path) -> Path:
    """Return the folder that a file's imports start from.

    Parameters
    ----------
    path : Path
        The checkout, or the file itself.
    file : Path
        The file.

    Returns
    -------
    Path
        The checkout, or its ``src``; or if the file lies right there, the folder above its package.
    """
    root, file = path.resolve(), file.resolve()
    if (root / "src") in file.parents and not (root / "src" / "__init__.py").exists():
        root /= "src"
    if root in file.parent.parents and all(map(str.isidentifier, file.parent.relative_to(root).parts)):
        return root
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    return root.parent if root == file.parent and root.name.isidentifier() else root


def dotted(file: Path, root: Path) -> str:
    """Return the name by which a file is imported from a folder above it."""
    return ".".join(file.resolve().relative_to(root).with_suffix("").parts).removesuffix(".__init__")
