"""Measure everything, and keep it: ``python scripts/bench.py`` (a quarter of an hour or so on two quiet cores).

Needs torch and diffusers, to be compared with: ``pip install 'ddpm_np[peers]'``. Writes ``docs/bench/record.json``, all
raw times in it, the plot ``docs/bench/cost.png`` and the tables of ``docs/bench/README.md``. What follows goes to
``ddpm-np bench``, such as ``--repeats 5``; ``--tables`` only writes the tables of the record there is.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import sys
from pathlib import Path

from ddpm_np.bench import Record, refresh
from ddpm_np.cli import main as ddpm_np

FOLDER = Path(__file__).parents[1] / "docs" / "bench"
RECORD, PLOT, PAGE = FOLDER / "record.json", FOLDER / "cost.png", FOLDER / "README.md"


def main(arguments: list[str]) -> int:
    status = 0
    if arguments != ["--tables"]:
        status = ddpm_np(["bench", "--what", "all", "--json", str(RECORD), "--plot", str(PLOT), *arguments])
    if not RECORD.exists():
        print(f"{RECORD}: there is no record yet: leave --tables out to measure one", file=sys.stderr)
        return 2
    if status in (0, 130):
        refresh(PAGE, Record.load(RECORD))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
