"""16. Data where everything is known: a normal distribution.

For x₀ ~ N(m, s²) the best net is a formula. So are the least loss, the exact reverse step and where a sampler ends,
which makes such data the best test of a sampler.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np


class Gaussian:
    """x₀ ~ N(m, s²), dimension by dimension; m and s² are numbers or arrays (*dims)."""

    # given
    def gaussian(self, what, mean, variance, *args):
        """What is known, by name: `gaussian("score", m, s², x, t)` is `gaussian_score(m, s², x, t)`."""
        return getattr(self, f"gaussian_{what}")(mean, variance, *args)

    def gaussian_score(self, mean, variance, x, t):
        """∇ ln q(x_t) = −(x_t − √ᾱ_t·m)/v_t, v_t = ᾱ_t·s² + 1 − ᾱ_t, of x's shape (N, *dims)."""
        a = self.column(self.alpha_bar(), t, x)
        return (np.sqrt(a) * mean - x) / (a * variance + 1 - a)

    def gaussian_log_q(self, mean, variance, x, t):
        """ln q(x_t) of each image, (N,)."""
        a = self.column(self.alpha_bar(), t, x)
        return self.sum_over_image(self.log_normal(x, np.sqrt(a) * mean, np.log(a * variance + 1 - a)))

    # given
    def gaussian_eps(self, mean, variance, x, t):
        """ε* = −√(1 − ᾱ_t)·∇ ln q(x_t)."""
        return -np.sqrt(1 - self.column(self.alpha_bar(), t, x)) * self.gaussian_score(mean, variance, x, t)

    def gaussian_x0(self, mean, variance, x, t):
        """E[x₀ | x_t] = m + √ᾱ_t·s²/v_t·(x_t − √ᾱ_t·m)."""
        a = self.column(self.alpha_bar(), t, x)
        return mean - np.sqrt(a) * variance * self.gaussian_score(mean, variance, x, t)

    # given
    def gaussian_marginal_variance(self, mean, variance):
        """v_t, (T+1, *dims)."""
        return self.marginal_variance(mean, variance)

    def gaussian_x0_variance(self, mean, variance):
        """Var[x₀ | x_t] = s²·(1 − ᾱ_t)/v_t, (T+1, *dims)."""
        (a,) = self.tables(mean, self.alpha_bar())
        return variance * (1 - a) / self.marginal_variance(mean, variance)

    def gaussian_eps_variance(self, mean, variance):
        """Var[ε | x_t] = ᾱ_t·s²/v_t, (T+1, *dims)."""
        (a,) = self.tables(mean, self.alpha_bar())
        return a * variance / self.marginal_variance(mean, variance)

    def gaussian_simple_loss_floor(self, mean, variance):
        """The least L_simple that any net can reach: the mean of Var[ε | x_t] over t = 1..T and all dimensions."""
        return self.gaussian_eps_variance(mean, variance)[1:].mean()

    def gaussian_entropy(self, mean, variance):
        """H(x₀) = ½·ln 2πe·s²."""
        return 0.5 * np.log(2 * math.pi * math.e * variance)

    def gaussian_affine_eps(self, mean, variance):
        """The tables a and b of ε* = a_t·x + b_t: a_t = √(1 − ᾱ_t)/v_t, b_t = −a_t·√ᾱ_t·m."""
        (bar,) = self.tables(mean, self.alpha_bar())
        a = np.sqrt(1 - bar) / self.marginal_variance(mean, variance)
        return a, -a * np.sqrt(bar) * mean

    # given
    def gaussian_reverse_mean(self, mean, variance):
        """A and B of the exact step, as `exact_step` returns them."""
        return self.exact_step(mean, variance)[:2]

    # given
    def gaussian_reverse_variance(self, mean, variance):
        """r of the exact step."""
        return self.exact_step(mean, variance)[2]

    def gaussian_ancestral_end(self, mean, variance, sigma2):
        """Mean and variance of x₀ when Algorithm 2 with ε* and the table σ² begins at N(0, 1): no noise at t = 1."""
        (sigma2,) = self.tables(mean, np.concatenate(([0.0, 0.0], sigma2[2:])))
        return self.chain_end(*self.gaussian_reverse_mean(mean, variance), sigma2)

    def gaussian_ddim_end(self, mean, variance, eta, steps):
        """Mean and variance of x₀ when DDIM with ε* over descending `steps` begins at N(0, 1).

        A step of DDIM is affine in x_t: put ε* = a_t·x + b_t into (12).
        """
        bar, (a, b) = self.alpha_bar(), self.gaussian_affine_eps(mean, variance)
        M, V = 0.0, 1.0
        for t, s in pairwise([*steps, 0]):
            sigma = eta * np.sqrt((1 - bar[s]) / (1 - bar[t]) * (1 - bar[t] / bar[s]))
            kept = np.sqrt(bar[s] / bar[t])
            of_eps = np.sqrt(1 - bar[s] - sigma**2) - kept * np.sqrt(1 - bar[t])
            gain = kept + of_eps * a[t]
            M, V = gain * M + of_eps * b[t], gain**2 * V + sigma**2
        return M, V

    def gaussian_ddim_closed_form(self, mean, variance, steps):
        """The same for η = 0: M₀ = m·(1 − c·√ᾱ_T) and V₀ = c², with c = s/√v_T·Π cos(θ_t − θ_s) and T the first step.

        The product is over the steps from t to s, at last to 0; tan θ_t = √(1 − ᾱ_t)/(√ᾱ_t·s).
        """
        bar = self.alpha_bar()
        theta = [np.arctan2(np.sqrt(1 - bar[t]), np.sqrt(bar[t] * variance)) for t in [*steps, 0]]
        c = np.sqrt(variance / self.marginal_variance(mean, variance)[steps[0]])
        for here, then in pairwise(theta):
            c = c * np.cos(here - then)
        return mean * (1 - c * np.sqrt(bar[steps[0]])), c**2

    # given
    def gaussian_vlb(self, mean, variance, sigma2):
        """L₀, L₁, …, L_T of (5) for ε* and the table σ²."""
        return self.affine_vlb(mean, variance, *self.gaussian_affine_eps(mean, variance), sigma2)

    # given
    def gaussian_nll(self, mean, variance, sigma2):
        """E[−ln p_θ(x₀)] for ε* and the table σ²."""
        return self.affine_nll(mean, variance, *self.gaussian_affine_eps(mean, variance), sigma2)

    def gaussian_full(self, what, mean, covariance, x, t):
        """"log_q", "score" or "x0" for x₀ ~ N(m, Σ), m (d,) and Σ (d, d), x (N, d): q(x_t) = N(√ᾱ_t·m, C_t),

        where C_t = ᾱ_t·Σ + (1 − ᾱ_t)·I; E[x₀ | x_t] = m + √ᾱ_t·Σ·C_t⁻¹·(x_t − √ᾱ_t·m).
        """
        a = self.alpha_bar()[t][:, None]
        C = a[:, :, None] * covariance + (1 - a[:, :, None]) * np.eye(len(mean))  # (N, d, d)
        deviation = x - np.sqrt(a) * mean
        solved = np.linalg.solve(C, deviation[:, :, None])[:, :, 0]
        if what == "score":
            return -solved
        if what == "x0":
            return mean + np.sqrt(a) * (solved @ covariance)
        return -0.5 * ((deviation * solved).sum(axis=1) + np.linalg.slogdet(2 * math.pi * C)[1])
