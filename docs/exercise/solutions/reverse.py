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
        x_0 = self.predict_x0(x_t, t, model(x_t, t))
        if clip:
            x_0 = np.clip(x_0, -1, 1)
        mean, _ = self.q_posterior(x_0, x_t, t)
        sigma2 = np.exp(self.posterior_log_variance_clipped(t))  # (N,)
        if variance == "large":
            sigma2 = np.where(t > 1, self.beta[t], sigma2)
        return mean, sigma2.reshape(-1, *[1] * (x_t.ndim - 1)) * np.ones_like(x_t), x_0

    def p_sample(self, model, x_t, t, noise, variance="small", clip=False):
        """A step of Algorithm 2: x_{t−1} = μ_θ + σ_t·z, without noise at t = 1."""
        mean, sigma2, _ = self.p_mean_variance(model, x_t, t, variance, clip)
        later = (t > 1).reshape(-1, *[1] * (x_t.ndim - 1))
        return mean + later * np.sqrt(sigma2) * noise

    def sample(self, model, x_T, noises, variance="small", clip=False):
        """Algorithm 2: from x_T down to x₀. noises[t] is the z of step t."""
        x = x_T
        for t in range(self.T, 0, -1):
            x = self.p_sample(model, x, self.at(t, x), noises[t], variance, clip)
        return x
