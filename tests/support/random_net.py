"""A small net with random weights everywhere, and a schedule of few steps to sample from it."""

from __future__ import annotations

import numpy as np

from ddpm_np import diffusion
from ddpm_np.models import UNet, UNetConfig

T = 12
SCHEDULE = diffusion.linear_schedule(T, 0.01, 0.4)


def net(**config):
    """A small net with random weights everywhere, the layers that begin at zero too."""
    model = UNet(UNetConfig(8, 1, 8, (1, 2), 1, (4,), groups=4, **config), seed=3)
    rng = np.random.default_rng(3)
    for p in model.parameters():
        if p.ndim > 1:
            p.data = (rng.standard_normal(p.shape) * (p.size / p.shape[-1]) ** -0.5).astype(np.float32)
    return model.eval()
