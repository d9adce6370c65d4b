"""12. Other objectives.

Later papers weight the loss differently, train the variance by the bound, or read the loss as matching the score. All
are one number for each image, (N,).
"""

from __future__ import annotations

import math

import numpy as np


class Objectives:
    """Losses beside L_simple."""

    def bound_loss(self, model, x_0, t, noise, predicts="eps", variance="small", levels=256):
        """The bound by one term: L_T + T·(term t) at x_t of (4), in bits. Its mean over t is the bound."""
        raise NotImplementedError

    def hybrid_loss(self, model, x_0, t, noise, predicts="eps", weight=0.001, levels=256):
        """L_simple + λ·T·(term t in bits) of a net with two outputs: a prediction, v of `learned_range_variance`."""
        raise NotImplementedError

    def hybrid_gradient(self, output, x_0, t, noise, weight=0.001, levels=None):
        """The gradient of Σ `hybrid_loss` by the net's output (ε_θ, v), (N, …, 2C), with a density at t = 1.

        L_simple teaches ε_θ alone: 2·(ε_θ − ε)/D, for D dimensions. The bound teaches v alone. By ln σ², a term's
        derivative is ½·(1 − (β̃_t + (μ̃_t − μ_θ)²)/σ²) nats, with β̃₁ = 0; and ln σ² is linear in v.
        """
        raise NotImplementedError

    def min_snr_weight(self, t, x, gamma=5.0, predicts="eps"):
        """min(SNR, γ)/SNR for "eps", min(SNR, γ) for "x0", min(SNR, γ)/(SNR + 1) for "v"; SNR = ᾱ_t/(1 − ᾱ_t)."""
        raise NotImplementedError

    def p2_weight(self, t, x, k=1.0, gamma=1.0, predicts="eps"):
        """1/(k + SNR)^γ for "eps", SNR/(k + SNR)^γ for "x0", SNR/(SNR + 1)/(k + SNR)^γ for "v"; SNR = ᾱ_t/(1 − ᾱ_t)."""
        raise NotImplementedError

    def edm_preconditioning(self, sigma, sigma_data):
        """EDM's c_skip, c_out, c_in and λ for noisy images x₀ + σ·n, each of σ's shape.

        c_in·(x₀ + σ·n) has variance 1, and so has the net's target (x₀ − c_skip·(x₀ + σ·n))/c_out, with the c_skip for
        which c_out is least: σ_d²/(σ² + σ_d²). Then c_out = σ·σ_d/√(σ² + σ_d²), and λ·c_out² = 1.
        """
        raise NotImplementedError

    def score_matching_loss(self, model, x_0, t, noise, predicts="eps"):
        """‖s_θ(x_t, t) − ∇ ln q(x_t | x₀)‖² at x_t of (4), a mean over each image's dimensions."""
        raise NotImplementedError
