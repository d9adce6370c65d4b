"""Softmax and scaled dot-product attention."""

from __future__ import annotations

import math

from ddpm_np.autograd.op import Forward, op
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, of


def softmax_of(x: Array) -> Array:
    """Return e^{x−max}/Σ e^{x−max} over the last axis, the maximum being that of the real part.

    Parameters
    ----------
    x : array of shape (…, S)

    Returns
    -------
    array of shape (…, S)
    """
    xp = of(x)
    real = xp.real(x) if "complex" in str(x.dtype) else x
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
    """
    xp = of(q, k, v)
    scale = 1 / math.sqrt(q.shape[-1])
    p = softmax_of(xp.matmul(q, xp.matrix_transpose(k)) * scale)  # (…, L, S)

    def vjp(g: Array) -> Gradients:
        ds = through_softmax(xp.matmul(g, xp.matrix_transpose(v)), p) * scale  # (…, L, S)
        return (lambda: xp.matmul(ds, k), lambda: xp.matmul(xp.matrix_transpose(ds), q),
                lambda: xp.matmul(xp.matrix_transpose(p), g))

    return xp.matmul(p, v), vjp
