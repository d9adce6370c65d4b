"""Networks."""

from ddpm_np.models.classifier import Classifier, ClassifierConfig
from ddpm_np.models.unet import UNet, UNetConfig

__all__ = ["Classifier", "ClassifierConfig", "UNet", "UNetConfig"]
