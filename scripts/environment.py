"""The project's virtual environment in .venv, created and filled on first use. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
INTERRUPTED = 130  # the exit status of a program that Ctrl-C stopped


def python() -> Path:
    """Return the path of the environment's Python."""
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(*extras: str, requirements: Path | None = None) -> Path:
    """Create .venv with the package (editable) and the named extras unless it is up to date; return its Python.

    `requirements` is a file of further packages with their versions.
    """
    try:
        _prepare(*extras)
        if requirements is not None:
            _install(requirements)
        return python()
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; the same command continues the set-up", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _prepare(*extras: str) -> Path:
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        sys.exit(f"error: ddpm_np needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    done = {extra: FOLDER / f"installed-{extra or 'base'}" for extra in ("", *extras)}
    if python().exists() and all(mark.exists() and mark.read_text() == wanted for mark in done.values()):
        return python()
    if not python().exists():
        print(f"creating a virtual environment in {FOLDER.relative_to(ROOT)}", flush=True)
        try:
            venv.create(FOLDER, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit("error: this Python cannot create virtual environments with pip: install its venv package "
                     "(on Debian and Ubuntu: apt install python3-venv), remove .venv and run this again")
        except KeyboardInterrupt:
            shutil.rmtree(FOLDER, ignore_errors=True)  # it may have a Python and no pip
            raise
    target = f".[{','.join(extras)}]" if extras else "."
    print(f"installing {target} and its dependencies", flush=True)
    if _pip("install", "--quiet", "--disable-pip-version-check", "--editable", target):
        sys.exit("error: pip could not install the dependencies (its message is above): check the network, "
                 "then run this again")
    for mark in done.values():
        mark.write_text(wanted)
    return python()


def _install(requirements: Path) -> None:
    """Install the packages of a requirements file unless that was done since it changed."""
    wanted = hashlib.sha256(requirements.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    done = FOLDER / f"installed-{requirements.parent.name}-{requirements.name}"
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {requirements.relative_to(ROOT)}", flush=True)
    if _pip("install", "--quiet", "--disable-pip-version-check", "--requirement", str(requirements)):
        sys.exit("error: pip could not install them (its message is above): check the network, then run this again")
    done.write_text(wanted)


def _pip(*arguments: str) -> int:
    """Run pip to its end; return its exit status."""
    return run_apart([python(), "-m", "pip", *arguments], cwd=ROOT)[0]


def run_apart(command: Sequence[str | Path], **options: Any) -> tuple[int, str]:
    """Run a program of others to its end; return its exit status and, with ``stdout=PIPE``, what it printed.

    Ctrl-C does not reach it, or it might answer with a traceback: it is ended.
    """
    with subprocess.Popen(command, start_new_session=True, text=True, **options) as process:
        try:
            printed = process.communicate()[0] or ""
            return process.returncode, printed
        except KeyboardInterrupt:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGTERM)  # it and the processes it started
            else:
                process.terminate()
            raise


def run(*command: str | Path) -> int:
    """Run the environment's Python with these arguments in the project's root; return its exit status.

    It handles Ctrl-C, which reaches it as well, and SIGTERM, which is passed on to it: it may have results to save.
    """
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(*_: object) -> None:
        for process in running:
            process.terminate()

    before = {signal.SIGINT: signal.getsignal(signal.SIGINT), signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on)}
    if before[signal.SIGINT] != signal.SIG_IGN:  # a function, since the process would inherit SIG_IGN
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with subprocess.Popen([python(), *command], cwd=ROOT) as process:
            running.append(process)
            status = process.wait()
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    return 128 - status if status < 0 else status
