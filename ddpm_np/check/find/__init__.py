"""Find the mathematics in code that was not written for the checker, and check it (docs/checker.md)."""

from ddpm_np.check.find.finding import find
from ddpm_np.check.find.found import Finding

__all__ = ["Finding", "find"]
