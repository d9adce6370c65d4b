"""Check the docstrings of public names with numpydoc: ``python scripts/check_docstrings.py``.

pyproject.toml has the checks and says why they were chosen. Needs the ``dev`` extra.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import sys
from pathlib import Path

from environment import run_apart

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "autograd", "config", "diffusion", "evaluate", "models", "nn", "parallel", "runs", "sampling", "trained",
    "training",
)
MODULES = ("backend", "file_lock", "philox", "storage")


def main() -> int:
    package = ROOT / "ddpm_np"
    files = [path for name in PACKAGES for path in sorted((package / name).rglob("*.py"))]
    files += [package / f"{name}.py" for name in MODULES]
    status, _ = run_apart([sys.executable, "-m", "numpydoc", "lint", *files, "--config", ROOT])
    print(f"docstrings of {len(files)} files: {'as numpydoc wants them' if not status else 'see above'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
