"""Ops that move elements and compute nothing; each vjp moves the gradient back."""

from __future__ import annotations

from itertools import accumulate

from ddpm_np.autograd.op import op
from ddpm_np.backend import of


@op(linear=True)
def reshape(x, shape):
    """y = x in another shape, in C order;   the gradient takes x's shape."""
    xp, old = of(x), x.shape
    return xp.reshape(x, shape), lambda g: (xp.reshape(g, old), None)


@op(linear=True)
def permute_dims(x, axes):
    """y = x with axis i taken from axes[i];   the inverse permutation leads back."""
    xp = of(x)
    inverse = tuple(sorted(range(len(axes)), key=lambda i: axes[i]))
    return xp.permute_dims(x, axes), lambda g: (xp.permute_dims(g, inverse), None)


@op(linear=True)
def broadcast_to(x, shape):
    """y = x repeated to a larger shape;   the tape sums the gradient back."""
    return of(x).broadcast_to(x, shape), lambda g: (g, None)


@op(linear=True)
def concat(*xs, axis=-1):
    """y = the arrays one after the other along an axis;   each gets its slice of the gradient."""
    xp, ndim = of(*xs), xs[0].ndim
    ends = tuple(accumulate(x.shape[axis] for x in xs))
    starts = (0, *ends[:-1])

    def vjp(g):
        before = (slice(None),) * (axis % ndim)
        return tuple(g[(*before, slice(a, b), ...)] for a, b in zip(starts, ends, strict=True))

    return xp.concat(xs, axis=axis), vjp


@op(linear=True)
def getitem(x, index):
    """y = x[index] for ints, slices, None and Ellipsis;   the gradient is laid into zeros."""
    parts = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(i, (int, slice, type(None), type(...))) for i in parts):
        raise TypeError("a Tensor is indexed by ints, slices, None and ... only: use one_hot @ x to gather rows")
    xp, shape = of(x), x.shape

    def vjp(g):
        gx = xp.zeros(shape, dtype=g.dtype)
        gx[index] = g
        return gx, None

    return x[index], vjp


@op(linear=True)
def upsample_nearest(x, *, factor=2):
    """y[n, i, j, c] = x[n, ⌊i/f⌋, ⌊j/f⌋, c];   the gradient is summed over each f×f block.

    x (N, H, W, C), y (N, fH, fW, C).
    """
    xp = of(x)
    n, h, w, c = x.shape
    f = factor

    def vjp(g):
        return (xp.sum(xp.reshape(g, (n, h, f, w, f, c)), axis=(2, 4)),)  # (N, H, W, C)

    blocks = xp.broadcast_to(x[:, :, None, :, None, :], (n, h, f, w, f, c))
    return xp.reshape(blocks, (n, h * f, w * f, c)), vjp
