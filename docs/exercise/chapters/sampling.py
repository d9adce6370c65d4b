"""11. Sampling and editing.

With the reverse step one can do more than draw images: mix two of them, fill in a missing part, steer towards a class,
or follow the score at each noise level.
"""

from __future__ import annotations

import numpy as np


class Sampling:
    """Chains as lists [(t, x_t, x̂₀), …], with the x̂₀ that x_t was drawn from.

    `options` are predicts=, variance= and clip=, as `p_mean_log_variance` takes them.
    """

    def ancestral(self, model, x_T, noise_at, start=None, **options):
        """Algorithm 2 from t = `start` (T if None) down: [(t − 1, x_{t−1}, x̂₀), …]. noise_at(t) is the z of step t."""
        raise NotImplementedError

    def guided(self, model, label, none, weight, x, t):
        """ε̃ = (1 + w)·ε_θ(x, t, y) − w·ε_θ(x, t, ∅); the second output, if any, is that of the label alone.

        model(x, t, y) takes labels y (N,); `label` is y and `none` the number of ∅.
        """
        raise NotImplementedError

    def interpolate(self, model, x_0, y_0, t, fractions, noise_x, noise_y, noise_at, **options):
        """(1 − λ)·x_t + λ·y_t for each λ of `fractions`, decoded by Algorithm 2 from t on.

        x_0 and y_0 are one image each, and so is their noise. The first item is (t, the mixtures, None).
        """
        raise NotImplementedError

    def inpaint(self, model, known, mask, x_T, noise_at, repeats=10, **options):
        """Fill in images where `mask` is False: [(t − 1, x_{t−1}, x̂₀), …].

        At each t, x_{t−1} is drawn by Algorithm 2 where it is unknown, with noise_at("step", t, k), and by (4) from
        `known` elsewhere, with noise_at("known", t, k). A step (2) with noise_at("back", t, k) takes it back to t, and
        it is drawn again, for k = 0..repeats − 1; at t = 1 once. `known` can be nan where it is unknown.
        """
        raise NotImplementedError

    def langevin_step(self, x, score, delta, noise):
        """x + δ/2·s + √δ·z."""
        raise NotImplementedError

    def annealed_langevin(self, model, x_T, steps, noise_at, per_level=5, size=0.1, predicts="eps", clip=False):
        """Langevin steps with δ = size·(1 − ᾱ_t) at each level t of `steps` in turn: [(t, x, x̂₀ of the last step), …].

        noise_at(t, i) is the z of step i = 0..per_level − 1. From one level to the next x is multiplied by the ratio of
        their √ᾱ. At last (0, x̂₀, x̂₀), for the x̂₀ of x at the last level.
        """
        raise NotImplementedError
