"""Steps of the shape of k-diffusion's, written for the tests of its adapter."""

from itertools import pairwise

import torch
import torchsde  # noqa: F401 - an import that the mathematics does without


def to_d(x, sigma, denoised):
    return (x - denoised) / sigma.reshape(-1, *(1,) * (x.ndim - 1))


def sample_euler(model, x, sigmas, disable=None):
    for here, then in pairwise(sigmas):
        level = here * x.new_ones(len(x))
        x = x + to_d(x, level, model(x, level)) * (then - here)
    return x


def sample_euler_ancestral(model, x, sigmas, eta=1.0, disable=None, noise_sampler=None):
    for here, then in pairwise(sigmas):
        level = here * x.new_ones(len(x))
        up = eta * torch.sqrt(then**2 * (here**2 - then**2) / here**2)
        down = torch.sqrt(then**2 - up**2)
        x = x + to_d(x, level, model(x, level)) * (down - here)
        if then > 0:
            x = x + noise_sampler(here, then) * up
    return x
