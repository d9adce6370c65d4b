"""Arguments of the oracles: parameters and tables as float64 host arrays, checked."""

from __future__ import annotations

import math

from ddpm_np.backend import Array, get_backend, to_host
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


def host_numbers(name: str, values: Array) -> Array:
    """Return finite numbers as a read-only float64 host array.

    Parameters
    ----------
    name : str
        What they are, for the message.
    values : float or array
        The numbers.

    Returns
    -------
    float64 array
        A copy on the host.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    array = _host.array(to_host(values), dtype=_host.float64)
    bad = array[~_host.isfinite(array)]
    if bad.size:
        raise ValueError(f"{name} must be finite numbers, got {bad[0]}")
    array.setflags(write=False)
    return array


def parameters(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Return m and s² ≥ 0 as float64 host arrays of one shape.

    Parameters
    ----------
    mean : float or array
        The mean m.
    variance : float or array
        The variance s².

    Returns
    -------
    mean : float64 array of shape (*dims)
        The mean, broadcast.
    variance : float64 array of shape (*dims)
        The variance, broadcast.

    Raises
    ------
    ValueError
        If a number is not finite, a variance is negative, or the shapes do not broadcast.
    """
    mean, variance = host_numbers("the mean", mean), not_negative(host_numbers("the variance", variance))
    try:
        dims = _host.broadcast_shapes(mean.shape, variance.shape)
        return _host.broadcast_to(mean, dims), _host.broadcast_to(variance, dims)
    except ValueError:
        raise ValueError(f"expected a mean and a variance for the same dimensions, got shapes {mean.shape} and "
                         f"{variance.shape}") from None


def not_negative(variance: Array) -> Array:
    """Return variances, checked to be at least 0.

    Parameters
    ----------
    variance : array
        The variances.

    Returns
    -------
    array
        The same variances.

    Raises
    ------
    ValueError
        If one is negative.
    """
    bad = variance[variance < 0]
    if bad.size:
        raise ValueError(f"a variance must be at least 0, got {bad[0]}: give the square of the deviation")
    return variance


def columns(schedule: Schedule, like: Array, *names: str) -> list[Array]:
    """Return tables of the schedule with as many dimensions as a table of the parameters.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    like : array of shape (*dims)
        A parameter.
    *names : str
        Names of tables, from `TABLES`.

    Returns
    -------
    list of arrays of shape (T + 1, 1, …)
        The tables.
    """
    return [getattr(schedule, name).reshape(-1, *[1] * like.ndim) for name in names]


def rows(schedule: Schedule, like: Array, name: str, table: Array, first: int = 1) -> Array:
    """Return a caller's table with as many dimensions as a table of the parameters.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    like : array of shape (*dims)
        A parameter.
    name : str
        What the table holds, for the message.
    table : array of shape (T + 1,) or (T + 1, *dims)
        The table.
    first : int
        The first row in use; those before become nan.

    Returns
    -------
    float64 array of shape (T + 1, 1, …) or (T + 1, *dims)
        A copy on the host.

    Raises
    ------
    ValueError
        If the table has another shape, or a number in use is not finite.
    """
    table = _host.array(to_host(table), dtype=_host.float64)
    if table.shape not in ((schedule.T + 1,), (schedule.T + 1, *like.shape)):
        raise ValueError(f"expected a table of {name} of T + 1 = {schedule.T + 1} rows, index 0 unused, got shape "
                         f"{table.shape}")
    table[:first] = math.nan
    bad = ~_host.isfinite(table[first:])
    if bad.any():
        raise ValueError(f"{name} must be finite numbers, got {table[first:][bad][0]}")
    return table if table.ndim > 1 else table.reshape(-1, *[1] * like.ndim)


def from_one(first: float, values: Array) -> Array:
    """Return a table of a value for the data, then the values of t = 1..T.

    Parameters
    ----------
    first : float
        The value at index 0.
    values : array of shape (T, *dims)
        The values of t = 1..T.

    Returns
    -------
    array of shape (T + 1, *dims)
        The table.
    """
    return _host.concatenate((_host.full((1, *values.shape[1:]), first), values))


def positive(sigma2: Array) -> Array:
    """Return a table σ_t², checked to be positive for t = 1..T.

    Parameters
    ----------
    sigma2 : array of shape (T + 1, …)
        The table; row 0 is not used.

    Returns
    -------
    array of shape (T + 1, …)
        The same table.

    Raises
    ------
    ValueError
        If an entry is not positive.
    """
    bad = ~(sigma2[1:] > 0)
    if bad.any():
        t = int(bad.reshape(len(bad), -1).any(axis=1).argmax()) + 1
        raise ValueError(f"every σ² must be positive, got {sigma2[1:][bad][0]} at t = {t}")
    return sigma2
