"""A scheduler of the shape of MONAI's `DDIMScheduler`."""

import torch

from .scheduler import Scheduler


class DDIMScheduler(Scheduler):
    def __init__(self, T, schedule="linear_beta", clip_sample=True, prediction_type="epsilon", **options):
        super().__init__(T, schedule, **options)

    def step(self, output, t, x, eta=0.0):
        before, bar = self.bar(t - self.num_train_timesteps // self.num_inference_steps), self.bar(t)
        x0 = self.estimate(output, t, x)
        sigma = eta * ((1 - before) / (1 - bar) * (1 - bar / before)).sqrt()
        moved = before.sqrt() * x0 + (1 - before - sigma**2).sqrt() * output
        return moved + sigma * torch.randn(output.shape), x0
