"""Sampling from a trained net: the net as a function ε_θ(x, t), samplers by name, and a generator of images."""

from ddpm_np.sampling.generator import ImageGenerator
from ddpm_np.sampling.memory import images_at_a_time
from ddpm_np.sampling.predictor import predictor
from ddpm_np.sampling.samplers import SAMPLERS, ImageNoise, Sampler

__all__ = ["SAMPLERS", "ImageGenerator", "ImageNoise", "Sampler", "images_at_a_time", "predictor"]
