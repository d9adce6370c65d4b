"""Matrix products.

A row of a product must not depend on which other rows stand beside it: BLAS may add in another order for another
number of rows. So a batch is multiplied image by image (a stack of matrices), not as one tall matrix, and an
image's result is the same bits in any batch. Sums over the batch (weight gradients) run over the whole shard. Training,
where nobody asks for one image's bits, takes tall matrices, which are faster: `images_together`.
"""

from __future__ import annotations

from ddpm_np.autograd.op import are_images_together, op
from ddpm_np.backend import of


@op(saves=("a", "b"))
def matmul(a, b):
    """Y = A B, stacked over leading axes;   ∂: G Bᵀ and Aᵀ G.   a (…, I, K), b (…, K, J)."""
    xp = of(a, b)
    if min(a.ndim, b.ndim) < 2:
        raise ValueError(f"matmul takes matrices or stacks of them, got shapes {a.shape} and {b.shape}")

    def vjp(g):
        return lambda: xp.matmul(g, xp.matrix_transpose(b)), lambda: xp.matmul(xp.matrix_transpose(a), g)

    return xp.matmul(a, b), vjp


def rows(x):
    """x (N, …, D) as a stack of one matrix an image, (N, M, D); (1, N·M, D) where images are taken together."""
    n, d = x.shape[0], x.shape[-1]
    m = 1
    for size in x.shape[1:-1]:
        m *= size
    return of(x).reshape(x, (1, n * m, d) if are_images_together() else (n, m, d))


@op(saves=("x", "w"))
def linear(x, w, b=None):
    """y = x W + b on the last axis;   ∂: g Wᵀ, Σ xᵀ g, Σ g.   x (N, …, D), w (D, E), b (E,), y (N, …, E)."""
    xp = of(x, w)
    if x.ndim < 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"expected x of shape (N, …, {w.shape[0]}), got {x.shape}")
    y = xp.matmul(rows(x), w)  # (N, M, E)
    if b is not None:
        y = y + b

    def vjp(g):
        flat = xp.reshape(g, (-1, g.shape[-1]))  # (N·M, E)

        def gx():
            return xp.reshape(xp.matmul(flat, w.T), x.shape)

        def gw():
            return xp.matmul(xp.reshape(x, (-1, x.shape[-1])).T, flat)  # (D, E)

        return gx, gw, (lambda: xp.sum(flat, axis=0))

    return xp.reshape(y, (*x.shape[:-1], w.shape[1])), vjp
