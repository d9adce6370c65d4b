"""Find the mathematics in code that was not written for the checker, and check it (docs/checker.md)."""

from ddpm_np.check.find.finding import Finding, find

__all__ = ["Finding", "find"]
