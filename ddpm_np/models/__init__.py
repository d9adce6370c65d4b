"""Networks."""

from ddpm_np.models.unet import UNet, UNetConfig

__all__ = ["UNet", "UNetConfig"]
