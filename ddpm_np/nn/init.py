"""Initialisers: the first values of a parameter, each a function of the seed and the parameter's name."""

from __future__ import annotations

import math
from collections.abc import Callable

from ddpm_np.backend import Array, Backend

Initialiser = Callable[[Backend, int, str, tuple[int, ...]], Array]  # (device, seed, name, shape) -> float64


def zeros(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Return zeros.

    Parameters
    ----------
    device : Backend
    seed : int
        Ignored, as is `name`.
    name : str
    shape : tuple of int

    Returns
    -------
    float64 array of shape `shape`
    """
    return device.xp.zeros(shape, dtype=device.xp.float64)


def ones(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Return ones.

    Parameters
    ----------
    device : Backend
    seed : int
        Ignored, as is `name`.
    name : str
    shape : tuple of int

    Returns
    -------
    float64 array of shape `shape`
    """
    return device.xp.ones(shape, dtype=device.xp.float64)


def fan_average_uniform(fan_in: int, fan_out: int, scale: float = 1.0) -> Initialiser:
    """Return an initialiser that draws uniformly on ±√(6·scale/(fan_in + fan_out)).

    Parameters
    ----------
    fan_in, fan_out : int
        The numbers of inputs and outputs that one input or output is connected with.
    scale : float
        A factor of the variance. The paper's authors use 1, and 1e-10 for layers that begin by adding almost nothing.

    Returns
    -------
    callable
        An `Initialiser`.

    Notes
    -----
    The variance is 2·scale/(fan_in + fan_out) (Glorot & Bengio 2010).
    """
    limit = math.sqrt(6 * scale / (fan_in + fan_out))

    def initialise(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Array:
        u = device.uniform(seed, f"init/{name}", 0, 0, 1, shape)[0]  # shape
        return (2 * u - 1) * limit

    return initialise
