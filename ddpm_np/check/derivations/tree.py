"""Expressions as trees: an operation and its operands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Node:
    """A node of an expression: an operation and its operands (nodes, names, numbers or indices)."""

    op: str
    args: tuple[Any, ...]

    def children(self) -> Iterator[tuple[int, Node]]:
        """Yield the operands that are expressions, with their places.

        Yields
        ------
        place : int
            Place in `args`.
        child : Node
            The operand.
        """
        for place, arg in enumerate(self.args):
            if isinstance(arg, Node):
                yield place, arg

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it.

        Yields
        ------
        node : Node
            Each node, parents first.
        """
        yield self
        for _, child in self.children():
            yield from child.walk()

    def replace(self, place: int, arg: Any) -> Node:
        """Return a copy with one operand replaced.

        Parameters
        ----------
        place : int
            Place in `args`.
        arg : Node, str, Fraction or index
            The new operand.

        Returns
        -------
        Node
            The copy.
        """
        return Node(self.op, (*self.args[:place], arg, *self.args[place + 1 :]))


def number(value: Any) -> Node:
    """Return a number as an expression.

    Parameters
    ----------
    value : int, str or Fraction
        The number.

    Returns
    -------
    Node
        The expression.
    """
    return Node("num", (Fraction(value),))


Index = tuple[str, int]  # a variable, or "" for none, and what is added: ("t", -1) is t − 1, ("", 2) is 2
