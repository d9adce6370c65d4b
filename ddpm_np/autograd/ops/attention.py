"""Softmax and scaled dot-product attention."""

from __future__ import annotations

import math

from ddpm_np.autograd.op import Forward, op
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, dtype_name, of


def softmax_of(x: Array) -> Array:
    """Return e^{x−max}/Σ e^{x−max} over the last axis, the maximum being that of the real part.

    Parameters
    ----------
    x : array of shape (…, S)

    Returns
    -------
    array of shape (…, S)
    """
    if x.shape[-1] == 0:
        return x  # no elements, and no maximum
    xp = of(x)
    real = xp.real(x) if "complex" in dtype_name(x.dtype) else x
    e = xp.exp(x - xp.max(real, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def through_softmax(g: Array, p: Array) -> Array:
    """Return the gradient of a softmax's input: p·(g − Σ g·p), the sum over the last axis.

    Parameters
    ----------
    g : array of shape (…, S)
        The gradient of the softmax.
    p : array of shape (…, S)
        The softmax.

    Returns
    -------
    array of shape (…, S)
    """
    return p * (g - of(g).sum(g * p, axis=-1, keepdims=True))


@op(saves=("p",))
def softmax(x: Array) -> Forward:
    """p = e^x/Σ e^x over the last axis;   a gradient g becomes p·(g − Σ g·p)."""
    if x.ndim == 0:
        raise ValueError("expected at least one axis, got shape ()")
    p = softmax_of(x)
    return p, lambda g: (through_softmax(g, p),)


@op(saves=("q", "k", "v", "p"))
def attention(q: Array, k: Array, v: Array) -> Forward:
    """Y = P V with P = softmax(Q Kᵀ/√D), stacked over leading axes (Vaswani et al. 2017, equation 1).

    With dS the gradient of Q Kᵀ/√D: gV = Pᵀ G, dS = through_softmax(G Vᵀ, P), gQ = dS K/√D, gK = dSᵀ Q/√D.

    Parameters
    ----------
    q : array of shape (…, L, D)
    k : array of shape (…, S, D)
    v : array of shape (…, S, E)

    Returns
    -------
    y : array of shape (…, L, E)
        Zeros where there are no keys, S = 0.

    Raises
    ------
    ValueError
        If the shapes do not fit, or D is 0.
    """
    xp = of(q, k, v)
    if min(q.ndim, k.ndim, v.ndim) < 2 or not q.shape[-1] == k.shape[-1] > 0 or k.shape[-2] != v.shape[-2]:
        raise ValueError("expected q of shape (…, L, D), k of (…, S, D) and v of (…, S, E), D at least 1, got "
                         f"{q.shape}, {k.shape} and {v.shape}")
    scale = 1 / math.sqrt(q.shape[-1])
    p = softmax_of(xp.matmul(q, xp.matrix_transpose(k)) * scale)  # (…, L, S)

    def vjp(g: Array) -> Gradients:
        ds = through_softmax(xp.matmul(g, xp.matrix_transpose(v)), p) * scale  # (…, L, S)
        return (lambda: xp.matmul(ds, k), lambda: xp.matmul(xp.matrix_transpose(ds), q),
                lambda: xp.matmul(xp.matrix_transpose(p), g))

    return xp.matmul(p, v), vjp
