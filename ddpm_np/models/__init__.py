"""Networks."""

from ddpm_np.models.classifier import Classifier, ClassifierConfig
from ddpm_np.models.mlp import MLP, MLPConfig
from ddpm_np.models.unet import UNet, UNetConfig

__all__ = ["MLP", "Classifier", "ClassifierConfig", "MLPConfig", "UNet", "UNetConfig"]
