"""A scheduler of the shape of MONAI's `DDPMScheduler`."""

import torch

from .scheduler import Scheduler


class DDPMScheduler(Scheduler):
    def __init__(self, T, schedule="linear_beta", variance_type="fixed_small", clip_sample=True,
                 prediction_type="epsilon", **options):
        super().__init__(T, schedule, **options)
        self.variance_type, self.clip_sample, self.prediction_type = variance_type, clip_sample, prediction_type

    def step(self, output, t, x):
        x0 = self.estimate(output, t, x) if self.prediction_type == "epsilon" else output
        if self.clip_sample:
            x0 = x0.clamp(-1, 1)
        beta, bar, before = self.betas[t], self.bar(t), self.bar(t - 1)
        mean = (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * x) / (1 - bar)
        if t == 0:
            return mean, x0
        variance = beta if self.variance_type == "fixed_large" else (1 - before) / (1 - bar) * beta
        return mean + variance.sqrt() * torch.randn(output.shape), x0
