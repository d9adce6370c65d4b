"""Planted mistakes: the proof that the maths checker finds every one of them and nothing else.

`reference` plants them in the independent implementation of reference_target.py, `ours` in this package's own
functions, `gradients` in its backward passes, and `openai_shape` in a class of the shape of OpenAI's. `rewrites` has
changes that are no mistakes, and `conventions` has differences that a target may declare.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

# Reverse processes that forget an option of `reverse`: for text that hands `reverse` on.
SMALL = "Reverse(reverse.schedule, reverse.model, reverse.predicts, clip=reverse.clip)"
CLIPPED = "Reverse(reverse.schedule, reverse.model, reverse.predicts, reverse.variance, True)"
UNCLIPPED = "Reverse(reverse.schedule, reverse.model, reverse.predicts, reverse.variance)"
REFERENCE = (Path(__file__).parent.parent / "reference_target.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Change:
    """One text in the source of a function replaced by another.

    Attributes
    ----------
    place : str
        The method of `Reference`, or the function of this package, that is changed.
    name : str
        A description, unique within the place.
    old, new : str
        `old` occurs `count` times in the place.
    equations : tuple of str
        A mistake breaks each of them; after a rewrite each of them passes.
    """

    place: str
    name: str
    old: str
    new: str
    equations: tuple[str, ...]
    count: int = 1

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"

    def applied(self, source: str) -> str:
        """Return the source of the place with the change in it."""
        found = source.count(self.old)
        assert found == self.count, f"{self}: {self.old!r} occurs {found} times, not {self.count}"
        assert self.old != self.new, f"{self} changes nothing"
        return source.replace(self.old, self.new)


Lines = dict[str, list[tuple]]


def changes(places: Lines) -> list[Change]:
    """Turn {place: [(name, old, new, equations in one string, count if not once), …]} into Changes."""
    found = []
    for place, lines in places.items():
        for name, old, new, equations, *count in lines:
            found.append(Change(place, name, old, new, tuple(equations.split()), *count))
    return found


def changed_reference(*made: Change) -> Callable[[Any], Any]:
    """Return `Reference` with changes in its methods (or in a function beside it, or in its class attributes)."""
    text = REFERENCE
    for change in made:
        head, source, tail = parted(text, change.place)
        text = head + change.applied(source) + tail
    names: dict[str, Any] = {"__name__": "changed_reference"}
    exec(compile(text, f"<{made[0]}>", "exec"), names)
    return names["Reference"]


def source_of(function: FunctionType) -> str:
    """A function's source without its docstring, which may quote its formulas."""
    source = textwrap.dedent(inspect.getsource(function))
    lines, tree = source.splitlines(keepends=True), ast.parse(source).body[0]
    if isinstance(tree, ast.FunctionDef) and ast.get_docstring(tree) is not None:
        del lines[tree.body[0].lineno - 1 : tree.body[0].end_lineno]
    return "".join(lines)


def parted(text: str, place: str) -> tuple[str, str, str]:
    """The text before a def, the def itself, and the text after it."""
    if place == "Reference":
        start = text.index("class Reference:")
        end = text.index("    def ", start)
        return text[:start], text[start:end], text[end:]
    start = text.index(f"def {place}(")
    ends = [text.find(mark, start + 1) for mark in ("\n    def ", "\n    # ", "\ndef ", "\nclass ")]
    end = min((e for e in ends if e > 0), default=len(text))
    return text[:start], text[start:end], text[end:]
