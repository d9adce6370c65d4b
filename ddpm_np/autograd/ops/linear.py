"""Matrix products.

A row of a product must not depend on which other rows stand beside it: BLAS may add in another order for another
number of rows. So a batch is multiplied image by image (a stack of matrices), not as one tall matrix, and an image's
result has the same bits in any batch; on a GPU the same up to rounding, since cuBLAS promises no more. Sums over the
batch (weight gradients) run over the whole shard. Training does not need one image's bits to be the same in any batch
and takes tall matrices, which are faster: `images_together`.
"""

from __future__ import annotations

import math

from ddpm_np.autograd.op import Forward, images_in_one, op
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, of


@op(saves=("a", "b"))
def matmul(a: Array, b: Array) -> Forward:
    """Y = A B, stacked over leading axes.

    The gradients are G Bᵀ and Aᵀ G.

    Parameters
    ----------
    a : array of shape (…, I, K)
    b : array of shape (…, K, J)

    Returns
    -------
    y : array of shape (…, I, J)

    Raises
    ------
    ValueError
        If an operand has fewer than two dimensions, or K differs.
    """
    xp = of(a, b)
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError("expected matrices or stacks of them, (…, I, K) and (…, K, J), got shapes "
                         f"{a.shape} and {b.shape}")

    def vjp(g: Array) -> Gradients:
        return lambda: xp.matmul(g, xp.matrix_transpose(b)), lambda: xp.matmul(xp.matrix_transpose(a), g)

    return xp.matmul(a, b), vjp


def rows(x: Array) -> Array:
    """Return x as a stack of one matrix per image, or of fewer inside `images_together`.

    Parameters
    ----------
    x : array of shape (N, …, D)

    Returns
    -------
    array of shape (N/k, k·M, D)
        With k images in a matrix.
    """
    n, d = x.shape[0], x.shape[-1]
    m = 1
    for size in x.shape[1:-1]:
        m *= size
    k = images_in_one(n)
    return of(x).reshape(x, (n // k, k * m, d))


@op(saves=("x", "w"))
def linear(x: Array, w: Array, b: Array | None = None) -> Forward:
    """y = x W + b on the last axis.

    The gradients are g Wᵀ, Σ xᵀ g and Σ g, the sums over all other axes.

    Parameters
    ----------
    x : array of shape (N, …, D)
    w : array of shape (D, E)
    b : array of shape (E,), optional

    Returns
    -------
    y : array of shape (N, …, E)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    xp = of(x, w)
    if w.ndim != 2:
        raise ValueError(f"expected w of shape (D, E), got {w.shape}")
    if x.ndim < 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"expected x of shape (N, …, {w.shape[0]}), got {x.shape}")
    if b is not None and b.shape != w.shape[1:]:
        raise ValueError(f"expected b of shape ({w.shape[1]},), got {b.shape}")
    y = xp.matmul(rows(x), w)  # (N, M, E)
    if b is not None:
        y = y + b

    def vjp(g: Array) -> Gradients:
        m = math.prod(x.shape[:-1])  # N·M: −1 would not do for empty arrays
        flat = xp.reshape(g, (m, w.shape[1]))  # (N·M, E)

        def gx() -> Array:
            return xp.reshape(xp.matmul(flat, w.T), x.shape)

        def gw() -> Array:
            return xp.matmul(xp.reshape(x, (m, w.shape[0])).T, flat)  # (D, E)

        return gx, gw, (lambda: xp.sum(flat, axis=0))

    return xp.reshape(y, (*x.shape[:-1], w.shape[1])), vjp
