"""A sampler of the shape of latent-diffusion's `DDIMSampler`."""

import numpy as np
import torch
from ldm.modules.diffusionmodules.util import make_ddim_timesteps, noise_like


class DDIMSampler:
    def __init__(self, model):
        self.model = model

    def register_buffer(self, name, table):
        setattr(self, name, table.to("cuda"))

    def make_schedule(self, ddim_num_steps, ddim_eta=0.0, verbose=True):
        steps = make_ddim_timesteps(kind="uniform", num_ddim_timesteps=ddim_num_steps,
                                    num_ddpm_timesteps=self.model.num_timesteps, verbose=verbose)
        here = self.model.alphas_cumprod[steps].double()
        before = torch.tensor(np.append(1.0, here[:-1]))
        self.register_buffer("here", here)
        self.register_buffer("before", before)
        self.register_buffer("sigmas", ddim_eta * ((1 - before) / (1 - here) * (1 - here / before)).sqrt())

    def p_sample_ddim(self, x, c, t, index):
        eps, a, s, sigma = self.model.apply_model(x, t, c), self.here[index], self.before[index], self.sigmas[index]
        x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
        return s.sqrt() * x0 + (1 - s - sigma**2).sqrt() * eps + sigma * noise_like(x.shape, x.device), x0
