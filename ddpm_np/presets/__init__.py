"""Presets: one TOML file each, with the tables [model], [diffusion], [training] and [sampling]."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from typing import Any


def names() -> list[str]:
    """The names of all presets."""
    return sorted(f.name.removesuffix(".toml") for f in resources.files(__name__).iterdir() if f.name.endswith(".toml"))


def read(name: str) -> dict[str, Any]:
    """The tables of a preset.

    Raises
    ------
    ValueError
        For a name there is none of.
    """
    if name not in names():
        close = get_close_matches(name, names(), 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names())}"
        raise ValueError(f"no preset is called {name!r}: {hint}")
    return tomllib.loads((resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
