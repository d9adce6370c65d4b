"""A class of the shape of latent-diffusion's `DDPM`, written for the tests of its adapter."""

import numpy as np
import pytorch_lightning as pl
import torch
from ldm.models.autoencoder import Autoencoder  # noqa: F401 - it does not exist here
from ldm.models.diffusion.ddim import DDIMSampler  # noqa: F401
from ldm.modules.diffusionmodules.util import extract, make_beta_schedule, noise_like  # noqa: F401
from pytorch_lightning.utilities.distributed import rank_zero_only


class DDPM(pl.LightningModule):
    def __init__(self, config):
        raise RuntimeError("the constructor is about training")

    def register_schedule(self, given_betas):
        bar = np.cumprod(1 - given_betas)
        before = np.append(1.0, bar[:-1])
        tables = {"betas": given_betas, "alphas_cumprod": bar, "alphas_cumprod_prev": before,
                  "posterior_variance": given_betas * (1 - before) / (1 - bar),
                  "of_x0": given_betas * np.sqrt(before) / (1 - bar),
                  "of_x": (1 - before) * np.sqrt(1 - given_betas) / (1 - bar)}
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table, dtype=torch.float32))
        self.num_timesteps = len(given_betas)

    @rank_zero_only
    def q_sample(self, x_start, t, noise):
        bar = extract(self.alphas_cumprod, t, x_start.shape)
        return bar.sqrt() * x_start + (1 - bar).sqrt() * noise

    def q_posterior(self, x_start, x_t, t):
        mean = extract(self.of_x0, t, x_t.shape) * x_start + extract(self.of_x, t, x_t.shape) * x_t
        return mean, extract(self.posterior_variance, t, x_t.shape), None

    def predict_start_from_noise(self, x_t, t, noise):
        bar = extract(self.alphas_cumprod, t, x_t.shape)
        return (x_t - (1 - bar).sqrt() * noise) / bar.sqrt()

    def p_mean_variance(self, x, t, clip_denoised):
        x_start = self.predict_start_from_noise(x, t, self.model(x, t))
        return self.q_posterior(x_start=x_start.clamp(-1, 1) if clip_denoised else x_start, x_t=x, t=t)

    def p_sample(self, x, t, clip_denoised):
        mean, variance, _ = self.p_mean_variance(x, t, clip_denoised)
        return mean + variance.sqrt() * noise_like(x.shape, x.device)
