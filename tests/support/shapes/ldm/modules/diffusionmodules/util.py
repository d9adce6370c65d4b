"""Functions of the shape of latent-diffusion's, written for the tests of its adapter."""

import numpy as np
import torch
from einops import repeat  # noqa: F401 - an import that the mathematics does without


def make_beta_schedule(schedule, n, linear_start=1e-4, linear_end=0.02):
    assert schedule == "sqrt_linear"
    return np.linspace(linear_start, linear_end, n)


def make_ddim_timesteps(kind, num_ddim_timesteps, num_ddpm_timesteps, verbose=True):
    return np.arange(num_ddim_timesteps) * (num_ddpm_timesteps // num_ddim_timesteps)


def extract(table, t, shape):
    return table[t].reshape(-1, *(1,) * (len(shape) - 1))


def noise_like(shape, device):
    return torch.randn(shape)
