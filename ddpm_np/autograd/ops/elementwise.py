"""Elementwise ops. Inputs broadcast; the tape undoes it, so each vjp is written for equal shapes."""

from __future__ import annotations

import math

from ddpm_np.autograd.op import above_minus_one, nonzero, op, positive, reals
from ddpm_np.backend import of


@op(linear=True)
def add(a, b):
    """y = a + b;   ∂y/∂a = ∂y/∂b = 1."""
    return a + b, lambda g: (g, g)


@op(linear=True)
def subtract(a, b):
    """y = a − b;   ∂y/∂a = 1, ∂y/∂b = −1."""
    return a - b, lambda g: (g, lambda: -g)


@op(saves=("a", "b"))
def multiply(a, b):
    """y = a·b;   ∂y/∂a = b, ∂y/∂b = a."""
    return a * b, lambda g: (lambda: g * b, lambda: g * a)


@op(nonzero, saves=("b", "y"))
def divide(a, b):
    """y = a/b;   ∂y/∂a = 1/b, ∂y/∂b = −y/b."""
    y = a / b
    return y, lambda g: (lambda: g / b, lambda: -g * y / b)


@op(linear=True)
def negative(x):
    """y = −x;   ∂y/∂x = −1."""
    return -x, lambda g: (-g,)


@op(positive, saves=("x",))
def pow_(x, exponent):
    """y = xᵖ for a number p;   ∂y/∂x = p·xᵖ⁻¹."""
    return x**exponent, lambda g: (g * exponent * x ** (exponent - 1), None)


@op(saves=("x",))
def square(x):
    """y = x²;   ∂y/∂x = 2x."""
    return x * x, lambda g: (g * (2 * x),)


@op(positive, saves=("y",))
def sqrt(x):
    """y = √x;   ∂y/∂x = 1/(2y)."""
    y = of(x).sqrt(x)
    return y, lambda g: (g / (2 * y),)


@op(saves=("y",))
def exp(x):
    """y = eˣ;   ∂y/∂x = y."""
    y = of(x).exp(x)
    return y, lambda g: (g * y,)


@op(saves=("x",))
def expm1(x):
    """y = eˣ − 1;   ∂y/∂x = eˣ."""
    xp = of(x)
    return xp.expm1(x), lambda g: (g * xp.exp(x),)


@op(positive, saves=("x",))
def log(x):
    """y = ln x;   ∂y/∂x = 1/x."""
    return of(x).log(x), lambda g: (g / x,)


@op(above_minus_one, saves=("x",))
def log1p(x):
    """y = ln(1 + x);   ∂y/∂x = 1/(1 + x)."""
    return of(x).log1p(x), lambda g: (g / (1 + x),)


@op(saves=("x",))
def sin(x):
    """y = sin x;   ∂y/∂x = cos x."""
    xp = of(x)
    return xp.sin(x), lambda g: (g * xp.cos(x),)


@op(saves=("x",))
def cos(x):
    """y = cos x;   ∂y/∂x = −sin x."""
    xp = of(x)
    return xp.cos(x), lambda g: (-g * xp.sin(x),)


@op(saves=("y",))
def tanh(x):
    """y = tanh x;   ∂y/∂x = 1 − y²."""
    y = of(x).tanh(x)
    return y, lambda g: (g * (1 - y * y),)


def logistic(x):
    """σ(x) = 1/(1 + e⁻ˣ) of an array, without overflow: e^x is taken of −|Re x| alone."""
    xp = of(x)
    right = xp.real(x) >= 0 if "complex" in str(x.dtype) else x >= 0  # the shape of x
    z = xp.exp(xp.where(right, -x, x))  # |z| ≤ 1
    return xp.where(right, 1.0 + 0 * z, z) / (1 + z)


@op(saves=("s",))
def sigmoid(x):
    """s = σ(x) = 1/(1 + e⁻ˣ);   ∂s/∂x = s(1 − s)."""
    s = logistic(x)
    return s, lambda g: (g * s * (1 - s),)


@op(saves=("s", "x"))
def silu(x):
    """y = x·σ(x);   ∂y/∂x = σ + y(1 − σ)."""
    s = logistic(x)

    def vjp(g):
        return (g * (s + x * s * (1 - s)),)

    return x * s, vjp


@op(saves=("x", "y"))
def log_ndtr(x):
    """y = ln Φ(x), Φ the standard normal CDF;   ∂y/∂x = φ(x)/Φ(x) = exp(−x²/2 − y)/√(2π)."""
    xp = of(x)
    y = xp.log_ndtr(x)
    return y, lambda g: (g * xp.exp(-0.5 * x * x - y) * (1 / math.sqrt(2 * math.pi)),)


@op(reals._replace(kinks=(-1.0, 1.0)), analytic=False, saves=("inside",))
def clip(x, low, high):
    """y = min(max(x, low), high);   ∂y/∂x = 1 inside [low, high], 0 outside."""
    inside = (x >= low) & (x <= high)
    return of(x).clip(x, low, high), lambda g: (g * of(g).astype(inside, g.dtype), None, None)


@op(saves=("condition",), linear=False)
def where(condition, a, b):
    """y = a where the condition holds, else b; the condition, a boolean array, has no gradient."""
    xp = of(condition, a, b)

    def vjp(g):
        zero = xp.zeros_like(g)
        return None, lambda: xp.where(condition, g, zero), lambda: xp.where(condition, zero, g)

    return xp.where(condition, a, b), vjp


@op(linear=True, analytic=False)
def astype(x, dtype):
    """y = x in another floating dtype;   the gradient comes back in x's own."""
    return of(x).astype(x, dtype), lambda g: (g, None)


@op(saves=("keep",))
def dropout(x, keep, scale):
    """y = scale·x where `keep` holds, else 0;   ∂y/∂x = scale or 0. The boolean array `keep` has no gradient."""
    y = x * (of(x).astype(keep, x.dtype) * scale)
    return y, lambda g: (g * (of(g).astype(keep, g.dtype) * scale), None, None)
