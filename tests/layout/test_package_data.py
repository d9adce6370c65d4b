"""Files of the package that are no code: a wheel takes those that pyproject.toml names, and no others."""

from __future__ import annotations

import tomllib
from pathlib import Path

import ddpm_np

ROOT = Path(ddpm_np.__file__).parent


def test_every_file_of_the_package_is_in_the_wheel():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["ddpm_np"]
    taken = {path for pattern in patterns for path in ROOT.glob(pattern)}
    held = {path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert held == taken
    assert ROOT / "trained" / "digits.safetensors" in taken
