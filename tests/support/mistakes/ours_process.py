"""Mistakes in this package's schedule and its forward and reverse processes."""

from __future__ import annotations

from mistakes import SMALL, UNCLIPPED, Lines

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
        ("along the last axis", "(n,) + (1,) * (x.ndim - 1)", "(1,) * (x.ndim - 1) + (n,)", "2 4 7"),
    ],
    "diffusion.schedule.Coefficients.rows": [
        ("one t for the batch", "self._on_device(table), self.t,", "self._on_device(table), self.t[0] + 0 * self.t,",
         "2 4 7 11 15"),
        ("t − 1", "self._on_device(table), self.t,", "self._on_device(table), self.t - 1,", "2 4 7 11 15"),
    ],
    "diffusion.schedule.Coefficients._on_device": [
        ("by way of float32", "asarray(table, dtype=self._dtype)",
         "asarray(self._xp.asarray(table, dtype='float32'), dtype=self._dtype)", "2 4 7"),
    ],
    "diffusion.variance.log_variance": [
        ("t − 1", "schedule.at(t, like=x)", "schedule.at(t - (t > 1), like=x)", "sigma log-variance"),
    ],
    "diffusion.variance.log_variance_at": [
        ("small and large swapped",
         'k.posterior_log_variance_clipped\n    if variance == "large":\n        return k.log_beta_clipped',
         'k.log_beta_clipped\n    if variance == "large":\n        return k.posterior_log_variance_clipped',
         "sigma log-variance"),
        ("the small alone", "return k.log_beta_clipped", "return k.posterior_log_variance_clipped", "sigma"),
        ("β₁ at t = 1", "return k.log_beta_clipped", "return k.log_beta", "sigma"),
        ("a table's root", "return of(sigma2).log(sigma2)", "return 0.5 * of(sigma2).log(sigma2)", "sigma"),
    ],
    "diffusion.variance.learned_range_variance": [
        ("the standard deviation", "exp(log_sigma2)", "exp(0.5 * log_sigma2)", "learned-range"),
        ("the logarithm", "of(log_sigma2).exp(log_sigma2)", "log_sigma2", "learned-range"),
    ],
    "diffusion.variance.learned_range_log_variance": [
        ("v for (v + 1)/2", "(v + 1.0) * 0.5", "v", "learned-range"),
        ("β and β̃ swapped", "k.log_beta + (1.0 - w) * k.posterior_log_variance_clipped",
         "k.posterior_log_variance_clipped + (1.0 - w) * k.log_beta", "learned-range"),
        ("β̃₂ for β₁ at t = 1", "k.log_beta ", "k.log_beta_clipped ", "learned-range"),
    ],
}

FORWARD: Lines = {
    "diffusion.images.times": [("t − 1", ", t,", ", max(t - 1, 1),", "1 3 5 L_T")],
    "diffusion.images.mean_over_image": [("a sum", "of(x).mean(", "of(x).sum(", "8 9 10 12 14 L_T 5 algorithm-4")],
    "diffusion.images.sum_over_image": [("a mean", "of(x).sum(", "of(x).mean(", "3 joint 20 21 22")],
    "diffusion.forward.q_step": [
        ("√β and √α swapped", "k.sqrt_alpha * x_prev + k.sqrt_beta * noise",
         "k.sqrt_beta * x_prev + k.sqrt_alpha * noise", "2"),
        ("a missing root", "k.sqrt_beta", "k.beta", "2"),
        ("α without its root", "k.sqrt_alpha", "k.alpha", "2"),
    ],
    "diffusion.trajectory.q_trajectory": [
        ("noise one row off", "noises[t, ...]", "noises[t - 1, ...]", "2"),
        ("x₀ left out", "x = of(x_0), [x_0]", "x = of(x_0), [0 * x_0]", "2"),
        ("each step from x₀", "x[-1]", "x[0]", "2"),
        ("one step short", "range(1, schedule.T + 1)", "range(1, schedule.T)", "2"),
    ],
    "diffusion.forward.q_sample": [
        ("a missing root on the noise", "k.sqrt_one_minus_alpha_bar", "k.one_minus_alpha_bar", "4 9"),
        ("α for ᾱ", "k.sqrt_alpha_bar", "k.sqrt_alpha", "4 9"),
        ("√β for √(1 − ᾱ)", "k.sqrt_one_minus_alpha_bar", "k.sqrt_beta", "4 9"),
        ("a minus before the noise", "x_0 + ", "x_0 - ", "4 9"),
    ],
    "diffusion.posterior.posterior_mean": [
        ("the coefficients swapped", "k.posterior_x0 * x_0", "k.posterior_xt * x_0", "7 6 10"),
        ("x_t dropped", " + k.posterior_xt * x_t", "", "7 6 10"),
        ("x₀ and x_t swapped", "same_shape(\"x_0\", x_0, x_t)", "x_0, x_t = x_t, x_0", "7 6 10 11"),
    ],
    "diffusion.posterior.q_posterior": [
        ("β for β̃", "k.beta_tilde", "k.beta", "7 6"),
        ("x₀ and x_t swapped", "posterior_mean(schedule, x_0, x_t, t)", "posterior_mean(schedule, x_t, x_0, t)", "7 6"),
        ("β̃₂ at t = 1", "k.beta_tilde", "of(data).exp(k.posterior_log_variance_clipped)", "7"),
    ],
}

REVERSE: Lines = {
    "diffusion.parameterisation.predict_x0": [
        ("a missing root", "k.sqrt_one_minus_alpha_bar", "k.one_minus_alpha_bar", "15 9 10"),
        ("a plus", "x_t - k", "x_t + k", "15 9 10"),
        ("α for ᾱ", "/ k.sqrt_alpha_bar", "/ k.sqrt_alpha", "15 9 10"),
    ],
    "diffusion.parameterisation.predict_eps": [
        ("x₀ not scaled", "k.sqrt_alpha_bar * x_0", "x_0", "eps"),
        ("a missing root", "k.sqrt_one_minus_alpha_bar", "k.one_minus_alpha_bar", "eps"),
    ],
    "diffusion.parameterisation.mean_from_eps": [
        ("√β for β", "k.beta /", "k.sqrt_beta /", "11 10"),
        ("a missing root on 1 − ᾱ", "k.sqrt_one_minus_alpha_bar", "k.one_minus_alpha_bar", "11 10"),
        ("ᾱ for α", "/ k.sqrt_alpha", "/ k.sqrt_alpha_bar", "11 10"),
        ("a plus", "x_t - k", "x_t + k", "11 10"),
    ],
    "diffusion.parameterisation.eps_from_mean": [
        ("a product with the drift", "/ (k.beta", "* (k.beta", "11"),
        ("α for √α", "k.sqrt_alpha ", "k.alpha ", "11"),
    ],
    "diffusion.parameterisation.x0_from_mean": [
        ("the coefficients swapped", "k.posterior_xt", "k.posterior_x0", "15"),
        ("a plus", "mean - k", "mean + k", "15"),
    ],
    "diffusion.reverse.predict": [
        ("clipped, though it is not to be", "if reverse.clip:", "if True:", "15 11"),
        ("not clipped", "if reverse.clip:", "if False:", "clip prediction"),
        ("v taken for ε", "_TO_X0[reverse.predicts]",
         '_TO_X0["eps" if reverse.predicts == "v" else reverse.predicts]', "prediction"),
        ("a clip to [0, 1]", "-1.0, 1.0", "0.0, 1.0", "clip"),
        ("the net's answer taken for x₀", "_TO_X0[reverse.predicts]",
         '_TO_X0["x0" if reverse.predicts == "eps" else reverse.predicts]', "15"),
    ],
    "diffusion.reverse.p_mean_log_variance": [
        ("x̂₀ for the mean", "return mean, log", "return x0_hat, log", "11 clip"),
        ("ln σ for ln σ²", "log_variance(reverse.schedule", "0.5 * log_variance(reverse.schedule", "sigma"),
        ("x_t and x₀ swapped", "x0_hat, x_t, t)", "x_t, x0_hat, t)", "11 clip"),
    ],
    "diffusion.reverse.p_mean_variance": [
        ("the standard deviation", "exp(log_sigma2)", "exp(0.5 * log_sigma2)", "sigma"),
        ("the logarithm", "of(log_sigma2).exp(log_sigma2)", "log_sigma2", "sigma"),
        ("x̂₀ for the mean", "return mean, sigma2", "return x0_hat, sigma2", "11 clip"),
        ("the mean clipped", "return mean, sigma2", "return of(mean).clip(mean, -1.0, 1.0), sigma2", "11 clip"),
        ("the clip ignored", "p_mean_log_variance(reverse,", f"p_mean_log_variance({UNCLIPPED},", "clip"),
        ("the variance ignored", "p_mean_log_variance(reverse,", f"p_mean_log_variance({SMALL},", "sigma"),
    ],
    "diffusion.score.score_from_eps": [
        ("the sign", "-eps", "eps", "score"),
        ("a missing root", ".sqrt_one_minus_alpha_bar", ".one_minus_alpha_bar", "score"),
    ],
    "diffusion.score.eps_from_score": [
        ("the sign", "return -", "return ", "score"),
        ("a missing root", ".sqrt_one_minus_alpha_bar", ".one_minus_alpha_bar", "score"),
    ],
    "diffusion.velocity.velocity": [
        ("a plus", "noise - k", "noise + k", "velocity"),
        ("x₀ and ε swapped", 'same_shape("noise", noise, x_0)', "x_0, noise = noise, x_0", "velocity"),
    ],
    "diffusion.velocity.x0_from_velocity": [("a plus", "x_t - k", "x_t + k", "velocity")],
    "diffusion.velocity.eps_from_velocity": [
        ("a minus", " * v + ", " * v - ", "velocity"),
        ("a missing root", "k.sqrt_alpha_bar", "k.alpha_bar", "velocity"),
    ],
}
