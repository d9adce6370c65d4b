"""OpenAI's `GaussianDiffusion`, and what was copied from it, as a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.check.targets.checkouts import path_and_rest


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factory of the class in a checkout, PATH[:PACKAGE]."""
    path, package = path_and_rest(where)
    raise ValueError(f"there is no gaussian_diffusion.py in {path}, package {package!r}")
