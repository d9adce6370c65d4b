"""6. Other predictions, other variances.

A net that predicts x₀, μ̃ or v describes the same reverse step as one that predicts ε. The step's variance can be a
table or the net's second output. All later chapters build on the step of this one.
"""

from __future__ import annotations

import numpy as np


class Predictions:
    """v, learned variances, and the reverse step for any net."""

    def velocity(self, x_0, t, noise):
        """v = √ᾱ_t·ε − √(1 − ᾱ_t)·x₀."""
        raise NotImplementedError

    def x0_from_velocity(self, x_t, t, v):
        """x₀ of x_t and v: (x₀, ε) is (x_t, v) turned back by the angle with cosine √ᾱ_t and sine √(1 − ᾱ_t)."""
        raise NotImplementedError

    def eps_from_velocity(self, x_t, t, v):
        """ε of x_t and v."""
        raise NotImplementedError

    def x0_from_mean(self, x_t, t, mean):
        """(7) solved for x₀: the x̂₀ for which the posterior's mean is `mean`."""
        raise NotImplementedError

    def learned_range_variance(self, v, t):
        """Σ_θ = exp(w·ln β_t + (1 − w)·ln β̃_t) with w = (v + 1)/2, of v's shape; β̃_t is β̃₂ at t = 1."""
        raise NotImplementedError

    def predict(self, model, x_t, t, predicts="eps", clip=False):
        """x̂₀, ε̂ and the net's second output (None if it has one output), for a net that predicts `predicts`.

        `predicts` is "eps", "x0", "mean" or "v"; x̂₀ is clipped to [−1, 1] if `clip`, and ε̂ belongs to the x̂₀ returned.
        """
        raise NotImplementedError

    def log_variance(self, variance, t, x, output=None):
        """ln σ_t² as a column (N, 1, …), or of x's shape if it is learned.

        `variance` is "small" or "large", as in `p_mean_variance`; a table (T+1,) of σ_t²; "learned", where ln σ_t² is
        the net's second output; or "learned_range", where it is ln Σ_θ of that output.
        """
        raise NotImplementedError

    def p_mean_log_variance(self, model, x_t, t, predicts="eps", variance="small", clip=False):
        """The reverse step of any net: its mean (7) at x̂₀, ln σ_t² as `log_variance` returns it, and x̂₀."""
        raise NotImplementedError
