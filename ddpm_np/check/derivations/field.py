"""Exact numbers of a relation: rational functions of its free symbols, with roots, logarithms and exponentials adjoined.

A value is a polynomial over a product of polynomials. √f is a new generator r with r² = f, reduced wherever it appears;
ln of a product is the sum of its factors' logarithms, each a generator; exp, cos, sin and Φ are generators whose
derivatives are known. Two values are equal if the numerator of their difference reduces to 0. Free symbols stand for
positive numbers, as the field's do, wherever a root or a logarithm is taken of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
from sympy import QQ, factorint
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

mp = mpmath.mp.clone()
mp.dps = 40


LARGEST = 20_000  # pairs of terms in a product of polynomials; the book has at most 100


def random_number(name: str, seed: int) -> Any:
    """Return a number for a free symbol, of its name: between 0.2 and 0.8, a quarter of it if it has an index.

    So 1 − q₁ − q₂, the last of three probabilities, is positive.
    """
    number = mp.mpf(20 + zlib.crc32(f"{name}/{seed}".encode()) % 61) / 100
    return number / 4 if name[-1].isdigit() else number


class Unprovable(Exception):
    """An expression that the prover cannot treat exactly, and why."""


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
                      "arctan": mp.atan, "tan": mp.tan, "constant": lambda name: +getattr(mp, name)}[extension.kind](inner)

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
        factors: dict[PolyElement, int] = {}
        content, poly = poly.primitive()
        lowest = [min(column) for column in zip(*poly, strict=True)]
        for gen, power in zip(self.ring.gens, lowest, strict=True):
            if power:
                factors[gen] = power
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

    def sqrt(self) -> Value:
        """Return the root; of a factor to an odd power it is adjoined."""
        if self.is_zero:
            return self
        field, (content, powers) = self.field, self.factors()
        if content < 0:
            raise Unprovable("a root of a negative number")
        result = _rational_root(field, content)
        for factor, power in powers.items():
            if factor.is_generator or power % 2:
                pass
            elif evaluate(factor, field.sample) < 0 or not _positive(field, factor):
                raise Unprovable(f"the sign of a root of ({factor})²")
            half = Value(field, factor, {}) ** (power // 2)
            result = result * half
            if power % 2:
                if not factor.is_generator and factor not in field.atoms:
                    field.atoms.append(factor)
                result = result * Value(field, field.adjoin("root", factor, factor), {})
        return result

    def ln(self) -> Value:
        """Return the logarithm: the sum of those of the factors."""
        field, (content, powers) = self.field, self.factors()
        if content < 0:
            raise Unprovable("a logarithm of a negative number")
        total = field.constant(QQ(0))
        for prime, power in [*factorint(int(content.numerator)).items(),
                             *((p, -k) for p, k in factorint(int(content.denominator)).items())]:
            if prime != 1:
                gen = field.adjoin("ln", field.ring.ground_new(QQ(prime)), prime)
                total = total + Value(field, gen * power, {})
        for factor, power in powers.items():
            for prime, times in _irreducible(field, factor):
                total = total + field.constant(QQ(power * times)) * _ln_of(field, prime)
        return total

    def exp(self) -> Value:
        """Return the exponential: of a sum, the product of those of its terms."""
        field, den = self.field, self.field.ring.one
        for factor, power in self.den.items():
            den = den * factor**power
        num, den = self.num.cancel(den)
        if den.is_ground:
            result = field.constant(QQ(1))
            for monom, coefficient in num.items():
                result = result * _exp_of_term(field, monom, coefficient / den.LC)
            return result
        for (kind, _), i in list(field.found.items()):
            if kind == "exp":
                for sign in (1, -1):
                    if (field.extensions[i].of - self * field.constant(QQ(sign))).is_zero:
                        return Value(field, field.ring.gens[i], {}) ** sign if sign > 0 else (
                            field.constant(QQ(1)) / Value(field, field.ring.gens[i], {}))
        return Value(field, field.adjoin("exp", self, (self.num, tuple(self.den.items()))), {})

    def of(self, kind: str) -> Value:
        """Return cos, sin, Φ, … of this value."""
        field = self.field
        if self.is_zero and kind in ("sin", "cos", "tan", "arctan"):
            return field.constant(QQ(kind == "cos"))
        for (other, _), i in list(field.found.items()):
            if other == kind and (field.extensions[i].of - self).is_zero:
                return Value(field, field.ring.gens[i], {})
        if kind == "sin":
            cosine = self.of("cos")
            i = len(field.names) + len(field.extensions)
            gen = field.adjoin("sin", self, (self.num, tuple(self.den.items())))
            if not any(at == i for at, _ in field.roots):
                field.roots.insert(0, (i, field.ring.one - cosine.num**2))
            return Value(field, gen, {})
        gen = field.adjoin(kind, self, (self.num, tuple(self.den.items())))
        if kind == "cos":
            field.atoms.append(field.ring.one - gen**2)
        return Value(field, gen, {})

    def diff(self, rates: dict[PolyElement, Value]) -> Value:
        """Return the derivative by the chain rule, from those of the generators that are not constant."""
        memo: dict[int, Value | None] = {}
        total = _diff_poly(self.field, self.num, rates, memo)
        for factor, power in self.den.items():
            total = total - Value(self.field, self.num, {factor: 1}) * self.field.constant(QQ(power)) * _diff_poly(
                self.field, factor, rates, memo)
        return total * Value(self.field, self.field.ring.one, self.den)

    def expectation(self, moments: dict[int, Callable[[int], Value]]) -> Value:
        """Return the mean over independent random generators, from their moments by index."""
        field = self.field
        for poly in [*self.den, *(e.of for i, e in field.extensions.items() if isinstance(e.of, PolyElement) and any(
                monom[i] for monom in self.num))]:
            if any(monom[i] for monom in poly for i in moments):
                raise Unprovable("a mean of a function that is not a polynomial in the noise")
        for i, e in field.extensions.items():
            used = any(monom[i] for monom in self.num)
            if used and isinstance(e.of, Value) and any(m[j] for p in [e.of.num, *e.of.den] for m in p for j in moments):
                raise Unprovable("a mean of a function that is not a polynomial in the noise")
        total = field.constant(QQ(0))
        for monom, coefficient in self.num.items():
            rest = tuple(0 if i in moments else power for i, power in enumerate(monom))
            term = Value(field, field.ring.from_dict({rest: coefficient}), {})
            for i, moment in moments.items():
                if monom[i]:
                    term = term * moment(monom[i])
            total = total + term
        return total * Value(field, field.ring.one, self.den)

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


def _rational_root(field: Field, content: Any) -> Value:
    result = field.constant(QQ(1))
    for number, sign in ((int(content.numerator), 1), (int(content.denominator), -1)):
        for prime, power in factorint(number).items():
            if prime == 1:
                continue
            result = result * field.constant(QQ(prime)) ** (sign * (power // 2))
            if power % 2:
                poly = field.ring.ground_new(QQ(prime))
                root = Value(field, field.adjoin("root", poly, poly), {})
                result = result * root if sign > 0 else result / root
    return result


def _positive(field: Field, poly: PolyElement) -> bool:
    """Return whether a polynomial is positive at sight: an atom, or without a minus."""
    return poly in field.atoms or all(coefficient > 0 for coefficient in poly.values())


def _irreducible(field: Field, factor: PolyElement) -> list[tuple[PolyElement, int]]:
    """Return the irreducible factors of a polynomial, each positive at the sample point; atoms stay whole."""
    if factor.is_generator or factor in field.atoms:
        return [(factor, 1)]
    content, parts = factor.factor_list()
    oriented = [(part if evaluate(part, field.sample) > 0 else -part, times) for part, times in parts]
    if content not in (1, -1):
        raise Unprovable("a logarithm of a factor with a number in it")
    return oriented


def _ln_of(field: Field, factor: PolyElement) -> Value:
    if factor.is_generator:
        extension = field.extensions.get(field.ring.gens.index(factor))
        if extension is not None and extension.kind == "root":
            return Value(field, extension.of, {}).ln() * field.constant(QQ(1, 2))
        if extension is not None and extension.kind == "sin":
            square = field.ring.one - extension.of.of("cos").num ** 2
            return Value(field, square, {}).ln() * field.constant(QQ(1, 2))
        if extension is not None and extension.kind == "exp":
            return extension.of
    return Value(field, field.adjoin("ln", factor, factor), {})


def _exp_of_term(field: Field, monom: Any, coefficient: Any) -> Value:
    """Return exp of one term: a power of the exponential of its monomial, or of ln x the power of x."""
    used = [i for i, power in enumerate(monom) if power]
    if len(used) == 1 and monom[used[0]] == 1:
        extension = field.extensions.get(used[0])
        if extension is not None and extension.kind == "ln":
            base = Value(field, extension.of, {})
            doubled = coefficient * 2
            if doubled.denominator == 1:
                whole = base ** int(coefficient) if coefficient.denominator == 1 else base.sqrt() ** int(doubled)
                return whole
    key = ("term", monom)
    if ("exp", key) in field.found:
        unit = _unit(field, field.found["exp", key], monom)
    else:
        unit = abs(coefficient)
        term = Value(field, field.ring.from_dict({monom: unit}), {})
        field.adjoin("exp", term, key)
    power = coefficient / unit
    if power.denominator != 1:
        raise Unprovable("exponentials whose exponents have no whole ratio")
    return Value(field, field.ring.gens[field.found["exp", key]], {}) ** int(power)


def _unit(field: Field, i: int, monom: Any) -> Any:
    return field.extensions[i].of.num[monom]


def _diff_poly(field: Field, poly: PolyElement, rates: dict[PolyElement, Value], memo: dict[int, Value | None]) -> Value:
    total = field.constant(QQ(0))
    for i, gen in enumerate(field.ring.gens):
        if any(monom[i] for monom in poly):
            rate = _rate(field, i, rates, memo)
            if rate is not None:
                total = total + Value(field, poly.diff(gen), {}) * rate
    return total


def _rate(field: Field, i: int, rates: dict[PolyElement, Value], memo: dict[int, Value | None]) -> Value | None:
    """Return the derivative of a generator; None if it is constant."""
    gen = field.ring.gens[i]
    if i not in field.extensions:
        return rates.get(gen)
    if i not in memo:
        extension, value = field.extensions[i], Value(field, gen, {})
        of = extension.of
        if extension.kind == "constant":
            memo[i] = None
            return None
        inner = _diff_poly(field, of, rates, memo) if isinstance(of, PolyElement) else of.diff(rates)
        one = field.constant(QQ(1))
        if extension.kind == "root":
            memo[i] = inner / (value + value)
        elif extension.kind == "ln":
            memo[i] = inner / Value(field, of, {})
        elif extension.kind == "exp":
            memo[i] = inner * value
        elif extension.kind == "cos":
            memo[i] = -inner * of.of("sin")
        elif extension.kind == "sin":
            memo[i] = inner * of.of("cos")
        elif extension.kind == "arctan":
            memo[i] = inner / (one + of * of)
        elif extension.kind == "Phi":
            two_pi = Value(field, field.adjoin("constant", "pi", "pi"), {}) * field.constant(QQ(2))
            memo[i] = inner * (-of * of * field.constant(QQ(1, 2))).exp() / two_pi.sqrt()
        else:
            raise Unprovable(f"the derivative of {extension.kind}")
        if memo[i].is_zero:  # type: ignore[union-attr]
            memo[i] = None
    return memo[i]
