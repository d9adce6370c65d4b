"""Read damaged files by every reader: ``python scripts/fuzz.py [NAME …] [--inputs N] [--seed K]``.

A reader ends in the result of the whole file, in an error of one line, or, where the format has no checksum, in another
result. The exit status is 1 if one ended otherwise, needed more than 2 GB or took 20 s. libtiff writes to the standard
error output by itself. docs/design/fuzz.md has what was found.
"""

from __future__ import annotations

import argparse
import faulthandler
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from damage import ALLOWED, FOREIGN, OUTCOMES, fuzz, outcome  # noqa: E402
from damaged_data import data_cases  # noqa: E402
from damaged_runs import run_cases  # noqa: E402

SECONDS = 20  # for one file
MEMORY = 2 << 30  # bytes of the process, all files together
SHOWN = 3  # failures shown of each reader
REGISTRIES = [data_cases, run_cases]  # functions of a folder that return {name: Case}


class TooSlow(BaseException):
    """A file took too long; no reader catches this."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", help="readers, by the beginning of their names (default: all)")
    parser.add_argument("--inputs", type=int, default=10_000, metavar="N", help="damaged files for each reader")
    parser.add_argument("--seed", type=int, default=0, metavar="K")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for the files that were read wrongly")
    args = parser.parse_args()
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _too_slow)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: case for cases_in in REGISTRIES for name, case in cases_in(Path(folder)).items()
                 if not args.names or name.startswith(tuple(args.names))}
        if not cases:
            parser.error(f"no reader's name begins with {' or '.join(args.names)}")
        print(f"| reader | {' | '.join(OUTCOMES)} | slowest, ms |\n|---{'|---:' * (len(OUTCOMES) + 1)}|")
        for name, case in cases.items():
            counts, slowest, wrong = dict.fromkeys(OUTCOMES, 0), 0.0, []
            for tried in fuzz(case, name, args.inputs, args.seed, _limited):
                counts[tried.kind] += 1
                slowest = max(slowest, tried.seconds)
                if tried.kind not in ALLOWED:
                    wrong.append(f"{name}, input {tried.number}: {tried.kind}: {tried.text}")
                    if args.keep is not None:
                        args.keep.mkdir(parents=True, exist_ok=True)
                        (args.keep / f"{name} {tried.number}").write_bytes(tried.data)
            numbers = [*(f"{counts[kind]:,}" for kind in OUTCOMES), f"{1000 * slowest:.0f}"]
            print(f"| {name} | {' | '.join(numbers)} |", flush=True)
            print("\n".join(wrong[:SHOWN]), end="\n" if wrong else "", flush=True)
            failures += len(wrong)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\n{len(cases)} readers, {args.inputs:,} files each, seed {args.seed}: {failures:,} failures, "
          f"{peak / 2**20:,.0f} MiB at most")
    return int(failures > 0 or peak > MEMORY)


def _limited(*given: Any) -> tuple[str, str]:
    """Return the outcome of a file, as `outcome` does; one that takes too long is a failure."""
    signal.alarm(SECONDS)
    try:
        return outcome(*given)
    except TooSlow:
        return FOREIGN, f"took more than {SECONDS} s"
    finally:
        signal.alarm(0)


def _too_slow(signum: int, frame: object) -> None:
    raise TooSlow


if __name__ == "__main__":
    sys.exit(main())
