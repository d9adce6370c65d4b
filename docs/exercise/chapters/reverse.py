"""4. The reverse process.

A step back has the posterior's mean with x̂₀ in place of x₀, and a fixed variance. Algorithm 2 takes T such steps, from
noise to an image.
"""

from __future__ import annotations

import numpy as np


class Reverse:
    """p_θ(x_{t−1} | x_t) and Algorithm 2."""

    def p_mean_variance(self, model, x_t, t, variance="small", clip=False):
        """The mean and the variance of p_θ(x_{t−1} | x_t), and x̂₀, each of x_t's shape.

        x̂₀ is (15), clipped to [−1, 1] if `clip`; the mean is (7) at that x̂₀. The variance is β̃_t for "small" and β_t
        for "large", and β̃₂ for both at t = 1.
        """
        raise NotImplementedError

    def p_sample(self, model, x_t, t, noise, variance="small", clip=False):
        """A step of Algorithm 2: x_{t−1} = μ_θ + σ_t·z, without noise at t = 1."""
        raise NotImplementedError

    def sample(self, model, x_T, noises, variance="small", clip=False):
        """Algorithm 2: from x_T down to x₀. noises[t] is the z of step t."""
        raise NotImplementedError
