"""Proofs of relations, and the point at which the sides of a wrong one differ."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ddpm_np.check.derivations.code_ties import untied
from ddpm_np.check.derivations.exact import Exact
from ddpm_np.check.derivations.field import Exhausted, Value
from ddpm_np.check.derivations.numbers import Unprovable, mp
from ddpm_np.check.derivations.numeric import TOLERANCE, Numeric
from ddpm_np.check.derivations.relation import Relation
from ddpm_np.check.derivations.scope import Scope, instances
from ddpm_np.check.derivations.text import symbol_text, text
from ddpm_np.check.derivations.tree import Node

ROOM = (6, 24, 96)  # generators that can be adjoined, tried in turn
POINTS = 3  # random points of a relation proved by quadrature


@dataclass(frozen=True)
class Verdict:
    """Whether a relation holds.

    Parameters
    ----------
    id : str
        Its id.
    proved : bool
        Whether it was proved.
    method : str
        The method.
    counterexample : str
        If not, the two sides and a point where they differ, or why it could not be proved; else empty.
    seconds : float
        Time taken.
    """

    id: str
    proved: bool
    method: str
    counterexample: str
    seconds: float


def prove(relation: Relation) -> Verdict:
    """Prove a relation, or return a point at which it is wrong.

    Parameters
    ----------
    relation : Relation
        The relation.

    Returns
    -------
    Verdict
        The verdict.

    Examples
    --------
    >>> line = Relation("step", r"\\al(1-\\abp)+\\be = 1-\\abp", "A wrong index.")
    >>> prove(line).counterexample
    'α_t·(1 − ᾱ_{t−1}) + β_t = 0.913329, 1 − ᾱ_{t−1} = 0.5904 at √ᾱ_{t−1} = 0.64, √α_t = 0.46'
    """
    started = time.perf_counter()
    why = refutation(relation, relation.sides) or untied(relation)
    return Verdict(relation.id, not why, relation.method, why, time.perf_counter() - started)


def refutation(relation: Relation, sides: tuple[Node, ...]) -> str:
    """Return what is wrong with sides in the place of a relation's: empty if they are proved equal.

    Parameters
    ----------
    relation : Relation
        The relation, whose definitions hold.
    sides : tuple of Node
        Its sides, or a mutant's.

    Returns
    -------
    str
        The difference, or the reason why there is no proof.
    """
    scope = Scope(relation.given)
    try:
        bindings = list(instances(sides, relation.sizes))
        if sides != relation.sides and (found := _quick_difference(relation, scope, sides, bindings)):
            return found
        for bound in bindings:
            found = (_numeric_difference if relation.numeric else _exact_difference)(relation, scope, sides, bound)
            if found:
                return found
    except Unprovable as error:
        return f"no proof: {error}"
    except ZeroDivisionError:
        return "no proof: a division by 0"
    return ""


def _quick_difference(relation: Relation, scope: Scope, sides: tuple[Node, ...], bindings: list[dict[str, int]]) -> str:
    """Return a point at which a mutant's sides differ, if numbers alone show it: the exact proof would take longer."""
    if relation.rates or any(node.op in ("E", "Var", "Cov", "int") for side in sides for node in side.walk()):
        return ""
    equal = [side for side, sign in zip(sides[1:], relation.signs, strict=True) if sign == "="]
    for bound in bindings:
        numeric = Numeric(scope, 1)
        try:
            first = numeric(sides[0], bound)
            for side in equal:
                value = numeric(side, bound)
                if mp.im(first) == mp.im(value) == 0 and abs(first - value) > mp.mpf("1e-12") * (1 + abs(first)):
                    return _shown(sides[0], first, side, value, numeric.numbers, bound)
        except ZeroDivisionError:
            return "no proof: a division by 0"
        except (ValueError, TypeError):  # a logarithm of 0, a function of complex numbers
            return ""
    return ""


def _exact_difference(relation: Relation, scope: Scope, sides: tuple[Node, ...], bound: dict[str, int]) -> str:
    for spare in ROOM:
        try:
            exact = Exact(sides, scope, bound, relation.rates, spare)
            first = exact(sides[0])
            for sign, side in zip(relation.signs, sides[1:], strict=True):
                if sign == r"\geq":
                    if side.op != "num" or side.args[0] != 0:
                        raise Unprovable("only ≥ 0 has a proof")
                    last = sides[len(sides) - 2]
                    if not positive(last):
                        raise Unprovable(f"{text(last)} is not positive at sight")
                elif sign == "=":
                    value = exact(side)
                    if not (first - value).is_zero:
                        return _point(exact, (sides[0], first), (side, value), bound)
                else:
                    raise Unprovable(f"{sign} has no proof")
            return ""
        except Exhausted:
            continue
    raise Unprovable("too many roots, logarithms and exponentials")


def _point(exact: Exact, left: tuple[Node, Value], right: tuple[Node, Value], bound: dict[str, int]) -> str:
    """Return the two sides and a point at which they differ."""
    field = exact.field
    for seed in range(1, 9):
        try:
            numbers = field.point(seed)
            a, b = left[1].at(numbers), right[1].at(numbers)
        except (ZeroDivisionError, ValueError):
            continue
        if abs(a - b) > mp.mpf("1e-25") * (1 + abs(a)):
            return _shown(left[0], a, right[0], b, dict(zip(field.names, numbers, strict=False)), bound)
    return f"no proof: {text(left[0])} and {text(right[0])} differ in form, but at no point tried"


def _shown(left: Node, a: Any, right: Node, b: Any, at: dict[str, Any], bound: dict[str, int]) -> str:
    where = [f"{name} = {value}" for name, value in bound.items()]
    for name, value in at.items():
        macro, *indices = name.split("_")
        where.append(f"{symbol_text(macro, tuple(indices))} = {mp.nstr(value, 3)}")
    return f"{text(left)} = {mp.nstr(a, 6)}, {text(right)} = {mp.nstr(b, 6)} at {', '.join(where)}"


def _numeric_difference(relation: Relation, scope: Scope, sides: tuple[Node, ...], bound: dict[str, int]) -> str:
    for seed in range(POINTS):
        numeric = Numeric(scope, seed)
        first = numeric(sides[0], bound)
        for side in sides[1:]:
            value = numeric(side, bound)
            if not abs(first - value) <= TOLERANCE * (1 + abs(first)):
                return _shown(sides[0], first, side, value, numeric.numbers, bound)
    return ""


def positive(node: Node) -> bool:
    """Return whether an expression is ≥ 0 at sight: squares, positive symbols, their sums, products and quotients.

    Parameters
    ----------
    node : Node
        The expression.

    Returns
    -------
    bool
        Whether it is.
    """
    op, args = node.op, node.args
    if op == "num":
        return args[0] >= 0
    if op == "pow":
        return (args[1].op == "num" and args[1].args[0] % 2 == 0) or positive(args[0])
    if op in ("sqrt", "pi") or (op == "fn" and args[0] in ("exp", "Phi")):
        return True
    if op == "sym":
        return args[0] in POSITIVE_SYMBOLS
    if op == "sub":  # 1 − ᾱ and the like
        return args[0].op == "num" and args[0].args[0] == 1 and args[1].op == "sym" and args[1].args[0] in BELOW_ONE
    if op in ("sum", "prod"):
        return positive(args[3])
    if op in ("add", "mul", "div"):
        return positive(args[0]) and positive(args[1])
    if op in ("E", "Var"):
        return op == "Var" or positive(args[1])
    return False


BELOW_ONE = {r"\al", r"\be", r"\ab", r"\abp", r"\abs"}
POSITIVE_SYMBOLS = {*BELOW_ONE, r"\bt", r"\snr", r"\snrp", r"\cz", r"\ct", r"\sig", r"\ds", r"\vt", r"\vp", r"\sa",
                    r"\sb"}
