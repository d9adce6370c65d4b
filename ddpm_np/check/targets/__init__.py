"""Implementations to check: this package, well-known libraries, scripts of a few functions."""

from ddpm_np.check.targets.ours import Ours as ddpm_np

__all__ = ["ddpm_np"]
