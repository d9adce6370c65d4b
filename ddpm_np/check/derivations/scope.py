"""What the symbols of a relation stand for, and the values that its indices take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from ddpm_np.check.derivations.latex import parse
from ddpm_np.check.derivations.numbers import Unprovable
from ddpm_np.check.derivations.symbols import SYMBOLS
from ddpm_np.check.derivations.tree import Index, Node, number

SIZE = 3  # values of a free index: i = 1, 2, 3
FREE_INDICES = "ijkl"


def name_of(node: Node, bound: dict[str, int]) -> str:
    """Return the name of a symbol's generator, its indices replaced by numbers: ``x_2``."""
    macro, indices = node.args
    return "_".join([macro, *(str(index_value(index, bound)) for index in indices)])


def index_value(index: Index, bound: dict[str, int]) -> int:
    """Return the number that an index stands for."""
    variable, offset = index
    if variable and variable not in bound:
        raise Unprovable(f"the index {variable} has no range")
    return (bound[variable] if variable else 0) + offset


class Scope:
    """The definitions of a relation: those of the table of symbols, and its own before them.

    Parameters
    ----------
    given : dict
        LaTeX by macro.
    """

    def __init__(self, given: dict[str, str]):
        self.given = given

    def value(self, node: Node, bound: dict[str, int]) -> Node | None:
        """Return the expression that a symbol stands for; None for a free symbol."""
        macro, indices = node.args
        if not indices and macro in bound:
            return number(bound[macro])  # an index as a number: the T of 1/T
        if macro == r"\kron":
            first, second = (index_value(index, bound) for index in indices)
            return number(int(first == second))
        text = self.given.get(name_of(node, bound)) if indices else None
        if text is None:
            text = self.given.get(macro)
        if text is None and macro in SYMBOLS:
            text = SYMBOLS[macro].value
        if text is None:
            return None
        for place, index in enumerate(indices, 1):
            text = text.replace(f"#{place}", str(index_value(index, bound)))
        return parse(text)

    def free(self, node: Node, bound: dict[str, int]) -> Iterator[str]:
        """Yield the names of the free symbols of an expression."""
        if node.op == "sym":
            value = self.value(node, bound)
            if value is None:
                yield name_of(node, bound)
            else:
                yield from self.free(value, bound)
        elif node.op in ("sum", "prod"):
            variable, _, _, body = node.args
            for i in series_range(node, bound):
                yield from self.free(body, {**bound, variable: i})
        else:
            for _, child in node.children():
                yield from self.free(child, bound)
            if node.op in ("E", "Var", "Cov"):
                for symbol in node.args[0]:
                    for inner in bindings(symbol, bound):
                        yield from self.free(symbol, inner)


def bindings(symbol: Node, bound: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield the bindings of the free indices of a random symbol: \\E_{z_i} is the mean over all z_i."""
    open_ = [v for v, _ in symbol.args[1] if v and v not in bound]
    sizes = [range(0, bound.get("T", SIZE) + 1) if v in "ts" else range(1, SIZE + 1) for v in open_]
    for values in product(*sizes):
        yield {**bound, **dict(zip(open_, values, strict=True))}


def series_range(node: Node, bound: dict[str, int]) -> range:
    """Return the values of the index of a sum or product."""
    _, low, high, _ = node.args
    first = 1 if low is None else index_value(low, bound)
    last = bound.get("n", SIZE) if high is None else index_value(high, bound)
    return range(first, last + 1)


def free_indices(node: Node, bound: frozenset[str] = frozenset()) -> set[str]:
    """Return the variables of an expression's indices that no sum binds."""
    if node.op == "sym":
        return {v for v, _ in node.args[1] if v and v not in bound}
    if node.op in ("sum", "prod"):
        variable, low, high, body = node.args
        ends = {index[0] for index in (low, high) if index and index[0]}
        return (ends - bound) | free_indices(body, bound | {variable})
    found: set[str] = set()
    if node.op in ("E", "Var", "Cov"):
        bound = bound | {v for symbol in node.args[0] for v, _ in symbol.args[1]}
    for _, child in node.children():
        found |= free_indices(child, bound)
    return found


def instances(nodes: tuple[Node, ...], sizes: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, int]]:
    """Yield all values of the free indices: i, j, k of 1..3, T of 1..5, t and s of 1..T."""
    used = set().union(*(free_indices(node) for node in nodes))
    ranges = {v: sizes.get(v, tuple(range(1, SIZE + 1))) for v in used if v != "T" and v not in "ts"}
    names = sorted(ranges)
    steps = sorted(v for v in used if v in "ts")
    for T in sizes.get("T", (1, 2, 3, 4, 5)) if "T" in used else (None,):
        top = {} if T is None else {"T": T}
        step_values = [sizes.get(v, tuple(range(1, (T or SIZE) + 1))) for v in steps]
        for values in product(*(ranges[v] for v in names), *step_values):
            yield {**top, **dict(zip([*names, *steps], values, strict=True))}
