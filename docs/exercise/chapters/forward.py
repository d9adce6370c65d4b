"""1. The forward process.

Noise is added to an image in T small steps. Because normal distributions add up, x_t can also be drawn from x₀ at once,
and that is what makes training cheap.
"""

from __future__ import annotations

import numpy as np


class Forward:
    """q(x_t | x_{t−1}) and q(x_t | x₀)."""

    def alpha_bar(self):
        """ᾱ_t = Π_{s≤t} (1 − β_s), an array (T+1,) whose entry 0 is 1."""
        raise NotImplementedError

    def q_step(self, x_prev, t, noise):
        """(2): x_t = √(1 − β_t)·x_{t−1} + √β_t·z."""
        raise NotImplementedError

    def q_sample(self, x_0, t, noise):
        """(4): x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε."""
        raise NotImplementedError

    def q_trajectory(self, x_0, noises):
        """x₀, x₁, …, x_T by (2), (T+1, N, …). noises[t] is the z of step t; noises[0] is not used."""
        raise NotImplementedError
