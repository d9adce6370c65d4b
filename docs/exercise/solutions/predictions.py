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
        a = self.column(self.alpha_bar(), t, x_0)
        return np.sqrt(a) * noise - np.sqrt(1 - a) * x_0

    def x0_from_velocity(self, x_t, t, v):
        """x₀ of x_t and v: (x₀, ε) is (x_t, v) turned back by the angle with cosine √ᾱ_t and sine √(1 − ᾱ_t)."""
        a = self.column(self.alpha_bar(), t, x_t)
        return np.sqrt(a) * x_t - np.sqrt(1 - a) * v

    def eps_from_velocity(self, x_t, t, v):
        """ε of x_t and v."""
        a = self.column(self.alpha_bar(), t, x_t)
        return np.sqrt(a) * v + np.sqrt(1 - a) * x_t

    def x0_from_mean(self, x_t, t, mean):
        """(7) solved for x₀: the x̂₀ for which the posterior's mean is `mean`."""
        beta, a = self.column(self.beta, t, x_t), self.column(self.alpha_bar(), t, x_t)
        before = self.column(self.alpha_bar(), t - 1, x_t)
        return ((1 - a) * mean - np.sqrt(1 - beta) * (1 - before) * x_t) / (np.sqrt(before) * beta)

    def learned_range_variance(self, v, t):
        """Σ_θ = exp(w·ln β_t + (1 − w)·ln β̃_t) with w = (v + 1)/2, of v's shape; β̃_t is β̃₂ at t = 1."""
        w = (v + 1) / 2
        low = self.as_column(self.posterior_log_variance_clipped(t), v)
        return np.exp(w * np.log(self.column(self.beta, t, v)) + (1 - w) * low)

    def predict(self, model, x_t, t, predicts="eps", clip=False):
        """x̂₀, ε̂ and the net's second output (None if it has one output), for a net that predicts `predicts`.

        `predicts` is "eps", "x0", "mean" or "v"; x̂₀ is clipped to [−1, 1] if `clip`, and ε̂ belongs to the x̂₀ returned.
        """
        output, second = self.split(model(x_t, t), x_t)
        if predicts == "eps" and not clip:
            return self.predict_x0(x_t, t, output), output, second
        if predicts == "eps":
            x_0 = self.predict_x0(x_t, t, output)
        elif predicts == "x0":
            x_0 = output
        else:
            x_0 = (self.x0_from_mean if predicts == "mean" else self.x0_from_velocity)(x_t, t, output)
        x_0 = np.clip(x_0, -1, 1) if clip else x_0
        return x_0, self.predict_eps(x_t, t, x_0), second

    def log_variance(self, variance, t, x, output=None):
        """ln σ_t² as a column (N, 1, …), or of x's shape if it is learned.

        `variance` is "small" or "large", as in `p_mean_variance`; a table (T+1,) of σ_t²; "learned", where ln σ_t² is
        the net's second output; or "learned_range", where it is ln Σ_θ of that output.
        """
        if not isinstance(variance, str):
            return np.log(self.column(variance, t, x))
        if variance == "learned":
            return output
        if variance == "learned_range":
            return np.log(self.learned_range_variance(output, t))
        small = self.posterior_log_variance_clipped(t)
        return self.as_column(np.where(t > 1, np.log(self.beta[t]), small) if variance == "large" else small, x)

    def p_mean_log_variance(self, model, x_t, t, predicts="eps", variance="small", clip=False):
        """The reverse step of any net: its mean (7) at x̂₀, ln σ_t² as `log_variance` returns it, and x̂₀."""
        x_0, _, second = self.predict(model, x_t, t, predicts, clip)
        return self.q_posterior(x_0, x_t, t)[0], self.log_variance(variance, t, x_t, second), x_0
