"""What a project says about its check: the table ``tool.ddpm_np.check`` of its pyproject.toml.

::

    [tool.ddpm_np.check]
    target = "diffusion.py:Diffusion"        # from this folder
    equations = [4, 7, "ddim-12"]
    examples = 100
    seed = 0
    conventions = {index_base = 0}           # replaces what the target declares, key by key

Every key is optional but the target. The tables ``methods`` and ``arguments`` beside them say which function is what in
code that was not written for the checker; they are not read here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm_np.arguments import closest, count, described
from ddpm_np.arguments import seed as checked_seed

FILE, TABLE = "pyproject.toml", "tool.ddpm_np.check"
KEYS = ("target", "equations", "examples", "seed", "conventions")
OTHERS = ("methods", "arguments")


@dataclass(frozen=True)
class Settings:
    """A project's settings.

    Attributes
    ----------
    folder : Path
        The folder from which the target is found: that of the pyproject.toml.
    target : str
        The target's name.
    equations : list of str or None
        Ids of equations; None: all.
    examples : int or None
        Random cases for each property; None: the checker's default.
    seed : int
        Seed of the random cases.
    conventions : dict
        Conventions that replace those that the target declares.
    option : str
        What the target was given to, for messages.
    """

    folder: Path
    target: str
    equations: list[str] | None = None
    examples: int | None = None
    seed: int = 0
    conventions: dict[str, Any] = field(default_factory=dict)
    option: str = f"target in {FILE}"

    def targets(self) -> dict[str, Callable]:
        """Return the target's factories by name.

        Returns
        -------
        dict
            As `named.targets`, with the conventions.

        Raises
        ------
        ValueError
            In one line, if there is no such target, or importing it raises.
        """
        from ddpm_np.check.named import Declaring, targets

        with chdir(self.folder):
            found = targets(self.target, self.option)
        if not self.conventions:
            return found
        return {name: Declaring(factory, self.conventions) for name, factory in found.items()}


def table(path: Path) -> dict[str, Any] | None:
    """Read the table of a pyproject.toml.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict or None
        The table; None if there is no such file, or no such table in it.

    Raises
    ------
    ValueError
        In one line, if the file names this package and cannot be read.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    if b"ddpm_np" not in content:  # then nothing in it is for the checker to read, nor to complain of
        return None
    try:
        found: Any = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be read as TOML: {error}") from error
    for key in TABLE.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    if not isinstance(found, dict):
        raise ValueError(f"{path.name}: {TABLE} must be a table, got {described(found)}")
    return found


def read(folder: Path) -> Settings | None:
    """Read the settings of the project in a folder.

    Parameters
    ----------
    folder : Path
        The folder with the pyproject.toml.

    Returns
    -------
    Settings or None
        None if it has no pyproject.toml, or that has no table ``tool.ddpm_np.check`` with a target.

    Raises
    ------
    ValueError
        In one line, for a key that is unknown or a value that cannot be.
    """
    found = table(folder / FILE)
    if not found:
        return None
    where = f"{FILE}: {TABLE}"
    for key in found:
        if key not in (*KEYS, *OTHERS):
            raise ValueError(f"{where} has an unknown key {key!r}: {closest(key, KEYS)}")
    if "target" not in found:
        if any(key in found for key in OTHERS):
            return None
        raise ValueError(f"{where} has no target: add target = \"FILE.py:FACTORY\"")
    if not isinstance(found["target"], str):
        raise ValueError(f"{where}.target must be a string, got {described(found['target'])}")
    try:
        return Settings(folder, found["target"], _equations(found.get("equations"), where),
                        count(f"{where}.examples", found["examples"], 0) if "examples" in found else None,
                        checked_seed(found.get("seed", 0), f"{where}.seed"), _conventions(found.get("conventions", {})))
    except TypeError as error:
        raise ValueError(str(error)) from error


def _equations(found: Any, where: str) -> list[str] | None:
    if found is None:
        return None
    ids = found if isinstance(found, list) else [found]
    if not ids or not all(isinstance(id, str) or type(id) is int for id in ids):
        raise ValueError(f"{where}.equations must be a list of ids such as [7, \"ddim-12\"], got {described(found)}")
    return [str(id) for id in ids]


def _conventions(found: Any) -> dict[str, Any]:
    from ddpm_np.check.target import CONVENTIONS, Declared

    if isinstance(found, dict):
        for key in found:
            if key not in CONVENTIONS:
                raise ValueError(f"{FILE}: {TABLE}.conventions has an unknown key {key!r}: {closest(key, CONVENTIONS)}")
    try:
        Declared(found)
    except ValueError as error:
        raise ValueError(f"{FILE}: {TABLE}.{error}") from error
    return found
