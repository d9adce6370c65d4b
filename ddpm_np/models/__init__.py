"""Networks."""

from ddpm_np.models.classifier import Classifier, ClassifierConfig
from ddpm_np.models.mlp import MLP, MLPConfig
from ddpm_np.models.unet import UNet
from ddpm_np.models.unet_config import UNetConfig

__all__ = ["MLP", "Classifier", "ClassifierConfig", "MLPConfig", "UNet", "UNetConfig"]
