"""Check the mathematics equation by equation: this package's, a library's or your own.

A target is MODULE:FACTORY or FILE.py:FACTORY, where FACTORY(betas) returns an object with any of the methods that
docs/checker.md lists. The exit status is 1 if an equation fails, and 2 if none could be verified.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_np.cli.options import add_backend, index, seed

if TYPE_CHECKING:
    from ddpm_np.check.result import Report, Result

EXAMPLES = """examples:
  ddpm-np check                                   # this package, gradients included
  ddpm-np check --equation 7 --equation ddim-12   # some equations (--list names them)
  ddpm-np check --derivations                     # and prove every line of the book's derivations
  ddpm-np check --target exercise.py:Mine         # your own code
  ddpm-np check --find diffusion.py               # code that was not written for the checker
  ddpm-np check --target diffusers --json report.json
  ddpm-np check --target openai:../guided-diffusion   # a checkout of OpenAI's code, or of a copy of it
"""
LIBRARIES = ("diffusers", "lucidrains")
KINDS = {  # modules of ddpm_np.check.targets, and what follows the colon in KIND:PATH
    "openai": "PATH[:PACKAGE]",
    "compvis": "PATH",
    "monai": "PATH",
    "k-diffusion": "PATH",
    "edm": "PATH",
    "authors": "PATH",
}
FORMS = ", ".join(["MODULE:FACTORY", "FILE.py:FACTORY", *(f"{kind}:{form}" for kind, form in KINDS.items()),
                   " or ".join(LIBRARIES)])
OURS = "ddpm_np"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default=OURS, metavar="TARGET",
                        help=f"code to check: {FORMS} (default: this package)")
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
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of the random cases (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="also write the report to a file")
    add_backend(parser)
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"),
                        help="precision that this package computes in (default: float64)")


def run(args: argparse.Namespace) -> int:
    if args.list:
        return _list()
    if args.json and not Path(args.json).resolve().parent.is_dir():
        raise ValueError(f"--json: there is no folder {Path(args.json).parent} to write in")
    if args.target != OURS and (args.backend, args.dtype) != ("numpy", "float64"):
        raise ValueError("--backend and --dtype apply to this package only: leave them out with --target")
    if args.derivations and (args.target, args.backend, args.dtype) != (OURS, "numpy", "float64"):
        raise ValueError("--derivations proves this package's book, exactly: leave it out with --target, --backend and "
                         "--dtype")
    if args.config and not args.find:
        raise ValueError("--config says what --find is to take for what: give --find too")
    if args.find:
        return _find(args)
    targets, gradients = _targets(args), args.target == OURS and args.backend == "numpy" and args.dtype == "float64"
    reports = [_check(name, factory, args, gradients) for name, factory in targets.items()]
    if args.json:
        _write(args.json, reports)
    if not any(report.verified for report in reports):
        raise ValueError(f"--target: {reports[0].advice}")
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
    if args.json:
        _write(args.json, [report])
    if not report.verified:
        raise ValueError(f"--find: no equation could be verified in {args.find}")
    return int(report.failed)


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


def _targets(args: argparse.Namespace) -> dict[str, Callable]:
    """Return the target's factories by name."""
    from importlib import import_module

    if args.target == OURS:
        return {f"{OURS} ({args.backend}, {args.dtype})": _ours(args.backend, args.dtype)}
    kind, colon, where = args.target.partition(":")
    try:
        if args.target in LIBRARIES:
            return import_module(f"ddpm_np.check.targets.{args.target}").TARGETS
        if colon and kind in KINDS:
            return import_module(f"ddpm_np.check.targets.{kind.replace('-', '_')}").targets(where)
    except ImportError as error:
        raise ValueError(str(error)) from error
    module, colon, name = args.target.rpartition(":")
    if not colon or not module or not name:
        raise ValueError(f"--target must be {FORMS}, got {args.target!r}")
    return {args.target: _attribute(_module(module), module, name)}


def _ours(backend: str, dtype: str) -> Callable:
    from functools import partial

    from ddpm_np.backend import get_backend
    from ddpm_np.check.targets import ddpm_np

    get_backend(backend)  # an absent GPU is an error of the command, not of each equation
    return partial(ddpm_np, backend=backend, dtype=dtype)


def _module(name: str) -> Any:
    """Import a module by name (from the current folder first) or by file; it can import its neighbours."""
    import importlib.util
    import sys

    path = Path(name)
    if path.suffix == ".py" and not path.is_file():
        raise ValueError(f"--target: there is no file {name}")
    folder = str(path.resolve().parent if path.suffix == ".py" else Path.cwd())
    sys.path.insert(0, folder)
    try:
        if path.suffix != ".py":
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:  # the target's own code can raise anything
        text = " ".join(str(error).split())
        raise ValueError(f"--target: importing {name} raised {type(error).__name__}: {text}") from error
    finally:
        sys.path.remove(folder)


def _attribute(module: Any, name: str, factory: str) -> Callable:
    from difflib import get_close_matches

    found = getattr(module, factory, None)
    if found is None:
        close = get_close_matches(factory, dir(module), 1)
        raise ValueError(f"--target: {name} has no {factory}" + (f": did you mean {close[0]}?" if close else ""))
    if not callable(found):
        raise ValueError(f"--target: {name}:{factory} must be a factory, betas -> object, got {type(found).__name__}")
    return found


def _colour() -> bool:
    """Return whether to print in colour: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    import os
    import sys

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(path: str, reports: list[Report]) -> None:
    import json

    from ddpm_np.storage import write_atomically

    shown = [report.as_dict() for report in reports]
    content = shown[0] if len(shown) == 1 else {"failed": any(r["failed"] for r in shown), "reports": shown}
    write_atomically(Path(path), [json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"])


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
