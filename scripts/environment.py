"""The project's own virtual environment in .venv, made and filled when it is not there yet. Standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"


def python() -> Path:
    """The environment's Python."""
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(*extras: str) -> Path:
    """Make .venv with the package (editable) and the named extras, if that has not been done; returns its Python."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        sys.exit(f"error: ddpm_np needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    done = {extra: FOLDER / f"installed-{extra or 'base'}" for extra in ("", *extras)}
    if python().exists() and all(mark.exists() and mark.read_text() == wanted for mark in done.values()):
        return python()
    if not python().exists():
        print(f"making a virtual environment in {FOLDER.relative_to(ROOT)}", flush=True)
        try:
            venv.create(FOLDER, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit("error: this Python cannot make virtual environments with pip: install its venv package "
                     "(on Debian and Ubuntu: apt install python3-venv), remove .venv and run this again")
    target = f".[{','.join(extras)}]" if extras else "."
    print(f"installing {target} and what it needs", flush=True)
    command = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", target]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit("error: pip could not install the dependencies (its message is above): check the network, "
                 "then run this again")
    for mark in done.values():
        mark.write_text(wanted)
    return python()


def run(*command: str | Path) -> int:
    """Run a command of the environment in the project's root; returns its exit status (130 for Ctrl-C)."""
    try:
        return subprocess.run([python(), *command], cwd=ROOT, check=False).returncode
    except KeyboardInterrupt:
        return 130
