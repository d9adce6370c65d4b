"""Measure speed and memory, side by side with PyTorch and other frameworks where they are installed.

They alternate in one process, and each ratio is ours over theirs, PyTorch's in its faster memory layout: below 1, ours
is faster or needs less memory. Turns in which other processes kept more than 0.2 CPUs busy are dropped and others taken
in their place, up to twice as many in all. Without PyTorch (pip install 'ddpm_np[peers]') only ours is measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from ddpm_np.cli.options import add_backend, count, positive

EXAMPLES = """examples:
  ddpm-np bench                                    a few minutes: all but ops, profile and scaling
  ddpm-np bench --what step,profile --net 8        one net's training step, and where its time goes
  ddpm-np bench --what all --json bench.json --plot cost.png
  ddpm-np bench --hold avx2                        an AVX-512 machine as one with AVX2
  ddpm-np bench --backend cupy                     whole nets on a GPU, beside PyTorch on the same one
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--what", metavar="LIST",
                        help="parts, separated by commas: arithmetic (GFLOP/s of a step beside sgemm), step, forward, "
                             "sample, batches (the 8×8 net's forward pass by batch), data, memory, profile (a step by "
                             "op), ops, scaling (time against size); or all (default: all but batches and the last "
                             "three; with --backend cupy: step, forward, sample)")
    parser.add_argument("--net", metavar="LIST", help="nets, by the size of their images: 8, 28, 32 (default: all)")
    add_backend(parser)
    parser.add_argument("--hold", choices=("avx2",), help="hold an AVX-512 machine to AVX2, on every side: it is "
                                                          "measured in a process of its own")
    parser.add_argument("--repeats", type=count, default=9, metavar="N", help="timed turns that count (default: 9)")
    parser.add_argument("--seconds", type=positive, metavar="S",
                        help="stop a comparison after S seconds, once it has three turns that count")
    parser.add_argument("--workers", type=count, metavar="N", help="threads of each side (default: one per CPU)")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too; it can take minutes per net")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record, with all raw times")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot cost against size (measures scaling)")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")


def run(args: argparse.Namespace) -> int:
    from ddpm_np import bench, cuda
    from ddpm_np.backend import get_backend
    from ddpm_np.bench import hold
    from ddpm_np.cli.stopping import explain

    xp = get_backend(args.backend).xp  # an absent GPU is an error of the command
    what = _list(args.what, bench.DEFAULT if args.backend == "numpy" else bench.ON_DEVICE, bench.WHAT)
    if args.plot and "scaling" not in what:
        what = (*what, "scaling")
    settings = bench.Settings(what, _list(args.net, tuple(bench.NETS), tuple(bench.NETS)), args.repeats, args.workers,
                              args.compile, args.seconds, args.backend)
    for path in (args.json, args.plot):
        if path and not path.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent}: create it first")
    if args.hold and args.backend != "numpy":
        raise ValueError(f"--hold {args.hold} holds the CPU: leave it out with --backend {args.backend}")
    if args.hold and not hold.held():
        return _held(args.given)
    record = bench.Record(settings.as_json())
    if hold.held():
        hold.verify()
        record.machine["held"] = hold.held()
    if args.backend != "numpy":
        record.machine["gpu"] = cuda.describe(xp)
    status = 0
    try:
        _measure(settings, record, args.quiet)
        record.complete = True
    except KeyboardInterrupt as error:
        status, line = explain(error)
        print(f"ddpm-np: {line}{'; finished measurements are kept' if args.json else ''}", file=sys.stderr)
    finally:
        if args.json:
            record.save(args.json)
    if args.json:
        print(f"\n{args.json}")
    if args.plot and record.of("scaling"):
        from ddpm_np.bench.plots import plot_cost

        plot_cost(args.plot, record.of("scaling"))
        print(args.plot)
    return status


def _held(given: list[str]) -> int:
    """Run the command with these arguments in a process that is held to AVX2; return its exit status."""
    from ddpm_np.bench import hold
    from ddpm_np.cli.stopping import Terminated

    with subprocess.Popen([sys.executable, "-m", "ddpm_np", *given], env=hold.environment()) as child:
        try:
            return child.wait()
        except KeyboardInterrupt as error:  # Ctrl-C reaches the child too, SIGTERM does not
            if isinstance(error, Terminated):
                child.terminate()
            return child.wait()


def _list(given: str | None, default: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, ...]:
    """Split a comma-separated list; "all" selects every part."""
    if given is None:
        return default
    return every if given == "all" else tuple(part.strip() for part in given.split(","))


def _measure(settings: Any, record: Any, quiet: bool) -> None:
    """Measure everything requested, printing each row as soon as it is measured."""
    from ddpm_np import bench
    from ddpm_np.bench import plan, tables
    from ddpm_np.progress import Progress

    print(f"{bench.class_of(record.machine)}\n{tables.describe(record.machine)}")
    part, said = "", set[str]()
    for task in plan(settings):
        if task.what != part:
            part, widths = task.what, tables.widths(task.what)
            print(f"\n{tables.TITLES[part]}\n{tables.aligned(tables.header(part), widths)}", flush=True)
        with Progress(task.title, task.turns, leave=False, quiet=quiet) as progress:
            found = task.measure(progress.advance)
        record.results += found
        for result in found:
            for row in tables.rows(result):
                print(tables.aligned(row, widths))
        for note in dict.fromkeys(note for result in found for note in result.notes):
            if note not in said:
                print(f"  {note}")
            said.add(note)
        if any(any(result.turns.get("dropped", ())) for result in found):
            print(f"  {' '.join(tables.turns_of(found))}")
        sys.stdout.flush()
    for cells in (tables.GROWTH, *tables.growth_rows(record.of("scaling"))) if record.of("scaling") else ():
        print(tables.aligned(cells, [22, 12, 14, 20, 34]))
