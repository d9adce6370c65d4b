"""Check the mathematics equation by equation: this package's, a library's or your own.

A target is MODULE:FACTORY or FILE.py:FACTORY, where FACTORY(betas) returns an object with any of the methods that
docs/checker.md lists. The exit status is 1 if an equation fails, and 2 if none could be verified.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_np.check.named import FORMS, OURS
from ddpm_np.cli.options import add_backend, index, seed

if TYPE_CHECKING:
    from ddpm_np.check.result import Report, Result
    from ddpm_np.check.settings import Settings

EXAMPLES = """examples:
  ddpm-np check                                   # this package, gradients included
  ddpm-np check --equation 7 --equation ddim-12   # some equations (--list names them)
  ddpm-np check --derivations                     # and prove every line of the book's derivations
  ddpm-np check --target exercise.py:Mine         # your own code
  ddpm-np check --find diffusion.py               # code that was not written for the checker
  ddpm-np check --target diffusers --json report.json --junit report.xml --badge equations.svg
  ddpm-np check --target openai:../guided-diffusion   # a checkout of OpenAI's code, or of a copy of it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", metavar="TARGET",
                        help=f"code to check: {FORMS} (default: the target under [tool.ddpm_np.check] in this folder's "
                             f"pyproject.toml, else {OURS}, this package)")
    parser.add_argument("--find", metavar="PATH",
                        help="find the mathematics in a Python file, or in a folder, and check it; only definitions "
                             "are run, nothing is trained")
    parser.add_argument("--config", metavar="FILE",
                        help="with --find: a TOML file that says which function is what; if there is none, it is "
                             "written with what was found, to be corrected")
    parser.add_argument("--equation", action="append", metavar="ID",
                        help="check only this equation; can be repeated (default: all)")
    parser.add_argument("--derivations", action="store_true",
                        help="also prove every line of the book's derivations (a few seconds; --equation posterior or "
                             "--equation posterior.mean proves some)")
    parser.add_argument("--list", action="store_true", help="list the equations with their sources and exit")
    parser.add_argument("--examples", type=index, metavar="N", help="random cases per property, beyond the fixed ones")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the random cases (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="also write the report to a file")
    parser.add_argument("--junit", metavar="FILE.xml", help="also write it as JUnit XML, a test case for each equation")
    parser.add_argument("--badge", metavar="FILE.svg", help="also draw a badge: how many of the equations hold")
    add_backend(parser)
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"),
                        help="precision that this package computes in (default: float64)")


def run(args: argparse.Namespace) -> int:
    if args.list:
        return _list()
    for option in ("json", "junit", "badge"):
        if (given := getattr(args, option)) and not Path(given).resolve().parent.is_dir():
            raise ValueError(f"--{option}: there is no folder {Path(given).parent} to write in")
    settings = _settle(args)
    if args.target != OURS and (args.backend, args.dtype) != ("numpy", "float64"):
        raise ValueError("--backend and --dtype apply to this package only: leave them out with --target")
    if args.derivations and (args.target, args.backend, args.dtype) != (OURS, "numpy", "float64"):
        raise ValueError("--derivations proves this package's book, exactly: leave it out with --target, --backend and "
                         "--dtype")
    if args.config and not args.find:
        raise ValueError("--config says what --find is to take for what: give --find too")
    if args.find:
        return _find(args)
    targets = _targets(args, settings)
    gradients = args.target == OURS and args.backend == "numpy" and args.dtype == "float64"
    reports = [_check(name, factory, args, gradients) for name, factory in targets.items()]
    _write(args, reports)
    if not any(report.verified for report in reports):
        raise ValueError(f"{settings.option if settings else '--target'}: {reports[0].advice}")
    return int(any(report.failed for report in reports))


def _find(args: argparse.Namespace) -> int:
    """Find the mathematics in a file, say what was taken for what, and check it."""
    if (args.target, args.backend, args.dtype, args.derivations) != (OURS, "numpy", "float64", False):
        raise ValueError("--find checks the file that it is given: leave out --target, --backend, --dtype and "
                         "--derivations")
    from ddpm_np.check.find import configuration, find
    from ddpm_np.check.find.report import lines

    known = args.config and Path(args.config).is_file()
    finding = find(args.find, configuration.read(args.config) if known else None)
    print("\n".join(lines(finding)) + "\n", flush=True)
    if args.config and not known:
        from ddpm_np.storage import write_atomically

        write_atomically(Path(args.config), [configuration.write(finding).encode()])
        print(f"written to {args.config}: correct it and give it again\n")
    if not finding.taken:
        raise ValueError(f"--find: nothing in {args.find} was recognised: name its functions in a file, --config "
                         "ddpm-check.toml")
    report = _check(finding.name, finding, args, False)
    _write(args, [report])
    if not report.verified:
        raise ValueError(f"--find: no equation could be verified in {args.find}")
    return int(report.failed)


def _settle(args: argparse.Namespace) -> Settings | None:
    """Complete the options by the settings of this folder's project, which are returned, or by the defaults."""
    from ddpm_np.check.settings import FILE, TABLE, read

    settings = None if args.target or args.find else read(Path())
    if settings is not None:
        print(f"[{TABLE}] in {FILE}: target {settings.target}\n")
        args.target, args.equation = settings.target, args.equation or settings.equations
        args.examples = settings.examples if args.examples is None else args.examples
    args.target = args.target or OURS
    args.seed = (settings.seed if settings else 0) if args.seed is None else args.seed
    return settings


def _check(name: str, factory: Callable, args: argparse.Namespace, gradients: bool) -> Report:
    """Check one target, printing each result as it comes, and return the report."""
    import time
    from dataclasses import replace

    from ddpm_np.check import UNVERIFIED
    from ddpm_np.check import report as text
    from ddpm_np.check.runner import run as check

    wanted, names, lines = _split(args) if gradients else (args.equation, [], [])
    colour, started = _colour(), time.perf_counter()

    def unknown(result: Result) -> bool:
        return result.verdict == UNVERIFIED and not result.cases and not args.equation

    def show(result: Result) -> None:
        if not unknown(result):  # the summary below lists those in one line
            print(text.line(result, colour), flush=True)

    print(*getattr(factory, "notes", ()), text.HEADER, sep="\n")
    found = check(factory, wanted, args.seed, args.examples, show)
    results = list(found.results)
    if gradients and names != []:
        from ddpm_np.check.gradients import gradient_results

        results += gradient_results(args.seed, names, show)
    if lines != []:
        from ddpm_np.check.derivations.verdicts import derivation_results

        results += derivation_results(lines, lambda result: print(text.line(result, colour), flush=True))
    report = replace(found, target=name, results=results, seconds=time.perf_counter() - started)
    lacking = [result.equation for result in results if unknown(result)]
    if lacking:
        print(f"\nUNVERIFIED, because the target lacks the methods or options: {', '.join(lacking)}")
    if found.advice and found.verified:
        print(f"\nPerhaps meant as methods: {found.advice}")
    print(f"\n{text.summary(report)}\n")
    return report


def _split(args: argparse.Namespace) -> tuple[list[str] | None, list[str] | None, list[str] | None]:
    """Split the ids into those of equations, of gradients and of derivations or their lines; None stands for all."""
    if args.equation is None:
        return None, None, None if args.derivations else []
    from ddpm_np.check.gradients import parts

    known = set(parts())
    gradients = [e for e in args.equation if e in known]
    lines = [e for e in args.equation if e not in known and _is_line(e)]
    return [e for e in args.equation if e not in {*lines, *gradients}], gradients, None if args.derivations else lines


def _is_line(id: str) -> bool:
    """Return whether an id is one of a derivation or of a line, and not of an equation; a wrong line's id raises."""
    import ddpm_np.check.equations  # noqa: F401 - fills the registry
    from ddpm_np.check.registry import EQUATIONS

    if id.strip("()") in EQUATIONS:
        return False
    from ddpm_np.check.derivations import book, relations  # with SymPy, which takes half a second

    owner, dot, _ = id.partition(".")
    if owner not in book():
        return False
    return not dot or bool(relations([id]))


def _targets(args: argparse.Namespace, settings: Settings | None) -> dict[str, Callable]:
    """Return the target's factories by name."""
    from ddpm_np.check.named import targets

    if settings is not None:
        return settings.targets()
    if args.target == OURS:
        return {f"{OURS} ({args.backend}, {args.dtype})": _ours(args.backend, args.dtype)}
    return targets(args.target)


def _ours(backend: str, dtype: str) -> Callable:
    from functools import partial

    from ddpm_np.backend import get_backend
    from ddpm_np.check.targets import ddpm_np

    get_backend(backend)  # an absent GPU is an error of the command, not of each equation
    return partial(ddpm_np, backend=backend, dtype=dtype)


def _colour() -> bool:
    """Return whether to print in colour: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    import os
    import sys

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(args: argparse.Namespace, reports: list[Report]) -> None:
    """Write the reports to the files that were asked for."""
    from ddpm_np.check import formats
    from ddpm_np.storage import write_atomically

    for path, form in (args.json, formats.as_json), (args.junit, formats.junit), (args.badge, formats.badge):
        if path:
            write_atomically(Path(path), [form(reports).encode()])


def _list() -> int:
    import ddpm_np.check.equations  # noqa: F401 - fills the registry
    from ddpm_np.check.derivations import book
    from ddpm_np.check.gradients import parts
    from ddpm_np.check.registry import chosen

    for entry in chosen(None):
        print(f"{entry.id:25} {entry.title}; {entry.source}; {', '.join(entry.functions)}")
    print("gradients of this package: " + ", ".join(parts()))
    print("derivations, each with lines such as posterior.mean: " + ", ".join(book()))
    return 0
