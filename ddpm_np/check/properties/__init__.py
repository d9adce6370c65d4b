"""The properties, by what they are about; importing this fills the registry in the paper's order."""

from ddpm_np.check.properties import forward, posterior, reverse

__all__ = ["forward", "posterior", "reverse"]
