"""9. Appendix A: the bound on a trajectory.

Each line of the paper's derivation is a function of x₀, x₁, …, x_T. Lines (17) to (21) are the same number on every
trajectory, because each step only rearranges a sum of log densities; (22) equals them on average.
"""

from __future__ import annotations

import numpy as np


class AppendixA:
    """The lines, for x (T+1, N, …), in nats summed over each image's dimensions, (N,).

    `options` are predicts=, variance= and levels=, which `log_p` takes.
    """

    # given
    def log_prior(self, x):
        """ln p(x_T), of N(0, I)."""
        return self.sum_over_image(self.log_normal(x[self.T], 0 * x[self.T], 0 * x[self.T]))

    # given
    def log_p(self, model, x, t, predicts="eps", variance="small", levels=None):
        """ln p_θ(x_{t−1} | x_t); at t = 1 by the decoder (13) if `levels` is a number."""
        mean, logvar, _ = self.p_mean_log_variance(model, x[t], self.at(t, x[t]), predicts, variance)
        if t == 1 and levels is not None:
            return self.sum_over_image(self.decoder_log_likelihood(x[0], mean, 0.5 * logvar + 0 * mean, levels))
        return self.sum_over_image(self.log_normal(x[t - 1], mean, logvar))

    # given
    def log_q_step(self, x, t):
        """ln q(x_t | x_{t−1}), (2)."""
        beta = self.beta[t]
        return self.sum_over_image(self.log_normal(x[t], np.sqrt(1 - beta) * x[t - 1], np.log(beta)))

    # given
    def log_q_given_x0(self, x, t):
        """ln q(x_t | x₀), (4)."""
        a = self.alpha_bar()[t]
        return self.sum_over_image(self.log_normal(x[t], np.sqrt(a) * x[0], np.log(1 - a)))

    # given
    def log_q_posterior(self, x, t):
        """ln q(x_{t−1} | x_t, x₀), (6), for t ≥ 2."""
        mean, variance = self.q_posterior(x[0], x[t], self.at(t, x[t]))
        return self.sum_over_image(self.log_normal(x[t - 1], mean, np.log(variance)))

    def log_p_joint(self, model, x, **options):
        """(1): ln p_θ(x_{0:T}) = ln p(x_T) + Σ_{t≥1} ln p_θ(x_{t−1} | x_t)."""
        raise NotImplementedError

    def log_q_joint(self, model, x, **options):
        """(2): ln q(x_{1:T} | x₀) = Σ_{t≥1} ln q(x_t | x_{t−1})."""
        raise NotImplementedError

    def equation_3(self, model, x, **options):
        """(3): −ln p(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1})."""
        raise NotImplementedError

    def equation_17(self, model, x, **options):
        """(17): −ln p_θ(x_{0:T})/q(x_{1:T} | x₀)."""
        raise NotImplementedError

    def equation_18(self, model, x, **options):
        """(18): the products of (17) as sums of logarithms, which is (3)."""
        raise NotImplementedError

    def equation_19(self, model, x, **options):
        """(19): (18) with the ratio of t = 1 written apart, −Σ_{t>1} … − ln p_θ(x₀ | x₁)/q(x₁ | x₀)."""
        raise NotImplementedError

    def equation_20(self, model, x, **options):
        """(20): (19) by Bayes' rule, q(x_t | x_{t−1}) = q(x_{t−1} | x_t, x₀)·q(x_t | x₀)/q(x_{t−1} | x₀) for t > 1."""
        raise NotImplementedError

    def equation_21(self, model, x, **options):
        """(21): −ln p(x_T)/q(x_T | x₀) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t, x₀) − ln p_θ(x₀ | x₁)."""
        raise NotImplementedError

    def equation_22(self, model, x, predicts="eps", variance="small", levels=None):
        """(22): (21) with divergences for the logarithms of ratios.

        KL(q(x_T | x₀) ‖ p(x_T)) + Σ_{t>1} KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)) − ln p_θ(x₀ | x₁).
        """
        raise NotImplementedError

    def equation_23(self, model, x, **options):
        """(23): the start of the second derivation, which is (18)."""
        raise NotImplementedError

    # given
    def log_marginals(self, x, log_q):
        """ln q(x_t) for t = 0..T, a list; log_q(x_t, t) takes t (N,)."""
        return [log_q(x[t], self.at(t, x[t])) for t in range(self.T + 1)]

    def log_q_reverse(self, x, marginal, t):
        """Bayes' rule: ln q(x_{t−1} | x_t) = ln q(x_t | x_{t−1}) + ln q(x_{t−1}) − ln q(x_t).

        `marginal` is what `log_marginals` returns.
        """
        raise NotImplementedError

    def equation_24(self, model, x, log_q, **options):
        """(24): −ln p(x_T) − Σ_{t≥1} [ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) + ln q(x_{t−1})/q(x_t)]."""
        raise NotImplementedError

    def equation_25(self, model, x, log_q, **options):
        """(25): −ln p(x_T)/q(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) − ln q(x₀)."""
        raise NotImplementedError
