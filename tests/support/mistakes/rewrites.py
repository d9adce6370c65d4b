"""Rewrites of the independent implementation that compute the same: the checker must pass them.

`EQUIVALENT` holds other ways to write a formula; `NO_BUGS` holds public code that is taken for a bug. A line is as in
`reference`, with the equations to check.
"""

from __future__ import annotations

from mistakes import changes

EQUIVALENT = changes({
    "__init__": [
        ("ᾱ by cumprod", "np.exp(log_abar)", "np.cumprod(self.alpha)", "alpha-bar 4 7 11 15"),
        ("ᾱ by cumprod in long double", "np.exp(log_abar)",
         "np.cumprod(self.alpha.astype(np.longdouble)).astype(np.float64)", "alpha-bar 4 15"),
        ("ᾱ by a loop", "np.exp(log_abar)", "np.array([np.prod(self.alpha[: t + 1]) for t in range(self.T + 1)])",
         "alpha-bar 4 15"),
        ("ln ᾱ by log of 1 − β", "np.log1p(-self.beta)", "np.log(1 - self.beta)", "alpha-bar 4 7 15"),
        ("1 − ᾱ as a difference", "-np.expm1(log_abar)", "1 - self.abar", "4 7 15 eps velocity"),
        ("1 − ᾱ by its recursion", "-np.expm1(log_abar)", "np.array([np.sum((self.beta * np.concatenate(([1.0], "
         "self.abar[:-1])))[: t + 1]) for t in range(self.T + 1)])", "4 7 15 eps"),
        ("β̃ with 1 − α for β", "self.level_prev / self.level * self.beta",
         "(1 - self.alpha) * self.level_prev / self.level", "7 6 log-variance sigma"),
        ("β̃ as the harmonic sum of two precisions", "self.level_prev / self.level * self.beta",
         "np.concatenate(([0.0, 0.0], 1 / (self.alpha[2:] / self.beta[2:] + 1 / self.level_prev[2:])))",
         "7 6 log-variance sigma"),
        ("β̃ as 1 − ᾱ_{t−1} less what x_t says", "self.level_prev / self.level * self.beta",
         "self.level_prev - self.alpha * self.level_prev**2 / self.level", "7 6"),
        ("the large variance by a copy", "np.concatenate(([1.0], first, self.beta[2:]))",
         "np.where(np.arange(self.T + 1) < 2, first, self.beta)", "sigma algorithm-2 8"),
    ],
    "rows": [
        ("by take and newaxis", "table[t].reshape((len(x),) + (1,) * (x.ndim - 1))",
         "np.take(table, t)[(...,) + (None,) * (x.ndim - 1)]", "2 4 7 11 15"),
        ("broadcast to the images", "table[t].reshape((len(x),) + (1,) * (x.ndim - 1))",
         "np.broadcast_to(table[t], x.shape[::-1]).T", "2 4 7 11 15"),
        ("by a matrix of zeros and ones", "table[t]", "((t[:, None] == np.arange(len(table))) @ np.nan_to_num(table))",
         "2 4 11 15"),
    ],
    "q_step": [
        ("x_{t−1} less what it loses", "return signal +",
         "return x_prev - (1 - np.sqrt(rows(self.alpha, t, x_prev))) * x_prev +", "2"),
        ("by the power ½", "np.sqrt(rows(self.beta, t, x_prev))", "rows(self.beta, t, x_prev) ** 0.5", "2"),
    ],
    "q_sample": [
        ("by √ᾱ of the exponential of half a logarithm", "np.sqrt(rows(self.abar, t, x_0))",
         "np.exp(0.5 * np.log(rows(self.abar, t, x_0)))", "4 9"),
        ("√ᾱ·(x₀ + √(1/ᾱ − 1)·ε)", "return signal + np.sqrt(rows(self.level, t, x_0)) * noise",
         "return np.sqrt(rows(self.abar, t, x_0)) * (x_0 + np.sqrt(rows(self.level, t, x_0) / rows(self.abar, t, "
         "x_0)) * noise)", "4 9"),
        ("image by image", "return signal + np.sqrt(rows(self.level, t, x_0)) * noise",
         "return np.stack([np.sqrt(self.abar[s]) * x + np.sqrt(self.level[s]) * e for s, x, e in "
         "zip(t, x_0, noise, strict=True)])", "4 9"),
        ("by einsum", "return signal +", "return np.einsum('n,n...->n...', np.sqrt(self.abar[t]), x_0) +", "4 9"),
    ],
    "q_posterior": [
        ("by Bayes' rule on precisions", "return from_x0 * x_0 + from_xt * x_t, variance",
         "prior = np.maximum(rows(self.level_prev, t, x_t), 1e-300)\n        mean = rows(self.beta_tilde, t, x_t) * "
         "(np.sqrt(rows(self.alpha, t, x_t)) / rows(self.beta, t, x_t) * x_t)\n        return mean + rows(self.beta, "
         "t, x_t) / (rows(self.alpha, t, x_t) * prior + rows(self.beta, t, x_t)) * np.sqrt(rows(self.abar_prev, t, "
         "x_t)) * x_0, variance", "7 6 10"),
        ("by way of the noise between x₀ and x_t", "return from_x0 * x_0 + from_xt * x_t, variance",
         "eps = self.predict_eps(x_t, t, x_0)\n"
         "        return (x_t - rows(self.beta, t, x_t) / np.sqrt(rows(self.level, t, x_t)) * eps) / "
         "np.sqrt(rows(self.alpha, t, x_t)), variance", "7 6 10"),
        ("by way of the score", "return from_x0 * x_0 + from_xt * x_t, variance",
         "score = -self.predict_eps(x_t, t, x_0) / np.sqrt(rows(self.level, t, x_t))\n        return (x_t + "
         "rows(self.beta, t, x_t) * score) * rows(self.alpha, t, x_t) ** -0.5, variance", "7 6 10"),
        ("by way of the noise, term by term", "return from_x0 * x_0 + from_xt * x_t, variance",
         "eps = self.predict_eps(x_t, t, x_0)\n        gain = 1 / np.sqrt(rows(self.alpha, t, x_t))\n        return "
         "gain * x_t - gain * rows(self.beta, t, x_t) / np.sqrt(rows(self.level, t, x_t)) * eps, variance", "7 6 10"),
        ("the variance by a product with ones", "rows(self.beta_tilde, t, x_t) + np.zeros_like(x_t)",
         "np.ones_like(x_t) * rows(self.beta_tilde, t, x_t)", "7 6"),
        ("a list of two", "return from_x0 * x_0 + from_xt * x_t, variance",
         "return [from_x0 * x_0 + from_xt * x_t, variance]", "7 6 10"),
    ],
    "posterior_log_variance_clipped": [
        ("twice the logarithm of the deviation", "np.log(self.small)[t]", "2 * np.log(np.sqrt(self.small))[t]",
         "log-variance"),
    ],
    "predict_x0": [
        ("√(1/ᾱ)·x_t − √(1/ᾱ − 1)·ε",
         "(x_t - np.sqrt(rows(self.level, t, x_t)) * eps) / np.sqrt(rows(self.abar, t, x_t))",
         "np.sqrt(1 / rows(self.abar, t, x_t)) * x_t - np.sqrt(1 / rows(self.abar, t, x_t) - 1) * eps", "15 9 10"),
    ],
    "predict_eps": [
        ("(√(1/ᾱ)·x_t − x₀)/√(1/ᾱ − 1)", "centred / np.sqrt(rows(self.level, t, x_t))",
         "(np.sqrt(1 / rows(self.abar, t, x_t)) * x_t - x_0) / np.sqrt(rows(self.level, t, x_t) / rows(self.abar, t, "
         "x_t))", "eps"),
    ],
    "mean_from_eps": [
        ("(1 − α)/√(1 − ᾱ)", "rows(self.beta, t, x_t)", "(1 - rows(self.alpha, t, x_t))", "11 10"),
        ("by way of x̂₀ and (7)", "return (x_t - step) / np.sqrt(rows(self.alpha, t, x_t))",
         "return self.q_posterior(self.predict_x0(x_t, t, eps), x_t, t)[0]", "11 10"),
        ("by way of the score", "return (x_t - step) /", "return (x_t + rows(self.beta, t, x_t) * "
         "self.score_from_eps(x_t, t, eps)) /", "11 10"),
    ],
    "velocity": [
        ("by an angle", "c * noise - s * x_0", "np.cos(np.arctan2(s, c)) * noise - np.sin(np.arctan2(s, c)) * x_0",
         "velocity"),
        ("(√ᾱ·x_t − x₀)/√(1 − ᾱ)", "c * noise - s * x_0", "(c * self.q_sample(x_0, t, noise) - x_0) / s", "velocity"),
    ],
    "p_mean_variance": [
        ("minimum of maximum for clip", "np.clip(x0_hat, -1, 1)", "np.minimum(np.maximum(x0_hat, -1), 1)", "clip"),
    ],
    "learned_range_variance": [
        ("by powers", "np.exp(weight * high + (1 - weight) * low)",
         "np.exp(high) ** weight * np.exp(low) ** (1 - weight)", "learned-range"),
    ],
    "p_sample": [
        ("σ by exp of half the log variance", "np.sqrt(sigma2)", "np.exp(0.5 * np.log(sigma2))", "algorithm-2 1"),
        ("a product with a mask", "np.where(rows(np.arange(self.T + 1), t, x_t) > 1, noise, 0.0)",
         "noise * (rows(np.arange(self.T + 1), t, x_t) != 1)", "algorithm-2 1"),
        ("σ₁ = 0 instead of z = 0", "return mean + np.sqrt(sigma2) * z",
         "sigma2[t == 1] = 0\n        return mean + np.sqrt(sigma2) * noise", "algorithm-2 1"),
        ("by (11) where nothing is clipped",
         "mean, sigma2, _ = self.p_mean_variance(model, x_t, t, variance=variance, clip=clip)",
         "mean, sigma2, _ = self.p_mean_variance(model, x_t, t, variance=variance, clip=clip)\n        mean = mean "
         "if clip else self.mean_from_eps(x_t, t, model(x_t, t))", "algorithm-2"),
    ],
    "sample": [
        ("a while loop", "for t in range(self.T, 0, -1):", "for t in reversed(range(1, self.T + 1)):", "1"),
        ("the last step without noise", "noises[t]", "noises[t] if t > 1 else np.zeros_like(x)", "1"),
    ],
    "ddim_step": [
        ("by the predicted noise of x̂₀", "        here, before",
         "        eps = self.predict_eps(x_t, t, x0_hat)\n        here, before", "ddim-12 ddim-16"),
        ("σ² first", "sigma = eta * np.sqrt(before_level / here_level) * np.sqrt(1 - here / before)",
         "sigma = np.sqrt(eta**2 * before_level / here_level * (1 - here / before))", "ddim-12 ddim-16"),
        ("no clip under the root where it is not needed", "np.sqrt(np.maximum(before_level - sigma**2, 0))",
         "np.sqrt(np.abs(before_level - sigma**2))", "ddim-12"),
        ("x_t carried along", "return np.sqrt(before) * x0_hat + direction",
         "return np.sqrt(before / here) * x_t - np.sqrt(before * here_level / here) * eps + direction",
         "ddim-12 ddim-16"),
        ("the noise only where η > 0", "+ sigma * noise", "+ (sigma * noise if eta > 0 else 0)", "ddim-12 ddim-16"),
    ],
    "timesteps": [
        ("leading: 1 + i·⌊T/n⌋", "[self.T - i * self.T // n for i in range(n)]",
         "[1 + i * (self.T // n) for i in range(n)][::-1]", "timesteps"),
        ("linspace, rounded", "[self.T - i * self.T // n for i in range(n)]",
         "np.round(np.linspace(self.T, 1, n)).astype(int)", "timesteps"),
        ("the last n", "[self.T - i * self.T // n for i in range(n)]", "list(range(self.T, 0, -1))[:n]", "timesteps"),
        ("an array of 32 bits", "[self.T - i * self.T // n for i in range(n)]",
         "np.array([self.T - i * self.T // n for i in range(n)], dtype=np.int32)", "timesteps"),
    ],
    "kl": [
        ("by variances", "return 0.5 * (logvar2 - logvar1 + np.exp(logvar1 - logvar2) + distance - 1)",
         "v1, v2 = np.exp(logvar1), np.exp(logvar2)\n"
         "        return np.log(np.sqrt(v2) / np.sqrt(v1)) + (v1 + (mean1 - mean2) ** 2) / (2 * v2) - 0.5", "kl L_T 8"),
        ("the distance by its root", "(mean1 - mean2) ** 2 * np.exp(-logvar2)",
         "((mean1 - mean2) * np.exp(-0.5 * logvar2)) ** 2", "kl L_T 8"),
        ("with expm1", "logvar2 - logvar1 + np.exp(logvar1 - logvar2) + distance - 1",
         "np.expm1(logvar1 - logvar2) - (logvar1 - logvar2) + distance", "kl L_T 8"),
    ],
    "decoder_log_likelihood": [
        ("the product with 1/σ", "scale = np.exp(log_scale)\n", "scale = 1 / np.exp(-log_scale)\n", "13 L_0"),
        ("edges by the nearest level", "x_0 < -0.999, black, np.where(x_0 > 0.999, white, inside)",
         "np.rint((x_0 + 1) * 127.5) == 0, black, np.where(np.rint((x_0 + 1) * 127.5) == 255, white, inside)",
         "13 L_0"),
        ("with log1p", "np.log(-np.expm1(little - big))", "np.log1p(-np.exp(little - big))", "13 L_0"),
    ],
    "prior_kl": [
        ("by hand", "self.kl(mean, logvar, 0.0, 0.0)", "0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)", "L_T 5"),
    ],
    "vlb_term": [
        ("by (12)'s weight and C", "self.kl(true_mean, true_logvar, mean, np.log(sigma2))",
         "0.5 * ((true_mean - mean) ** 2 / sigma2 + np.exp(true_logvar) / sigma2 - 1 - true_logvar + np.log(sigma2))",
         "8 L_0 5"),
        ("each image by itself", "np.where(t == 1, mean_of_dimensions(decoder), mean_of_dimensions(divergence))",
         "np.array([(d if s == 1 else k).mean() for s, d, k in zip(t, decoder, divergence, strict=True)])", "8 L_0 5"),
    ],
    "vlb": [
        ("upwards", "range(self.T, 0, -1)", "range(1, self.T + 1)", "5"),
        ("a mean over t, times T", "return total", "return self.T * (total / self.T)", "5"),
    ],
    "eq12_weight": [
        ("with 1 − α", "self.beta**2", "(1 - self.alpha) ** 2", "12"),
        ("for the small variance cancelled by hand", 'sigma2 = {"small": self.small, "large": self.large}[variance]',
         'if variance == "small":\n            return (self.beta / (2 * self.alpha * np.maximum(self.level_prev, '
         "1e-300)))[t]\n        sigma2 = self.large", "12"),
    ],
    "simple_loss": [
        ("by a dot product", "mean_of_dimensions(error**2)",
         "np.einsum('ni,ni->n', error.reshape(len(error), -1), error.reshape(len(error), -1)) / error[0].size", "14"),
        ("ε_θ − ε", "noise - model(self.q_sample(x_0, t, noise), t)", "model(self.q_sample(x_0, t, noise), t) - noise",
         "14"),
    ],
    "time_embedding": [
        ("by exp(−ln 10⁴·j/(half − 1))", "10000.0 ** (-np.arange(half) / (half - 1))",
         "np.exp(-math.log(10000) * np.arange(half) / (half - 1))", "time-embedding"),
        ("by logspace", "10000.0 ** (-np.arange(half) / (half - 1))", "np.logspace(0, -4, half)", "time-embedding"),
        ("cosines as sines, a quarter turn on", "np.cos(angles)", "np.sin(angles + math.pi / 2)", "time-embedding"),
    ],
    "schedule": [
        ("linear by steps", "np.linspace(1e-4, 0.02, T)", "1e-4 + (0.02 - 1e-4) * np.arange(T) / (T - 1)",
         "linear-schedule"),
        ("the cosine's difference as a product of sines", "return np.minimum(1 - f[1:] / f[:-1], 0.999)",
         "a = (np.arange(T + 1) / T + s) / (1 + s) * math.pi / 2\n            return np.minimum(np.sin(a[1:] - "
         "a[:-1]) * np.sin(a[1:] + a[:-1]) / np.cos(a[:-1]) ** 2, 0.999)", "cosine-schedule"),
    ],
})

NO_BUGS = changes({
    "__init__": [
        ("β taken as 1 − α", "self.alpha = 1.0 - self.beta",
         "self.alpha = 1.0 - self.beta\n        self.beta = 1 - self.alpha", "2 4 7 11 sigma"),
        ("1 − ᾱ₁ is β₁ itself", "-np.expm1(log_abar)", "np.concatenate((self.beta[:2], -np.expm1(log_abar[2:])))",
         "4 7 15"),
    ],
    "sample": [
        ("the model is given one t for the batch", "self.p_sample(model, x,",
         "self.p_sample(lambda y, s: model(y, s[0]), x,", "1"),
        ("the model is given a plain int", "self.p_sample(model, x,",
         "self.p_sample(lambda y, s: model(y, int(s[0])), x,", "1"),
        ("the model is given floating numbers that are whole", "self.p_sample(model, x,",
         "self.p_sample(lambda y, s: model(y, s.astype(np.float64)), x,", "1"),
    ],
    "p_mean_variance": [
        ("the model evaluated twice", "mean, _ =", "model(x_t, t)\n        mean, _ =", "11 15 clip"),
        ("a clip to (−1, 1) by tuple order", "np.clip(x0_hat, -1, 1)", "x0_hat.clip(max=1).clip(min=-1)", "clip 11"),
    ],
    "ddim_step": [
        ("α is DDIM's name for ᾱ", "here, before = rows(self.abar, t, x_t), rows(self.abar, t_prev, x_t)",
         "alphas = self.abar\n        here, before = rows(alphas, t, x_t), rows(alphas, t_prev, x_t)",
         "ddim-12 ddim-16"),
    ],
    "timesteps": [
        ("T is not among them", "self.T - i * self.T // n for i in range(n)",
         "1 + (n - 1 - i) * (self.T // n) for i in range(n)", "timesteps"),
        ("1 is not among them", "[self.T - i * self.T // n for i in range(n)]", "[self.T - i for i in range(n)]",
         "timesteps"),
        ("not evenly spaced", "[self.T - i * self.T // n for i in range(n)]",
         "[*range(self.T, self.T - n + 1, -1), 1]", "timesteps"),
    ],
    "draw_t": [
        ("⌊T·u⌋ + 1", "rng.integers(1, self.T + 1, n)", "np.floor(rng.random(n) * self.T).astype(int) + 1",
         "algorithm-1"),
        ("randint's high is exclusive", "rng.integers(1, self.T + 1, n)", "1 + rng.integers(self.T, size=n)",
         "algorithm-1"),
        ("by choice", "rng.integers(1, self.T + 1, n)", "rng.choice(np.arange(1, self.T + 1), n)", "algorithm-1"),
        ("of 32 bits", "rng.integers(1, self.T + 1, n)", "rng.integers(1, self.T + 1, n, dtype=np.int32)",
         "algorithm-1"),
        ("the end included", "self.T + 1, n)", "self.T, n, endpoint=True)", "algorithm-1"),
    ],
    "draw_noise": [
        ("Box and Muller's", "return rng.standard_normal(shape)",
         "u, v = rng.random((2, *shape))\n        return np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * math.pi * v)",
         "algorithm-1"),
        ("the inverse distribution function", "return rng.standard_normal(shape)",
         "from scipy.special import ndtri\n        return ndtri(rng.random(shape))", "algorithm-1"),
        ("by columns", "rng.standard_normal(shape)", "rng.standard_normal(shape[::-1]).T", "algorithm-1"),
        ("its negative", "rng.standard_normal(shape)", "-rng.standard_normal(shape)", "algorithm-1"),
    ],
    "schedule": [
        ("the cosine's β clipped from below too", "return np.minimum(1 - f[1:] / f[:-1], 0.999)",
         "return np.clip(1 - f[1:] / f[:-1], 0, 0.999)", "cosine-schedule"),
        ("the cosine's ᾱ divided by f(0)", "f[1:] / f[:-1]", "(f / f[0])[1:] / (f / f[0])[:-1]", "cosine-schedule"),
    ],
    "Reference": [
        ("conventions as a function", "conventions = {}  # noqa: RUF012 - the protocol's name",
         "conventions = staticmethod(lambda: {'index_base': 1, 'unit': 'bits'})", "2 4 5 1"),
        ("defaults declared", "conventions = {}", "conventions = {'range': [-1, 1], 'precision': 'float64'}",
         "4 clip 13"),
    ],
})
