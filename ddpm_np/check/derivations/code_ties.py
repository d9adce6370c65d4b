"""Relations tied to the package: the expression in `Relation.code` equals the line at random schedules and points.

The expression is Python. Its names are ``d`` (`ddpm_np.diffusion`), ``s`` (a `Schedule`), ``t``, ``k`` (its
coefficients at t), ``ln2``, ``ops``, ``vjp``, ``adam_step``, ``selected``, ``POINTS``, and the symbols of the line by
their names in the table: ``x_t``, ``eps``, ``w``; ``x`` is the array of ``x_{i}`` and ``i`` the index. Arrays have the
shape (1, 1). The line is evaluated in 40 digits.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.check.calls import described
from ddpm_np.check.derivations.latex import parse
from ddpm_np.check.derivations.numbers import mp
from ddpm_np.check.derivations.numeric import Numeric
from ddpm_np.check.derivations.relation import Relation
from ddpm_np.check.derivations.scope import Scope, instances
from ddpm_np.check.derivations.symbols import SYMBOLS
from ddpm_np.check.derivations.text import text
from ddpm_np.check.derivations.tree import Node
from ddpm_np.check.exact import Case, from_ks

TOLERANCE = 1e-9
SIZE = 3
NAMES = {symbol.name: symbol.macro for symbol in SYMBOLS.values() if symbol.name}


@cache
def _places() -> tuple[tuple[Case, diffusion.Schedule, int], ...]:
    """Return schedules, and steps t: Pythagorean ones, whose coefficients are fractions, and random ones."""
    random = np.random.default_rng(17)
    cases = [from_ks([Fraction(1, 3), Fraction(1, 2)]), from_ks([Fraction(1, 7), Fraction(2, 5), Fraction(2, 3)]),
             Case(list(random.uniform(0.02, 0.6, 5))), Case(list(random.uniform(1e-3, 0.05, 40)))]
    return tuple((case, diffusion.Schedule.from_betas(case.betas), t)
                 for case, t in zip(cases, (2, 3, 4, 23), strict=True))


def untied(relation: Relation) -> str:
    """Return how a relation's code differs from its line: empty if they agree, or if it has no code.

    Parameters
    ----------
    relation : Relation
        The relation.

    Returns
    -------
    str
        The expression, its number and the line's.
    """
    if not relation.code:
        return ""
    side = next((side for side in reversed(relation.sides[: _equal_sides(relation)]) if _is_numeric(side)), None)
    if side is None:
        return f"{relation.code}: no side can be evaluated"
    for bound in instances(relation.sides, relation.sizes):
        for seed, (case, schedule, t) in enumerate(_places()):
            found = _difference(relation, side, bound, seed, case, schedule, t)
            if found:
                return found
    return ""


def _equal_sides(relation: Relation) -> int:
    return next((i + 1 for i, sign in enumerate(relation.signs) if sign != "="), len(relation.sides))


def _is_numeric(side: Node) -> bool:
    return not any(node.op in ("E", "Var", "Cov") for node in side.walk())


def _difference(relation: Relation, side: Node, bound: dict[str, int], seed: int, case: Case,
                schedule: diffusion.Schedule, t: int) -> str:
    if relation.given.get(r"\abp") == "1":
        t = 1
    exact = case.exact
    numeric = Numeric(Scope(relation.given), seed)
    numeric.numbers |= {r"\ral": mp.sqrt(_mp(exact.alpha[t])), r"\rabp": mp.sqrt(_mp(exact.alpha_bar[t - 1]))}
    want = float(numeric(side, bound))
    used = {node.id for node in ast.walk(ast.parse(relation.code, mode="eval")) if isinstance(node, ast.Name)}
    steps = np.array([t])
    names: dict[str, Any] = {"d": diffusion, "s": schedule, "t": steps, "k": schedule.at(steps, like=np.zeros((1, 1))),
                             "ln2": math.log(2), "np": np, "math": math, **bound, **_functions()}
    for name in used - set(names):
        names[name] = _array(name, numeric, relation, bound)
    try:
        got = float(np.asarray(eval(relation.code, {"__builtins__": {}, **names})).reshape(-1)[0])
    except Exception as error:  # of a function that someone changed
        return f"{relation.code} raises {described(error)} at {case!r}, t={t}"
    if abs(got - want) <= TOLERANCE * max(1.0, abs(want)):
        return ""
    return f"{relation.code} = {got:.12g}, but {text(side)} = {want:.12g} at {case!r}, t={t}"


def _mp(x: Any) -> Any:
    return mp.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mp.mpf(x)


def _array(name: str, numeric: Numeric, relation: Relation, bound: dict[str, int]) -> np.ndarray:
    """Return the numbers that a name of the code stands for: a symbol's, (1, 1), or those of x_{i} or x_{ij}."""
    macro = NAMES.get(name) or ("\\" + name if len(name) > 1 else name)
    indices = {len(node.args[1]) for part in _nodes(relation) for node in part.walk() if node.op == "sym"
               and node.args[0] == macro}
    rank = max(indices, default=0)
    if rank == 0:
        return np.full((1, 1), float(numeric(parse(macro), bound)))
    shape = (bound.get("n", SIZE),) * rank
    return np.array([float(numeric(Node("sym", (macro, tuple(("", i + 1) for i in place))), bound))
                     for place in np.ndindex(*shape)]).reshape(shape)


def _nodes(relation: Relation) -> Iterator[Node]:
    yield from relation.sides
    for latex in relation.given.values():
        yield parse(latex) if "#" not in latex else Node("num", (Fraction(0),))


@cache
def _functions() -> dict[str, Any]:
    """Return the functions beyond `diffusion` that code can call, on arrays."""
    from ddpm_np.autograd import ops
    from ddpm_np.kernels.numpy_winograd import F4
    from ddpm_np.kernels.toom_cook import toom_cook
    from ddpm_np.training.adam import adam_step

    def vjp(op: Any, place: int, g: np.ndarray, *operands: np.ndarray, **settings: Any) -> Any:
        """Return the gradient of one operand of an op for the gradient g of its result."""
        gradients = op.define(*operands, **settings)[1](g)
        found = (gradients if isinstance(gradients, tuple) else (gradients,))[place]
        return found() if callable(found) else found

    def selected(points: Sequence[float], m: int, r: int, x: np.ndarray) -> np.ndarray:
        """Return Σ A_ik G_kl B_kj x^{j−1}, summed over k and j, with the matrices of F(m, r): (m, r)."""
        b, g, a = toom_cook(points, m, r)
        return np.einsum("ik,kl,kj,j->il", a, g, b, x.ravel() ** np.arange(m + r - 1))

    return {"adam_step": adam_step, "ops": ops, "vjp": vjp, "selected": selected, "POINTS": F4.points}


