"""Softmax and scaled dot-product attention."""

from __future__ import annotations

import math

from ddpm_np.autograd.op import op
from ddpm_np.backend import of


def softmax_of(x):
    """e^{x−max}/Σ e^{x−max} of an array over the last axis; the maximum is that of the real part."""
    xp = of(x)
    real = xp.real(x) if "complex" in str(x.dtype) else x
    e = xp.exp(x - xp.max(real, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def through_softmax(g, p):
    """The gradient of softmax's input: p·(g − Σ g·p), over the last axis."""
    return p * (g - of(g).sum(g * p, axis=-1, keepdims=True))


@op(saves=("p",))
def softmax(x):
    """p = e^x/Σ e^x over the last axis;   ∂: p·(g − Σ g·p)."""
    p = softmax_of(x)
    return p, lambda g: (through_softmax(g, p),)


@op(saves=("q", "k", "v", "p"))
def attention(q, k, v):
    """Y = P V, P = softmax(Q Kᵀ/√D), stacked over leading axes.   q (…, L, D), k (…, S, D), v (…, S, E).

    With dS the gradient of Q Kᵀ/√D: gV = Pᵀ G, dS = through softmax (G Vᵀ), gQ = dS K/√D, gK = dSᵀ Q/√D
    (Vaswani et al. 2017, equation 1).
    """
    xp = of(q, k, v)
    scale = 1 / math.sqrt(q.shape[-1])
    p = softmax_of(xp.matmul(q, xp.matrix_transpose(k)) * scale)  # (…, L, S)

    def vjp(g):
        ds = through_softmax(xp.matmul(g, xp.matrix_transpose(v)), p) * scale  # (…, L, S)
        return (lambda: xp.matmul(ds, k), lambda: xp.matmul(xp.matrix_transpose(ds), q),
                lambda: xp.matmul(xp.matrix_transpose(p), g))

    return xp.matmul(p, v), vjp
