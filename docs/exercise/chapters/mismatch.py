"""8. From the bound to the loss.

A term of the bound is the distance of two means. Written in terms of the noise, it is the loss of Algorithm 1 times a
weight, which L_simple drops. These losses are means over an image's dimensions, in nats, (N,).
"""

from __future__ import annotations

import numpy as np


class Mismatch:
    """(8), (9), (10), (12): one number in four forms."""

    def mean_mismatch(self, model, x_0, x_t, t, variance="small", predicts="eps"):
        """(8) without its constant: ‖μ̃_t(x_t, x₀) − μ_θ(x_t, t)‖²/(2σ_t²)."""
        raise NotImplementedError

    def mismatch_constant(self, t, x, variance="small"):
        """(8)'s constant C = ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1), a column (N, 1, …) for x (N, …), for t ≥ 2."""
        raise NotImplementedError

    def mean_mismatch_from_noise(self, model, x_0, t, noise, variance="small", predicts="eps"):
        """(9): (8) at x_t of (4), with x₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t."""
        raise NotImplementedError

    def mean_mismatch_simplified(self, model, x_0, t, noise, variance="small", predicts="eps"):
        """(10): ‖(x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t − μ_θ(x_t, t)‖²/(2σ_t²) at x_t of (4)."""
        raise NotImplementedError

    def eq12_weight(self, t, variance="small"):
        """(12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (N,), for t ≥ 2."""
        raise NotImplementedError

    def weighted_noise_loss(self, model, x_0, t, noise, variance="small"):
        """(12): the weight times ‖ε − ε_θ(x_t, t)‖² at x_t of (4)."""
        raise NotImplementedError

    def squared_gain(self, t, predicts):
        """g², (N,): the squared factor by which an error of the prediction moves μ_θ.

        With c₀ = √ᾱ_{t−1}·β_t/(1 − ᾱ_t), the factor of x₀ in (7): c₀² for "x0", c₀²·(1 − ᾱ_t)/ᾱ_t for "eps",
        c₀²·(1 − ᾱ_t) for "v", and 1 for "mean".
        """
        raise NotImplementedError

    def bound_weight(self, t, variance="small", predicts="eps"):
        """The bound's weight of a prediction's squared error: g²/(2σ_t²), (N,)."""
        raise NotImplementedError

    def optimal_variance(self, t, error, predicts="eps"):
        """The σ_t² for which the bound is least: β̃_t + g²·error, of the shape of `error`, a mean squared error.

        At t = 1 β̃_t is 0 here.
        """
        raise NotImplementedError
