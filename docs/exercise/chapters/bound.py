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
        raise NotImplementedError

    def kl(self, mean1, logvar1, mean2, logvar2):
        """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) of each element, in nats; logvar is ln σ²."""
        raise NotImplementedError

    def decoder_log_likelihood(self, x_0, mean, log_scale, levels=256):
        """(13): ln of the probability of x₀'s level under N(μ, σ²), of each element; log_scale is ln σ.

        The levels lie evenly on [−1, 1]. Each extends 1/(levels − 1) to either side, the first and the last for ever.
        Φ(b) − Φ(a) subtracts two numbers near 1 right of the mean: use `self.erfc`, with ½·erfc(z/√2) = 1 − Φ(z), and
        the mirror image left of it.
        """
        raise NotImplementedError

    def prior_kl(self, x_0):
        """L_T = KL(q(x_T | x₀) ‖ N(0, I)), a mean over each image's dimensions, in bits, (N,)."""
        raise NotImplementedError

    def vlb_term(self, model, x_0, x_t, t, variance="small", predicts="eps", clip=False, levels=256):
        """L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)), and at t = 1 L₀ = −ln p_θ(x₀ | x₁) by (13).

        A mean over each image's dimensions, in bits, (N,). With `levels` None, p_θ(x₀ | x₁) is the density.
        """
        raise NotImplementedError

    def vlb(self, model, x_0, noises, variance="small"):
        """(5): L_T + Σ_{t>1} L_{t−1} + L₀ in bits, (N,). noises[t] is the ε of x_t."""
        raise NotImplementedError
