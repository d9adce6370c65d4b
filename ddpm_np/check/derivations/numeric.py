"""Relations that have no exact form, such as integrals to infinity: both sides in 40 digits at random points."""

from __future__ import annotations

from typing import Any

from ddpm_np.check.derivations.numbers import mp, random_number
from ddpm_np.check.derivations.scope import Scope, name_of, series_range
from ddpm_np.check.derivations.tree import Node

TOLERANCE = mp.mpf("1e-30")


class Numeric:
    """The evaluator of a relation at a point.

    Parameters
    ----------
    scope : Scope
        The definitions.
    seed : int
        Which point: each free symbol is a number between 0.2 and 0.8.
    """

    def __init__(self, scope: Scope, seed: int):
        self.scope, self.seed = scope, seed
        self.numbers: dict[str, Any] = {}

    def number(self, name: str) -> Any:
        """Return the number that stands for a free symbol."""
        if name not in self.numbers:
            self.numbers[name] = random_number(name, self.seed)
        return self.numbers[name]

    def __call__(self, node: Node, bound: dict[str, int]) -> Any:
        """Return the value of an expression."""
        op, args = node.op, node.args
        if op == "num":
            return mp.mpf(args[0].numerator) / args[0].denominator
        if op == "pi":
            return +mp.pi
        if op == "inf":
            return mp.inf * args[0]
        if op == "sym":
            name = name_of(node, bound)
            inner = None if name in self.numbers else self.scope.value(node, bound)
            return self.number(name) if inner is None else self(inner, bound)
        if op == "int":
            return self._integral(args, bound)
        if op in ("sum", "prod"):
            parts = [self(args[3], {**bound, args[0]: i}) for i in series_range(node, bound)]
            return mp.fsum(parts) if op == "sum" else mp.fprod(parts)
        if op == "fn":
            x = self(args[1], bound)
            return {"ln": mp.log, "exp": mp.exp, "cos": mp.cos, "sin": mp.sin, "tan": mp.tan,
                    "Phi": mp.ncdf}[args[0]](x)
        if op == "pd":
            return self._derivative(args, bound)
        values = [self(arg, bound) for arg in args]
        return {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
                "div": lambda a, b: a / b, "pow": lambda a, b: a**b, "neg": lambda a: -a, "sqrt": mp.sqrt}[op](*values)

    def _integral(self, args: tuple[Any, ...], bound: dict[str, int]) -> Any:
        variable, low, high, body = args
        name = name_of(variable, bound)
        outer = self.numbers.get(name)

        def integrand(x: Any) -> Any:
            self.numbers[name] = x
            return self(body, bound)

        ends = [self(low, bound), self(high, bound)]
        points = [ends[0], *[p for p in (-2, 0, 2) if ends[0] < p < ends[1] and mp.inf in (abs(ends[0]), abs(ends[1]))],
                  ends[1]]
        try:
            return mp.quad(integrand, points)
        finally:
            if outer is None:
                self.numbers.pop(name, None)
            else:
                self.numbers[name] = outer

    def _derivative(self, args: tuple[Any, ...], bound: dict[str, int]) -> Any:
        name = name_of(args[0], bound)
        at = self.number(name)

        def value(x: Any) -> Any:
            self.numbers[name] = x
            return self(args[1], bound)

        try:
            return mp.diff(value, at)
        finally:
            self.numbers[name] = at


