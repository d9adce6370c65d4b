"""A class of the shape of OpenAI's `GaussianDiffusion`, written for the tests of its adapter.

Names and signatures are theirs. One file holds what a checkout has in several. The catalogue in
mistakes/openai_shape.py changes its text.
"""

import enum
import math
from itertools import pairwise

import numpy as np
import torch


class ModelMeanType(enum.Enum):
    PREVIOUS_X = 1
    START_X = 2
    EPSILON = 3


class ModelVarType(enum.Enum):
    FIXED_SMALL = 1
    FIXED_LARGE = 2
    LEARNED_RANGE = 3


class LossType(enum.Enum):
    MSE = 1
    KL = 2


def rows(table, t, x):
    column = torch.as_tensor(table)[t].float()
    return column.reshape(-1, *[1] * (x.dim() - 1))


def mean_flat(x):
    return x.flatten(1).mean(1)


def normal_kl(mean1, logvar1, mean2, logvar2):
    logvar1, logvar2 = torch.as_tensor(logvar1), torch.as_tensor(logvar2)
    ratio = torch.exp(logvar1 - logvar2)
    distance = (mean1 - mean2) ** 2 * torch.exp(-logvar2)
    return (ratio + distance - 1 - (logvar1 - logvar2)) / 2


def log_normal_cdf(z):
    return torch.special.log_ndtr(z)


def discretized_gaussian_log_likelihood(x, *, means, log_scales):
    inverse = torch.exp(-log_scales)
    upper, lower = (x - means + 1 / 255) * inverse, (x - means - 1 / 255) * inverse
    swap = lower > 0
    high, low = torch.where(swap, -lower, upper), torch.where(swap, -upper, lower)
    inside = log_normal_cdf(high) + torch.log(-torch.expm1(log_normal_cdf(low) - log_normal_cdf(high)))
    above = log_normal_cdf(-lower)
    return torch.where(x < -0.999, log_normal_cdf(upper), torch.where(x > 0.999, above, inside))


def timestep_embedding(timesteps, dim, max_period=10000):
    half = dim // 2
    frequency = torch.exp(-math.log(max_period) * torch.arange(half) / half)
    angle = timesteps[:, None].float() * frequency
    return torch.cat((torch.cos(angle), torch.sin(angle), torch.zeros(len(timesteps), dim % 2)), 1)


def get_named_beta_schedule(name, steps):
    if name == "linear":
        return np.linspace(1e-4, 0.02, steps)
    if name == "cosine":
        level = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
        return np.array([min(1 - after / before, 0.999) for before, after in pairwise(level)])
    raise NotImplementedError(name)


class GaussianDiffusion:
    def __init__(self, *, betas, model_mean_type, model_var_type, loss_type):
        self.model_mean_type, self.model_var_type, self.loss_type = model_mean_type, model_var_type, loss_type
        self.betas = np.array(betas, dtype=np.float64)
        self.num_timesteps = len(self.betas)
        alphas = 1 - self.betas
        self.alphas_cumprod = np.cumprod(alphas)
        self.alphas_cumprod_prev = np.append(1.0, self.alphas_cumprod[:-1])
        self.signal = np.sqrt(self.alphas_cumprod)
        self.noise = np.sqrt(1 - self.alphas_cumprod)
        self.recip = np.sqrt(1 / self.alphas_cumprod)
        self.recipm1 = np.sqrt(1 / self.alphas_cumprod - 1)
        self.posterior_variance = self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        self.log_small = np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:]))
        self.log_large = np.log(np.append(self.posterior_variance[1], self.betas[1:]))
        self.coef1 = self.betas * np.sqrt(self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        self.coef2 = (1 - self.alphas_cumprod_prev) * np.sqrt(alphas) / (1 - self.alphas_cumprod)

    def q_mean_variance(self, x_start, t):
        variance = rows(1 - self.alphas_cumprod, t, x_start).expand_as(x_start)
        return rows(self.signal, t, x_start) * x_start, variance, torch.log(variance)

    def q_sample(self, x_start, t, noise=None):
        noise = torch.randn_like(x_start) if noise is None else noise
        return rows(self.signal, t, x_start) * x_start + rows(self.noise, t, x_start) * noise

    def q_posterior_mean_variance(self, x_start, x_t, t):
        mean = rows(self.coef1, t, x_t) * x_start + rows(self.coef2, t, x_t) * x_t
        variance = rows(self.posterior_variance, t, x_t).expand_as(x_t)
        return mean, variance, rows(self.log_small, t, x_t).expand_as(x_t)

    def _predict_xstart_from_eps(self, x_t, t, eps):
        return rows(self.recip, t, x_t) * x_t - rows(self.recipm1, t, x_t) * eps

    def _predict_xstart_from_xprev(self, x_t, t, xprev):
        return rows(1 / self.coef1, t, x_t) * xprev - rows(self.coef2 / self.coef1, t, x_t) * x_t

    def _predict_eps_from_xstart(self, x_t, t, pred_xstart):
        return (rows(self.recip, t, x_t) * x_t - pred_xstart) / rows(self.recipm1, t, x_t)

    def model_variance(self, values, x, t):
        if self.model_var_type == ModelVarType.LEARNED_RANGE:
            share = (values + 1) / 2
            return share * rows(np.log(self.betas), t, x) + (1 - share) * rows(self.log_small, t, x)
        large = self.model_var_type == ModelVarType.FIXED_LARGE
        return rows(self.log_large if large else self.log_small, t, x).expand_as(x)

    def model_start(self, output, x, t):
        if self.model_mean_type == ModelMeanType.START_X:
            return output
        if self.model_mean_type == ModelMeanType.PREVIOUS_X:
            return self._predict_xstart_from_xprev(x, t, output)
        return self._predict_xstart_from_eps(x, t, output)

    def p_mean_variance(self, model, x, t, clip_denoised=True, model_kwargs=None):
        output, values = model(x, t, **(model_kwargs or {})), None
        if self.model_var_type == ModelVarType.LEARNED_RANGE:
            assert output.shape[1] == 2 * x.shape[1]
            output, values = output.chunk(2, 1)
        log_variance = self.model_variance(values, x, t)
        pred_xstart = self.model_start(output, x, t)
        if clip_denoised:
            pred_xstart = pred_xstart.clamp(-1, 1)
        mean = self.q_posterior_mean_variance(pred_xstart, x, t)[0]
        variance = torch.exp(log_variance)
        return {"mean": mean, "variance": variance, "log_variance": log_variance, "pred_xstart": pred_xstart}

    def p_sample(self, model, x, t, clip_denoised=True, model_kwargs=None):
        out = self.p_mean_variance(model, x, t, clip_denoised, model_kwargs)
        later = (t != 0).reshape(-1, *[1] * (x.dim() - 1))
        out["sample"] = out["mean"] + later * torch.exp(out["log_variance"] / 2) * torch.randn_like(x)
        return out

    def p_sample_loop(self, model, shape, noise=None, clip_denoised=True, model_kwargs=None):
        x = torch.randn(*shape) if noise is None else noise
        for i in reversed(range(self.num_timesteps)):
            x = self.p_sample(model, x, torch.tensor([i] * shape[0]), clip_denoised, model_kwargs)["sample"]
        return x

    def ddim_sample(self, model, x, t, clip_denoised=True, model_kwargs=None, eta=0.0):
        out = self.p_mean_variance(model, x, t, clip_denoised, model_kwargs)
        eps = self._predict_eps_from_xstart(x, t, out["pred_xstart"])
        here, then = rows(self.alphas_cumprod, t, x), rows(self.alphas_cumprod_prev, t, x)
        sigma = eta * torch.sqrt((1 - then) / (1 - here) * (1 - here / then))
        out["sample"] = out["pred_xstart"] * torch.sqrt(then) + torch.sqrt(1 - then - sigma**2) * eps
        out["sample"] = out["sample"] + (t != 0).reshape(sigma.shape) * sigma * torch.randn_like(x)
        return out

    def _vb_terms_bpd(self, model, x_start, x_t, t, clip_denoised=True, model_kwargs=None):
        mean, _, log_variance = self.q_posterior_mean_variance(x_start, x_t, t)
        out = self.p_mean_variance(model, x_t, t, clip_denoised, model_kwargs)
        kl = normal_kl(mean, log_variance, out["mean"], out["log_variance"])
        nll = -discretized_gaussian_log_likelihood(x_start, means=out["mean"], log_scales=out["log_variance"] / 2)
        return {"output": mean_flat(torch.where((t == 0).reshape(-1, *[1] * (x_t.dim() - 1)), nll, kl)) / math.log(2)}

    def training_losses(self, model, x_start, t, model_kwargs=None, noise=None):
        noise = torch.randn_like(x_start) if noise is None else noise
        x_t = self.q_sample(x_start, t, noise)
        if self.loss_type == LossType.KL:
            return {"loss": self._vb_terms_bpd(model, x_start, x_t, t, False, model_kwargs)["output"]}
        output = model(x_t, t, **(model_kwargs or {}))
        bound = 0.0
        if self.model_var_type == ModelVarType.LEARNED_RANGE:
            output, values = output.chunk(2, 1)
            said = torch.cat((output.detach(), values), 1)
            bound = self._vb_terms_bpd(lambda *asked, **options: said, x_start, x_t, t, False, model_kwargs)["output"]
        target = {ModelMeanType.EPSILON: noise, ModelMeanType.START_X: x_start}[self.model_mean_type]
        simple = mean_flat((target - output) ** 2)
        return {"loss": simple + bound, "mse": simple}

    def _prior_bpd(self, x_start):
        t = torch.tensor([self.num_timesteps - 1] * len(x_start))
        mean, _, log_variance = self.q_mean_variance(x_start, t)
        return mean_flat(normal_kl(mean, log_variance, 0.0, 0.0)) / math.log(2)

    def calc_bpd_loop(self, model, x_start, clip_denoised=True, model_kwargs=None):
        terms = []
        for i in reversed(range(self.num_timesteps)):
            t = torch.tensor([i] * len(x_start))
            x_t = self.q_sample(x_start, t, torch.randn_like(x_start))
            terms.append(self._vb_terms_bpd(model, x_start, x_t, t, clip_denoised, model_kwargs)["output"])
        return {"total_bpd": torch.stack(terms, 1).sum(1) + self._prior_bpd(x_start)}


def space_timesteps(num_timesteps, section_counts):
    count = section_counts[0]
    stride = (num_timesteps - 1) / max(count - 1, 1)
    return {round(i * stride) for i in range(count)}


def spaced_betas(cumprod, use_timesteps):
    kept, last = [], 1.0
    for i, level in enumerate(cumprod):
        if i in use_timesteps:
            kept.append(1 - level / last)
            last = level
    return np.array(kept)


class SpacedDiffusion(GaussianDiffusion):
    def __init__(self, use_timesteps, **options):
        self.timestep_map = sorted(use_timesteps)
        betas = spaced_betas(GaussianDiffusion(**options).alphas_cumprod, set(use_timesteps))
        super().__init__(**{**options, "betas": betas})

    def p_mean_variance(self, model, *args, **options):
        return super().p_mean_variance(self._wrap_model(model), *args, **options)

    def _wrap_model(self, model):
        return lambda x, t, **options: model(x, torch.tensor(self.timestep_map)[t], **options)


class UniformSampler:
    def __init__(self, diffusion):
        self.diffusion = diffusion

    def sample(self, batch_size, device):
        t = np.random.choice(self.diffusion.num_timesteps, size=(batch_size,))  # noqa: NPY002 - as theirs
        return torch.from_numpy(t).to(device), torch.ones(batch_size)
