"""A solution of the exercise in diffusion.py. Try it yourself first."""

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
        return np.cumprod(1 - self.beta)

    def q_step(self, x_prev, t, noise):
        """(2): x_t = √(1 − β_t)·x_{t−1} + √β_t·z."""
        beta = self.column(self.beta, t, x_prev)
        return np.sqrt(1 - beta) * x_prev + np.sqrt(beta) * noise

    def q_sample(self, x_0, t, noise):
        """(4): x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε."""
        a = self.column(self.alpha_bar(), t, x_0)
        return np.sqrt(a) * x_0 + np.sqrt(1 - a) * noise

    # 2. The posterior, given both ends

    def q_posterior(self, x_0, x_t, t):
        """(6), (7): the mean μ̃_t and the variance β̃_t of q(x_{t−1} | x_t, x₀), both of x_t's shape.

        μ̃_t = √ᾱ_{t−1}·β_t/(1 − ᾱ_t)·x₀ + √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t)·x_t and β̃_t = (1 − ᾱ_{t−1})/(1 − ᾱ_t)·β_t.
        """
        beta, a = self.column(self.beta, t, x_t), self.column(self.alpha_bar(), t, x_t)
        before = self.column(self.alpha_bar(), t - 1, x_t)
        mean = np.sqrt(before) * beta / (1 - a) * x_0 + np.sqrt(1 - beta) * (1 - before) / (1 - a) * x_t
        return mean, (1 - before) / (1 - a) * beta * np.ones_like(x_t)

    def posterior_log_variance_clipped(self, t):
        """ln β̃_t, (N,). At t = 1, where β̃₁ = 0, ln β̃₂."""
        a = self.alpha_bar()
        t = np.maximum(t, 2)
        return np.log((1 - a[t - 1]) / (1 - a[t]) * self.beta[t])

    # 3. Quantities from a prediction of the noise

    def predict_x0(self, x_t, t, eps):
        """(15): (4) solved for x₀."""
        a = self.column(self.alpha_bar(), t, x_t)
        return (x_t - np.sqrt(1 - a) * eps) / np.sqrt(a)

    def predict_eps(self, x_t, t, x_0):
        """(4) solved for ε."""
        a = self.column(self.alpha_bar(), t, x_t)
        return (x_t - np.sqrt(a) * x_0) / np.sqrt(1 - a)

    def mean_from_eps(self, x_t, t, eps):
        """(11): μ_θ = (x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t."""
        beta, a = self.column(self.beta, t, x_t), self.column(self.alpha_bar(), t, x_t)
        return (x_t - beta / np.sqrt(1 - a) * eps) / np.sqrt(1 - beta)

    def score_from_eps(self, x_t, t, eps):
        """The score ∇ ln q(x_t), which is −ε/√(1 − ᾱ_t)."""
        return -eps / np.sqrt(1 - self.column(self.alpha_bar(), t, x_t))

    # 4. The reverse process

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
            x = self.p_sample(model, x, np.full(len(x), t), noises[t], variance, clip)
        return x

    # 5. Training

    def draw_t(self, rng, n):
        """n values of t, uniform on 1..T, from a numpy Generator."""
        return rng.integers(1, self.T + 1, n)

    def draw_noise(self, rng, shape):
        """ε ~ N(0, I) of a shape."""
        return rng.standard_normal(shape)

    def simple_loss(self, model, x_0, t, noise):
        """(14): ‖ε − ε_θ(x_t, t)‖² as a mean over each image's dimensions, (N,)."""
        difference = noise - model(self.q_sample(x_0, t, noise), t)
        return (difference**2).mean(axis=tuple(range(1, x_0.ndim)))

    # 6. The bound

    def kl(self, mean1, logvar1, mean2, logvar2):
        """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) of each element, in nats; logvar is ln σ²."""
        return 0.5 * (logvar2 - logvar1 + (np.exp(logvar1) + (mean1 - mean2) ** 2) / np.exp(logvar2) - 1)

    def prior_kl(self, x_0):
        """L_T = KL(q(x_T | x₀) ‖ N(0, I)), a mean over each image's dimensions, in bits, (N,)."""
        a = self.alpha_bar()[-1]
        nats = self.kl(np.sqrt(a) * x_0, np.log(1 - a), 0.0, 0.0)
        return nats.mean(axis=tuple(range(1, x_0.ndim))) / np.log(2)

    def eq12_weight(self, t, variance="small"):
        """(12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (N,), for t ≥ 2."""
        a = self.alpha_bar()
        sigma2 = self.beta[t] if variance == "large" else (1 - a[t - 1]) / (1 - a[t]) * self.beta[t]
        return self.beta[t] ** 2 / (2 * sigma2 * (1 - self.beta[t]) * (1 - a[t]))

    # 7. Fewer steps

    def ddim_step(self, model, x_t, t, t_prev, eta, noise):
        """DDIM, (12): x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z for s = t_prev (0 ≤ s < t), where

        (16): σ = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s).
        """
        a, then = self.column(self.alpha_bar(), t, x_t), self.column(self.alpha_bar(), t_prev, x_t)
        eps = model(x_t, t)
        sigma = eta * np.sqrt((1 - then) / (1 - a)) * np.sqrt(1 - a / then)
        x_0 = (x_t - np.sqrt(1 - a) * eps) / np.sqrt(a)
        return np.sqrt(then) * x_0 + np.sqrt(np.maximum(1 - then - sigma**2, 0)) * eps + sigma * noise
