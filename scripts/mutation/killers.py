"""What kills a mutant: equations of the check, gradients, tests.

All of it runs in forked children, where the package is imported for the first time: the mutated module from its
mutant's text, the others as they are; but for what `preload` has imported in the parent.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.abc import MetaPathFinder
from typing import Any

import hypothesis
import pytest

from mutation.work import Mutant, Project

OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "--hypothesis-seed=0",
           "-W", "ignore::pytest.PytestAssertRewriteWarning",  # hypothesis is imported already,
           "-W", "ignore::hypothesis.errors.HypothesisSideeffectWarning"]  # and used


class Planted(importlib.machinery.SourceFileLoader):
    """Loads a text, or a syntax tree, in place of a file's."""

    def __init__(self, name: str, path: str, text: Any):
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> Any:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds those modules of the package for which there is another text."""

    def __init__(self, project: Project, texts: Callable[[str], Any]):
        self.project, self.texts = project, texts

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        top, _, module = fullname.partition(".")
        if top != self.project.package or (text := self.texts(module)) is None:
            return None
        file = self.project.source(module)
        folder = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=Planted(fullname, str(file), text), submodule_search_locations=folder)


def enter(project: Project) -> None:
    """Make the copy the place that is imported and tested."""
    os.chdir(project.copy)
    sys.path.insert(0, str(project.copy))
    hypothesis.settings.register_profile("mutation", max_examples=25, deadline=None, database=None, print_blob=False,
                                         phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
    hypothesis.settings.load_profile("mutation")


def preload(project: Project, parts: Iterable[str]) -> None:
    """Import in the parent, after `enter`, what no mutant of some parts touches: equations and plain draws."""
    before, top = set(sys.modules), project.package
    try:
        importlib.import_module(f"{top}.check.equations")
        for entry in importlib.import_module(f"{top}.check.registry").EQUATIONS.values():
            for prop in entry.properties:
                list(prop.first())
    except ModuleNotFoundError:
        pass
    touched = [name for name in sys.modules for part in parts if f"{name}.".startswith(f"{top}.{part}.")]
    for name in set(sys.modules) - before if touched else ():
        if f"{name}.".startswith(f"{top}."):
            del sys.modules[name]


def verdicts(project: Project, kind: str, names: Iterable[str] | None = None) -> Iterator[tuple[str, str, str]]:
    """(equation, verdict, counterexample) of the check, or the same of the gradients, one by one; of all for None."""
    try:
        home = importlib.import_module(f"{project.package}.check{'.gradients' if kind == 'gradients' else ''}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(f"{project.package}.check"):
            return
        raise
    if kind == "gradients":
        every: Iterable[str] = home.parts()
        ask: Callable[[str], Any] = lambda name: home.gradient_results(names=[name])[0]  # noqa: E731
    else:
        importlib.import_module(f"{project.package}.check.equations")
        every = importlib.import_module(f"{project.package}.check.registry").EQUATIONS
        factory = importlib.import_module(f"{project.package}.check.targets.ours").Ours
        ask = lambda name: home.run(factory, equations=[name]).results[0]  # noqa: E731
    for name in list(every) if names is None else names:
        result = ask(name)
        yield name, result.verdict, result.counterexample


def home(module: str, name: str) -> bool:
    """Whether a test's file is named after the module, or is the module's own examples."""
    package, _, last = module.rpartition(".")
    stems = {last, last.removesuffix("s"), f"{package.rpartition('.')[2]}_{last}"}  # oracle.gaussian: oracle_gaussian
    return any(f"/test_{stem}.py::" in name for stem in stems) or f"/{module.replace('.', '/')}.py::" in name


class Chosen:
    """A pytest plugin: only the chosen tests, in their order; the first that failed."""

    def __init__(self, names: list[str]):
        self.place = {name: i for i, name in enumerate(names)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        chosen = [item for item in items if item.nodeid in self.place]
        items[:] = sorted(chosen, key=lambda item: self.place[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or f"collecting {report.nodeid}"


def kill(project: Project, mutant: Mutant, text: str, plan: dict[str, list[str]],
         likely: Iterable[str] = ()) -> tuple[str, str]:
    """Try the killers of a plan in turn: (kind, name) of the first that sees the mutant, or ("survived", ""); after
    `enter`. The tests that are `likely` come first, then those of the module's own file."""
    sys.meta_path.insert(0, Finder(project, lambda module: text if module == mutant.module else None))
    try:
        importlib.import_module(project.name(mutant.module))
    except Exception as error:
        return "import", f"{type(error).__name__}: {error}"
    for kind in ("check", "gradients"):
        name = ""
        try:
            for name, verdict, counterexample in verdicts(project, kind, plan[kind]) if plan[kind] else ():
                if verdict != "PASS":
                    return kind, f"({name}) {verdict}: {counterexample}"
        except Exception as error:
            return kind, f"after ({name}): {type(error).__name__}: {error}"
    first = [name for name in likely if name in plan["tests"]]
    own = [name for name in plan["tests"] if home(mutant.module, name) and name not in first]
    for names in (first, own, [name for name in plan["tests"] if name not in first + own]):
        if names:
            chosen = Chosen(names)
            status = pytest.main([*dict.fromkeys(name.partition("::")[0] for name in names), "-x", *OPTIONS],
                                 plugins=[chosen])
            if chosen.failed or status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                return "tests", chosen.failed or f"pytest ended with {status}"
    return "survived", ""
