"""Implementations to check: this package, two libraries, and adapters for plain functions."""

from ddpm_np.check.targets.ours import Ours as ddpm_np

__all__ = ["ddpm_np"]
