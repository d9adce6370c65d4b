"""More mistakes in functions beyond the protocol: appendix A, oracles, objectives, chains, Algorithm 1's draws."""

from __future__ import annotations

from mistakes import SMALL, UNCLIPPED, changes

LINES = {
    "diffusion.trajectory.Trajectory.log_prior": [
        ("the last but one", "self.x[self.schedule.T, ...]", "self.x[self.schedule.T - 1, ...]", "3 joint"),
        ("a variance of e", "0 * x_T, 0 * x_T", "0 * x_T, 0 * x_T + 1", "3 joint 20 21"),
    ],
    "diffusion.trajectory.Trajectory.log_p": [
        ("always the small variance", "p_mean_log_variance(self.reverse,", "p_mean_log_variance("
         "Reverse(self.schedule, self.reverse.model, self.reverse.predicts, clip=self.reverse.clip),", "3 joint 20 21"),
        ("always ε", "p_mean_log_variance(self.reverse,", "p_mean_log_variance("
         "Reverse(self.schedule, self.reverse.model, 'eps', self.reverse.variance, self.reverse.clip),",
         "3 joint 20 21"),
        ("σ for σ² in the decoder", "0.5 * log_sigma2", "log_sigma2", "3 joint 20 21"),
        ("the decoder of 256 levels", "log_sigma2, self.levels", "log_sigma2", "3 joint 20 21"),
        ("the decoder never", "t == 1 and", "t == 0 and", "3 joint 20 21"),
    ],
    "diffusion.trajectory.Trajectory.log_q_step": [
        ("the step from x₀", "self.x[t - 1, ...]", "self.x[0, ...]", "3 joint"),
        ("x_{t−1} not scaled", "k.sqrt_alpha * before", "before", "3 joint"),
    ],
    "diffusion.trajectory.Trajectory.log_q_given_x0": [
        ("√ᾱ forgotten", "k.sqrt_alpha_bar * x_0", "x_0", "20 21"),
        ("the variance for its logarithm", "of(variance).log(variance)", "variance", "20 21"),
        ("β for 1 − ᾱ", "k.one_minus_alpha_bar", "k.beta", "20 21"),
    ],
    "diffusion.trajectory.Trajectory.log_q_posterior": [
        ("β_t for β̃_t", ".posterior_log_variance_clipped", ".log_beta", "20 21"),
        ("x_t for x_{t−1}", "self.x[t - 1, ...]", "self.x[t, ...]", "20 21"),
        ("given x₁", "self.x[0, ...]", "self.x[1, ...]", "20 21"),
    ],
    "diffusion.appendix_a.equation_3": [
        ("a factor for a ratio", "tr.log_p(t) - tr.log_q_step(t)", "tr.log_p(t) + tr.log_q_step(t)", "3 18 23"),
        ("t = T left out", "in tr.steps)", "in tr.steps[:-1])", "3"),
    ],
    "diffusion.appendix_a.equation_17": [
        ("q left out", "log_p_joint(tr) - log_q_joint(tr)", "log_p_joint(tr)", "17"),
        ("upside down", "log_p_joint(tr) - log_q_joint(tr)", "log_q_joint(tr) - log_p_joint(tr)", "17"),
    ],
    "diffusion.appendix_a.equation_18": [("twice", "return equation_3", "return 2 * equation_3", "18")],
    "diffusion.appendix_a.equation_19": [("t = 1 within the sum as well", "tr.steps[1:])", "tr.steps)", "19")],
    "diffusion.appendix_a.equation_20": [
        ("Bayes' ratio upside down", "+ tr.log_q_given_x0(t - 1) - tr.log_q_given_x0(t)",
         "- tr.log_q_given_x0(t - 1) + tr.log_q_given_x0(t)", "20"),
    ],
    "diffusion.appendix_a.equation_21": [
        ("q(x_T) of t = 1", "tr.log_q_given_x0(tr.schedule.T)", "tr.log_q_given_x0(1)", "21"),
    ],
    "diffusion.appendix_a.equation_22": [
        ("the divergences the other way", "posterior_mean(schedule, x_0, x_t, now), log_beta_tilde, mean, log_sigma2)",
         "mean, log_sigma2, posterior_mean(schedule, x_0, x_t, now), log_beta_tilde)", "22"),
        ("always ε", "p_mean_log_variance(tr.reverse,", "p_mean_log_variance("
         "Reverse(schedule, tr.reverse.model, 'eps', tr.reverse.variance, tr.reverse.clip),", "22"),
    ],
    "diffusion.appendix_a.equation_23": [("half", "return equation_3(tr)", "return equation_3(tr) / 2", "23")],
    "diffusion.appendix_a.equation_24": [
        ("the marginals' ratio upside down", "marginal[t - 1] - marginal[t]", "marginal[t] - marginal[t - 1]", "24"),
    ],
    "diffusion.appendix_a.equation_25": [
        ("ln q(x₀) added", "- ratios - marginal[0]", "- ratios + marginal[0]", "25 26"),
        ("the entropy forgotten", "- ratios - marginal[0]", "- ratios", "25 26"),
    ],
    "diffusion.appendix_a.log_q_reverse": [("the marginals the wrong way", "+ marginal[t - 1] - marginal[t]",
                                            "- marginal[t - 1] + marginal[t]", "24 25")],
}
EXPECTATIONS = {
    "diffusion.oracle.affine.step_of": [
        ("β/(1 − ᾱ) for β/√(1 − ᾱ)", '"sqrt_one_minus_alpha_bar"', '"one_minus_alpha_bar"', "16"),
        ("b/α forgotten", "-drift * b[1:] / sqrt_alpha[1:]", "-drift * b[1:]", "16"),
    ],
    "diffusion.oracle.affine.exact_step": [
        ("v_t for v_{t−1} in r", "beta[1:] * v[:-1] / v[1:]))", "beta[1:] * v[1:] / v[1:]))", "16"),
        ("ᾱ_t for ᾱ_{t−1}", "signal[:-1] * beta", "signal[1:] * beta", "16"),
    ],
    "diffusion.oracle.affine.entropy": [
        ("of a density at its mean", "math.pi * math.e * variance", "math.pi * variance", "16"),
    ],
    "diffusion.oracle.affine.expected_nll": [("the bias forgotten", "variance + (mean - M) ** 2", "variance", "16")],
    "diffusion.oracle.affine.terms_of_5": [
        ("C forgotten", "_host.log(sigma2[2:] / tilde[2:]) + ", "", "16"),
        ("the decoder a KL", "square[1:2] / sigma2[1:2])", "square[1:2] / sigma2[1:2] - 1)", "16"),
    ],
    "diffusion.oracle.affine.terms_of_16": [
        ("ᾱ_T·m² forgotten", "v[-1:] + alpha_bar[-1:] * mean**2 - 1", "v[-1:] - 1", "16 26"),
    ],
    "diffusion.oracle.affine.marginal_variance": [
        ("s for s²", "alpha_bar * variance", "alpha_bar * variance**0.5", "16"),
    ],
}
OBJECTIVES = {
    "diffusion.loss.target": [
        ("x_t for x₀", "return x_0", "return x_t", "prediction"),
        ("−ε", "return noise", "return -noise", "prediction"),
    ],
    "diffusion.loss.simple_loss": [("ε as the target always", "noise, predicts)", 'noise, "eps")', "prediction")],
    "diffusion.reverse.predict": [
        ("an x̂₀ that is taken for ε", "_TO_X0[reverse.predicts]",
         '_TO_X0["eps" if reverse.predicts == "x0" else reverse.predicts]', "prediction"),
    ],
    "diffusion.loss.hybrid_loss": [
        ("always ε in L_vlb", "held, predicts, variance)", 'held, "eps", variance)', "hybrid"),
        ("λ squared", "weight * schedule.T", "weight**2 * schedule.T", "hybrid"),
        ("the variance held as well", "xp.stop_gradient(prediction), second)",
         "xp.stop_gradient(prediction), xp.stop_gradient(second))", "hybrid"),
    ],
    "diffusion.loss.bound_loss": [("T − 1", "schedule.T * term", "(schedule.T - 1) * term", "bound-loss")],
    "diffusion.loss.min_snr_weight": [("diffusers' v weight", "snr, 0.0, gamma) / (snr + 1.0)",
                                       "snr, 0.0, gamma) / snr + 1.0", "min-snr")],
    "diffusion.score.score_matching_loss": [
        ("always ε", "Reverse(schedule, model, predicts)", "Reverse(schedule, model)", "score-matching"),
        ("the score of x₀", "k.sqrt_alpha_bar * x_0", "0 * x_0", "score-matching"),
    ],
    "diffusion.respacing.respace": [
        ("the model at τ_{i−1}", "of(i).asarray(index), i, axis=0)", "of(i).asarray(index), i - 1, axis=0)",
         "respacing"),
    ],
    "diffusion.schedule.Schedule.learned": [("β = σ(−w)", "xp.sigmoid(xp.astype(", "xp.sigmoid(-xp.astype(",
                                             "learned-schedule")],
    "training.algorithm1.gradient_of_batch": [
        ("t of 0..T − 1", "n, 1, schedule.T)", "n, 0, schedule.T - 1)", "algorithm-1"),
        ("t = T never", "n, 1, schedule.T)", "n, 1, schedule.T - 1)", "algorithm-1"),
        ("uniform noise", 'backend.normal(seed, "noise", step, first, n, x_0.shape[1:], x_0.dtype)',
         'backend.uniform(seed, "noise", step, first, n, x_0.shape[1:])', "algorithm-1"),
        ("the noise of the first image for all", "net, x_0, t, noise)",
         "net, x_0, t, noise[:1] + 0 * noise)", "algorithm-1"),
    ],
}
CHAINS = {
    "diffusion.ddim.ddim_invert": [
        ("the net at s", "predict(reverse, x_t, now)", "predict(reverse, x_t, times(x_0, s))", "ddim-inversion"),
        ("1 − ᾱ for its root", "at_t.sqrt_one_minus_alpha_bar", "at_t.one_minus_alpha_bar", "ddim-inversion"),
    ],
    "diffusion.langevin.langevin_step": [("√(2δ), of the other convention", "root * noise", "2**0.5 * root * noise",
                                          "langevin annealed-langevin")],
    "diffusion.langevin.annealed_langevin": [
        ("not clipped", "_ = predict(reverse,", f"_ = predict({UNCLIPPED},", "annealed-langevin"),
        ("δ of the signal", "k.one_minus_alpha_bar", "k.alpha_bar", "annealed-langevin"),
    ],
    "diffusion.editing.interpolate": [
        ("the same noise for both", "(y_0, noise_y)", "(y_0, noise_x)", "interpolation"),
        ("denoised from t − 1", "start=t)", "start=max(t - 1, 0))", "interpolation"),
        ("always the small variance", "ancestral(reverse,", f"ancestral({SMALL},", "interpolation"),
    ],
    "diffusion.editing.inpaint": [
        ("the known part at t", "given, before, noise_at", "given, now, noise_at", "inpainting"),
        ("back in the last round too", "k < repeats - 1", "k < repeats", "inpainting"),
        ("always the small variance", "p_mean_log_variance(reverse,", f"p_mean_log_variance({SMALL},", "inpainting"),
    ],
    "diffusion.editing.guided": [
        ("∅ for y", "model(x, t, label)", "model(x, t, of(t).full(t.shape, none, dtype=t.dtype))", "guidance"),
    ],
    "diffusion.compression.send": [
        ("the rate one step late", "rate = rate + vlb_term", "rate = vlb_term", "algorithm-3"),
        ("x_t itself received", "distortion(x_0, estimate, levels), estimate", "distortion(x_0, x_t, levels), x_t",
         "algorithm-4"),
        ("not clipped", "predict(evaluated,", "predict(replace(evaluated, clip=False),", "algorithm-4"),
    ],
    "diffusion.sampler.ancestral": [("x̂₀ of the next step", "yield t - 1, x, x0_hat", "yield t - 1, x, x", "1")],
}
ORACLES = {
    "diffusion.oracle.gaussian.Gaussian.x0": [
        ("m for √ᾱ·m", 'self._like("mean", y) + gain * y', "gain * y", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.eps_variance": [
        ("Var[x₀ | x_t]", "alpha_bar[1:] * self.variance", "self.variance", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.affine_eps": [
        ("the shift's sign", "-a * signal", "a * signal", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.simple_loss_floor": [
        ("t = 0 too", "self.eps_variance[1:]", "self.eps_variance", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.reverse_variance": [
        ("the shift", "self.variance)[2]", "self.variance)[1]", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.vlb": [("the bound (16)", "terms_of_5(", "expected_nll(", "oracle-gaussian")],
    "diffusion.oracle.mixture.Mixture._posterior": [
        ("a sum that is not divided", "return powers / total", "return powers", "oracle-mixture"),
    ],
    "diffusion.oracle.mixture.Mixture._marginal": [
        ("ᾱ forgotten", "k.alpha_bar * self", "self", "oracle-mixture"),
    ],
    "diffusion.oracle.mixture.atoms": [
        ("the first image alone", "[1 / len(images) for _ in images]",
         "[1 - 1e-3 * (len(images) - 1), *(1e-3 for _ in images[1:])]", "oracle-mixture"),
    ],
}
GROUPS = (LINES, EXPECTATIONS, OBJECTIVES, CHAINS, ORACLES)
MISTAKES = [change for group in GROUPS for change in changes(group)]
