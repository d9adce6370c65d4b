"""Print as JSON what this Python says of the equations: on the package, and with each mistake in functions of pages.

Standard input has the functions' names below ddpm_np, a JSON list. Of the package the random cases are among what is
checked; with a mistake they are not, as in a page after a change.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "docs" / "_ext")]

from book.live import short_name  # noqa: E402
from mistakes import Change  # noqa: E402
from mistakes.ours import MISTAKES, planted  # noqa: E402

from ddpm_np.check import Report, run  # noqa: E402
from ddpm_np.check.targets import ddpm_np as package  # noqa: E402


def said(report: Report) -> dict[str, str]:
    """Return the verdict on each equation."""
    return {result.equation: result.verdict for result in report.results}


def with_mistake(change: Change) -> tuple[str, dict[str, str]]:
    """Return how a page names a mistake, and the verdicts with it."""
    with planted(change):
        return f"{short_name(change.place)}: {change.name}", said(run(package, examples=0))


def main() -> None:
    names = set(json.load(sys.stdin))
    here = [change for change in MISTAKES if short_name(change.place) in names]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        changed = dict(pool.map(with_mistake, here, chunksize=8))
    print(json.dumps({"right": said(run(package)), "changed": changed}))


if __name__ == "__main__":
    main()
