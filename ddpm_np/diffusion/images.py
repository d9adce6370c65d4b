"""Images (N, …) as a batch: their shape, one t for all of them, and a mean or a sum over each."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of, plain


def same_shape(name: str, y: Array, x: Array) -> None:
    """Raise ValueError where `y` has another shape than `x`, which broadcasting would accept without a warning."""
    if tuple(y.shape) != tuple(x.shape):
        raise ValueError(f"expected {name} of shape {tuple(x.shape)}, got {tuple(y.shape)}")


def times(x: Array, t: int) -> Ints:
    """The same t for every image of `x`: an int64 array (N,) on x's device.

    >>> import numpy as np
    >>> times(np.zeros((2, 8, 8, 1)), 5)
    array([5, 5])
    """
    xp = of(plain(x))
    return xp.full((x.shape[0],), t, dtype=xp.int64)  # (N,)


def mean_over_image(x: Array) -> Array:
    """The mean over each image, all axes but the first; (N,)."""
    return of(x).mean(x, axis=tuple(range(1, x.ndim)))


def sum_over_image(x: Array) -> Array:
    """The sum over each image, all axes but the first; (N,)."""
    return of(x).sum(x, axis=tuple(range(1, x.ndim)))
