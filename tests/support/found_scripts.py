"""Small diffusion scripts of many shapes, for the part of the checker that reads code which was not written for it.

Each is right. Its mistakes are pairs of texts, by the equation that the change breaks.
"""

from __future__ import annotations

from typing import NamedTuple


class Script(NamedTuple):
    """A script, the equations that hold in it, and changes of its text that break one."""

    text: str
    holds: tuple[str, ...]
    mistakes: dict[str, tuple[str, str]]


BETAS_GIVEN = Script('''
import numpy as np

class GaussianDiffusion:
    def __init__(self, betas):
        self.betas = betas
        alphas = 1 - betas
        self.alphas_cumprod = np.cumprod(alphas)
        before = np.append(1.0, self.alphas_cumprod[:-1])
        self.posterior_variance = betas * (1 - before) / (1 - self.alphas_cumprod)
        self.coef1 = betas * np.sqrt(before) / (1 - self.alphas_cumprod)
        self.coef2 = (1 - before) * np.sqrt(alphas) / (1 - self.alphas_cumprod)

    def at(self, table, t, x):
        return table[t].reshape(-1, *[1] * (x.ndim - 1))

    def q_sample(self, x_start, t, noise=None):
        if noise is None:
            noise = np.random.randn(*x_start.shape)
        a = self.at(self.alphas_cumprod, t, x_start)
        return np.sqrt(a) * x_start + np.sqrt(1 - a) * noise

    def q_posterior(self, x_start, x_t, t):
        mean = self.at(self.coef1, t, x_t) * x_start + self.at(self.coef2, t, x_t) * x_t
        return mean, self.at(self.posterior_variance, t, x_t)

    def predict_start_from_noise(self, x_t, t, noise):
        a = self.at(self.alphas_cumprod, t, x_t)
        return (x_t - np.sqrt(1 - a) * noise) / np.sqrt(a)

    def p_sample(self, model, x, t, clip_denoised=True):
        x0 = self.predict_start_from_noise(x, t, model(x, t))
        if clip_denoised:
            x0 = np.clip(x0, -1, 1)
        mean, variance = self.q_posterior(x0, x, t)
        return mean + (self.at(t, np.arange(len(t)), x) > 0) * np.sqrt(variance) * np.random.randn(*x.shape)
''', ("4", "6", "7", "9", "10", "11", "15", "alpha-bar"), {
    "4": ("+ np.sqrt(1 - a) * noise\n\n    def q_posterior", "+ (1 - a) * noise\n\n    def q_posterior"),
    "15": ("np.sqrt(1 - a) * noise) / np.sqrt(a)", "np.sqrt(1 - a) * noise) / a"),
    "7": ("* np.sqrt(alphas) /", "* alphas /"),
    "alpha-bar": ("np.cumprod(alphas)", "np.cumprod(np.sqrt(alphas))"),
})

OWN_SCHEDULE = Script('''
import numpy as np
from tqdm import tqdm
from nothing_of_this_name import show_images

class Diffusion:
    def __init__(self, noise_steps=1000, beta_start=1e-4, beta_end=0.02, img_size=64):
        self.noise_steps = noise_steps
        self.img_size = img_size
        self.beta = np.linspace(beta_start, beta_end, noise_steps)
        self.alpha = 1 - self.beta
        self.alpha_hat = np.cumprod(self.alpha)

    def noise_images(self, x, t):
        a = np.sqrt(self.alpha_hat[t])[:, None, None, None]
        b = np.sqrt(1 - self.alpha_hat[t])[:, None, None, None]
        eps = np.random.standard_normal(x.shape)
        return a * x + b * eps, eps

    def sample_timesteps(self, n):
        return np.random.randint(low=0, high=self.noise_steps, size=(n,))

    def sample(self, model, n):
        x = np.random.standard_normal((n, 3, self.img_size, self.img_size))
        for i in tqdm(reversed(range(self.noise_steps))):
            t = np.full(n, i)
            eps = model(x, t)
            noise = np.random.standard_normal(x.shape) if i > 0 else 0
            alpha, alpha_hat = self.alpha[i], self.alpha_hat[i]
            x = (x - (1 - alpha) / np.sqrt(1 - alpha_hat) * eps) / np.sqrt(alpha) + np.sqrt(self.beta[i]) * noise
        return x
''', ("4", "alpha-bar"), {
    "4": ("b = np.sqrt(1 - self.alpha_hat[t])", "b = (1 - self.alpha_hat[t])"),
    "1": ("reversed(range(self.noise_steps))", "reversed(range(1, self.noise_steps))"),
    "algorithm-1": ("low=0,", "low=1,"),
})

FUNCTIONS = Script('''
import numpy as np

def q_sample(x_0, t, noise, alphas_cumprod):
    a = alphas_cumprod[t].reshape(-1, *[1] * (x_0.ndim - 1))
    return np.sqrt(a) * x_0 + np.sqrt(1 - a) * noise

def predict_x0(x_t, t, eps, alphas_cumprod):
    a = alphas_cumprod[t].reshape(-1, *[1] * (x_t.ndim - 1))
    return x_t / np.sqrt(a) - np.sqrt(1 / a - 1) * eps

def noise_estimation_loss(model, x0, t, e, b):
    a = np.cumprod(1 - b)[t].reshape(-1, *[1] * (x0.ndim - 1))
    x = np.sqrt(a) * x0 + np.sqrt(1 - a) * e
    return ((e - model(x, t)) ** 2).reshape(len(x0), -1).mean(axis=1)
''', ("4", "9", "14", "15"), {
    "4": ("np.sqrt(1 - a) * noise", "np.sqrt(a) * noise"),
    "15": ("np.sqrt(1 / a - 1) * eps", "np.sqrt(1 / a) * eps"),
})

TABLES_OF_THE_MODULE = Script('''
import numpy as np

T = 300
betas = np.linspace(0.0001, 0.02, T)
alphas = 1.0 - betas
alphas_cumprod = np.cumprod(alphas)
sqrt_alphas_cumprod = np.sqrt(alphas_cumprod)
sqrt_one_minus_alphas_cumprod = np.sqrt(1.0 - alphas_cumprod)

def extract(a, t, x_shape):
    return a[t].reshape(len(t), *((1,) * (len(x_shape) - 1)))

def q_sample(x_start, t, noise=None):
    if noise is None:
        noise = np.random.normal(size=x_start.shape)
    return (extract(sqrt_alphas_cumprod, t, x_start.shape) * x_start
            + extract(sqrt_one_minus_alphas_cumprod, t, x_start.shape) * noise)

def p_losses(denoise_model, x_start, t, noise=None):
    if noise is None:
        noise = np.random.normal(size=x_start.shape)
    return np.mean((noise - denoise_model(q_sample(x_start, t, noise), t)) ** 2)

def p_sample(model, x, t):
    eps = model(x, t)
    mean = (x - extract(betas, t, x.shape) / extract(sqrt_one_minus_alphas_cumprod, t, x.shape) * eps) / np.sqrt(
        extract(alphas, t, x.shape))
    noise = np.random.normal(size=x.shape)
    return mean + (extract(np.arange(T), t, x.shape) > 0) * np.sqrt(extract(betas, t, x.shape)) * noise

dataset = download_everything()
for epoch in range(10 ** 9):
    train(dataset)
''', ("4", "11", "14", "alpha-bar"), {
    "4": ("np.sqrt(1.0 - alphas_cumprod)", "np.sqrt(1.0 - alphas)"),
    "11": ("x - extract(betas, t, x.shape) / ", "x - np.sqrt(extract(betas, t, x.shape)) / "),
    "14": ("(noise - denoise_model(q_sample(x_start, t, noise), t)) ** 2", "np.abs(noise - denoise_model(q_sample("
           "x_start, t, noise), t))"),
})

DICT_OF_TABLES = Script('''
import numpy as np

class Process:
    def __init__(self, betas):
        alpha_bar = np.cumprod(1 - betas)
        self.tables = {"betas": betas, "alpha_bar": alpha_bar, "root": np.sqrt(alpha_bar)}

    def add_noise(self, original, noise, timesteps):
        shape = (-1,) + (1,) * (original.ndim - 1)
        signal = self.tables["root"][timesteps].reshape(shape)
        return signal * original + np.sqrt(1 - signal ** 2) * noise
''', ("4", "alpha-bar"), {
    "4": ("np.sqrt(1 - signal ** 2)", "np.sqrt(1 - signal)"),
    "alpha-bar": ("np.cumprod(1 - betas)", "np.cumprod(1 - betas) * (1 - betas[0])"),
})

SCALAR_T = Script('''
import numpy as np

class NoiseScheduler:
    def __init__(self, num_timesteps=1000, beta_start=0.0001, beta_end=0.02):
        self.betas = np.linspace(beta_start, beta_end, num_timesteps)
        self.alphas_cumprod = np.cumprod(1 - self.betas)
        self.before = np.concatenate(([1.0], self.alphas_cumprod[:-1]))

    def reconstruct_x0(self, x_t, t, noise):
        return (x_t - (1 - self.alphas_cumprod[t]) ** 0.5 * noise) / self.alphas_cumprod[t] ** 0.5

    def q_posterior(self, x_0, x_t, t):
        rest = 1 - self.alphas_cumprod[t]
        return (self.betas[t] * self.before[t] ** 0.5 * x_0
                + (1 - self.before[t]) * (1 - self.betas[t]) ** 0.5 * x_t) / rest

    def get_variance(self, t):
        return self.betas[t] * (1 - self.before[t]) / (1 - self.alphas_cumprod[t])

    def step(self, model_output, timestep, sample):
        mean = self.q_posterior(self.reconstruct_x0(sample, timestep, model_output), sample, timestep)
        if timestep == 0:
            return mean
        return mean + self.get_variance(timestep) ** 0.5 * np.random.randn(*sample.shape)
''', ("6", "7", "10", "11", "15", "alpha-bar"), {
    "15": ("** 0.5 * noise", "* noise"),
    "7": ("(1 - self.before[t]) * (1 - self.betas[t]) ** 0.5 * x_t", "(1 - self.before[t]) * x_t"),
})

FROM_ONE = Script('''
import numpy as np

class Ddpm:
    """t counts from 1; element 0 of the tables is the data's."""

    def __init__(self, betas):
        self.beta = np.concatenate(([0.0], betas))
        self.alpha_bar = np.cumprod(1 - self.beta)

    def forward_diffusion(self, x0, t, eps):
        a = self.alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))
        return a ** 0.5 * x0 + (1 - a) ** 0.5 * eps

    def remove_noise(self, x_t, t, eps):
        column = lambda values: values[t].reshape(-1, *[1] * (x_t.ndim - 1))
        return (x_t - column(self.beta) / column(1 - self.alpha_bar) ** 0.5 * eps) / column(1 - self.beta) ** 0.5
''', ("4", "11", "alpha-bar"), {
    "4": ("a ** 0.5 * x0", "a * x0"),
    "11": ("column(1 - self.alpha_bar) ** 0.5", "column(1 - self.alpha_bar)"),
})

DATACLASS = Script('''
from dataclasses import dataclass
import numpy as np

@dataclass
class Process:
    betas: np.ndarray
    seed: int = 0

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.alphas_bar = np.cumprod(1 - self.betas)

    def diffuse(self, x0, t):
        a = self.alphas_bar[t].reshape(-1, *[1] * (x0.ndim - 1))
        noise = np.random.default_rng(0).standard_normal(x0.shape)
        return np.sqrt(a) * x0 + np.sqrt(1 - a) * noise, noise
''', ("4", "alpha-bar"), {
    "4": ("np.sqrt(1 - a) * noise, noise", "np.sqrt(1 - a ** 2) * noise, noise"),
})

VECTORS = Script('''
import numpy as np

class Points:
    def __init__(self, betas, model=None):
        self.model = model
        self.betas = betas
        self.abar = np.cumprod(1 - betas)

    def forward(self, x_0):
        t = np.random.randint(0, len(self.betas), size=len(x_0))
        eps = np.random.normal(0, 1, x_0.shape)
        x_t = np.sqrt(self.abar[t])[:, None] * x_0 + np.sqrt(1 - self.abar[t])[:, None] * eps
        return ((self.model(x_t, t / len(self.betas)) - eps) ** 2).mean(axis=1)
''', ("4", "14", "alpha-bar"), {
    "alpha-bar": ("np.cumprod(1 - betas)", "np.cumprod(1 - betas ** 2)"),
})

SCHEDULES = Script('''
import math
import numpy as np

def linear_beta_schedule(timesteps, beta_start=0.0001, beta_end=0.02):
    return np.linspace(beta_start, beta_end, timesteps)

def cosine_beta_schedule(timesteps, s=0.008):
    x = np.linspace(0, timesteps, timesteps + 1)
    f = np.cos((x / timesteps + s) / (1 + s) * math.pi * 0.5) ** 2
    return np.clip(1 - f[1:] / f[:-1], 0, 0.999)

def timestep_embedding(timesteps, dim, max_period=10000):
    half = dim // 2
    freqs = np.exp(-math.log(max_period) * np.arange(half) / half)
    args = timesteps[:, None] * freqs[None]
    return np.concatenate([np.cos(args), np.sin(args)], axis=-1)
''', ("linear-schedule", "cosine-schedule", "time-embedding"), {
    "cosine-schedule": ("0, 0.999)", "0, 0.5)"),
    "linear-schedule": ("np.linspace(beta_start, beta_end, timesteps)",
                        "np.linspace(beta_start, beta_end, timesteps + 1)[1:]"),
})

CLIPPED = Script('''
import numpy as np

class Sampler:
    def __init__(self, model, betas):
        self.model, self.betas, self.T = model, betas, len(betas)
        self.alphas = 1 - betas
        self.alpha_bars = np.cumprod(self.alphas)

    def p_sample(self, x, i, clip=True):
        n = len(x)
        eps = self.model(x, np.full(n, i))
        x0 = (x - np.sqrt(1 - self.alpha_bars[i]) * eps) / np.sqrt(self.alpha_bars[i])
        if clip:
            x0 = x0.clip(-1, 1)
        before = self.alpha_bars[i - 1] if i else 1.0
        mean = (np.sqrt(before) * self.betas[i] * x0 + np.sqrt(self.alphas[i]) * (1 - before) * x) / (
            1 - self.alpha_bars[i])
        z = np.random.standard_normal(x.shape) if i else 0
        return mean + np.sqrt(self.betas[i] * (1 - before) / (1 - self.alpha_bars[i])) * z

    def sample_loop(self, shape, clip=True):
        x = np.random.standard_normal(shape)
        for i in range(self.T - 1, -1, -1):
            x = self.p_sample(x, i, clip)
        return x
''', ("11", "15", "alpha-bar", "clip"), {
    "alpha-bar": ("np.cumprod(self.alphas)", "np.cumsum(self.alphas)"),
})

UNUSUAL_NAMES = Script('''
import numpy as np

class Verrauscher:
    def __init__(self, betas):
        self.produkt = np.cumprod(1 - betas)
        self.betas = betas

    def mische(self, bild, schritt, rauschen):
        a = self.produkt[schritt].reshape(-1, *[1] * (bild.ndim - 1))
        return np.sqrt(a) * bild + np.sqrt(1 - a) * rauschen
''', ("4", "alpha-bar"), {})

TORCH_MODULE = Script('''
import torch
import torch.nn as nn
import torch.nn.functional as F

def extract(v, t, x):
    return v.gather(0, t).float().view(-1, *[1] * (x.dim() - 1))

class Trainer(nn.Module):
    def __init__(self, model, beta_1, beta_T, T):
        super().__init__()
        self.model, self.T = model, T
        self.register_buffer("betas", torch.linspace(beta_1, beta_T, T).double())
        bars = torch.cumprod(1 - self.betas, 0)
        self.register_buffer("alphas_bar", bars)
        self.register_buffer("sqrt_bars", bars.sqrt())
        self.register_buffer("sqrt_rest", (1 - bars).sqrt())

    def forward(self, x_0):
        t = torch.randint(self.T, size=(x_0.shape[0],), device=x_0.device)
        noise = torch.randn_like(x_0)
        x_t = extract(self.sqrt_bars, t, x_0) * x_0 + extract(self.sqrt_rest, t, x_0) * noise
        return F.mse_loss(self.model(x_t, t), noise, reduction="none")

    @torch.no_grad()
    def sample(self, x_T):
        x = x_T.to("cuda")
        for i in reversed(range(self.T)):
            t = torch.full((len(x),), i, dtype=torch.long)
            eps = self.model(x, t)
            before = self.alphas_bar[i - 1] if i > 0 else torch.tensor(1.0)
            sigma = (self.betas[i] * (1 - before) / (1 - self.alphas_bar[i])).sqrt()
            x = (x - self.betas[i] / self.sqrt_rest[i] * eps) / (1 - self.betas[i]).sqrt()
            if i > 0:
                x = x + sigma * torch.randn_like(x)
        return torch.clip(x, -1, 1)
''', ("4", "14", "alpha-bar"), {
    "alpha-bar": ("torch.cumprod(1 - self.betas, 0)", "torch.cumprod(1 - self.betas / 2, 0)"),
})

SCRIPTS = {name.lower(): script for name, script in globals().items() if isinstance(script, Script)}
