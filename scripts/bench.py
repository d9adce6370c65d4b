"""Measure this class of machine, and keep it: ``python scripts/bench.py`` (half an hour or so on two quiet cores).

Needs torch and diffusers, to be compared with (``pip install 'ddpm_np[peers]'``), and measures JAX, ONNX Runtime and
tinygrad where they are installed. There is a record for each class of machine, ``docs/bench/record-avx2.json`` and so
on, all raw times in it; a run updates its own class's, and the tables of all of them in ``docs/bench/README.md``.

What follows goes to ``ddpm-np bench``: ``--hold avx2`` measures an AVX-512 machine held to AVX2, for the record of that
class; ``--what step,forward,sample,memory,arithmetic`` measures some parts in about ten minutes, and leaves the others
as they are, with their own date. ``--tables`` only writes the tables of the records there are.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import sys
import tempfile
from pathlib import Path

from ddpm_np.bench import Record, class_key, page, refresh
from ddpm_np.bench.plots import plot_cost
from ddpm_np.cli import main as ddpm_np

FOLDER = Path(__file__).parents[1] / "docs" / "bench"


def keep(new: Record, folder: Path) -> Path:
    """Put a run into its class's record, and its plot beside it; return the record's path."""
    key = class_key(new.machine)
    path = folder / f"record-{key}.json"
    record = new.after(Record.load(path) if path.exists() else Record(new.settings, new.machine, new.date))
    if not record.results:
        return path
    record.save(path)
    if new.of("scaling"):
        plot_cost(folder / f"cost-{key}.png", record.every("scaling"))
    return path


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    status = 0
    if arguments != ["--tables"]:
        what = () if "--what" in arguments else ("--what", "all")
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / "record.json"
            status = ddpm_np(["bench", *what, *arguments, "--json", str(made)])
            if not made.exists():  # bad arguments
                return status
            print(keep(Record.load(made), folder))
    if any(folder.glob("record-*.json")):
        refresh(folder / "README.md", page(folder))
    elif not status:
        print(f"{folder}: there is no record yet: leave --tables out to measure one", file=sys.stderr)
        status = 2
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
