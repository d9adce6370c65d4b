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
        x, found = x_T, []
        for t in range(self.T if start is None else start, 0, -1):
            mean, logvar, x_0 = self.p_mean_log_variance(model, x, self.at(t, x), **options)
            x = mean + np.exp(logvar / 2) * noise_at(t) if t > 1 else mean
            found.append((t - 1, x, x_0))
        return found

    def guided(self, model, label, none, weight, x, t):
        """ε̃ = (1 + w)·ε_θ(x, t, y) − w·ε_θ(x, t, ∅); the second output, if any, is that of the label alone.

        model(x, t, y) takes labels y (N,); `label` is y and `none` the number of ∅.
        """
        eps, second = self.split(model(x, t, label), x)
        other, _ = self.split(model(x, t, np.full(len(x), none)), x)
        mixed = (1 + weight) * eps - weight * other
        return mixed if second is None else np.concatenate((mixed, second), axis=-1)

    def interpolate(self, model, x_0, y_0, t, fractions, noise_x, noise_y, noise_at, **options):
        """(1 − λ)·x_t + λ·y_t for each λ of `fractions`, decoded by Algorithm 2 from t on.

        x_0 and y_0 are one image each, and so is their noise. The first item is (t, the mixtures, None).
        """
        share = fractions.reshape(-1, *[1] * x_0.ndim)
        x_t = self.q_sample(x_0[None], np.array([t]), noise_x[None])
        y_t = self.q_sample(y_0[None], np.array([t]), noise_y[None])
        mixed = (1 - share) * x_t + share * y_t
        return [(t, mixed, None), *self.ancestral(model, mixed, noise_at, t, **options)]

    def inpaint(self, model, known, mask, x_T, noise_at, repeats=10, **options):
        """Fill in images where `mask` is False: [(t − 1, x_{t−1}, x̂₀), …].

        At each t, x_{t−1} is drawn by Algorithm 2 where it is unknown, with noise_at("step", t, k), and by (4) from
        `known` elsewhere, with noise_at("known", t, k). A step (2) with noise_at("back", t, k) takes it back to t, and
        it is drawn again, for k = 0..repeats − 1; at t = 1 once. `known` can be nan where it is unknown.
        """
        x, found, given = x_T, [], np.where(mask, known, 0.0)
        for t in range(self.T, 0, -1):
            now, count = self.at(t, x), repeats if t > 1 else 1
            for k in range(count):
                mean, logvar, x_0 = self.p_mean_log_variance(model, x, now, **options)
                z = noise_at("step", t, k)
                drawn = mean + np.exp(logvar / 2) * z if t > 1 else mean
                lower = np.where(mask, self.q_sample(given, now - 1, noise_at("known", t, k)), drawn)
                x = self.q_step(lower, now, noise_at("back", t, k)) if k < count - 1 else lower
            found.append((t - 1, x, x_0))
        return found

    def langevin_step(self, x, score, delta, noise):
        """x + δ/2·s + √δ·z."""
        return x + delta / 2 * score + np.sqrt(delta) * noise

    def annealed_langevin(self, model, x_T, steps, noise_at, per_level=5, size=0.1, predicts="eps", clip=False):
        """Langevin steps with δ = size·(1 − ᾱ_t) at each level t of `steps` in turn: [(t, x, x̂₀ of the last step), …].

        noise_at(t, i) is the z of step i = 0..per_level − 1. From one level to the next x is multiplied by the ratio of
        their √ᾱ. At last (0, x̂₀, x̂₀), for the x̂₀ of x at the last level.
        """
        a, x, found = self.alpha_bar(), x_T, []
        for before, t in zip([steps[0], *steps], steps, strict=False):
            x = x * np.sqrt(a[t] / a[before])
            for i in range(per_level):
                x_0, eps, _ = self.predict(model, x, self.at(t, x), predicts, clip)
                score = self.score_from_eps(x, self.at(t, x), eps)
                x = self.langevin_step(x, score, size * (1 - a[t]), noise_at(t, i))
            found.append((t, x, x_0))
        x_0 = self.predict(model, x, self.at(t, x), predicts, clip)[0]
        return [*found, (0, x_0, x_0)]
