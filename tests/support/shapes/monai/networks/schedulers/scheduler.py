"""Schedulers of MONAI's shape, written for the tests of its adapter."""

import torch
from monai.utils import ComponentStore, unsqueeze_right

NoiseSchedules = ComponentStore("NoiseSchedules", "functions of a number of steps")


@NoiseSchedules.add_def("linear_beta", "linear")
def _linear(num_train_timesteps, beta_start=1e-4, beta_end=0.02):
    return torch.linspace(beta_start, beta_end, num_train_timesteps)


class Scheduler:
    def __init__(self, num_train_timesteps, schedule, **options):
        self.betas = NoiseSchedules[schedule](num_train_timesteps=num_train_timesteps, **options)
        self.alphas_cumprod = torch.cumprod(1 - self.betas, 0)
        self.num_train_timesteps = self.num_inference_steps = num_train_timesteps
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

    def set_timesteps(self, n):
        self.num_inference_steps = n
        self.timesteps = torch.arange(n - 1, -1, -1) * (self.num_train_timesteps // n)

    def bar(self, t):
        return self.alphas_cumprod[t] if t >= 0 else torch.tensor(1.0)

    def add_noise(self, x, noise, t):
        bar = unsqueeze_right(self.alphas_cumprod[t], x.ndim)
        return bar.sqrt() * x + (1 - bar).sqrt() * noise

    def estimate(self, output, t, x):
        return (x - (1 - self.bar(t)).sqrt() * output) / self.bar(t).sqrt()
