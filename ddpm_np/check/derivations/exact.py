"""Evaluate the expressions of a relation exactly: definitions inserted, sums written out, means by moments."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

from sympy import QQ

from ddpm_np.check.derivations.field import Field, Value
from ddpm_np.check.derivations.functions import apply, diff, exp, expectation, ln, sqrt
from ddpm_np.check.derivations.latex import parse
from ddpm_np.check.derivations.numbers import Unprovable
from ddpm_np.check.derivations.scope import Scope, bindings, name_of, series_range
from ddpm_np.check.derivations.symbols import POSITIVE
from ddpm_np.check.derivations.tree import Node


class Exact:
    """The evaluator of a relation for one value of its free indices.

    Parameters
    ----------
    nodes : tuple of Node
        The expressions that will be evaluated.
    scope : Scope
        The definitions.
    bound : dict
        The free indices' values.
    rates : dict
        Derivatives of symbols by t, for ``\\pd{t}{…}``: LaTeX by macro.
    spare : int
        Room for adjoined generators.
    """

    def __init__(self, nodes: tuple[Node, ...], scope: Scope, bound: dict[str, int], rates: dict[str, str], spare: int):
        self.scope, self.bound, self.rates = scope, bound, rates
        names = {name for node in nodes for name in scope.free(node, bound)}
        names |= {name for text in rates.values() for name in scope.free(parse(text), bound)}
        if any(symbol.args[0] == r"\xo" for node in nodes for part in node.walk() if part.op in ("E", "Var", "Cov")
               for symbol in part.args[0]):
            names |= {r"\dm", r"\ds"}
        if rates:
            names |= {name for macro in rates for name in scope.free(parse(macro), bound)}
        self.field = Field(names, spare)
        if {r"\ral", r"\rabp"} & names:
            plain = Scope({})
            for text in POSITIVE:
                if set(plain.free(parse(text), {})) <= names:
                    value = _plain_value(self.field, text)
                    self.field.atoms.append(value.num)

    def __call__(self, node: Node, bound: dict[str, int] | None = None) -> Value:
        """Return the value of an expression."""
        bound = self.bound if bound is None else bound
        op, args, field = node.op, node.args, self.field
        if op == "num":
            return field.constant(args[0])
        if op == "pi":
            return Value(field, field.adjoin("constant", "pi", "pi"), {})
        if op == "sym":
            inner = self.scope.value(node, bound)
            return field.symbol(name_of(node, bound)) if inner is None else self(inner, bound)
        if op in ("add", "sub", "mul", "div"):
            left, right = self(args[0], bound), self(args[1], bound)
            return (left + right if op == "add" else left - right if op == "sub"
                    else left * right if op == "mul" else left / right)
        if op == "neg":
            return -self(args[0], bound)
        if op == "pow":
            return self._power(args, bound)
        if op == "sqrt":
            return sqrt(self(args[0], bound))
        if op == "fn":
            return self._function(args[0], args[1], bound)
        if op in ("sum", "prod"):
            total = field.constant(Fraction(int(op == "prod")))
            for i in series_range(node, bound):
                part = self(args[3], {**bound, args[0]: i})
                total = total + part if op == "sum" else total * part
            return total
        if op in ("E", "Var", "Cov"):
            return self._moment(op, args, bound)
        if op == "pd":
            return self._derivative(args, bound)
        raise Unprovable(f"{op} has no exact value")

    def _power(self, args: tuple[Any, ...], bound: dict[str, int]) -> Value:
        exponent = self(args[1], bound)
        if not exponent.den and exponent.num.is_ground:
            power = exponent.num.LC if exponent.num else QQ(0)
            base = self(args[0], bound)
            if power.denominator == 1:
                return base ** int(power)
            if power.denominator == 2:
                return sqrt(base) ** int(2 * power)
        return exp(ln(self(args[0], bound)) * exponent)

    def _function(self, name: str, inner: Node, bound: dict[str, int]) -> Value:
        if name == "ln":
            return ln(self(inner, bound))
        if name == "exp":
            return exp(self(inner, bound))
        if name in ("cos", "sin") and inner.op in ("add", "sub"):  # the addition theorems
            (ca, sa), (cb, sb) = ((self._function("cos", x, bound), self._function("sin", x, bound))
                                  for x in inner.args)
            if inner.op == "sub":
                sb = -sb
            return ca * cb - sa * sb if name == "cos" else sa * cb + ca * sb
        if name == "tan":
            return self._function("sin", inner, bound) / self._function("cos", inner, bound)
        value = self(inner, bound)
        if name == "Phi":  # Φ(−x) = 1 − Φ(x)
            for (kind, _), i in list(self.field.found.items()):
                if kind == "Phi" and (self.field.extensions[i].of + value).is_zero:
                    return self.field.constant(Fraction(1)) - Value(self.field, self.field.ring.gens[i], {})
        return apply(name, value)

    def _moment(self, op: str, args: tuple[Any, ...], bound: dict[str, int]) -> Value:
        moments = {}
        for symbol in args[0]:
            for inner in bindings(symbol, bound):
                value = self(symbol, inner)
                if value.den or not value.num.is_generator:
                    raise Unprovable("a mean over what is not a free symbol")
                moments[self.field.ring.gens.index(value.num)] = self._moments_of(symbol)
        parts = [self(part, bound) for part in args[1:]]
        first = expectation(parts[0], moments)
        if op == "E":
            return first
        second = parts[-1]
        return expectation(parts[0] * second, moments) - first * expectation(second, moments)

    def _moments_of(self, symbol: Node) -> Any:
        """Return the moments of a random symbol: x₀ has mean m and variance s²; all others are standard normal."""
        field = self.field
        if symbol.args[0] != r"\xo":
            return lambda k: field.constant(Fraction(0 if k % 2 else _double_factorial(k - 1)))

        def data(k: int) -> Value:
            if k > 2:
                raise Unprovable("a moment of x₀ that is not given")
            m, s = field.symbol(r"\dm"), field.symbol(r"\ds")
            return m if k == 1 else m * m + s * s

        return data

    def _derivative(self, args: tuple[Any, ...], bound: dict[str, int]) -> Value:
        variable, body = args
        value = self(body, bound)
        gens = self.field.gens
        if variable.args[0] == "t":
            rates = {gens[name_of(parse(macro), bound)]: self(parse(text), bound) for macro, text in self.rates.items()}
        else:
            rates = {gens[name_of(variable, bound)]: self.field.constant(Fraction(1))}
        return diff(value, rates)


@cache
def _double_factorial(k: int) -> int:
    return 1 if k <= 0 else k * _double_factorial(k - 2)


def _plain_value(field: Field, text: str) -> Value:
    """Return the value of an expression in the symbols of a schedule."""
    scope = Scope({})

    def value(node: Node) -> Value:
        if node.op == "num":
            return field.constant(node.args[0])
        if node.op == "sym":
            inner = scope.value(node, {})
            return field.symbol(node.args[0]) if inner is None else value(inner)
        left = value(node.args[0])
        if node.op == "pow":
            return left ** int(node.args[1].args[0])
        right = value(node.args[1])
        return left - right if node.op == "sub" else left * right
    return value(parse(text))
