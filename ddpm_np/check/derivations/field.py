"""Exact numbers of a relation: rational functions of free symbols, with roots, logarithms and exponentials adjoined.

A value is a polynomial over a product of polynomials. √f is a new generator r with r² = f, reduced wherever it appears;
ln of a product is the sum of its factors' logarithms, each a generator; exp, cos, sin and Φ are generators whose
derivatives are known. Two values are equal if the numerator of their difference reduces to 0. Free symbols stand for
positive numbers, as the field's do, wherever a root or a logarithm is taken of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sympy import QQ
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

from ddpm_np.check.derivations.numbers import Unprovable, mp, random_number

LARGEST = 20_000  # pairs of terms in a product of polynomials; the book has at most 100


class Exhausted(Exception):
    """More generators were adjoined than the ring has room for."""


@cache
def _ring(names: tuple[str, ...]) -> PolyRing:
    return PolyRing(names, QQ, lex)


@dataclass(frozen=True)
class Extension:
    """A generator that was adjoined: ``kind`` of ``of``, such as the root of a polynomial or exp of a value."""

    kind: str
    of: Any


class Field:
    """The numbers of one relation.

    Parameters
    ----------
    names : iterable of str
        The free symbols.
    spare : int
        How many generators can be adjoined.
    """

    def __init__(self, names: Iterable[str], spare: int):
        self.names = tuple(sorted(names))
        self.ring = _ring((*self.names, *(f"_{i}" for i in range(spare))))
        self.gens = dict(zip(self.names, self.ring.gens, strict=False))
        self.extensions: dict[int, Extension] = {}
        self.found: dict[Any, int] = {}
        self.atoms: list[PolyElement] = []  # polynomials that are positive and have roots of their own
        self.roots: list[tuple[int, PolyElement]] = []
        self.sample = self.point(0)

    def point(self, seed: int, given: dict[str, Any] | None = None) -> list[Any]:
        """Return a number for each generator: random between 0 and 1 for the free ones, and what follows from them."""
        numbers: list[Any] = [mp.mpf(0)] * len(self.ring.gens)
        for i, name in enumerate(self.names):
            if given and name in given:
                numbers[i] = mp.mpf(given[name])
            else:
                numbers[i] = random_number(name, seed)
        for i in self.extensions:
            self._number(i, numbers)
        return numbers

    def _number(self, i: int, numbers: list[Any]) -> None:
        extension = self.extensions[i]
        inner = (evaluate(extension.of, numbers) if isinstance(extension.of, PolyElement) else extension.of.at(numbers)
                 if isinstance(extension.of, Value) else extension.of)
        numbers[i] = {"root": mp.sqrt, "ln": mp.log, "exp": mp.exp, "cos": mp.cos, "sin": mp.sin, "Phi": mp.ncdf,
                      "constant": lambda name: +getattr(mp, name)}[extension.kind](inner)

    def constant(self, value: Any) -> Value:
        return Value(self, self.ring.ground_new(QQ(value.numerator, value.denominator)), {})

    def symbol(self, name: str) -> Value:
        return Value(self, self.gens[name], {})

    def adjoin(self, kind: str, of: Any, key: Any) -> PolyElement:
        """Return the generator of ``kind`` of ``of``, a new one if the key is new."""
        if (kind, key) not in self.found:
            i = len(self.names) + len(self.extensions)
            if i >= len(self.ring.gens):
                raise Exhausted
            self.extensions[i] = Extension(kind, of)
            self.found[kind, key] = i
            if kind == "root":
                self.roots.insert(0, (i, of))
            self._number(i, self.sample)
        return self.ring.gens[self.found[kind, key]]

    def reduce(self, poly: PolyElement) -> PolyElement:
        """Replace the squares of adjoined roots."""
        for i, square in self.roots:
            if not any(monom[i] > 1 for monom in poly):
                continue
            by_power: dict[int, dict[Any, Any]] = {}
            for monom, coefficient in poly.items():
                rest = (*monom[:i], monom[i] % 2, *monom[i + 1 :])
                terms = by_power.setdefault(monom[i] // 2, {})
                terms[rest] = terms.get(rest, 0) + coefficient
            poly = self.ring.zero
            for power, terms in by_power.items():
                poly = poly + self.ring.from_dict({m: c for m, c in terms.items() if c}) * square**power
        return poly

    def split(self, poly: PolyElement) -> tuple[Any, dict[PolyElement, int]]:
        """Return a rational number and the factors of a polynomial: generators, atoms, and the rest as one factor."""
        content, poly = poly.primitive()
        lowest = [min(column) for column in zip(*poly, strict=True)]
        factors = {gen: power for gen, power in zip(self.ring.gens, lowest, strict=True) if power}
        if factors:
            poly = self.ring.from_dict({tuple(a - b for a, b in zip(monom, lowest, strict=True)): c
                                        for monom, c in poly.items()})
        for atom in self.atoms:
            while not poly.is_ground:
                quotient, rest = poly.div(atom)
                if rest:
                    break
                factors[atom] = factors.get(atom, 0) + 1
                poly = quotient
        if not poly.is_ground:
            inner, poly = poly.primitive()
            content *= inner
            if evaluate(poly, self.sample) < 0:
                content, poly = -content, -poly
            factors[poly] = factors.get(poly, 0) + 1
        else:
            content *= poly.LC
        return content, factors


def evaluate(poly: PolyElement, numbers: list[Any]) -> Any:
    """Return a polynomial's value at numbers for the generators."""
    total = mp.mpf(0)
    for monom, coefficient in poly.items():
        term = mp.mpf(int(coefficient.numerator)) / int(coefficient.denominator)
        for power, x in zip(monom, numbers, strict=True):
            if power:
                term *= x**power
        total += term
    return total


class Value:
    """An exact number: a polynomial ``num`` over the product of the polynomials of ``den`` to their powers."""

    __slots__ = ("den", "field", "num")

    def __init__(self, field: Field, num: PolyElement, den: dict[PolyElement, int]):
        self.field, self.num, self.den = field, num, den

    def _over(self, den: dict[PolyElement, int]) -> PolyElement:
        num = self.num
        for factor, power in den.items():
            if more := power - self.den.get(factor, 0):
                num = _times(num, factor**more)
        return num

    def __add__(self, other: Value) -> Value:
        den = {f: max(self.den.get(f, 0), other.den.get(f, 0)) for f in {**self.den, **other.den}}
        return Value(self.field, self.field.reduce(self._over(den) + other._over(den)), den)

    def __neg__(self) -> Value:
        return Value(self.field, -self.num, self.den)

    def __sub__(self, other: Value) -> Value:
        return self + -other

    def __mul__(self, other: Value) -> Value:
        den = {f: self.den.get(f, 0) + other.den.get(f, 0) for f in {**self.den, **other.den}}
        return Value(self.field, self.field.reduce(_times(self.num, other.num)), den)

    def __truediv__(self, other: Value) -> Value:
        if not other.num:
            raise Unprovable("a division by 0")
        content, factors = self.field.split(other.num)
        result = Value(self.field, self.field.reduce(self._numerator(other) / content), {})
        den = dict(self.den)
        for factor, power in factors.items():
            den[factor] = den.get(factor, 0) + power
        for factor, power in other.den.items():
            if (shared := min(power, den.get(factor, 0))) > 0:
                den[factor] -= shared
        result.den = {f: k for f, k in den.items() if k}
        return result

    def _numerator(self, other: Value) -> PolyElement:
        """Return the numerator times those factors of the other's denominator that no factor here cancels."""
        _, factors = self.field.split(other.num)
        num = self.num
        for factor, power in other.den.items():
            shared = min(power, self.den.get(factor, 0) + factors.get(factor, 0))
            if power > shared:
                num = num * factor ** (power - shared)
        return num

    def __pow__(self, power: int) -> Value:
        if power < 0:
            return self.field.constant(QQ(1)) / self**-power
        result = self.field.constant(QQ(1))
        for _ in range(power):
            result = result * self
        return result

    @property
    def is_zero(self) -> bool:
        return not self.field.reduce(self.num)

    def factors(self) -> tuple[Any, dict[PolyElement, int]]:
        """Return a rational number and the factors to their powers, negative for those of the denominator."""
        if not self.num:
            raise Unprovable("a root or logarithm of 0")
        content, powers = self.field.split(self.num)
        for factor, power in self.den.items():
            inner, parts = self.field.split(factor)
            content /= inner**power
            for part, k in parts.items():
                powers[part] = powers.get(part, 0) - k * power
        return content, {f: k for f, k in powers.items() if k}

    def at(self, numbers: list[Any]) -> Any:
        """Return the value in 40 digits at numbers for the generators."""
        value = evaluate(self.num, numbers)
        for factor, power in self.den.items():
            value /= evaluate(factor, numbers) ** power
        return value


def _times(a: PolyElement, b: PolyElement) -> PolyElement:
    """Return the product of two polynomials, if it is not too large."""
    if len(a) * len(b) > LARGEST:
        raise Unprovable("an expression with too many terms")
    return a * b


