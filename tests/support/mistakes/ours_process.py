"""Mistakes in this package's schedule and its forward and reverse processes."""

from __future__ import annotations

from mistakes import Lines

SCHEDULE: Lines = {
    "diffusion.schedule.Schedule.__init__": [
        ("β for α", "1 - self.beta if", "self.beta if", "11"),
        ("ᾱ: no sum of the logarithms", "_running_sum(xp.log1p(-self.beta) if log_alpha is None else log_alpha)",
         "xp.log1p(-self.beta)", "alpha-bar 4 15"),
        ("ln(1 + β)", "log1p(-self.beta)", "log1p(self.beta)", "alpha-bar 4"),
        ("√ᾱ for ᾱ", "table(xp.exp(log_alpha_bar))", "table(xp.exp(0.5 * log_alpha_bar))", "alpha-bar"),
        ("ᾱ for √ᾱ", "xp.exp(0.5 * log_alpha_bar)", "xp.exp(log_alpha_bar)", "4 15 velocity"),
        ("√(1 − ᾱ) of the step before", "_sqrt_after_zero(self.one_minus_alpha_bar)",
         "xp.sqrt(xp.concat((zero, zero, self.one_minus_alpha_bar[1:-1])))", "4"),
        ("β for √β", "table(_sqrt_after_zero(self.beta))", "self.beta", "2"),
        ("α for √α", "table(xp.sqrt(self.alpha))", "self.alpha", "2 7 11"),
        ("1 − ᾱ_{t−1} and 1 − ᾱ_t swapped", "self.one_minus_alpha_bar[:-1], self.one_minus_alpha_bar[1:]",
         "self.one_minus_alpha_bar[1:], self.one_minus_alpha_bar[:-1]", "7 6"),
        ("β for β̃", "self.beta[1:] * previous / here)))\n", "self.beta[1:])))\n", "7 6 log-variance"),
        ("β̃ upside down", "self.beta[1:] * previous / here)))\n", "self.beta[1:] * here / previous)))\n", "7 6"),
        ("ᾱ_t for ᾱ_{t−1} on x₀", "self.sqrt_alpha_bar[:-1]", "self.sqrt_alpha_bar[1:]", "7 6"),
        ("ᾱ for α on x_t", "self.sqrt_alpha[1:] * previous", "self.sqrt_alpha_bar[1:] * previous", "7 6"),
        ("1 − ᾱ_t for 1 − ᾱ_{t−1} on x_t", "self.sqrt_alpha[1:] * previous", "self.sqrt_alpha[1:] * here", "7 6"),
        ("β₁ for β̃₂ at t = 1", "self.beta_tilde[2:3] if", "self.beta[1:2] if", "log-variance sigma"),
        ("β̃_T for β̃₂ at t = 1", "self.beta_tilde[2:3] if", "self.beta_tilde[-1:] if", "log-variance sigma"),
        ("ln β for ln β̃", "xp.log(xp.concat((first, self.beta_tilde[2:])))",
         "xp.log(xp.concat((first, self.beta[2:])))", "log-variance sigma"),
        ("β₁ at t = 1, of the large variance", "xp.log(xp.concat((first, self.beta[2:])))", "xp.log(self.beta[1:])",
         "sigma"),
    ],
    "diffusion.schedule.Schedule.at": [
        ("one t for the batch", "xp.take(self._on_device(table, x), t, axis=0)",
         "xp.take(self._on_device(table, x), t[0] + 0 * t, axis=0)", "2 4 7 11 15"),
        ("along the last axis", "(x.shape[0],) + (1,) * (x.ndim - 1)", "(1,) * (x.ndim - 1) + (x.shape[0],)", "2 4 7"),
        ("t − 1", "xp.take(self._on_device(table, x), t,", "xp.take(self._on_device(table, x), t - 1,", "2 4 7 11 15"),
    ],
    "diffusion.schedule.Schedule._on_device": [
        ("by way of float32", "of(x).asarray(table, dtype=dtype)",
         "of(x).asarray(of(x).asarray(table, dtype='float32'), dtype=dtype)", "2 4 7"),
    ],
    "diffusion.variance.log_variance": [
        ("small and large swapped", 'small = variance == "small"', 'small = variance == "large"', "sigma log-variance"),
        ("the small alone", 'small = variance == "small"', "small = True", "sigma"),
        ("β₁ at t = 1", "else schedule.log_beta_clipped", "else schedule.log_beta", "sigma"),
        ("a table's root", "return of(rows).log(rows)", "return 0.5 * of(rows).log(rows)", "sigma"),
    ],
    "diffusion.variance.learned_range_variance": [
        ("the standard deviation", "exp(log_sigma2)", "exp(0.5 * log_sigma2)", "learned-range"),
        ("the logarithm", "of(log_sigma2).exp(log_sigma2)", "log_sigma2", "learned-range"),
    ],
    "diffusion.variance.learned_range_log_variance": [
        ("v for (v + 1)/2", "(v + 1.0) * 0.5", "v", "learned-range"),
        ("β and β̃ swapped", "w * high + (1.0 - w) * low", "w * low + (1.0 - w) * high", "learned-range"),
        ("β̃₂ for β₁ at t = 1", "schedule.log_beta,", "schedule.log_beta_clipped,", "learned-range"),
    ],
}

FORWARD: Lines = {
    "diffusion.forward.q_step": [
        ("√β and √α swapped",
         "schedule.at(schedule.sqrt_alpha, t, x_prev) * x_prev + schedule.at(schedule.sqrt_beta, t, x_prev) * noise",
         "schedule.at(schedule.sqrt_beta, t, x_prev) * x_prev + schedule.at(schedule.sqrt_alpha, t, x_prev) * noise",
         "2"),
        ("a missing root", "schedule.sqrt_beta", "schedule.beta", "2"),
        ("α without its root", "schedule.sqrt_alpha", "schedule.alpha", "2"),
    ],
    "diffusion.trajectory.q_trajectory": [
        ("noise one row off", "noises[t, ...]", "noises[t - 1, ...]", "2"),
        ("x₀ left out", "x = of(x_0), [x_0]", "x = of(x_0), [0 * x_0]", "2"),
        ("each step from x₀", "x[-1]", "x[0]", "2"),
        ("one step short", "range(1, schedule.T + 1)", "range(1, schedule.T)", "2"),
    ],
    "diffusion.forward.q_sample": [
        ("a missing root on the noise", "schedule.sqrt_one_minus_alpha_bar", "schedule.one_minus_alpha_bar", "4 9"),
        ("α for ᾱ", "schedule.sqrt_alpha_bar", "schedule.sqrt_alpha", "4 9"),
        ("√β for √(1 − ᾱ)", "schedule.sqrt_one_minus_alpha_bar", "schedule.sqrt_beta", "4 9"),
        ("a minus before the noise", "mean + ", "mean - ", "4 9"),
    ],
    "diffusion.posterior.posterior_mean": [
        ("the coefficients swapped", "schedule.posterior_mean_x0, t, x_0) * x_0",
         "schedule.posterior_mean_xt, t, x_0) * x_0", "7 6 10"),
        ("x_t dropped", " + schedule.at(schedule.posterior_mean_xt, t, x_t) * x_t", "", "7 6 10"),
        ("x₀ and x_t swapped", "same_shape(\"x_0\", x_0, x_t)", "x_0, x_t = x_t, x_0", "7 6 10 11"),
    ],
    "diffusion.posterior.q_posterior": [
        ("β for β̃", "schedule.beta_tilde", "schedule.beta", "7 6"),
        ("x₀ and x_t swapped", "posterior_mean(schedule, x_0, x_t, t)", "posterior_mean(schedule, x_t, x_0, t)", "7 6"),
        ("β̃₂ at t = 1", "schedule.at(schedule.beta_tilde, t, x_t)",
         "of(data).exp(schedule.at(schedule.posterior_log_variance_clipped, t, x_t))", "7"),
    ],
}

REVERSE: Lines = {
    "diffusion.reverse.predict_x0": [
        ("a missing root", "schedule.sqrt_one_minus_alpha_bar", "schedule.one_minus_alpha_bar", "15 9 10"),
        ("a plus", "x_t - noise", "x_t + noise", "15 9 10"),
        ("α for ᾱ", "/ schedule.at(schedule.sqrt_alpha_bar", "/ schedule.at(schedule.sqrt_alpha", "15 9 10"),
    ],
    "diffusion.reverse.predict_eps": [
        ("x₀ not scaled", "schedule.at(schedule.sqrt_alpha_bar, t, x_t) * x_0", "x_0", "eps"),
        ("a missing root", "schedule.sqrt_one_minus_alpha_bar", "schedule.one_minus_alpha_bar", "eps"),
    ],
    "diffusion.reverse.mean_from_eps": [
        ("√β for β", "schedule.beta,", "schedule.sqrt_beta,", "11 10"),
        ("a missing root on 1 − ᾱ", "schedule.sqrt_one_minus_alpha_bar", "schedule.one_minus_alpha_bar", "11 10"),
        ("ᾱ for α", "/ schedule.at(schedule.sqrt_alpha, t", "/ schedule.at(schedule.sqrt_alpha_bar, t", "11 10"),
        ("a plus", "x_t - drift", "x_t + drift", "11 10"),
    ],
    "diffusion.reverse.eps_from_mean": [
        ("a product with the drift", "/ drift", "* drift", "11"),
        ("α for √α", "schedule.sqrt_alpha,", "schedule.alpha,", "11"),
    ],
    "diffusion.reverse.x0_from_mean": [
        ("the coefficients swapped", "posterior_mean_xt", "posterior_mean_x0", "15"),
        ("a plus", "mean - known", "mean + known", "15"),
    ],
    "diffusion.reverse.predict": [
        ("clipped, though it is not to be", "if clip:", "if True:", "15 11"),
        ("not clipped", "if clip:", "if False:", "clip prediction"),
        ("v taken for ε", '"v": x0_from_velocity', '"v": predict_x0', "prediction"),
        ("a clip to [0, 1]", "-1.0, 1.0", "0.0, 1.0", "clip"),
        ("the net's answer taken for x₀", '"eps": predict_x0', '"eps": lambda schedule, x_t, t, eps: eps', "15"),
    ],
    "diffusion.reverse.p_mean_log_variance": [
        ("x̂₀ for the mean", "return posterior_mean(schedule, x0, x_t, t)", "return x0", "11 clip"),
        ("ln σ for ln σ²", "log_variance(schedule, variance, t, x_t, second)",
         "0.5 * log_variance(schedule, variance, t, x_t, second)", "sigma"),
        ("x_t and x₀ swapped", "posterior_mean(schedule, x0, x_t, t)", "posterior_mean(schedule, x_t, x0, t)",
         "11 clip"),
    ],
    "diffusion.reverse.p_mean_variance": [
        ("the standard deviation", "exp(log_sigma2)", "exp(0.5 * log_sigma2)", "sigma"),
        ("the logarithm", "of(log_sigma2).exp(log_sigma2)", "log_sigma2", "sigma"),
        ("x̂₀ for the mean", "return mean, sigma2", "return x0_hat, sigma2", "11 clip"),
        ("the mean clipped", "return mean, sigma2", "return of(mean).clip(mean, -1.0, 1.0), sigma2", "11 clip"),
        ("a clip that does not listen", '"clip": clip', '"clip": False', "clip"),
        ("a variance that does not listen", '"variance": variance', '"variance": "small"', "sigma"),
    ],
    "diffusion.score.score_from_eps": [
        ("the sign", "-eps", "eps", "score"),
        ("a missing root", "schedule.sqrt_one_minus_alpha_bar", "schedule.one_minus_alpha_bar", "score"),
    ],
    "diffusion.score.eps_from_score": [
        ("the sign", "return -", "return ", "score"),
        ("a missing root", "schedule.sqrt_one_minus_alpha_bar", "schedule.one_minus_alpha_bar", "score"),
    ],
    "diffusion.velocity.velocity": [
        ("a plus", "towards - ", "towards + ", "velocity"),
        ("x₀ and ε swapped", 'same_shape("noise", noise, x_0)', "x_0, noise = noise, x_0", "velocity"),
    ],
    "diffusion.velocity.x0_from_velocity": [("a plus", "signal - ", "signal + ", "velocity")],
    "diffusion.velocity.eps_from_velocity": [
        ("a minus", " * v + ", " * v - ", "velocity"),
        ("a missing root", "schedule.sqrt_alpha_bar", "schedule.alpha_bar", "velocity"),
    ],
}
