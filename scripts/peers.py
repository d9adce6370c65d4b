"""Check the published repositories of scripts/peers/table.py, and write docs/peers-of-the-field.md's tables.

``python scripts/peers.py CHECKOUTS`` runs every adapter on the checkouts ``OWNER+NAME`` in that folder, each in a
process of its own, and writes docs/peers/record.json and the tables of the page; ``--check`` writes nothing and says
what differs from them, the outputs of the page's code blocks included; ``--only NAME`` does one repository. Nothing of
a checkout is changed. It needs PyTorch. Exit status 1: something differs, or a repository could not be run.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]
PAGE, RECORD = ROOT / "docs" / "peers-of-the-field.md", ROOT / "docs" / "peers" / "record.json"
MARKS = "<!-- tables -->", "<!-- end of tables -->"
SECONDS, AT_ONCE = 120, 2  # of wall-clock time, for each; a repository takes 2 to 10 s of a processor
BLOCK = re.compile(r"^```python\n(.*?)^```\n+```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def child(arguments: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a process with one thread for PyTorch; past the limit of time the exit status is −9."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, -9, "", f"took more than {SECONDS} s")


def one(name: str, checkouts: Path) -> None:
    """Print the entry of one repository with the processor time; what its code prints goes to stderr."""
    from peers.record import asked, key
    from peers.table import REPOSITORIES

    with contextlib.redirect_stdout(sys.stderr):
        (repository,) = [repository for repository in REPOSITORIES if key(repository) == name]
        entry = asked(repository, checkouts)
    json.dump({"entry": entry, "seconds": time.process_time()}, sys.stdout)


def entry_of(name: str, checkouts: Path) -> dict[str, Any] | None:
    """Return the entry of one repository from a process of its own, and print a line about it."""
    from peers.record import counts

    done = child([__file__, str(checkouts), "--one", name])
    if done.returncode:
        print(f"{name}: {' '.join(done.stderr.split())[-300:]}", file=sys.stderr)
        return None
    entry, took = json.loads(done.stdout).values()
    hold, part, failed = counts(entry)
    print(f"{name:60} {hold:3} hold {part:3} in part {failed:3} FAIL  {took:5.1f} s", flush=True)
    return entry


def blocks_that_differ(checkouts: Path) -> list[str]:
    """Run the page's code blocks in the folder of checkouts; return a line for each with another output."""
    lines = []
    for number, (code, printed) in enumerate(BLOCK.findall(PAGE.read_text("utf-8")), 1):
        done = child(["-c", code], checkouts)
        if done.stdout != printed:
            lines.append(
                f"{PAGE.name}, block {number}: printed {done.stdout!r} {done.stderr[-200:]!r}, not {printed!r}"
            )
    return lines


def page_with(tables: str) -> str:
    """Return the page with these tables between its marks."""
    before, _, rest = PAGE.read_text("utf-8").partition(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{tables}\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def differences(record: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """Return a line for each verdict of a record that is not the known one."""
    lines = []
    for name, entry in record.items():
        before = known.get(name, {"targets": {}})
        lines += [f"{name}: the {what} is {entry[what]}, not {before.get(what)}" for what in ("commit", "blob")
                  if entry[what] != before.get(what)]
        for target in {**before["targets"], **entry["targets"]}:
            old, new = (each["targets"].get(target, {}) for each in (before, entry))
            lines += [f"{name} {target} {equation}: {new.get(equation)}, not {old.get(equation)}"
                      for equation in {**old, **new} if old.get(equation) != new.get(equation)]
    return lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, help="folder with the checkouts, OWNER+NAME each")
    parser.add_argument("--check", action="store_true", help="write nothing and say what differs")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this repository; can be repeated")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        one(options.one, options.checkouts)
        return 0
    from peers.record import key, tables, text
    from peers.table import REPOSITORIES

    names = [key(repository) for repository in REPOSITORIES if not options.only or repository.name in options.only]
    lacking = [r.name for r in REPOSITORIES if key(r) in names and not (r.folder(options.checkouts) / r.file).is_file()]
    if lacking or not names:
        parser.error(
            f"{options.checkouts} lacks {', '.join(lacking)}" if lacking else f"no repository {options.only[0]}"
        )
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(names, pool.map(lambda name: entry_of(name, options.checkouts), names), strict=True))
    record = {name: entry for name, entry in found.items() if entry is not None}
    known = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
    if options.check:
        lines = differences(record, known) + ([] if options.only else blocks_that_differ(options.checkouts))
        print("\n".join(lines) or "the same as the record")
        return int(bool(lines) or len(record) < len(found))
    known |= record
    whole = {key(repository): known[key(repository)] for repository in REPOSITORIES if key(repository) in known}
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(text(whole), "utf-8")
    PAGE.write_text(page_with(tables(whole)), "utf-8")
    return int(len(record) < len(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
