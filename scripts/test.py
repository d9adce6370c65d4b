"""Run the tests: ``python3 scripts/test.py``, in as many processes as there are processors.

Arguments go to pytest and come after its own, so they win: ``-k unet``, ``-m gpu``, ``-n 0`` for a single process.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import sys

import environment


def main() -> int:
    environment.prepare("test")
    return environment.run("-m", "pytest", "-n", "auto", "--dist", "worksteal", *sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
