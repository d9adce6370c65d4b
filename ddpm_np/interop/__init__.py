"""Other libraries' files, in and out; none of those libraries is needed."""

from ddpm_np.interop import diffusers

__all__ = ["diffusers"]
