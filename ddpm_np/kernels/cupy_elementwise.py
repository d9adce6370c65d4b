"""SiLU, dropout, softmax and attention on a GPU: formulas in place of chains of passes."""

from __future__ import annotations

import math

from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.attention import attention, softmax
from ddpm_np.autograd.ops.elementwise import dropout, silu
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, of
from ddpm_np.formulas import Formula, Sum

SILU = Formula("silu", "T x", "T y", "y = x / (1 + exp(-x))")
SILU_GRADIENT = Formula("silu_gradient", "T g, T x", "T gx", "T s = 1 / (1 + exp(-x)); gx = g * s * (1 + x * (1 - s))")
DROPPED = Formula("dropout", "T x, bool keep, T scale", "T y", "y = where(keep, x * scale, T(0))")
EXPONENTIAL = Formula("softmax_exponential", "T x, T largest, T scale", "T e", "e = exp((x - largest) * scale)")
OVER_ROW = Sum("softmax_row", "T g, T p", "g * p")
SOFTMAX_GRADIENT = Formula("softmax_gradient", "T g, T p, T along, T scale", "T gx", "gx = p * (g - along) * scale")


def _floats(*arrays: Array) -> bool:
    return all(x.dtype == arrays[0].dtype and x.size > 0 for x in arrays) and arrays[0].dtype.char in "fd"


@silu.kernel("cupy", when=_floats, saves=("x",))
def silu_at_once(x: Array) -> Forward:
    """y = x·σ(x)."""
    return SILU(of(x), x), lambda g: (lambda: SILU_GRADIENT(of(g), g, x),)


@dropout.kernel("cupy", when=lambda x, keep, scale: _floats(x) and keep.dtype.char == "?", saves=("keep",))
def drop(x: Array, keep: Array, scale: float) -> Forward:
    """y = scale·x where `keep` holds, else 0."""
    return DROPPED(of(x), x, keep, scale), lambda g: (lambda: DROPPED(of(g), g, keep, scale), None, None)


def _softmax_of(x: Array, scale: float) -> Array:
    """Return the softmax of scale·x over the last axis, for a positive scale."""
    xp = of(x)
    e = EXPONENTIAL(xp, x, xp.max(x, axis=-1, keepdims=True), scale)
    e /= xp.sum(e, axis=-1, keepdims=True)
    return e


def _through_softmax(g: Array, p: Array, scale: float) -> Array:
    xp = of(g)
    return SOFTMAX_GRADIENT(xp, g, p, OVER_ROW(xp, g, p, axis=-1, keepdims=True), scale)


@softmax.kernel("cupy", when=lambda x: x.ndim > 0 and _floats(x), saves=("p",))
def softmax_in_three(x: Array) -> Forward:
    """The maximum, the exponentials, their sum."""
    p = _softmax_of(x, 1)
    return p, lambda g: (lambda: _through_softmax(g, p, 1),)


def _attends(q: Array, k: Array, v: Array) -> bool:
    return (min(q.ndim, k.ndim, v.ndim) > 1 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2] and _floats(q, k, v)
            and q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2])


@attention.kernel("cupy", when=_attends, saves=("q", "k", "v", "p"))
def attend(q: Array, k: Array, v: Array) -> Forward:
    """Y = P V with P = softmax(Q Kᵀ/√D); the definition's equations, with 1/√D inside the formulas."""
    xp, scale = of(q), 1 / math.sqrt(q.shape[-1])
    p = _softmax_of(xp.matmul(q, xp.matrix_transpose(k)), scale)  # (…, L, S)

    def vjp(g: Array) -> Gradients:
        ds = _through_softmax(xp.matmul(g, xp.matrix_transpose(v)), p, scale)  # (…, L, S)
        return (lambda: xp.matmul(ds, k), lambda: xp.matmul(xp.matrix_transpose(ds), q),
                lambda: xp.matmul(xp.matrix_transpose(p), g))

    return xp.matmul(p, v), vjp
