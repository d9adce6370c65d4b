"""Batches of images (N, …): their shape, one t for all of them, and a mean or a sum over each."""

from __future__ import annotations

from ddpm_np.arguments import described
from ddpm_np.backend import Array, Ints, dtype_name, of, plain


def check_batch(x: Array) -> None:
    """Raise unless `x` is an array of images.

    Parameters
    ----------
    x : array of shape (N, …)
        The array to check.

    Raises
    ------
    TypeError
        If it is not an array of numbers, or has no axes.
    """
    of(x)  # raises for a list and for an array of a library that is not supported
    if not getattr(x, "shape", ()) or "object" in dtype_name(x.dtype):
        raise TypeError(f"expected images, an array of numbers of shape (N, …), got {described(x)}")


def same_shape(name: str, y: Array, x: Array) -> None:
    """Raise unless `y` has the shape of `x`: broadcasting would accept another one silently.

    Parameters
    ----------
    name : str
        What `y` is, for the message.
    y : array
        The array to check.
    x : array
        The array whose shape is expected.

    Raises
    ------
    TypeError
        If one of them is not an array.
    ValueError
        If the shapes differ.
    """
    check_batch(x)
    if not hasattr(y, "shape"):
        raise TypeError(f"expected {name} of shape {tuple(x.shape)}, got {described(y)}")
    of(y)  # raises for an array of a library that is not supported
    if tuple(y.shape) != tuple(x.shape):
        raise ValueError(f"expected {name} of shape {tuple(x.shape)}, got {tuple(y.shape)}")


def times(x: Array, t: int) -> Ints:
    """Return the same t for every image of a batch.

    Parameters
    ----------
    x : array of shape (N, …)
        Images.
    t : int
        The step.

    Returns
    -------
    int64 array of shape (N,)
        The step, N times, on the device of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> times(np.zeros((2, 8, 8, 1)), 5)
    array([5, 5])
    """
    check_batch(x)
    xp = of(plain(x))
    return xp.full((x.shape[0],), t, dtype=xp.int64)  # (N,)


def mean_over_image(x: Array) -> Array:
    """Return the mean over each image: over all axes but the first.

    Parameters
    ----------
    x : array of shape (N, …)
        Elementwise values.

    Returns
    -------
    array of shape (N,)
        Means.

    Examples
    --------
    >>> import numpy as np
    >>> mean_over_image(np.array([[[1.0], [3.0]]]))
    array([2.])
    """
    return of(x).mean(x, axis=tuple(range(1, x.ndim)))


def sum_over_image(x: Array) -> Array:
    """Return the sum over each image: over all axes but the first.

    Parameters
    ----------
    x : array of shape (N, …)
        Elementwise values.

    Returns
    -------
    array of shape (N,)
        Sums.

    Examples
    --------
    >>> import numpy as np
    >>> sum_over_image(np.array([[[1.0], [3.0]]]))
    array([4.])
    """
    return of(x).sum(x, axis=tuple(range(1, x.ndim)))
