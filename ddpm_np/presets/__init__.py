"""Presets: one TOML file each, with the tables [model], [diffusion], [training] and [sampling]."""

from __future__ import annotations

from typing import Any

from ddpm_np.arguments import known


def names() -> list[str]:
    """Return the names of all presets.

    Returns
    -------
    list of str
        The names, sorted.
    """
    from importlib import resources  # slow to import, and `import ddpm_np` reads no preset

    return sorted(f.name.removesuffix(".toml") for f in resources.files(__name__).iterdir() if f.name.endswith(".toml"))


def read(name: str) -> dict[str, Any]:
    """Read the tables of a preset.

    Parameters
    ----------
    name : str
        Name of the preset.

    Returns
    -------
    dict
        The tables by name.

    Raises
    ------
    ValueError
        If there is no preset of this name.
    """
    import tomllib
    from importlib import resources

    known([name], names(), "preset")
    return tomllib.loads((resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
