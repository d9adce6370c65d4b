"""A few functions of a diffusion model, as a script has them; t counts from 0."""

import numpy as np


def rows(values, t, x):
    """Return a table's entries at t, in a shape that broadcasts over images."""
    return values[t].reshape(-1, *[1] * (x.ndim - 1))


def add_noise(x_0, t, noise, alphas_cumprod):
    a = rows(alphas_cumprod, t, x_0)
    return np.sqrt(a) * x_0 + np.sqrt(1 - a) * noise


def remove_noise(x_t, t, eps, alphas_cumprod):
    a = rows(alphas_cumprod, t, x_t)
    return (x_t - np.sqrt(1 - a) * eps) / np.sqrt(a)


def posterior(x_0, x_t, t, betas, alphas_cumprod):
    before = np.concatenate(([1.0], alphas_cumprod[:-1]))
    a, previous, beta = (rows(values, t, x_t) for values in (alphas_cumprod, before, betas))
    mean = (np.sqrt(previous) * beta * x_0 + np.sqrt(1 - beta) * (1 - previous) * x_t) / (1 - a)
    return mean, (1 - previous) / (1 - a) * beta * np.ones_like(x_t)


def step_mean(x_t, t, eps, betas, alphas_cumprod):
    beta = rows(betas, t, x_t)
    return (x_t - beta / np.sqrt(1 - rows(alphas_cumprod, t, x_t)) * eps) / np.sqrt(1 - beta)


def embedding(t, dim):
    frequencies = np.exp(-np.log(10000) * np.arange(dim // 2) / (dim // 2))
    angles = np.asarray(t)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
