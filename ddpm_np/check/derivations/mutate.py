"""Slips of the pen in a line: a sign, a factor, a root, an index, another symbol. Each must turn the line red."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ddpm_np.check.derivations.prover import refutation
from ddpm_np.check.derivations.relation import Relation
from ddpm_np.check.derivations.symbols import SYMBOLS
from ddpm_np.check.derivations.text import text
from ddpm_np.check.derivations.tree import Node, number


@dataclass(frozen=True)
class Mutant:
    """A line with one slip.

    Parameters
    ----------
    relation : Relation
        The line.
    kind : str
        The kind of slip: sign, factor, term, root, square, quotient, number, symbol, index, bound, function.
    side : int
        Which side has it.
    sides : tuple of Node
        The sides with the slip.
    """

    relation: Relation
    kind: str
    side: int
    sides: tuple[Node, ...]

    def __str__(self) -> str:
        return f"{self.relation.id} ({self.kind}): {text(self.sides[self.side])}"

    def refutation(self) -> str:
        """Return how the line is found to be wrong.

        Returns
        -------
        str
            The two sides and a point, or why there is no proof; empty if the slip survives.
        """
        return refutation(self.relation, self.sides)


def mutants(relation: Relation) -> list[Mutant]:
    r"""Return all slips of one line.

    Parameters
    ----------
    relation : Relation
        The line.

    Returns
    -------
    list of Mutant
        Without repetitions.

    Examples
    --------
    >>> print(*mutants(Relation("one", r"\al = 1-\be", "")), sep="\n")
    one (symbol): ᾱ_t
    one (symbol): β_t
    one (sign): 1 + β_t
    one (term): 1
    one (number): 2 − β_t
    one (symbol): 1 − β̃_t
    one (symbol): 1 − α_t
    """
    found, seen = [], {relation.sides}
    last = len(relation.sides) - (relation.signs[-1] == r"\geq")
    for place, side in enumerate(relation.sides[:last]):
        for kind, slipped in _slips(side):
            sides = (*relation.sides[:place], slipped, *relation.sides[place + 1 :])
            if sides not in seen:
                seen.add(sides)
                found.append(Mutant(relation, kind, place, sides))
    return found


def _slips(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the expression with each slip, and its kind."""
    yield from _here(node)
    for place, child in node.children():
        if node.op == "pow" and place == 1 and child.op == "num":
            continue  # a dropped square is a slip of the power
        if (node.op == "pd" and place == 0) or (node.op == "int" and place == 0):
            continue
        for kind, slipped in _slips(child):
            yield kind, node.replace(place, slipped)


def _here(node: Node) -> Iterator[tuple[str, Node]]:
    op, args = node.op, node.args
    if op in ("add", "sub"):
        yield "sign", Node("sub" if op == "add" else "add", args)
        yield "term", args[0]
    elif op == "neg":
        yield "sign", args[0]
    elif op in ("mul", "div"):
        yield "quotient", Node("div" if op == "mul" else "mul", args)
        yield "factor", args[0]
        if op == "mul":
            yield "factor", args[1]
    elif op == "pow":
        yield ("square" if args[1] == number(2) else "power"), args[0]
    elif op == "sqrt":
        yield "root", args[0]
    elif op == "fn":
        yield "function", args[1]
    elif op == "num":
        yield "number", number(args[0] + 1)
    elif op == "sym":
        yield from _other_symbols(node)
    elif op in ("sum", "prod"):
        yield from _other_bounds(node)


def _other_symbols(node: Node) -> Iterator[tuple[str, Node]]:
    macro, indices = node.args
    if macro in SYMBOLS:
        for other in SYMBOLS[macro].slips:
            if SYMBOLS[other].arguments == len(indices):
                yield "symbol", Node("sym", (other, indices))
    for place, (variable, offset) in enumerate(indices):
        if variable:
            shifted = (*indices[:place], (variable, offset - 1), *indices[place + 1 :])
            yield "index", Node("sym", (macro, shifted))
    if len(indices) == 2 and indices[0] != indices[1]:
        yield "index", Node("sym", (macro, indices[::-1]))


def _other_bounds(node: Node) -> Iterator[tuple[str, Node]]:
    variable, low, high, body = node.args
    if low is not None:
        yield "bound", Node(node.op, (variable, _moved(low, 1), high, body))
    if high is not None:
        yield "bound", Node(node.op, (variable, low, _moved(high, -1), body))


def _moved(index: Any, by: int) -> Any:
    return index[0], index[1] + by
