"""Initialisers: the first values of a parameter, each a function of the seed and the parameter's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ddpm_np.backend import Backend

Initialiser = Callable[[Backend, int, str, tuple[int, ...]], Any]


def zeros(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Any:
    """All zeros."""
    return device.xp.zeros(shape, dtype=device.xp.float64)


def ones(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Any:
    """All ones."""
    return device.xp.ones(shape, dtype=device.xp.float64)


def fan_average_uniform(fan_in: int, fan_out: int, scale: float = 1.0) -> Initialiser:
    """Uniform on ±√(6·scale/(fan_in + fan_out)): variance 2·scale/(fan_in + fan_out) (Glorot & Bengio 2010).

    The paper's authors use scale 1, and 1e-10 for layers that should begin by adding next to nothing.
    """
    limit = math.sqrt(6 * scale / (fan_in + fan_out))

    def initialise(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Any:
        u = device.uniform(seed, f"init/{name}", 0, 0, 1, shape)[0]  # shape
        return (2 * u - 1) * limit

    return initialise
