"""Functions of exact numbers: roots, logarithms, exponentials, derivatives, and means over the noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sympy import QQ, factorint
from sympy.polys.rings import PolyElement

from ddpm_np.check.derivations.field import Field, Value, evaluate
from ddpm_np.check.derivations.numbers import Unprovable


def sqrt(x: Value) -> Value:
    """Return the root; of a factor to an odd power it is adjoined."""
    if x.is_zero:
        return x
    field, (content, powers) = x.field, x.factors()
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


def ln(x: Value) -> Value:
    """Return the logarithm: the sum of those of the factors."""
    field, (content, powers) = x.field, x.factors()
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


def exp(x: Value) -> Value:
    """Return the exponential: of a sum, the product of those of its terms."""
    field, den = x.field, x.field.ring.one
    for factor, power in x.den.items():
        den = den * factor**power
    num, den = x.num.cancel(den)
    if den.is_ground:
        result = field.constant(QQ(1))
        for monom, coefficient in num.items():
            result = result * _exp_of_term(field, monom, coefficient / den.LC)
        return result
    for (kind, _), i in list(field.found.items()):
        if kind == "exp":
            for sign in (1, -1):
                if (field.extensions[i].of - x * field.constant(QQ(sign))).is_zero:
                    return Value(field, field.ring.gens[i], {}) ** sign if sign > 0 else (
                        field.constant(QQ(1)) / Value(field, field.ring.gens[i], {}))
    return Value(field, field.adjoin("exp", x, (x.num, tuple(x.den.items()))), {})


def apply(kind: str, x: Value) -> Value:
    """Return cos, sin, Φ, … of this value."""
    field = x.field
    if x.is_zero and kind in ("sin", "cos"):
        return field.constant(QQ(kind == "cos"))
    for (other, _), i in list(field.found.items()):
        if other == kind and (field.extensions[i].of - x).is_zero:
            return Value(field, field.ring.gens[i], {})
    if kind == "sin":
        cosine = apply("cos", x)
        i = len(field.names) + len(field.extensions)
        gen = field.adjoin("sin", x, (x.num, tuple(x.den.items())))
        if not any(at == i for at, _ in field.roots):
            field.roots.insert(0, (i, field.ring.one - cosine.num**2))
        return Value(field, gen, {})
    gen = field.adjoin(kind, x, (x.num, tuple(x.den.items())))
    if kind == "cos":
        field.atoms.append(field.ring.one - gen**2)
    return Value(field, gen, {})


def diff(x: Value, rates: dict[PolyElement, Value]) -> Value:
    """Return the derivative by the chain rule, from those of the generators that are not constant."""
    memo: dict[int, Value | None] = {}
    total = _diff_poly(x.field, x.num, rates, memo)
    for factor, power in x.den.items():
        total = total - Value(x.field, x.num, {factor: 1}) * x.field.constant(QQ(power)) * _diff_poly(
            x.field, factor, rates, memo)
    return total * Value(x.field, x.field.ring.one, x.den)


def expectation(x: Value, moments: dict[int, Callable[[int], Value]]) -> Value:
    """Return the mean over independent random generators, from their moments by index."""
    field = x.field
    for poly in [*x.den, *(e.of for i, e in field.extensions.items() if isinstance(e.of, PolyElement) and any(
            monom[i] for monom in x.num))]:
        if any(monom[i] for monom in poly for i in moments):
            raise Unprovable("a mean of a function that is not a polynomial in the noise")
    for i, e in field.extensions.items():
        used = any(monom[i] for monom in x.num)
        if used and isinstance(e.of, Value) and any(m[j] for p in [e.of.num, *e.of.den] for m in p for j in moments):
            raise Unprovable("a mean of a function that is not a polynomial in the noise")
    total = field.constant(QQ(0))
    for monom, coefficient in x.num.items():
        rest = tuple(0 if i in moments else power for i, power in enumerate(monom))
        term = Value(field, field.ring.from_dict({rest: coefficient}), {})
        for i, moment in moments.items():
            if monom[i]:
                term = term * moment(monom[i])
        total = total + term
    return total * Value(field, field.ring.one, x.den)


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
            return ln(Value(field, extension.of, {})) * field.constant(QQ(1, 2))
        if extension is not None and extension.kind == "sin":
            square = field.ring.one - apply("cos", extension.of).num ** 2
            return ln(Value(field, square, {})) * field.constant(QQ(1, 2))
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
                return base ** int(coefficient) if coefficient.denominator == 1 else sqrt(base) ** int(doubled)
    key = ("term", monom)
    if ("exp", key) in field.found:
        unit = field.extensions[field.found["exp", key]].of.num[monom]
    else:
        unit = abs(coefficient)
        term = Value(field, field.ring.from_dict({monom: unit}), {})
        field.adjoin("exp", term, key)
    power = coefficient / unit
    if power.denominator != 1:
        raise Unprovable("exponentials whose exponents have no whole ratio")
    return Value(field, field.ring.gens[field.found["exp", key]], {}) ** int(power)


def _diff_poly(field: Field, poly: PolyElement, rates: dict[PolyElement, Value],
               memo: dict[int, Value | None]) -> Value:
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
        inner = _diff_poly(field, of, rates, memo) if isinstance(of, PolyElement) else diff(of, rates)
        if extension.kind == "root":
            memo[i] = inner / (value + value)
        elif extension.kind == "ln":
            memo[i] = inner / Value(field, of, {})
        elif extension.kind == "exp":
            memo[i] = inner * value
        elif extension.kind == "cos":
            memo[i] = -inner * apply("sin", of)
        elif extension.kind == "sin":
            memo[i] = inner * apply("cos", of)
        elif extension.kind == "Phi":
            two_pi = Value(field, field.adjoin("constant", "pi", "pi"), {}) * field.constant(QQ(2))
            memo[i] = inner * exp(-of * of * field.constant(QQ(1, 2))) / sqrt(two_pi)
        else:
            raise Unprovable(f"the derivative of {extension.kind}")
        if memo[i].is_zero:  # type: ignore[union-attr]
            memo[i] = None
    return memo[i]
