"""8. From the bound to the loss.

A term of the bound is the distance of two means. Written in terms of the noise, it is the loss of Algorithm 1 times a
weight, which L_simple drops. These losses are means over an image's dimensions, in nats, (N,).
"""

from __future__ import annotations

import numpy as np


class Mismatch:
    """(8), (9), (10), (12): one number in four forms."""

    def mean_mismatch(self, model, x_0, x_t, t, variance="small", predicts="eps"):
        """(8) without its constant: ‖μ̃_t(x_t, x₀) − μ_θ(x_t, t)‖²/(2σ_t²)."""
        mean, logvar, _ = self.p_mean_log_variance(model, x_t, t, predicts, variance)
        return self.mean_over_image((self.q_posterior(x_0, x_t, t)[0] - mean) ** 2 * np.exp(-logvar) / 2)

    def mismatch_constant(self, t, x, variance="small"):
        """(8)'s constant C = ½·(ln σ_t²/β̃_t + β̃_t/σ_t² − 1), a column (N, 1, …) for x (N, …), for t ≥ 2."""
        gap = self.log_variance(variance, t, x) - self.as_column(self.posterior_log_variance_clipped(t), x)
        return 0.5 * (gap + np.exp(-gap) - 1)

    def mean_mismatch_from_noise(self, model, x_0, t, noise, variance="small", predicts="eps"):
        """(9): (8) at x_t of (4), with x₀ = (x_t − √(1 − ᾱ_t)·ε)/√ᾱ_t."""
        x_t = self.q_sample(x_0, t, noise)
        return self.mean_mismatch(model, self.predict_x0(x_t, t, noise), x_t, t, variance, predicts)

    def mean_mismatch_simplified(self, model, x_0, t, noise, variance="small", predicts="eps"):
        """(10): ‖(x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t − μ_θ(x_t, t)‖²/(2σ_t²) at x_t of (4)."""
        x_t = self.q_sample(x_0, t, noise)
        mean, logvar, _ = self.p_mean_log_variance(model, x_t, t, predicts, variance)
        return self.mean_over_image((self.mean_from_eps(x_t, t, noise) - mean) ** 2 * np.exp(-logvar) / 2)

    def eq12_weight(self, t, variance="small"):
        """(12): β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (N,), for t ≥ 2."""
        a = self.alpha_bar()
        sigma2 = self.beta[t] if variance == "large" else (1 - a[t - 1]) / (1 - a[t]) * self.beta[t]
        return self.beta[t] ** 2 / (2 * sigma2 * (1 - self.beta[t]) * (1 - a[t]))

    def weighted_noise_loss(self, model, x_0, t, noise, variance="small"):
        """(12): the weight times ‖ε − ε_θ(x_t, t)‖² at x_t of (4)."""
        return self.eq12_weight(t, variance) * self.simple_loss(model, x_0, t, noise)

    def squared_gain(self, t, predicts):
        """g², (N,): the squared factor by which an error of the prediction moves μ_θ.

        With c₀ = √ᾱ_{t−1}·β_t/(1 − ᾱ_t), the factor of x₀ in (7): c₀² for "x0", c₀²·(1 − ᾱ_t)/ᾱ_t for "eps",
        c₀²·(1 − ᾱ_t) for "v", and 1 for "mean".
        """
        a = self.alpha_bar()
        c2 = a[t - 1] * (self.beta[t] / (1 - a[t])) ** 2
        return {"x0": c2, "eps": c2 * (1 - a[t]) / a[t], "v": c2 * (1 - a[t]), "mean": np.ones_like(c2)}[predicts]

    def bound_weight(self, t, variance="small", predicts="eps"):
        """The bound's weight of a prediction's squared error: g²/(2σ_t²), (N,)."""
        return self.squared_gain(t, predicts) * np.exp(-self.log_variance(variance, t, t)) / 2

    def optimal_variance(self, t, error, predicts="eps"):
        """The σ_t² for which the bound is least: β̃_t + g²·error, of the shape of `error`, a mean squared error.

        At t = 1 β̃_t is 0 here.
        """
        tilde = self.q_posterior(error, error, t)[1]
        return tilde + self.as_column(self.squared_gain(t, predicts), error) * error
