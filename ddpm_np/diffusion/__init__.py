"""The mathematics of diffusion, on arrays (or Tensors) and a callable ε_θ(x, t), independent of layers and nets."""

from ddpm_np.diffusion.bound import prior_kl, vlb, vlb_term, vlb_terms
from ddpm_np.diffusion.compression import Received, distortion, send
from ddpm_np.diffusion.ddim import ddim, ddim_invert, ddim_sigma, ddim_step
from ddpm_np.diffusion.decoder import decoder_log_likelihood
from ddpm_np.diffusion.dpm_solver import dpm_solver_1_step
from ddpm_np.diffusion.editing import guided, inpaint, interpolate
from ddpm_np.diffusion.edm import Preconditioning, edm_preconditioning
from ddpm_np.diffusion.forward import q_sample, q_step
from ddpm_np.diffusion.langevin import annealed_langevin, langevin_step
from ddpm_np.diffusion.loss import bound_loss, hybrid_loss, min_snr_weight, p2_weight, simple_loss, target
from ddpm_np.diffusion.mean_mismatch import (
    eq12_weight,
    mean_mismatch,
    mean_mismatch_from_noise,
    mean_mismatch_simplified,
    mismatch_constant,
    weighted_noise_loss,
)
from ddpm_np.diffusion.normal import kl, log_normal
from ddpm_np.diffusion.oracle import Gaussian, Mixture, affine_bound_16, affine_nll, affine_vlb, atoms
from ddpm_np.diffusion.parameterisation import eps_from_mean, mean_from_eps, predict_eps, predict_x0, x0_from_mean
from ddpm_np.diffusion.posterior import posterior_mean, q_posterior
from ddpm_np.diffusion.respacing import SPACINGS, respace, timesteps
from ddpm_np.diffusion.reverse import PREDICTS, Denoiser, Reverse, p_mean_log_variance, p_mean_variance, predict
from ddpm_np.diffusion.sampler import ancestral, draw, first_noise, last, p_sample, sample_with, step_noise
from ddpm_np.diffusion.schedule import Coefficients, Schedule
from ddpm_np.diffusion.schedules import (
    SCHEDULES,
    constant_schedule,
    cosine_schedule,
    jsd_schedule,
    linear_schedule,
    named_schedule,
    quadratic_schedule,
    sigmoid_schedule,
    warmup10_schedule,
    warmup50_schedule,
)
from ddpm_np.diffusion.score import eps_from_score, score_from_eps, score_matching_loss
from ddpm_np.diffusion.trajectory import Trajectory, q_trajectory
from ddpm_np.diffusion.variance import learned_range_log_variance, learned_range_variance, log_variance
from ddpm_np.diffusion.velocity import eps_from_velocity, velocity, x0_from_velocity
from ddpm_np.diffusion.weights import bound_weight, optimal_variance
from ddpm_np.diffusion.zero_snr import zero_terminal_snr

__all__ = [
    "PREDICTS", "SCHEDULES", "SPACINGS", "Coefficients", "Denoiser", "Gaussian", "Mixture", "Preconditioning",
    "Received", "Reverse", "Schedule", "Trajectory", "affine_bound_16", "affine_nll", "affine_vlb", "ancestral",
    "annealed_langevin", "atoms", "bound_loss", "bound_weight", "constant_schedule", "cosine_schedule", "ddim",
    "ddim_invert", "ddim_sigma", "ddim_step", "decoder_log_likelihood", "distortion", "dpm_solver_1_step", "draw",
    "edm_preconditioning", "eps_from_mean", "eps_from_score", "eps_from_velocity", "eq12_weight", "first_noise",
    "guided", "hybrid_loss", "inpaint", "interpolate", "jsd_schedule", "kl", "langevin_step", "last",
    "learned_range_log_variance", "learned_range_variance", "linear_schedule", "log_normal", "log_variance",
    "mean_from_eps", "mean_mismatch", "mean_mismatch_from_noise", "mean_mismatch_simplified", "min_snr_weight",
    "mismatch_constant", "named_schedule", "optimal_variance", "p2_weight", "p_mean_log_variance", "p_mean_variance",
    "p_sample", "posterior_mean", "predict", "predict_eps", "predict_x0", "prior_kl", "q_posterior", "q_sample",
    "q_step", "q_trajectory", "quadratic_schedule", "respace", "sample_with", "score_from_eps", "score_matching_loss",
    "send", "sigmoid_schedule", "simple_loss", "step_noise", "target", "timesteps", "velocity", "vlb", "vlb_term",
    "vlb_terms", "warmup10_schedule", "warmup50_schedule", "weighted_noise_loss", "x0_from_mean", "x0_from_velocity",
    "zero_terminal_snr",
]
