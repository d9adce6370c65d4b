"""Which killer calls what: every equation, gradient and test is run once, watched, without a mutant."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from mutation.killers import OPTIONS, Finder, enter, home, verdicts
from mutation.work import Mutant, Project

SLOWEST = 3.0  # seconds that a test may take and still be one that kills
LEFT_OUT = {  # stems of files of tests, without "test_"
    "cli", "cli_trained", "cli_check", "resume", "run", "checkpoint", "download", "imports", "gpu", "peers", "mutate",
    "check_peers",  # they start other processes, or compare with other libraries
    "toys", "samplers", "trainer", "sharding", "walks", "memory", "readers", "data", "classifier", "batch_invariance",
    "evaluate_compare", "evaluate_distances", "evaluate_features",  # they are slow, and test code above the mathematics
}


@dataclass
class Survey:
    """What the killers do without a mutant: seconds of each that passes, and by which of them a function is called.

    A killer is (kind, name): ``("check", "4")``, ``("tests", "tests/test_forward.py::test_…")``.
    """

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    unfit: dict[str, list[str]] = field(default_factory=dict)  # that fail, or take too long
    calls: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # "module:function" -> kind -> names

    def plan(self, mutant: Mutant) -> dict[str, list[str]]:
        """The killers of a mutant, by kind, the quickest first."""
        exact = self.calls.get(f"{mutant.module}:{mutant.function}", {})
        if not mutant.function or "import" in exact:  # what runs at import concerns whoever uses the module at all
            of_module = [found for key, found in self.calls.items() if key.startswith(f"{mutant.module}:")]
            names = {kind: {name for found in of_module for name in found.get(kind, ())} for kind in self.seconds}
            if not any(names.values()):
                names = {kind: set(all_) for kind, all_ in self.seconds.items()}
        else:
            names = {kind: set(exact.get(kind, ())) for kind in self.seconds}
        return {kind: sorted(names[kind] & set(of), key=lambda name: (not home(mutant.module, name), of[name]))
                for kind, of in self.seconds.items()}

    def cost(self, plan: dict[str, list[str]]) -> float:
        """Seconds that all killers of a plan take together."""
        return sum(self.seconds[kind][name] for kind, names in plan.items() for name in names)


class Calls:
    """Notes which functions of the package are called. What a cache holds counts as called whenever it is asked."""

    def __init__(self, project: Project):
        self.project = project
        self.noted: set[str] = set()  # "module:function", a function being the outermost one

    def take(self) -> set[str]:
        """What was called since last time."""
        noted, self.noted = self.noted, set()
        return noted

    def watch(self) -> None:
        """Make every function of the package say when it is called, from its import on."""
        vars(builtins)["__noted__"] = self._note
        sys.meta_path.insert(0, Finder(self.project, self._telling))

    def _note(self, name: str) -> None:
        self.noted.add(name)

    def _telling(self, module: str) -> ast.Module | None:
        if not self.project.source(module).exists():
            return None
        tree = ast.parse(self.project.source(module).read_text("utf-8"))

        def visit(body: list[Any], around: str) -> None:
            for node in body:
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{around}{node.name}.")
                elif isinstance(node, ast.FunctionDef):
                    start = int(ast.get_docstring(node) is not None)
                    node.body[start:start] = ast.parse(f"__noted__({f'{module}:{around}{node.name}'!r})").body
                else:
                    for part in ("body", "orelse", "handlers", "finalbody"):
                        visit(getattr(node, part, []), around)

        visit(tree.body, "")
        return ast.fix_missing_locations(tree)

    def see_through_caches(self) -> None:
        """Make functools' caches repeat the notes of the first call."""
        plain, calls = functools.lru_cache, self

        def repeating(function: Callable, cached: Callable) -> Callable:
            noted: dict[Any, set[str]] = {}

            @functools.wraps(function)
            def wrapper(*args: Any, **options: Any) -> Any:
                key = (args, tuple(sorted(options.items())))
                if key not in noted:
                    outer, calls.noted = calls.noted, set()
                    try:
                        return cached(*args, **options)
                    finally:
                        noted[key] = calls.noted
                        calls.noted = outer | noted[key]
                calls.noted |= noted[key]
                return cached(*args, **options)

            wrapper.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
            wrapper.cache_info = cached.cache_info  # type: ignore[attr-defined]
            return wrapper

        def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
            if callable(maxsize):
                return repeating(maxsize, plain(128)(maxsize))
            return lambda function: repeating(function, plain(maxsize, typed)(function))

        class Property(functools.cached_property):
            def __get__(self, instance: Any, owner: Any = None) -> Any:
                if instance is None:
                    return self
                held = instance.__dict__.setdefault("_kept", {})
                if self.attrname not in held:
                    outer, calls.noted = calls.noted, set()
                    held[self.attrname] = (self.func(instance), calls.noted)
                    calls.noted = outer
                calls.noted |= held[self.attrname][1]
                return held[self.attrname][0]

        functools.lru_cache, functools.cached_property = lru_cache, Property  # type: ignore[misc, assignment]
        functools.cache = lru_cache(None)  # type: ignore[assignment]


class Watch:
    """A pytest plugin: the calls and seconds of each test; a fixture's calls count for all tests that use it."""

    def __init__(self, calls: Calls):
        self.calls, self.shared = calls, []  # type: ignore[var-annotated]
        self.found: dict[str, set[str]] = {}
        self.seconds: dict[str, float] = {}
        self.unfit: list[str] = []
        self.uses: dict[str, list[str]] = {}
        self.outside: set[str] = set()  # called by no test: while files are read

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
        outer, self.calls.noted = self.calls.noted, set()
        try:
            return (yield)
        finally:
            codes = self.calls.take()
            self.calls.noted = outer | codes
            if fixturedef.scope != "function":
                self.shared.append((fixturedef.argname, request.node.nodeid, codes))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Any:
        self.outside |= self.calls.take()
        self.uses[item.nodeid] = list(item.fixturenames if hasattr(item, "fixturenames") else ())
        try:
            return (yield)
        finally:
            self.found[item.nodeid] = self.calls.take()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.outcome != "passed":
            self.unfit.append(report.nodeid)

    def settle(self) -> None:
        """Give the calls of shared fixtures to their users."""
        for argname, base, codes in self.shared:
            for test, names in self.uses.items():
                if argname in names and test.startswith(base):
                    self.found[test] |= codes


def belonging(project: Project, parts: Iterable[str]) -> list[str]:
    """The files of tests that name one of some parts, such as ``diffusion``, and the parts' own examples."""
    names = [project.name(part) for part in parts]
    files = [path for path in sorted((project.copy / "tests").rglob("test_*.py"))
             if path.stem.removeprefix("test_") not in LEFT_OUT and any(n in path.read_text("utf-8") for n in names)]
    own = [path for part in parts for path in (project.copy / project.package).glob(f"{part}*") if path.stem == part]
    return [str(path.relative_to(project.copy)) for path in files + own]


def survey(project: Project, parts: Iterable[str]) -> dict[str, Any]:
    """Run every killer of some parts once, watched; see `Survey`."""
    enter(project)
    calls, result = Calls(project), Survey()
    calls.see_through_caches()
    calls.watch()
    notes: dict[str, dict[str, set[str]]] = {}
    at_import: set[str] = set()
    for kind in ("check", "gradients"):
        notes[kind], result.seconds[kind], result.unfit[kind] = {}, {}, []
        list(verdicts(project, kind, ()))  # imports
        at_import |= calls.take()
        started = time.perf_counter()
        for name, verdict, _ in verdicts(project, kind):
            notes[kind][name] = calls.take()
            result.seconds[kind][name] = time.perf_counter() - started
            if verdict != "PASS":
                result.unfit[kind].append(name)
            started = time.perf_counter()
    for part in parts:
        importlib.import_module(project.name(part))  # or pytest would import it in its own way
    at_import |= calls.take()
    watch = Watch(calls)
    pytest.main([*belonging(project, parts), "--continue-on-collection-errors", *OPTIONS], plugins=[watch])
    watch.settle()
    notes["tests"], result.seconds["tests"] = watch.found, watch.seconds
    result.unfit["tests"] = watch.unfit + [name for name, seconds in watch.seconds.items() if seconds > SLOWEST]
    for kind, found in notes.items():
        for name in result.unfit[kind]:
            result.seconds[kind].pop(name, None)
        for name, codes in found.items():
            for function in sorted(codes) if name in result.seconds[kind] else ():
                result.calls.setdefault(function, {}).setdefault(kind, []).append(name)
    for function in at_import | watch.outside:
        result.calls.setdefault(function, {})["import"] = []
    return vars(result)
