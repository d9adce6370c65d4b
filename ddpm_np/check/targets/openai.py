"""OpenAI's `GaussianDiffusion` (improved-diffusion, guided-diffusion) and what was copied from it, as a target.

The class is the user's, in a checkout. The adapter converts arrays, hands over the noise, and finds by trying how a copy
is to be called (`Form`) and which conventions it keeps (`Fork`). Images have four axes, (N, C, H, W). A step's variance at t = 1 is
that of ``log_variance``, which the sampler and the bound use. A copy that knows learned ranges only is asked with v = −1
for the small variance and v = 1 for the large one; at t = 1, where both are β̃₂, with −1.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddpm_np.check.calls import described
from ddpm_np.check.result import FAIL, UNVERIFIED
from ddpm_np.check.target import Model
from ddpm_np.check.targets.checkouts import Checkout, path_and_rest, seeded
from ddpm_np.check.targets.peers import imported, tensor

FILE = "gaussian_diffusion.py"
CLASS = "GaussianDiffusion"


class Form(NamedTuple):
    """How a copy is called: through `SpacedDiffusion`, with learned ranges, with a dict for its net of motions."""

    spaced: bool = False
    learned: bool = False
    kwargs: bool = False


class Settings(dict):
    """A `conf` object: every switch off, and RePaint's schedule without a jump back."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name, False)

    def pget(self, name: str, default: Any = None) -> Any:
        return default


class Fork:
    """The class of one checkout: a factory of targets, betas -> `OpenAI`."""

    def __init__(self, checkout: Checkout, package: str, embedding: str):
        self.checkout, self.notes = checkout, []
        self.module = checkout.module(_joined(package, Path(FILE).stem))
        if not isinstance(getattr(self.module, CLASS, None), type):
            raise ValueError(f"--target: {_joined(package, Path(FILE).stem)} has no class {CLASS}")
        self.respace = self._optional(package, "respace") or self.module
        self.sampler = self._optional(package, "resample") or self._optional(package, "timestep_sampler")
        self.embedding = _function(self._optional("", embedding), "timestep_embedding") if embedding else None
        self.conventions: dict[str, Any] = {"index_base": 0, "precision": "float32"}
        self.form = self._form()
        self.conventions = {}
        self._ask_conventions()
        self.notes = tuple(self._notes())

    def __call__(self, betas: np.ndarray) -> OpenAI:
        return OpenAI(self, betas)

    def _optional(self, package: str, name: str) -> Any:
        """Return a module of the package; None if there is none, or it cannot be imported."""
