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
