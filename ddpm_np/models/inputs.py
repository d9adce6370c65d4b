"""Checks of what a net is called with: a batch of floating-point numbers, and one int for each of its elements."""

from __future__ import annotations

from typing import Any

from ddpm_np import backend
from ddpm_np.arguments import count, described, is_int
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, Ints, dtype_name, of


def batch(x: Any, shape: tuple[int, ...], what: str = "images", advice: str = "") -> Tensor:
    """Return a batch as a Tensor after checking its shape and dtype.

    Parameters
    ----------
    x : array, Tensor or list
        The batch.
    shape : tuple of int
        The expected shape of one element.
    what : str
        The elements' name, for the message.
    advice : str
        What to do, added to the message.

    Returns
    -------
    Tensor of shape (N, *shape)

    Raises
    ------
    TypeError
        If `x` is not of floating-point or complex numbers.
    ValueError
        If it has another shape.

    Examples
    --------
    >>> batch([[1.0, 2.0]], (2,), "points").shape
    (1, 2)
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.ndim == 0 or tuple(x.shape[1:]) != shape:
        raise ValueError(f"expected {what} of shape (N, {', '.join(map(str, shape))}), got {tuple(x.shape)}{advice}")
    if not backend.is_floating(x):
        raise TypeError(f"{what} must be floating-point numbers, got dtype {x.dtype}: convert them first, images to "
                        "[-1, 1]")
    return x


def one_int_each(name: str, values: Any, x: Array, least: int, most: int | None = None, what: str = "image") -> Ints:
    """Return an int for each element of a batch: an int array as it is, or one int repeated.

    Out-of-range values of an array raise on NumPy; on CuPy they are not checked, to avoid a device sync.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    values : int or int array of shape (N,)
        Its value.
    x : array of shape (N, …)
        The batch.
    least : int
        The smallest allowed value.
    most : int or None
        The largest.
    what : str
        An element's name, for the message.

    Returns
    -------
    int array of shape (N,)

    Raises
    ------
    TypeError
        If `values` is neither, or `x` is no batch.
    ValueError
        If it has another shape, or a value is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> one_int_each("t", 5, np.zeros((2, 8, 8, 1)), 1)
    array([5, 5])
    """
    if not getattr(x, "shape", ()):
        raise TypeError(f"expected a batch, an array of shape (N, …), got {described(x)}")
    n = x.shape[0]
    if is_int(values):
        return of(x).full((n,), count(name, values, least, most), dtype=of(x).int64)
    if hasattr(values, "dtype") and of(values).name == "tensor":
        raise TypeError(f"{name} must be an int or an int array of shape ({n},), got a Tensor: pass its array, .data")
    if "int" not in dtype_name(getattr(values, "dtype", "")):
        raise TypeError(f"{name} must be an int or an int array of shape ({n},), got {described(values)}")
    if tuple(values.shape) != (n,):
        raise ValueError(f"expected one {name} for each {what}, shape ({n},), got {tuple(values.shape)}")
    if n and of(values).name == "numpy" and not (least <= values.min() and (most is None or values.max() <= most)):
        allowed = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {allowed}, got {values.min()} to {values.max()}")
    return values
