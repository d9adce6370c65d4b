"""17. Data where everything is known: mixtures and images.

A mixture of normal distributions stays one under the forward process, so its score is known too. With variances of zero
the data are a few images, and the best net has them by heart.
"""

from __future__ import annotations

import numpy as np


class Mixture:
    """x₀ ~ Σ_k w_k·N(m_k, S_k): weights (K,), means (K, D), variances (K,) or (K, D)."""

    # given
    def mixture(self, what, weights, means, variances, x, t):
        """What is known, by name: `mixture("score", w, m, S, x, t)` is `mixture_score(w, m, S, x, t)`."""
        return getattr(self, f"mixture_{what}")(weights, means, variances, x, t)

    # given
    def atoms(self, what, images, weights, x, t):
        """The same for the images themselves, (K, D); weights None: all are equally likely."""
        weights = np.full(len(images), 1 / len(images)) if weights is None else weights
        return self.mixture(what, weights, images, np.zeros(len(images)), x, t)

    # given
    def mixture_components(self, means, variances, x, t):
        """√ᾱ_t·m_k and C_k = ᾱ_t·S_k + 1 − ᾱ_t, two arrays (N, K, D)."""
        a = self.alpha_bar()[t][:, None, None]
        spread = variances.reshape(len(means), -1) * np.ones_like(means)
        return np.sqrt(a) * means, a * spread + 1 - a

    def mixture_log_joint(self, weights, means, variances, x, t):
        """ln w_k·N(x_t; √ᾱ_t·m_k, C_k), (N, K)."""
        centres, C = self.mixture_components(means, variances, x, t)
        return np.log(weights) + self.log_normal(x[:, None, :], centres, np.log(C)).sum(axis=2)

    def mixture_log_q(self, weights, means, variances, x, t):
        """ln q(x_t), (N,): the logarithm of a sum of exponentials, none of which may overflow or all vanish."""
        joint = self.mixture_log_joint(weights, means, variances, x, t)
        largest = joint.max(axis=1)
        return largest + np.log(np.exp(joint - largest[:, None]).sum(axis=1))

    def mixture_responsibilities(self, weights, means, variances, x, t):
        """r_k(x_t) = w_k·N(x_t; √ᾱ_t·m_k, C_k)/q(x_t), (N, K)."""
        log_q = self.mixture_log_q(weights, means, variances, x, t)
        return np.exp(self.mixture_log_joint(weights, means, variances, x, t) - log_q[:, None])

    def mixture_score(self, weights, means, variances, x, t):
        """∇ ln q(x_t) = −Σ_k r_k·(x_t − √ᾱ_t·m_k)/C_k, (N, D)."""
        r = self.mixture_responsibilities(weights, means, variances, x, t)[:, :, None]
        centres, C = self.mixture_components(means, variances, x, t)
        return (r * (centres - x[:, None, :]) / C).sum(axis=1)

    # given
    def mixture_eps(self, weights, means, variances, x, t):
        """ε* = −√(1 − ᾱ_t)·∇ ln q(x_t)."""
        score = self.mixture_score(weights, means, variances, x, t)
        return -np.sqrt(1 - self.column(self.alpha_bar(), t, x)) * score

    def mixture_x0(self, weights, means, variances, x, t):
        """E[x₀ | x_t] = (x_t + (1 − ᾱ_t)·∇ ln q(x_t))/√ᾱ_t, Tweedie's formula."""
        a = self.column(self.alpha_bar(), t, x)
        return (x + (1 - a) * self.mixture_score(weights, means, variances, x, t)) / np.sqrt(a)
