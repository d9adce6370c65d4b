"""Elementwise ops, each with its equation and derivative. Inputs broadcast; the tape undoes it.

A vjp is therefore written for equal shapes. The arrays `a`, `b` and `x` are of any shape, as is the result.
"""

from __future__ import annotations

import math
from typing import Any

from ddpm_np.autograd.op import Forward, above_minus_one, nonzero, op, positive, reals
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, dtype_name, is_floating, of


@op(linear=True)
def add(a: Array, b: Array) -> Forward:
    """y = a + b;   ∂y/∂a = ∂y/∂b = 1."""
    return a + b, lambda g: (g, g)


@op(linear=True)
def subtract(a: Array, b: Array) -> Forward:
    """y = a − b;   ∂y/∂a = 1, ∂y/∂b = −1."""
    return a - b, lambda g: (g, lambda: -g)


@op(saves=("a", "b"))
def multiply(a: Array, b: Array) -> Forward:
    """y = a·b;   ∂y/∂a = b, ∂y/∂b = a."""
    return a * b, lambda g: (lambda: g * b, lambda: g * a)


@op(nonzero, saves=("b", "y"))
def divide(a: Array, b: Array) -> Forward:
    """y = a/b;   ∂y/∂a = 1/b, ∂y/∂b = −y/b."""
    y = a / b
    return y, lambda g: (lambda: g / b, lambda: -g * y / b)


@op(linear=True)
def negative(x: Array) -> Forward:
    """y = −x;   ∂y/∂x = −1."""
    return -x, lambda g: (-g,)


@op(positive, saves=("x",))
def pow_(x: Array, exponent: float) -> Forward:
    """y = xᵖ for a number p;   ∂y/∂x = p·xᵖ⁻¹, and 0 for p = 0, where p·xᵖ⁻¹ would be 0·∞ at x = 0."""
    lowered = exponent - (exponent != 0)  # p − 1, and 0 for p = 0
    return x**exponent, lambda g: (g * exponent * x**lowered, None)


@op(saves=("x",))
def square(x: Array) -> Forward:
    """y = x²;   ∂y/∂x = 2x."""
    return x * x, lambda g: (g * (2 * x),)


@op(positive, saves=("y",))
def sqrt(x: Array) -> Forward:
    """y = √x;   ∂y/∂x = 1/(2y)."""
    y = of(x).sqrt(x)
    return y, lambda g: (g / (2 * y),)


@op(saves=("y",))
def exp(x: Array) -> Forward:
    """y = eˣ;   ∂y/∂x = y."""
    y = of(x).exp(x)
    return y, lambda g: (g * y,)


@op(saves=("x",))
def expm1(x: Array) -> Forward:
    """y = eˣ − 1;   ∂y/∂x = eˣ."""
    xp = of(x)
    return xp.expm1(x), lambda g: (g * xp.exp(x),)


@op(positive, saves=("x",))
def log(x: Array) -> Forward:
    """y = ln x;   ∂y/∂x = 1/x."""
    return of(x).log(x), lambda g: (g / x,)


@op(above_minus_one, saves=("x",))
def log1p(x: Array) -> Forward:
    """y = ln(1 + x);   ∂y/∂x = 1/(1 + x)."""
    return of(x).log1p(x), lambda g: (g / (1 + x),)


@op(saves=("x",))
def sin(x: Array) -> Forward:
    """y = sin x;   ∂y/∂x = cos x."""
    xp = of(x)
    return xp.sin(x), lambda g: (g * xp.cos(x),)


@op(saves=("x",))
def cos(x: Array) -> Forward:
    """y = cos x;   ∂y/∂x = −sin x."""
    xp = of(x)
    return xp.cos(x), lambda g: (-g * xp.sin(x),)


@op(saves=("y",))
def tanh(x: Array) -> Forward:
    """y = tanh x;   ∂y/∂x = 1 − y²."""
    y = of(x).tanh(x)
    return y, lambda g: (g * (1 - y * y),)


def logistic(x: Array) -> Array:
    """Return σ(x) = 1/(1 + e⁻ˣ), without overflow: the exponential is taken of −|Re x| only.

    Parameters
    ----------
    x : array

    Returns
    -------
    array of x's shape
    """
    xp = of(x)
    right = xp.real(x) >= 0 if "complex" in dtype_name(x.dtype) else x >= 0  # the shape of x
    z = xp.exp(xp.where(right, -x, x))  # |z| ≤ 1
    return xp.where(right, 1.0 + 0 * z, z) / (1 + z)


@op(saves=("s",))
def sigmoid(x: Array) -> Forward:
    """s = σ(x) = 1/(1 + e⁻ˣ);   ∂s/∂x = s(1 − s)."""
    s = logistic(x)
    return s, lambda g: (g * s * (1 - s),)


@op(saves=("s", "x"))
def silu(x: Array) -> Forward:
    """y = x·σ(x);   ∂y/∂x = σ + y(1 − σ)."""
    s = logistic(x)

    def vjp(g: Array) -> Gradients:
        return (g * (s + x * s * (1 - s)),)

    return x * s, vjp


@op(saves=("x",))
def log_ndtr(x: Array) -> Forward:
    """y = ln Φ(x), Φ the standard normal CDF;   ∂y/∂x = φ(x)/Φ(x) = √(2/π)/erfcx(−x/√2), erfcx(z) = exp(z²)·erfc(z).

    exp(−x²/2 − y) is the same number, but its two large terms cancel: in float32 it is 3% off at x = −1000.
    """
    xp = of(x)
    return xp.log_ndtr(x), lambda g: (g * (math.sqrt(2 / math.pi) / xp.erfcx(x * -math.sqrt(0.5))),)


@op(reals._replace(kinks=(-1.0, 1.0)), analytic=False, saves=("inside",))
def clip(x: Array, low: float, high: float) -> Forward:
    """y = min(max(x, low), high);   ∂y/∂x = 1 inside [low, high], at its two ends too, 0 outside."""
    inside = (x >= low) & (x <= high)
    return of(x).clip(x, low, high), lambda g: (g * of(g).astype(inside, g.dtype), None, None)


@op(saves=("condition",), linear=False)
def where(condition: Array, a: Array, b: Array) -> Forward:
    """y = a where `condition` holds, else b;   ∂y/∂a = 1 where it holds, ∂y/∂b = 1 elsewhere."""
    xp = of(condition, a, b)

    def vjp(g: Array) -> Gradients:
        zero = xp.zeros_like(g)
        return None, lambda: xp.where(condition, g, zero), lambda: xp.where(condition, zero, g)

    return xp.where(condition, a, b), vjp


@op(linear=True, analytic=False)
def astype(x: Array, dtype: Any) -> Forward:
    """y = x in another floating dtype;   ∂y/∂x = 1: the gradient is converted to x's dtype. An int has no gradient."""
    y = of(x).astype(x, dtype)
    return y, lambda g: (g if is_floating(g) else None, None)


@op(saves=("keep",))
def dropout(x: Array, keep: Array, scale: float) -> Forward:
    """y = scale·x where the boolean array `keep` holds, else 0;   ∂y/∂x = scale where it holds, else 0."""
    y = x * (of(x).astype(keep, x.dtype) * scale)
    return y, lambda g: (g * (of(g).astype(keep, g.dtype) * scale), None, None)
