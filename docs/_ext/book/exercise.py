"""The exercise as data: its chapters and gaps in order, read from the solution's files. Needs no Sphinx.

A chapter is a module of docs/exercise/solutions with one class. Each of its methods is a gap, unless the line above it
is `# given`. The files with the gaps, docs/exercise/chapters, are made from the solution's by scripts/exercise.py.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import ddpm_np.check.equations  # noqa: F401 - fills the registry
from book.places import BOOK
from ddpm_np.check.registry import EQUATIONS, chosen

FOLDER = BOOK / "exercise"
GIVEN = "# given"
STANDARD = ("itertools",)  # modules that a chapter imports from
ONE_FILE = """The course of the book wrote this file. Check it where it lies:

    ddpm-np check --target diffusion.py:Diffusion
"""
EMPTY = "raise NotImplementedError"


@dataclass(frozen=True)
class Gap:
    """A method that is to be written.

    `empty` and `solution` are its source without indentation, `words` is its docstring, `hints` go from a nudge to
    nearly the answer.
    """

    method: str
    signature: str
    words: str
    empty: str
    solution: str
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """A file of the exercise: its name, its title and text, its source with gaps, and the gaps in order."""

    name: str
    title: str
    text: str
    source: str
    gaps: tuple[Gap, ...]


def order() -> list[str]:
    """Return the names of the chapters as the solution imports them."""
    return re.findall(r"^from solutions\.(\w+) import", (FOLDER / "solution.py").read_text("utf-8"), re.MULTILINE)


def solved(name: str) -> str:
    """Return a chapter's source in the solution."""
    return (FOLDER / "solutions" / f"{name}.py").read_text("utf-8")


def open_methods(source: str) -> list[ast.FunctionDef]:
    """Return the methods of a chapter that are gaps."""
    lines = source.splitlines()
    return [node for owner in ast.parse(source).body if isinstance(owner, ast.ClassDef) for node in owner.body
            if isinstance(node, ast.FunctionDef) and lines[node.lineno - 2].strip() != GIVEN]


def with_gaps(source: str) -> str:
    """Return a chapter's source with the bodies of its gaps left out."""
    lines = source.splitlines()
    for node in reversed(open_methods(source)):
        lines[node.body[0].end_lineno:node.end_lineno] = [" " * node.body[0].col_offset + EMPTY]
    return "\n".join(lines) + "\n"


def in_one_file() -> str:
    """Return the exercise in one file: the helpers, a class for each chapter with its gaps, and `Diffusion`."""
    parts = [("What is given", (FOLDER / "given.py").read_text("utf-8"))]
    parts += [(chapter.title, chapter.source) for chapter in chapters()]
    parts.append(("All of it", (FOLDER / "diffusion.py").read_text("utf-8")))
    imports, classes = {"from __future__ import annotations"}, []
    for title, source in parts:
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                lines = source.splitlines()[node.lineno - 1:node.end_lineno]
                classes.append(f"# {title}\n\n\n" + "\n".join(lines))
            elif isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module in STANDARD):
                imports.add(ast.unparse(node))
    groups = ([line for line in sorted(imports, key=lambda line: line.split()[1]) if kind(line)] for kind in (
        lambda line: "__future__" in line, lambda line: "__future__" not in line and "numpy" not in line,
        lambda line: "numpy" in line))
    head = f'"""{ast.get_docstring(ast.parse(parts[-1][1])).partition(chr(10))[0]}\n\n{ONE_FILE}"""'
    return "\n\n\n".join(["\n\n".join([head, *map("\n".join, groups)]), *classes]) + "\n"


def hints(name: str) -> dict[str, list[str]]:
    """Return a chapter's hints by method."""
    return tomllib.loads((FOLDER / "hints" / f"{name}.toml").read_text("utf-8"))


@cache
def chapters() -> tuple[Chapter, ...]:
    """Return the chapters in order."""
    return tuple(map(_chapter, order()))


def gaps() -> list[Gap]:
    """Return all gaps in order."""
    return [gap for chapter in chapters() for gap in chapter.gaps]


@cache
def reached() -> dict[str, set[str]]:
    """Return the names of the methods that each method of the solution calls, directly or not, and its own."""
    names = {}
    for node in (node for name in order() for node in ast.walk(ast.parse(solved(name)))):
        if isinstance(node, ast.FunctionDef):
            names[node.name] = node
    direct = {name: _called(node, names) for name, node in names.items()}
    found = {name: {name} for name in names}
    grown = True
    while grown:
        grown = False
        for name in names:
            more = set().union(*(direct[other] for other in found[name])) - found[name]
            found[name] |= more
            grown |= bool(more)
    return found


def _called(function: ast.FunctionDef, names: Iterable[str]) -> set[str]:
    """Return the methods that a method names: `self.q_sample`, or by getattr all that begin as its text does."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and node.attr in names:
            found.add(node.attr)
        if isinstance(node, ast.JoinedStr):
            found |= {name for name in names if name.startswith(node.values[0].value)}
    return found


def serves(method: str) -> list[str]:
    """Return the ids of the equations that need a method, or, if none does, those that need one which calls it."""
    needs = {entry.id: {need for prop in entry.properties for need in prop.needs} for entry in chosen(None)}
    direct = [id for id, names in needs.items() if method in names]
    return direct or [id for id, names in needs.items()
                      if any(method in reached().get(name, ()) for name in names)]


def lacking(id: str) -> list[str]:
    """Return all gaps without which an equation cannot be verified by the solution, in order."""
    names = {need for prop in EQUATIONS[id].properties for need in prop.needs}
    wanted = set().union(*(reached().get(name, set()) for name in names))
    return [gap.method for gap in gaps() if gap.method in wanted]


def _chapter(name: str) -> Chapter:
    source = solved(name)
    empty = with_gaps(source)
    sources = zip(open_methods(source), open_methods(empty), strict=True)
    known = hints(name)
    title, _, text = ast.get_docstring(ast.parse(source)).partition("\n")
    found = tuple(Gap(node.name, f"{node.name}({ast.unparse(node.args)})", ast.get_docstring(node), _cut(empty, blank),
                      _cut(source, node), tuple(known.get(node.name, ()))) for node, blank in sources)
    return Chapter(name, title.rstrip("."), text.strip(), empty, found)


def _cut(source: str, node: ast.FunctionDef) -> str:
    return textwrap.dedent("\n".join(source.splitlines()[node.lineno - 1:node.end_lineno]))
