"""Read and write files of other libraries, without those libraries."""

from ddpm_np.interop import diffusers

__all__ = ["diffusers"]
