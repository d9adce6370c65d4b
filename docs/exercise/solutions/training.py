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
        return rng.integers(1, self.T + 1, n)

    def draw_noise(self, rng, shape):
        """ε ~ N(0, I) of a shape."""
        return rng.standard_normal(shape)

    def target(self, x_0, x_t, t, noise, predicts):
        """What a net should say at x_t: ε for `predicts` = "eps", x₀ for "x0", μ̃_t of (7) for "mean", v for "v"."""
        if predicts == "eps":
            return noise
        if predicts == "x0":
            return x_0
        return self.q_posterior(x_0, x_t, t)[0] if predicts == "mean" else self.velocity(x_0, t, noise)

    def simple_loss(self, model, x_0, t, noise, predicts="eps"):
        """(14): ‖ε − ε_θ(x_t, t)‖² as a mean over each image's dimensions, (N,).

        With another `predicts`, the target of that prediction takes the place of ε.
        """
        x_t = self.q_sample(x_0, t, noise)
        return self.mean_over_image((self.target(x_0, x_t, t, noise, predicts) - model(x_t, t)) ** 2)

    def time_embedding(self, t, dim):
        """sin(t·ω_j) for all j, then cos(t·ω_j), (N, dim), with ω_j = 10000^(−j/(half − 1)), j = 0..half − 1.

        half is dim/2. t is taken as it is given.
        """
        half = dim // 2
        angles = t[:, None] * 10000.0 ** (-np.arange(half) / (half - 1))  # (N, half)
        return np.concatenate((np.sin(angles), np.cos(angles)), axis=1)
