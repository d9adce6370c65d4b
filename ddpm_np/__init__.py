"""Denoising diffusion probabilistic models (Ho et al. 2020) from the array up, in NumPy and CuPy."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["Tensor", "Trainer", "load", "no_grad", "sample"]

_HOMES = {
    "Tensor": "ddpm_np.autograd.tensor",
    "Trainer": "ddpm_np.training.trainer",
    "load": "ddpm_np.runs.load",
    "no_grad": "ddpm_np.autograd.tensor",
    "sample": "ddpm_np.runs.sample",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ddpm_np' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
