"""Reductions."""

from __future__ import annotations

import math

from ddpm_np.autograd.op import op
from ddpm_np.backend import of


def normalise_axes(axis, ndim):
    """The axes as a sorted tuple of non-negative ints; None means all."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"axis {axis} is outside an array of {ndim} dimensions")
    return tuple(sorted(a % ndim for a in axes))


def spread(g, shape, axes):
    """`g`, with or without the reduced axes, repeated over them: an array of `shape` (a view where possible)."""
    xp = of(g)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return xp.broadcast_to(xp.reshape(g, kept), shape)


@op(linear=True)
def sum_(x, *, axis=None, keepdims=False):
    """y = Σ x over the axes;   ∂y/∂x = 1: the gradient is repeated over them."""
    axes, shape = normalise_axes(axis, x.ndim), x.shape
    return of(x).sum(x, axis=axes, keepdims=keepdims), lambda g: (spread(g, shape, axes),)


@op(linear=True)
def mean(x, *, axis=None, keepdims=False):
    """y = (1/n) Σ x over the axes, n elements each;   ∂y/∂x = 1/n."""
    axes, shape = normalise_axes(axis, x.ndim), x.shape
    n = math.prod(shape[a] for a in axes)
    if n == 0:
        raise ValueError(f"the mean of no elements is undefined: shape {shape}, axis {axis}")
    return of(x).sum(x, axis=axes, keepdims=keepdims) / n, lambda g: (spread(g / n, shape, axes),)
