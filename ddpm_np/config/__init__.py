"""The configuration of a run, as validated dataclasses: net, diffusion and training."""

from ddpm_np.config.config import UNKNOWN, Config, differences, preset_for
from ddpm_np.config.parts import OBJECTIVES, DiffusionConfig, TrainingConfig
from ddpm_np.config.values import checked

__all__ = ["OBJECTIVES", "UNKNOWN", "Config", "DiffusionConfig", "TrainingConfig", "checked", "differences",
           "preset_for"]
