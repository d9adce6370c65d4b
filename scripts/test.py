"""Pass the tests: ``python3 scripts/test.py``. What follows goes to pytest, such as ``-k unet`` or ``-m gpu``."""

from __future__ import annotations

import sys

import environment


def main() -> int:
    environment.prepare("test")
    return environment.run("-m", "pytest", *sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
