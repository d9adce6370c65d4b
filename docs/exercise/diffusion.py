"""Denoising diffusion, to be filled in: replace each `raise NotImplementedError` by the equation above it.

Check as you go, from this folder:

    ddpm-np check --target diffusion.py:Diffusion

An equation is UNVERIFIED until you write its functions. Then it is PASS if it is right, and FAIL if it is wrong, with
the smallest numbers that show it. `--equation 4` checks one equation alone.

t counts from 1 to T, as in the paper (Ho et al. 2020). x is an array (N, …): N images of any shape. t is an array (N,)
of ints: each image has its own. `self.column(table, t, x)` looks up each image's entry of a table, shaped so that it
multiplies x. `model(x_t, t)` predicts the noise in x_t.
"""

from __future__ import annotations

import numpy as np


class Diffusion:
    """The mathematics of a schedule β₁..β_T."""

    def __init__(self, betas):
        self.T = len(betas)
        self.beta = np.concatenate(([0.0], betas))  # (T+1,): β₀ = 0, so that self.beta[t] is β_t

    @staticmethod
    def column(table, t, x):
        """Return the entries t of a table (T+1,) as a column (N, 1, …) that multiplies x (N, …)."""
        return table[t].reshape(-1, *[1] * (x.ndim - 1))

    # 1. The forward process

    def alpha_bar(self):
        """ᾱ_t = Π_{s≤t} (1 − β_s), an array (T+1,) whose entry 0 is 1."""
        raise NotImplementedError

    def q_step(self, x_prev, t, noise):
        """(2): x_t = √(1 − β_t)·x_{t−1} + √β_t·z."""
        raise NotImplementedError

    def q_sample(self, x_0, t, noise):
        """(4): x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε."""
        raise NotImplementedError

    # 2. The posterior, given both ends

    def q_posterior(self, x_0, x_t, t):
        """(6), (7): the mean μ̃_t and the variance β̃_t of q(x_{t−1} | x_t, x₀), both of x_t's shape.

        μ̃_t = √ᾱ_{t−1}·β_t/(1 − ᾱ_t)·x₀ + √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t)·x_t and β̃_t = (1 − ᾱ_{t−1})/(1 − ᾱ_t)·β_t.
        """
        raise NotImplementedError

    def posterior_log_variance_clipped(self, t):
        """ln β̃_t, (N,). At t = 1, where β̃₁ = 0, ln β̃₂."""
        raise NotImplementedError

    # 3. Quantities from a prediction of the noise

    def predict_x0(self, x_t, t, eps):
        """(15): (4) solved for x₀."""
        raise NotImplementedError

    def predict_eps(self, x_t, t, x_0):
        """(4) solved for ε."""
        raise NotImplementedError

    def mean_from_eps(self, x_t, t, eps):
        """(11): μ_θ = (x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t."""
        raise NotImplementedError

    def score_from_eps(self, x_t, t, eps):
        """The score ∇ ln q(x_t), which is −ε/√(1 − ᾱ_t)."""
        raise NotImplementedError

    # 4. The reverse process

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

    # 5. Training

    def draw_t(self, rng, n):
        """n values of t, uniform on 1..T, from a numpy Generator."""
        raise NotImplementedError

    def draw_noise(self, rng, shape):
        """ε ~ N(0, I) of a shape."""
        raise NotImplementedError

    def simple_loss(self, model, x_0, t, noise):
        """(14): ‖ε − ε_θ(x_t, t)‖² as a mean over each image's dimensions, (N,)."""
        raise NotImplementedError

    # 6. The bound

    def kl(self, mean1, logvar1, mean2, logvar2):
        """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) of each element, in nats; logvar is ln σ²."""
        raise NotImplementedError

    def prior_kl(self, x_0):
        """L_T = KL(q(x_T | x₀) ‖ N(0, I)), a mean over each image's dimensions, in bits, (N,)."""
        raise NotImplementedError

    def eq12_weight(self, t, variance="small"):
        """(12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (N,), for t ≥ 2."""
        raise NotImplementedError

    # 7. Fewer steps

    def ddim_step(self, model, x_t, t, t_prev, eta, noise):
        """DDIM, (12): x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z for s = t_prev (0 ≤ s < t), where

        (16): σ = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s).
        """
        raise NotImplementedError
