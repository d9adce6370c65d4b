"""An independent implementation of the checker's protocol, from the papers' formulas, in NumPy and SciPy alone.

The tests of the checker plant mistakes here: the code is plain, each formula stands in one place, and it imports
nothing of `ddpm_np`. A table has T + 1 entries, entry t for the papers' step t.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr


def rows(table, t, x):
    """Return entries t of a table, one for each image of x."""
    return table[t].reshape((len(x),) + (1,) * (x.ndim - 1))


def mean_of_dimensions(x):
    """(N, …) -> (N,)."""
    return x.reshape(len(x), -1).mean(axis=1)


class Reference:
    """The whole protocol of a check target, for one schedule."""

    conventions = {}  # noqa: RUF012 - the protocol's name

    def __init__(self, betas):
        self.T = len(betas)
        self.beta = np.concatenate(([0.0], betas))
        self.alpha = 1.0 - self.beta
        log_abar = np.cumsum(np.log1p(-self.beta))
        self.abar = np.exp(log_abar)
        self.level = -np.expm1(log_abar)  # 1 − ᾱ_t
        self.abar_prev = np.concatenate(([1.0], self.abar[:-1]))
        self.level_prev = np.concatenate(([0.0], self.level[:-1]))
        with np.errstate(invalid="ignore"):  # entry 0 is 0/0
            self.beta_tilde = self.level_prev / self.level * self.beta
        first = self.beta_tilde[2:3]
        self.small = np.concatenate(([1.0], first, self.beta_tilde[2:]))
        self.large = np.concatenate(([1.0], first, self.beta[2:]))

    # The forward process

    def alpha_bar(self):
        return self.abar

    def q_step(self, x_prev, t, noise):
        signal = np.sqrt(1 - rows(self.beta, t, x_prev)) * x_prev
        return signal + np.sqrt(rows(self.beta, t, x_prev)) * noise

    def q_sample(self, x_0, t, noise):
        signal = np.sqrt(rows(self.abar, t, x_0)) * x_0
        return signal + np.sqrt(rows(self.level, t, x_0)) * noise

    # Its posterior

    def q_posterior(self, x_0, x_t, t):
        from_x0 = np.sqrt(rows(self.abar_prev, t, x_t)) * rows(self.beta, t, x_t) / rows(self.level, t, x_t)
        from_xt = np.sqrt(rows(self.alpha, t, x_t)) * rows(self.level_prev, t, x_t) / rows(self.level, t, x_t)
        variance = rows(self.beta_tilde, t, x_t) + np.zeros_like(x_t)
        return from_x0 * x_0 + from_xt * x_t, variance

    def posterior_log_variance_clipped(self, t):
        return np.log(self.small)[t]

    # What a predicted noise says

    def predict_x0(self, x_t, t, eps):
        return (x_t - np.sqrt(rows(self.level, t, x_t)) * eps) / np.sqrt(rows(self.abar, t, x_t))

    def predict_eps(self, x_t, t, x_0):
        centred = x_t - np.sqrt(rows(self.abar, t, x_t)) * x_0
        return centred / np.sqrt(rows(self.level, t, x_t))

    def mean_from_eps(self, x_t, t, eps):
        step = rows(self.beta, t, x_t) / np.sqrt(rows(self.level, t, x_t)) * eps
        return (x_t - step) / np.sqrt(rows(self.alpha, t, x_t))

    def score_from_eps(self, x_t, t, eps):
        deviation = np.sqrt(rows(self.level, t, x_t))
        return -eps / deviation

    def velocity(self, x_0, t, noise):
        c, s = self.turn(t, x_0)
        return c * noise - s * x_0

    def x0_from_velocity(self, x_t, t, v):
        c, s = self.turn(t, x_t)
        return c * x_t - s * v

    def eps_from_velocity(self, x_t, t, v):
        c, s = self.turn(t, x_t)
        return c * v + s * x_t

    def turn(self, t, x):
        """Return cosine and sine of the angle that rotates (x₀, ε) into (x_t, v)."""
        return np.sqrt(rows(self.abar, t, x)), np.sqrt(rows(self.level, t, x))

    # The reverse process

    def sigma2(self, variance, t, x):
        table = {"small": self.small, "large": self.large}[variance]
        return rows(table, t, x) + np.zeros_like(x)

    def p_mean_variance(self, model, x_t, t, variance="small", clip=False):
        x0_hat = self.predict_x0(x_t, t, model(x_t, t))
        if clip:
            x0_hat = np.clip(x0_hat, -1, 1)
        mean, _ = self.q_posterior(x0_hat, x_t, t)
        return mean, self.sigma2(variance, t, x_t), x0_hat

    def learned_range_variance(self, v, t):
        weight = (v + 1) / 2
        high, low = np.log(rows(self.beta, t, v)), np.log(rows(self.small, t, v))
        return np.exp(weight * high + (1 - weight) * low)

    def p_sample(self, model, x_t, t, noise, variance="small", clip=False):
        mean, sigma2, _ = self.p_mean_variance(model, x_t, t, variance=variance, clip=clip)
        z = np.where(rows(np.arange(self.T + 1), t, x_t) > 1, noise, 0.0)
        return mean + np.sqrt(sigma2) * z

    def sample(self, model, x_T, noises, variance="small", clip=False):
        x = x_T
        for t in range(self.T, 0, -1):
            steps = np.full(len(x), t)
            x = self.p_sample(model, x, steps, noises[t], variance=variance, clip=clip)
        return x

    def ddim_step(self, model, x_t, t, t_prev, eta, noise):
        eps = model(x_t, t)
        x0_hat = self.predict_x0(x_t, t, eps)
        here, before = rows(self.abar, t, x_t), rows(self.abar, t_prev, x_t)
        here_level, before_level = rows(self.level, t, x_t), rows(self.level, t_prev, x_t)
        sigma = eta * np.sqrt(before_level / here_level) * np.sqrt(1 - here / before)
        direction = np.sqrt(np.maximum(before_level - sigma**2, 0)) * eps
        return np.sqrt(before) * x0_hat + direction + sigma * noise

    def timesteps(self, n):
        return [self.T - i * self.T // n for i in range(n)]

    # The bound and the loss

    def kl(self, mean1, logvar1, mean2, logvar2):
        distance = (mean1 - mean2) ** 2 * np.exp(-logvar2)
        return 0.5 * (logvar2 - logvar1 + np.exp(logvar1 - logvar2) + distance - 1)

    def decoder_log_likelihood(self, x_0, mean, log_scale):
        scale = np.exp(log_scale)
        upper, lower = (x_0 + 1 / 255 - mean) / scale, (x_0 - 1 / 255 - mean) / scale
        right = upper + lower > 0  # as far out in either tail, where Φ of one side is 0
        big, little = log_ndtr(np.where(right, -lower, upper)), log_ndtr(np.where(right, -upper, lower))
        inside = big + np.log(-np.expm1(little - big))
        black, white = log_ndtr(upper), log_ndtr(-lower)
        return np.where(x_0 < -0.999, black, np.where(x_0 > 0.999, white, inside))

    def prior_kl(self, x_0):
        mean = np.sqrt(self.abar[self.T]) * x_0
        logvar = np.log(self.level[self.T])
        return mean_of_dimensions(self.kl(mean, logvar, 0.0, 0.0)) / math.log(2)

    def vlb_term(self, model, x_0, x_t, t, variance="small"):
        true_mean, _ = self.q_posterior(x_0, x_t, t)
        true_logvar = np.log(rows(self.small, t, x_t))
        mean, sigma2, _ = self.p_mean_variance(model, x_t, t, variance=variance, clip=False)
        divergence = self.kl(true_mean, true_logvar, mean, np.log(sigma2))
        decoder = -self.decoder_log_likelihood(x_0, mean, 0.5 * np.log(sigma2))
        nats = np.where(t == 1, mean_of_dimensions(decoder), mean_of_dimensions(divergence))
        return nats / math.log(2)

    def vlb(self, model, x_0, noises, variance="small"):
        total = self.prior_kl(x_0)
        for t in range(self.T, 0, -1):
            steps = np.full(len(x_0), t)
            x_t = self.q_sample(x_0, steps, noises[t])
            total = total + self.vlb_term(model, x_0, x_t, steps, variance=variance)
        return total

    def eq12_weight(self, t, variance="small"):
        sigma2 = {"small": self.small, "large": self.large}[variance]
        return (self.beta**2 / (2 * sigma2 * self.alpha * np.maximum(self.level, 1e-300)))[t]

    def simple_loss(self, model, x_0, t, noise):
        error = noise - model(self.q_sample(x_0, t, noise), t)
        return mean_of_dimensions(error**2)

    # Draws, the embedding of t, schedules

    def draw_t(self, rng, n):
        return rng.integers(1, self.T + 1, n)

    def draw_noise(self, rng, shape):
        return rng.standard_normal(shape)

    def time_embedding(self, t, dim):
        half = dim // 2
        frequencies = 10000.0 ** (-np.arange(half) / (half - 1))
        angles = np.asarray(t, dtype=np.float64)[:, None] * frequencies
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def schedule(self, name, T):
        if name == "linear":
            return np.linspace(1e-4, 0.02, T)
        if name == "cosine":
            s = 0.008
            f = np.cos((np.arange(T + 1) / T + s) / (1 + s) * math.pi / 2) ** 2
            return np.minimum(1 - f[1:] / f[:-1], 0.999)
        raise NotImplementedError(name)
