"""5. Training.

Algorithm 1 draws a t for each image and noise, and lets the net predict the noise in x_t. A net can just as well be
trained to predict x₀, the posterior's mean or v.
"""

from __future__ import annotations

import numpy as np


class Training:
    """The draws and the loss of Algorithm 1, and the numbers by which a net is told t."""

    def draw_t(self, rng, n):
        """n values of t, uniform on 1..T, from a numpy Generator."""
        raise NotImplementedError

    def draw_noise(self, rng, shape):
        """ε ~ N(0, I) of a shape."""
        raise NotImplementedError

    def target(self, x_0, x_t, t, noise, predicts):
        """What a net should say at x_t: ε for `predicts` = "eps", x₀ for "x0", μ̃_t of (7) for "mean", v for "v"."""
        raise NotImplementedError

    def simple_loss(self, model, x_0, t, noise, predicts="eps"):
        """(14): ‖ε − ε_θ(x_t, t)‖² as a mean over each image's dimensions, (N,).

        With another `predicts`, the target of that prediction takes the place of ε.
        """
        raise NotImplementedError

    def time_embedding(self, t, dim):
        """sin(t·ω_j) for all j, then cos(t·ω_j), (N, dim), with ω_j = 10000^(−j/(half − 1)), j = 0..half − 1.

        half is dim/2. t is taken as it is given.
        """
        raise NotImplementedError
