"""A denoiser of the shape of k-diffusion's, written for the tests of its adapter."""

import torch

from . import sampling  # noqa: F401


class DiscreteEpsDDPMDenoiser(torch.nn.Module):
    def __init__(self, net, alphas_cumprod, quantize):
        super().__init__()
        self.net, self.sigmas = net, ((1 - alphas_cumprod) / alphas_cumprod).sqrt()

    def get_sigmas(self):
        return torch.cat([self.sigmas.flip(0), self.sigmas.new_zeros(1)])

    def forward(self, x, sigma):
        column = sigma.reshape(-1, *(1,) * (x.ndim - 1))
        t = (self.sigmas[None] - sigma[:, None]).abs().argmin(1)
        return x - column * self.net(x / (1 + column**2).sqrt(), t)
