"""Ops that move elements without computing; each vjp moves the gradient back."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from ddpm_np.arguments import count, is_int
from ddpm_np.autograd.op import Forward, op
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, of


@op(linear=True)
def reshape(x: Array, shape: int | tuple[int, ...]) -> Forward:
    """y = x in another shape, in C order;   the gradient takes x's shape."""
    xp, old = of(x), x.shape
    return xp.reshape(x, shape), lambda g: (xp.reshape(g, old), None)


def permutation(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Return the axes as non-negative ints after checking that each occurs once.

    Parameters
    ----------
    axes : tuple of int
    ndim : int

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If `axes` is not a permutation.

    Examples
    --------
    >>> permutation((0, -1, 1), 3)
    (0, 2, 1)
    """
    found = tuple(a + ndim if a < 0 else a for a in axes)
    if sorted(found) != list(range(ndim)):
        raise ValueError(f"axes must be a permutation of {tuple(range(ndim))}, got {tuple(axes)}")
    return found


@op(linear=True)
def permute_dims(x: Array, axes: tuple[int, ...]) -> Forward:
    """y = x with axis i taken from axes[i];   the gradient is permuted by the inverse."""
    xp, axes = of(x), permutation(axes, x.ndim)
    inverse = tuple(sorted(range(len(axes)), key=lambda i: axes[i]))
    return xp.permute_dims(x, axes), lambda g: (xp.permute_dims(g, inverse), None)


@op(linear=True)
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Forward:
    """y = x repeated to a larger shape;   the tape sums the gradient over the copies."""
    return of(x).broadcast_to(x, shape), lambda g: (g, None)


@op(linear=True)
def concat(*xs: Array, axis: int = -1) -> Forward:
    """y = the arrays one after the other along an axis;   each gets its slice of the gradient."""
    if not xs or xs[0].ndim == 0:
        raise ValueError("expected at least one array, of at least one axis")
    xp, ndim = of(*xs), xs[0].ndim
    count("axis", axis, -ndim, ndim - 1)
    ends = tuple(accumulate(x.shape[axis] for x in xs))
    starts = (0, *ends[:-1])

    def vjp(g: Array) -> Gradients:
        before = (slice(None),) * (axis % ndim)
        return tuple(g[(*before, slice(a, b), ...)] for a, b in zip(starts, ends, strict=True))

    return xp.concat(xs, axis=axis), vjp


@op(linear=True)
def getitem(x: Array, index: Any) -> Forward:
    """y = x[index] for ints, slices, None and Ellipsis;   the gradient is written into zeros."""
    parts = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(i, (slice, type(None), type(...))) or is_int(i) for i in parts):
        raise TypeError("a Tensor is indexed by ints, slices, None and ... only: use one_hot @ x to gather rows")
    xp, shape = of(x), x.shape

    def vjp(g: Array) -> Gradients:
        gx = xp.zeros(shape, dtype=g.dtype)
        gx[index] = g
        return gx, None

    return x[index], vjp


@op(linear=True)
def upsample_nearest(x: Array, *, factor: int = 2) -> Forward:
    """y[n, i, j, c] = x[n, ⌊i/f⌋, ⌊j/f⌋, c];   the gradient is summed over each f×f block.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    factor : int
        The f of the equation.

    Returns
    -------
    y : array of shape (N, fH, fW, C)
    """
    xp = of(x)
    if x.ndim != 4:
        raise ValueError(f"expected x of shape (N, H, W, C), got {x.shape}")
    n, h, w, c = x.shape
    f = count("factor", factor)

    def vjp(g: Array) -> Gradients:
        return (xp.sum(xp.reshape(g, (n, h, f, w, f, c)), axis=(2, 4)),)  # (N, H, W, C)

    blocks = xp.broadcast_to(x[:, :, None, :, None, :], (n, h, f, w, f, c))
    return xp.reshape(blocks, (n, h * f, w * f, c)), vjp
