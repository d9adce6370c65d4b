"""Build the package and use it as a stranger would: ``python scripts/check_release.py``.

Builds the sdist and the wheel, lets ``twine check`` read both, looks for the trained net in both, installs the wheel
into a fresh virtual environment, and there runs the commands and the Python that the README prints. Needs the ``dev``
extra, and a network for the dependencies.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from environment import run_apart

ROOT = Path(__file__).resolve().parent.parent
NET = "ddpm_np/trained/digits.safetensors"  # must be in the wheel and in the sdist
COMMANDS = (  # a short run stands for the demo's, whose folder the README's lines go on from
    ("train", "--steps", "50", "--set", "ema=0.9", "--out", "runs/demo", "--quiet"),
    ("sample", "runs/demo", "-n", "64", "--seed", "1", "--quiet"),
    ("evaluate", "runs/demo", "--images", "10", "--quiet"),
    ("plot", "progressive", "runs/demo", "--quiet"),
    ("sample", "digits", "--label", "3", "--guidance", "2", "-n", "16", "--quiet"),
    ("check",),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(sys.executable, "-m", "build", "--outdir", place / "dist", ROOT, quiet=True)
        files = sorted((place / "dist").iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *files)
        for file in files:
            if not any(name.endswith(NET) for name in names_in(file)):
                sys.exit(f"error: {file.name} lacks {NET}")
        venv.create(place / "venv", with_pip=True)
        binaries = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        run(binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", files[-1])
        work = place / "elsewhere"  # away from the checkout, so that only the wheel can be imported
        work.mkdir()
        for command in COMMANDS:
            run(binaries / "ddpm-np", *command, cwd=work)
        for block in python_blocks((ROOT / "README.md").read_text(encoding="utf-8")):
            print(f"README:\n{block}", flush=True)
            run(binaries / "python", "-c", block, cwd=work)
    return 0


def names_in(archive: Path) -> list[str]:
    """The names of the files in a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.namelist()
    with tarfile.open(archive) as sdist:
        return sdist.getnames()


def run(*command: str | Path, cwd: Path = ROOT, quiet: bool = False) -> None:
    """Run a command; end the script where it fails. The output of a quiet one is shown only then."""
    shown = " ".join(map(str, command)).partition("\n")[0]
    print("$", shown, flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    captured = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    status, printed = run_apart(command, cwd=cwd, env=environment, **captured)
    if status:
        sys.exit(f"{printed}error: {shown} failed")


def python_blocks(text: str) -> list[str]:
    """The blocks of a Markdown page that are marked as Python."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if not blocks:
        sys.exit("error: the README has no block of Python to run")
    return blocks


if __name__ == "__main__":
    sys.exit(main())
