"""Training: Algorithm 1, Adam, the clip of the gradient's norm, and the moving average of the weights."""

from ddpm_np.training.adam import Adam, adam_step
from ddpm_np.training.algorithm1 import gradient_of_batch
from ddpm_np.training.clip import clip_grad_norm
from ddpm_np.training.ema import EMA
from ddpm_np.training.trainer import Trainer, TrainingDiverged

__all__ = ["EMA", "Adam", "Trainer", "TrainingDiverged", "adam_step", "clip_grad_norm", "gradient_of_batch"]
