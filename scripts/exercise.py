"""Write the exercise's files with gaps, docs/exercise/chapters, from its solution: python scripts/exercise.py"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs" / "_ext"))

from book import exercise


def main() -> None:
    """Write a file for each chapter."""
    folder = exercise.FOLDER / "chapters"
    folder.mkdir(exist_ok=True)
    for name in exercise.order():
        (folder / f"{name}.py").write_text(exercise.with_gaps(exercise.solved(name)), "utf-8")


if __name__ == "__main__":
    main()
