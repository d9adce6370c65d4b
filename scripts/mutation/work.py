"""The work: which mutants there are, kept with their results in cosmic-ray's database, one file a module."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor, mutate_code
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

from mutation.operators import OPERATORS
from mutation.syntax import function_of

KINDS = ("check", "gradients", "tests", "import", "timeout", "crash")
SURVIVED, SAME, INVALID, NO_TEST = "survived", "same", "invalid", "no test"
LEFT_BEHIND, AT_THE_TOP = (".*", "*.egg-info", "__pycache__"), {"runs", "build", "dist"}


@dataclass(frozen=True)
class Project:
    """A package and its tests: where they are, and the copy that a run works on, which nobody edits meanwhile."""

    root: Path
    package: str
    copy: Path

    def source(self, module: str) -> Path:
        """The copy's file of a module, such as ``diffusion.forward``."""
        path = self.copy / self.package / Path(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def name(self, module: str) -> str:
        """As it is imported."""
        return f"{self.package}.{module}"

    def fill(self) -> None:
        """Make the copy, without files that are not source: ``runs`` at the top, but not ``ddpm_np/runs``."""
        ignored = shutil.ignore_patterns(*LEFT_BEHIND)

        def ignore(folder: str, names: list[str]) -> set[str]:
            return ignored(folder, names) | (AT_THE_TOP & set(names) if Path(folder) == self.root else set())

        shutil.copytree(self.root, self.copy, ignore=ignore, dirs_exist_ok=True)

    def modules(self, patterns: Iterable[str]) -> list[str]:
        """The modules that patterns below the package name: ``diffusion``, ``training/adam.py``, ``check/*.py``."""
        top, found = self.copy / self.package, []
        for pattern in patterns:
            below = pattern.removeprefix(f"{self.package}/").rstrip("/")
            hits = sorted(path for match in top.glob(below) for path in (
                match.rglob("*.py") if match.is_dir() else [match]) if path.suffix == ".py")
            if not hits:
                raise ValueError(f"{self.package} has no module {pattern!r}")
            found += [".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__") for path in hits]
        return list(dict.fromkeys(found))

    def digest(self) -> str:
        """Of all Python files of the package and the tests."""
        digest = hashlib.sha256()
        for folder in (self.package, "tests"):
            for path in sorted((self.copy / folder).rglob("*.py")):
                digest.update(f"{path.relative_to(self.copy)}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()


@dataclass(frozen=True)
class Mutant:
    """One change at one place. `function` is the outermost function around it, "" at the module's level."""

    id: str
    module: str
    operator: str
    occurrence: int
    line: int
    function: str


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed `by` one of KINDS, or why not; by `what` exactly; the line before and after."""

    by: str
    what: str
    before: str
    after: str
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        return self.by in KINDS

    @property
    def survived(self) -> bool:
        return self.by in (SURVIVED, NO_TEST)

    def stored(self) -> WorkResult:
        """As cosmic-ray keeps it."""
        survived = TestOutcome.SURVIVED if self.survived else TestOutcome.INCOMPETENT
        return WorkResult(WorkerOutcome.SKIPPED if self.by == SAME else WorkerOutcome.NORMAL, json.dumps(asdict(self)),
                          TestOutcome.KILLED if self.killed else survived, f"- {self.before}\n+ {self.after}")


class Source:
    """A module's text as a tree, from which each mutant is made; a mutation changes the tree: make it in a child."""

    def __init__(self, project: Project, module: str):
        self.module = module
        self.text = project.source(module).read_text("utf-8")
        self.tree = get_ast(self.text)

    def mutants(self) -> list[Mutant]:
        """All mutants, operator by operator."""
        digest, nodes, found = hashlib.sha256(code(self.text).encode()).hexdigest(), list(ast_nodes(self.tree)), []
        for name, operator in OPERATORS.items():
            places = [(node, start) for node in nodes for start, _ in operator.mutation_positions(node)]
            for occurrence, (node, start) in enumerate(places):
                key = hashlib.sha256(f"{self.module} {digest} {name} {occurrence}".encode()).hexdigest()[:32]
                found.append(Mutant(key, self.module, name, occurrence, start[0], qualified(node)))
        return found

    def mutate(self, mutant: Mutant) -> tuple[str, str, str]:
        """The mutant's text, and what stands in the changed lines before and after. Spoils the tree."""
        text = MutationVisitor(mutant.occurrence, OPERATORS[mutant.operator]).walk(self.tree).get_code()
        return (text, *changed(self.text, text))

    def change(self, mutant: Mutant) -> tuple[str, str]:
        """What stands in the changed lines before and after, of a tree of its own."""
        return changed(self.text, mutate_code(self.text, OPERATORS[mutant.operator], mutant.occurrence))


def code(text: str) -> str:
    """A module's syntax without comments and docstrings: what its mutants depend on."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def qualified(node: Any) -> str:
    """The outermost function around a node, with the classes that it is in: ``Schedule.at``."""
    function, names = function_of(node), []
    above = function
    while above is not None:
        if above.type in ("funcdef", "classdef"):
            names.append(above.name.value)
        above = above.parent
    return ".".join(reversed(names))


def changed(before: str, after: str) -> tuple[str, str]:
    """The lines in which two texts differ, each side as one line without comments."""
    a, b = before.split("\n"), after.split("\n")
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    first, second = (" ".join(" ".join(map(_bare, side)).split()) for side in (a, b))
    return first, second


def _bare(line: str) -> str:
    """A line without its comment."""
    return "" if line.lstrip().startswith("#") else line.partition("  # ")[0]


class Work:
    """A module's mutants and results, in ``folder/module.sqlite``, held against other runs."""

    def __init__(self, folder: Path, project: Project, source: Source):
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.source = folder / f"{source.module}.sqlite", source
        self.lock = self.path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another run is at work on {source.module}: see {self.path}") from None
        self.mutants = source.mutants()
        with use_db(self.path, WorkDB.Mode.create) as db:
            if {item.job_id for item in db.work_items} != {mutant.id for mutant in self.mutants}:
                kept = dict(db.results)  # of mutants that are there still
                db.clear()
                path = project.source(source.module).relative_to(project.copy)
                db.add_work_items(WorkItem.single(mutant.id, MutationSpec(
                    path, mutant.operator, mutant.occurrence, (mutant.line, 0), (mutant.line, 1),
                    definition_name=mutant.function)) for mutant in self.mutants)
                for mutant in self.mutants:
                    if mutant.id in kept:
                        db.set_result(mutant.id, kept[mutant.id])
            self.outcomes = {id: Outcome(**json.loads(result.output)) for id, result in db.results if result.output}

    def pending(self, again: set[Mutant]) -> Iterator[Mutant]:
        """What has no result, or shall be tried again."""
        for mutant in self.mutants:
            if mutant.id not in self.outcomes or mutant in again:
                yield mutant

    def seen(self) -> dict[tuple[int, str, str], str]:
        """The changes that have been tried, (line, before, after), and by which mutant."""
        outcomes = {mutant: self.outcomes[mutant.id] for mutant in self.mutants if mutant.id in self.outcomes}
        return {(mutant.line, outcome.before, outcome.after): mutant.id for mutant, outcome in outcomes.items()
                if outcome.by != SAME}

    def killers_near(self, mutant: Mutant, most: int = 4) -> list[str]:
        """The tests that last killed a mutant of the same function: likely to kill this one."""
        found: dict[str, None] = {}
        for other in self.mutants:
            outcome = self.outcomes.get(other.id)
            if outcome is not None and outcome.by == "tests" and other.function == mutant.function:
                found.pop(outcome.what, None)
                found[outcome.what] = None
        return list(found)[-most:]

    def keep(self, mutant: Mutant, outcome: Outcome) -> None:
        """Store a result at once, so that an interrupted run goes on from here."""
        self.outcomes[mutant.id] = outcome
        with use_db(self.path, WorkDB.Mode.open) as db:
            db.set_result(mutant.id, outcome.stored())
