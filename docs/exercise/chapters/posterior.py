"""2. The posterior, given both ends.

If x₀ is known as well as x_t, Bayes' rule gives x_{t−1} exactly: a normal distribution whose mean lies between the two.
It is what the reverse process is trained to imitate.
"""

from __future__ import annotations

import numpy as np


class Posterior:
    """q(x_{t−1} | x_t, x₀)."""

    def q_posterior(self, x_0, x_t, t):
        """(6), (7): the mean μ̃_t and the variance β̃_t of q(x_{t−1} | x_t, x₀), both of x_t's shape.

        μ̃_t = √ᾱ_{t−1}·β_t/(1 − ᾱ_t)·x₀ + √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t)·x_t and β̃_t = (1 − ᾱ_{t−1})/(1 − ᾱ_t)·β_t.
        """
        raise NotImplementedError

    def posterior_log_variance_clipped(self, t):
        """ln β̃_t, (N,). At t = 1, where β̃₁ = 0, ln β̃₂."""
        raise NotImplementedError
