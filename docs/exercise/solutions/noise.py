"""3. Quantities from a prediction of the noise.

The net predicts the noise ε in x_t. Since (4) ties x_t, x₀ and ε together, any two of them give the third, and with it
the mean of the reverse step and the score.
"""

from __future__ import annotations

import numpy as np


class Noise:
    """x̂₀, ε̂, μ_θ and the score."""

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
