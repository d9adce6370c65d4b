"""The exercise as data: its chapters and gaps in order, read from the solution's files. Standard library only.

A chapter is a module of docs/exercise/solutions with one class. Each of its methods is a gap, unless the line above it
is `# given`. The files with the gaps, docs/exercise/chapters, are made from the solution's by scripts/exercise.py.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from dataclasses import dataclass
from functools import cache

from book.places import BOOK

FOLDER = BOOK / "exercise"
GIVEN = "# given"
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


@cache
def hints() -> dict[str, list[str]]:
    """Return the hints by method."""
    return tomllib.loads((FOLDER / "hints.toml").read_text("utf-8"))


@cache
def chapters() -> tuple[Chapter, ...]:
    """Return the chapters in order."""
    return tuple(map(_chapter, order()))


def gaps() -> list[Gap]:
    """Return all gaps in order."""
    return [gap for chapter in chapters() for gap in chapter.gaps]


def _chapter(name: str) -> Chapter:
    source = solved(name)
    empty = with_gaps(source)
    sources = zip(open_methods(source), open_methods(empty), strict=True)
    title, _, text = ast.get_docstring(ast.parse(source)).partition("\n")
    found = tuple(Gap(node.name, f"{node.name}({ast.unparse(node.args)})", ast.get_docstring(node), _cut(empty, blank),
                      _cut(source, node), tuple(hints().get(node.name, ()))) for node, blank in sources)
    return Chapter(name, title.rstrip("."), text.strip(), empty, found)


def _cut(source: str, node: ast.FunctionDef) -> str:
    return textwrap.dedent("\n".join(source.splitlines()[node.lineno - 1:node.end_lineno]))
