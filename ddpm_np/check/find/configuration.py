"""What the reader answers: a file in TOML that says which function is which method, and how it is called.

It has a table for each method, and tables for a constructor's arguments and for conventions::

    [methods.q_sample]
    function = "Diffusion.noise_images"
    arguments = {x = "x_0", t = "t"}
    index_base = 0

    [methods.simple_loss]
    function = ""                          # none of the functions

    [arguments.Diffusion]
    img_size = 8

    [conventions]
    range = [0, 1]

In a pyproject.toml they stand under ``tool.ddpm_np.check``.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ddpm_np.check.find.calling import LAYOUTS, TIMES
from ddpm_np.check.find.roles import ROLES
from ddpm_np.check.settings import FILE, OTHERS, table
from ddpm_np.check.settings import KEYS as SETTINGS
from ddpm_np.check.target import Declared

KEYS = {"function": str, "arguments": dict, "index_base": int, "time": str, "layout": str}


def read(path: str | Path) -> dict[str, Any]:
    """Read a configuration.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict
        Its tables.

    Raises
    ------
    ValueError
        If it is not TOML, or says what cannot be said.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"--config: {path} cannot be read: {error}") from error
    if Path(path).name == FILE:
        others = set(SETTINGS) - {"conventions"}  # of a target, for runs without --find
        found = {key: value for key, value in (table(Path(path)) or {}).items() if key not in others}
    for name in found:
        if name not in (*OTHERS, "conventions"):
            raise ValueError(f"--config: {path} has a table {name!r}: there are methods, arguments and conventions")
    for method, entry in found.get("methods", {}).items():
        _check(path, method, entry)
    Declared(found.get("conventions", {}))  # raises ValueError for what cannot be declared
    return found


def _check(path: str | Path, method: str, entry: Any) -> None:
    where = f"--config: {path}: methods.{method}"
    if method not in ROLES:
        raise ValueError(f"{where} is not a method that is looked for: there are {', '.join(ROLES)}")
    if not isinstance(entry, dict) or not isinstance(entry.get("function"), str):
        raise ValueError(f"{where} must be a table with a function, such as \"Class.name\" or \"\" for none")
    for key, value in entry.items():
        if key not in KEYS or not isinstance(value, KEYS[key]):
            raise ValueError(f"{where}: {key} = {value!r} is unknown: there are "
                             + ", ".join(f"{name} ({kind.__name__})" for name, kind in KEYS.items()))
    for key, allowed in (("time", TIMES), ("layout", LAYOUTS), ("index_base", (0, 1))):
        if key in entry and entry[key] not in allowed:
            raise ValueError(f"{where}: {key} must be one of {', '.join(map(repr, allowed))}, got {entry[key]!r}")


def write(finding: Any) -> str:
    """Return a configuration that says what was found, for the reader to correct.

    Parameters
    ----------
    finding : Finding
        What was found.

    Returns
    -------
    str
        TOML. Questions are comments.
    """
    lines = [f"# What `ddpm-np check --find {finding.name}` took for what. Correct it, and give it back with --config."]
    for method, taken in finding.taken.items():
        if method not in ROLES:
            continue
        r = taken.reading
        arguments = ", ".join(f"{name} = {json.dumps(kind)}" for name, kind in r.given if name.isidentifier())
        lines += ["", f"[methods.{method}]  # taken by {taken.how}", f'function = "{taken.subject.name}.{r.function}"',
                  f"arguments = {{{arguments}}}", f"index_base = {r.base}", f'time = "{r.time}"',
                  f'layout = "{r.layout}"']
    for answer, question in finding.questions:
        lines += ["", f"# {question}", *(f"# {line}" for line in answer.splitlines())]
    if finding.conventions:
        lines += ["", "[conventions]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in finding.conventions.items()]
    return "\n".join(lines) + "\n"
