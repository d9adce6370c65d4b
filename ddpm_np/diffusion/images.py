"""Batches of images (N, …): their shape, one t for all of them, and a mean or a sum over each."""

from __future__ import annotations

from ddpm_np.backend import Array, Ints, of, plain


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
    ValueError
        If the shapes differ.
    """
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
