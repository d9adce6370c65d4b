"""Reductions."""

from __future__ import annotations

import math

from ddpm_np.arguments import is_int
from ddpm_np.autograd.op import Forward, op
from ddpm_np.autograd.tensor import Axes
from ddpm_np.backend import Array, of


def normalise_axes(axis: Axes, ndim: int) -> tuple[int, ...]:
    """Return the axes as a sorted tuple of non-negative ints.

    Parameters
    ----------
    axis : int, tuple of int, or None
        None: all axes.
    ndim : int

    Returns
    -------
    tuple of int

    Raises
    ------
    TypeError
        If an axis is not an int.
    ValueError
        If an axis is out of range, or given twice.

    Examples
    --------
    >>> normalise_axes((-1, 0), 3)
    (0, 2)
    """
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    for a in axes:
        if not is_int(a):
            raise TypeError(f"axis must be an int or a tuple of ints, got {axis!r}")
        if not -ndim <= a < ndim:
            raise ValueError(f"axis {axis} is out of range for an array of {ndim} dimensions")
    found = tuple(sorted({a % ndim for a in axes}))
    if len(found) < len(axes):
        raise ValueError(f"axis {axis} has the same axis twice, for an array of {ndim} dimensions")
    return found


def spread(g: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Return `g` repeated over the reduced axes (a view where possible).

    Parameters
    ----------
    g : array
        With the reduced axes, of length 1, or without them.
    shape : tuple of int
        The shape before the reduction.
    axes : tuple of int
        The reduced axes.

    Returns
    -------
    array of shape `shape`
    """
    xp = of(g)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return xp.broadcast_to(xp.reshape(g, kept), shape)


@op(linear=True)
def sum_(x: Array, *, axis: Axes = None, keepdims: bool = False) -> Forward:
    """y = Σ x over the axes;   ∂y/∂x = 1: the gradient is repeated over them."""
    axes, shape = normalise_axes(axis, x.ndim), x.shape
    return of(x).sum(x, axis=axes, keepdims=keepdims), lambda g: (spread(g, shape, axes),)


@op(linear=True)
def mean(x: Array, *, axis: Axes = None, keepdims: bool = False) -> Forward:
    """y = (1/n) Σ x over the axes, n elements each;   ∂y/∂x = 1/n."""
    axes, shape = normalise_axes(axis, x.ndim), x.shape
    n = math.prod(shape[a] for a in axes)
    if n == 0:
        raise ValueError(f"the mean of no elements is undefined: shape {shape}, axis {axis}")
    return of(x).sum(x, axis=axes, keepdims=keepdims) / n, lambda g: (spread(g / n, shape, axes),)
