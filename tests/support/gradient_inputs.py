"""Inputs of gradient tests: random numbers by name, leaves, ops outside the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.autograd.op import reals
from ddpm_np.autograd.ops import Op
from ddpm_np.autograd.tensor import Tensor


def generator(*names: Any) -> np.random.Generator:
    """Return a generator of random numbers that depend on the names alone."""
    return np.random.default_rng(list("/".join(map(str, names)).encode()))


def leaf(*shape: int, dtype: Any = np.float64, name: str = "leaf") -> Tensor:
    """Return a Tensor of random numbers that requires a gradient."""
    return Tensor(generator(name, shape).standard_normal(shape).astype(dtype), requires_grad=True)


def own_op(name: str, define: Callable) -> Op:
    """Return an op that is not in the registry."""
    return Op(name, define, reals, False, True, ())
