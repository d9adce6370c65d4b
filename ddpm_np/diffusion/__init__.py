"""The mathematics of diffusion, on arrays (or Tensors) and a callable ε_θ(x, t): no layers, no nets."""

from ddpm_np.diffusion.forward import q_sample, q_step
from ddpm_np.diffusion.loss import simple_loss
from ddpm_np.diffusion.posterior import posterior_mean, q_posterior
from ddpm_np.diffusion.reverse import log_variance, mean_from_eps, p_mean_variance, predict_eps, predict_x0
from ddpm_np.diffusion.sampler import ancestral, draw, p_sample, sample_with
from ddpm_np.diffusion.schedule import Schedule, linear_schedule

__all__ = [
    "Schedule", "ancestral", "draw", "linear_schedule", "log_variance", "mean_from_eps", "p_mean_variance", "p_sample",
    "posterior_mean", "predict_eps", "predict_x0", "q_posterior", "q_sample", "q_step", "sample_with", "simple_loss",
]
