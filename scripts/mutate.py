"""Mutation testing: change one thing in a formula, and see that the check, a gradient or a test notices.

``python scripts/mutate.py diffusion`` plants every mutant of ``ddpm_np/diffusion/`` and prints a table of scores;
``python scripts/mutate.py 'diffusion/b*' training/adam.py --sample 0.1`` a tenth of some. The same command resumes an
interrupted run. Exit status 1: a mutant survives that scripts/mutation/equivalent.toml does not explain. It needs the
``dev`` extra; docs/design/mutation.md says how it works.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

for _library in ("OPENBLAS", "OMP", "MKL"):  # one thread: a process with several cannot be forked safely
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import hypothesis  # noqa: E402, F401 - imported once here, for all children
import mpmath  # noqa: E402, F401
import numpy as np  # noqa: E402, F401
import pytest  # noqa: E402, F401
import scipy.special  # noqa: E402, F401
from mutation.children import CRASH, TIMEOUT, Child, finished  # noqa: E402
from mutation.killers import enter, kill, preload  # noqa: E402
from mutation.report import explanations, open_survivors, stale, survivors, table  # noqa: E402
from mutation.survey import Survey, survey  # noqa: E402
from mutation.work import INVALID, NO_TEST, SAME, Mutant, Outcome, Project, Source, Work  # noqa: E402
from tqdm import tqdm  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
EXPLAINED = Path(__file__).resolve().parent / "mutation" / "equivalent.toml"
DEFAULT = ["diffusion", "autograd/ops", "training/adam.py", "check"]
MEMORY = 6 << 30  # bytes of address space of a child
SURVEY_SECONDS, SECONDS, TIMES = 1800.0, 20.0, 4.0  # a mutant may take SECONDS and TIMES what its killers take


def attempt(project: Project, source: Source, mutant: Mutant, found: Survey,
            seen: dict[tuple[int, str, str], str], likely: list[str]) -> Any:
    """In a child: make the mutant and try what kills it. [by, what, before, after]."""
    text, before, after = source.mutate(mutant)
    if seen.get((mutant.line, before, after), mutant.id) != mutant.id:
        return [SAME, "", before, after]
    try:
        compile(text, source.module, "exec")
    except SyntaxError as error:
        return [INVALID, str(error), before, after]
    plan = found.plan(mutant)
    if not any(plan.values()):
        return [NO_TEST, "", before, after]
    return [*kill(project, mutant, text, plan, likely), before, after]


def surveyed(project: Project, folder: Path, modules: list[str]) -> Survey:
    """The survey of the parts that modules are in: read again where nothing has changed."""
    parts = sorted({module.partition(".")[0] for module in modules})
    path, digest = folder / f"survey-{'-'.join(parts)}.json", project.digest()
    if path.exists():
        kept = json.loads(path.read_text("utf-8"))
        if kept["digest"] == digest:
            return Survey(**kept["survey"])
    print("survey: every equation, gradient and test once, without a mutant (minutes)", file=sys.stderr)
    child = Child(lambda: survey(project, parts), SURVEY_SECONDS, MEMORY)
    try:
        _, found = next(finished([child]))
    finally:
        child.end()
    if not isinstance(found, dict):
        raise RuntimeError(f"the survey ended: {' '.join(found)}")
    for kind, names in found["unfit"].items():
        if names:
            print(f"{kind}: {len(names)} of them fail, are skipped or take too long without a mutant, such as "
                  f"{names[0]}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"digest": digest, "survey": found}), "utf-8")
    return Survey(**found)


def test_all(project: Project, works: list[Work], todo: list[tuple[Work, Mutant]], found: Survey, jobs: int) -> None:
    """Try mutants, some at a time, and keep each result as it comes."""
    waiting: Iterator[tuple[Work, Mutant]] = iter(todo)
    seen = {work.source.module: work.seen() for work in works}
    running: dict[Child, tuple[Work, Mutant]] = {}
    bar = tqdm(total=len(todo), unit="mutant", smoothing=0.02, disable=None)
    try:
        while True:
            for work, mutant in waiting:
                changes = seen[work.source.module]
                seconds = SECONDS + TIMES * found.cost(found.plan(mutant))
                likely = work.killers_near(mutant)
                child = Child(partial(attempt, project, work.source, mutant, found, changes, likely), seconds, MEMORY)
                running[child] = work, mutant
                if len(running) >= jobs:
                    break
            if not running:
                return
            for child, said in finished(list(running)):
                work, mutant = running.pop(child)
                change = work.source.change(mutant) if said[0] in (TIMEOUT, CRASH) else ()
                outcome = Outcome(*said, *change, round(time.perf_counter() - child.started, 2))
                seen[work.source.module].setdefault((mutant.line, outcome.before, outcome.after), mutant.id)
                work.keep(mutant, outcome)
                bar.update()
                bar.set_postfix_str(f"{mutant.module}:{mutant.line} {outcome.by}")
    finally:
        bar.close()
        for child in running:
            child.end()


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("modules", nargs="*", default=DEFAULT, metavar="MODULE",
                        help=f"paths or globs below ddpm_np/ (default: {' '.join(DEFAULT)})")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--limit", type=int, help="how many mutants to try at most")
    parser.add_argument("--sample", type=float, default=1.0, metavar="FRACTION", help="try a share of the mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--again", action="store_true", help="try the open survivors again")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the table and the survivors")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "mutation", help="of the databases")
    args = parser.parse_args(argv)
    args.folder, args.report = args.folder.resolve(), args.report and args.report.resolve()
    if args.jobs < 1 or not 0 < args.sample <= 1:
        parser.error(f"--jobs is at least 1 and --sample in (0, 1], got {args.jobs} and {args.sample}")
    return args


def main(argv: list[str] | None = None, root: Path = ROOT, package: str = "ddpm_np",
         explained: Path = EXPLAINED) -> int:
    """Run the command line on a project: this one, unless told otherwise."""
    args = parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tqdm.monitor_interval = 0  # its thread would be a second one
    with tempfile.TemporaryDirectory(prefix="mutate-") as copy:
        project = Project(root, package, Path(copy).resolve())
        project.fill()
        try:
            modules, entries = project.modules(args.modules), explanations(explained)
            works = [Work(args.folder, project, Source(project, module)) for module in modules]
        except ValueError as error:
            print(f"mutate: error: {error}", file=sys.stderr)
            return 2
        again = {mutant for work in works for mutant, _ in open_survivors(work, entries)} if args.again else set()
        chosen = [(work, mutant) for work in works for mutant in work.pending(again)
                  if random.Random(f"{args.seed} {mutant.id}").random() < args.sample]
        try:
            if todo := chosen[:args.limit]:
                found = surveyed(project, args.folder, modules)
                enter(project)
                preload(project, {module.partition(".")[0] for module in modules})
                test_all(project, works, todo, found, args.jobs)
        except KeyboardInterrupt:
            print("\nstopped; the same command goes on from here", file=sys.stderr)
            return 130
        finally:
            os.chdir(root)
            text = table([work for work in works if work.mutants], entries)
            print(text)
            if args.report is not None:
                args.report.parent.mkdir(parents=True, exist_ok=True)
                args.report.write_text(f"{text}\n\n{survivors(works, entries)}\n", "utf-8")
    for entry in stale(works, entries):
        print(f"stale: no survivor is {entry.module}: {entry.before}", file=sys.stderr)
    left = [(mutant, outcome) for work in works for mutant, outcome in open_survivors(work, entries)]
    for mutant, outcome in left:
        print(f"{package}/{mutant.module.replace('.', '/')}.py:{mutant.line}: {mutant.operator} survives\n"
              f"  - {outcome.before}\n  + {outcome.after}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
