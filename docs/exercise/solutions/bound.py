"""7. The bound.

−ln p_θ(x₀) has an upper bound: a sum of divergences between two normal distributions, one for each step, and the
negative log likelihood of the last step, which ends on the 256 levels of a pixel.
"""

from __future__ import annotations

import math

import numpy as np


class Bound:
    """L_T, L_{t−1}, L₀ and their sum."""

    def log_normal(self, x, mean, logvar):
        """ln N(x; μ, σ²) of each element; logvar is ln σ²."""
        return -0.5 * (math.log(2 * math.pi) + logvar + (x - mean) ** 2 * np.exp(-logvar))

    def kl(self, mean1, logvar1, mean2, logvar2):
        """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) of each element, in nats; logvar is ln σ²."""
        return 0.5 * (logvar2 - logvar1 + (np.exp(logvar1) + (mean1 - mean2) ** 2) / np.exp(logvar2) - 1)

    def decoder_log_likelihood(self, x_0, mean, log_scale, levels=256):
        """(13): ln of the probability of x₀'s level under N(μ, σ²), of each element; log_scale is ln σ.

        The levels lie evenly on [−1, 1]. Each extends 1/(levels − 1) to either side, the first and the last for ever.
        Φ(b) − Φ(a) subtracts two numbers near 1 right of the mean: use `self.erfc`, with ½·erfc(z/√2) = 1 − Φ(z), and
        the mirror image left of it.
        """
        half, scale = 1 / (levels - 1), np.exp(log_scale)
        low = np.where(x_0 < -1 + half, -np.inf, (x_0 - half - mean) / scale)
        high = np.where(x_0 > 1 - half, np.inf, (x_0 + half - mean) / scale)
        left = low + high < 0
        low, high = np.where(left, -high, low), np.where(left, -low, high)
        return np.log((self.erfc(low / math.sqrt(2)) - self.erfc(high / math.sqrt(2))) / 2)

    def prior_kl(self, x_0):
        """L_T = KL(q(x_T | x₀) ‖ N(0, I)), a mean over each image's dimensions, in bits, (N,)."""
        a = self.alpha_bar()[-1]
        return self.mean_over_image(self.kl(np.sqrt(a) * x_0, np.log(1 - a), 0.0, 0.0)) / math.log(2)

    def vlb_term(self, model, x_0, x_t, t, variance="small", predicts="eps", clip=False, levels=256):
        """L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)), and at t = 1 L₀ = −ln p_θ(x₀ | x₁) by (13).

        A mean over each image's dimensions, in bits, (N,). With `levels` None, p_θ(x₀ | x₁) is the density.
        """
        mean, logvar, _ = self.p_mean_log_variance(model, x_t, t, predicts, variance, clip)
        true_mean, true_logvar = self.q_posterior(x_0, x_t, t)[0], self.posterior_log_variance_clipped(t)
        divergence = self.kl(true_mean, self.as_column(true_logvar, x_t), mean, logvar)
        likelihood = (self.log_normal(x_0, mean, logvar) if levels is None
                      else self.decoder_log_likelihood(x_0, mean, 0.5 * logvar + 0 * mean, levels))
        return np.where(t == 1, -self.mean_over_image(likelihood), self.mean_over_image(divergence)) / math.log(2)

    def vlb(self, model, x_0, noises, variance="small"):
        """(5): L_T + Σ_{t>1} L_{t−1} + L₀ in bits, (N,). noises[t] is the ε of x_t."""
        total = self.prior_kl(x_0)
        for t in range(1, self.T + 1):
            now = self.at(t, x_0)
            total = total + self.vlb_term(model, x_0, self.q_sample(x_0, now, noises[t]), now, variance)
        return total
