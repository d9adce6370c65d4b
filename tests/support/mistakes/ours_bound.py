"""Mistakes in this package's bound, the lines of appendix A, losses and oracles."""

from __future__ import annotations

from mistakes import CLIPPED, SMALL, Lines

BOUND: Lines = {
    "diffusion.normal.kl": [
        ("its arguments swapped", "logvar1 - logvar2", "logvar2 - logvar1", "kl"),
        ("σ₁² below the distance", "-logvar2)", "-logvar1)", "kl"),
        ("the ½ forgotten", "return 0.5 * ", "return ", "kl"),
        ("the distance not squared", "xp.square(mean1 - mean2)", "(mean1 - mean2)", "kl"),
    ],
    "diffusion.normal.exp_excess": [
        ("the series where it is far off", "(real < 0.01) & (real > -0.01)", "(real < 2.0) & (real > -2.0)", "kl"),
    ],
    "diffusion.decoder.decoder_log_likelihood": [
        ("bins twice as wide", "1 / (levels - 1)", "2 / (levels - 1)", "13"),
        ("bins of 1/256", "1 / (levels - 1)", "1 / levels", "13"),
        ("no edge at −1", "xp.where(first, xp.log_ndtr(high), ", "(", "13"),
        ("no edge at 1", "xp.where(last, xp.log_ndtr(-low), inside)", "inside", "13"),
        ("ln σ² for ln σ", "xp.exp(-log_scale)", "xp.exp(-0.5 * log_scale)", "13"),
    ],
    "diffusion.bound.prior_kl": [
        ("T − 1", "schedule.T)", "schedule.T - 1)", "L_T"),
        ("ᾱ for √ᾱ", ".sqrt_alpha_bar", ".alpha_bar", "L_T"),
        ("its arguments swapped", "kl(mean, logvar, 0 * mean, 0 * logvar)", "kl(0 * mean, 0 * logvar, mean, logvar)",
         "L_T"),
    ],
    "diffusion.bound.per_dimension": [("in nats", " * BITS", "", "L_T 8 L_0 5")],
    "diffusion.bound.vlb_term": [
        ("KL's arguments swapped",
         "kl(posterior_mean(reverse.schedule, x_0, x_t, t), log_beta_tilde, mean, log_sigma2)",
         "kl(mean, log_sigma2, posterior_mean(reverse.schedule, x_0, x_t, t), log_beta_tilde)", "8"),
        ("ln σ² for ln σ", "0.5 * log_sigma2", "log_sigma2", "L_0"),
        ("the decoder's sign", "-per_dimension(likelihood)", "per_dimension(likelihood)", "L_0"),
        ("the decoder at t = 2", "t == 1", "t == 2", "8 L_0"),
        ("clipped", "p_mean_log_variance(reverse,", f"p_mean_log_variance({CLIPPED},", "8"),
        ("β for β̃", ".posterior_log_variance_clipped", ".log_beta", "8"),
    ],
    "diffusion.bound.vlb_terms": [
        ("L_T left out", "    yield schedule.T + 1, prior_kl(schedule, x_0)\n", "", "5"),
        ("1 left out", "range(schedule.T, 0, -1)", "range(schedule.T, 1, -1)", "5"),
        ("noise one row off", "noise_at(t)", "noise_at(t - 1)", "5"),
        ("the variance ignored", "vlb_term(reverse,", f"vlb_term({SMALL},", "5"),
    ],
    "diffusion.bound.vlb": [
        ("the last term alone", "total = term + total", "total = term", "5"),
        ("noise in the loop's order", "noises[t, ...]", "noises[reverse.schedule.T - t, ...]", "5"),
        ("clipped", "vlb_terms(reverse,", f"vlb_terms({CLIPPED},", "5"),
    ],
    "diffusion.mean_mismatch.mean_mismatch": [
        ("x̂₀ for μ_θ", "- mean, log_sigma2", "- _, log_sigma2", "8"),
        ("the variance ignored", "p_mean_log_variance(reverse,", f"p_mean_log_variance({SMALL},", "8"),
    ],
    "diffusion.mean_mismatch.mismatch_constant": [
        ("the sign of the logarithm", "exp_excess(k.posterior_log_variance_clipped - log_variance_at(k, variance))",
         "exp_excess(log_variance_at(k, variance) - k.posterior_log_variance_clipped)", "8"),
        ("the ½ forgotten", "return 0.5 * ", "return ", "8"),
    ],
    "diffusion.mean_mismatch.mean_mismatch_from_noise": [
        ("a missing root", "k.sqrt_one_minus_alpha_bar", "k.one_minus_alpha_bar", "9"),
        ("not divided by √ᾱ", " / k.sqrt_alpha_bar", "", "9"),
    ],
    "diffusion.mean_mismatch.mean_mismatch_simplified": [
        ("√β for β", "k.beta /", "k.sqrt_beta /", "10"),
        ("a plus", "x_t - k", "x_t + k", "10"),
    ],
    "diffusion.mean_mismatch.eq12_weight": [
        ("β for β²", "k.beta**2", "k.beta", "12"),
        ("the 2 forgotten", "(2 * k", "(k", "12"),
        ("ᾱ for α", "k.alpha *", "k.alpha_bar *", "12"),
        ("σ for σ²", "exp(-log_sigma2)", "exp(-0.5 * log_sigma2)", "12"),
    ],
    "diffusion.mean_mismatch.weighted_noise_loss": [
        ("a plus", "noise - predict", "noise + predict", "12"),
        ("the variance ignored", "reverse.variance", '"small"', "12"),
    ],
    "diffusion.loss.simple_loss": [
        ("the sum over dimensions", "return mean_over_image(of(difference).square(difference))",
         "return of(difference).sum(of(difference).square(difference), axis=tuple(range(1, difference.ndim)))", "14"),
        ("no square", "of(difference).square(difference)", "difference", "14 prediction"),
        ("ε for the chosen target", "target(schedule, x_0, x_t, t, noise, predicts)", "noise", "prediction"),
        ("the net evaluated at x₀", "model(x_t, t)", "model(x_0, t)", "14"),
        ("the net evaluated at t − 1", "model(x_t, t)", "model(x_t, t - (t > 1))", "14"),
    ],
}

TRAJECTORY: Lines = {
    "diffusion.appendix_a.equation_3": [
        ("the first term's sign", "-tr.log_prior()", "tr.log_prior()", "3"),
        ("q and p swapped", "tr.log_p(t) - tr.log_q_step(t)", "tr.log_q_step(t) - tr.log_p(t)", "3"),
        ("t = 1 left out", "tr.steps)", "tr.steps[1:])", "3"),
    ],
    "diffusion.trajectory.Trajectory.log_prior": [("of x₀", "self.x[self.schedule.T, ...]", "self.x[0, ...]",
                                                     "3 joint 17 18 19 20 21 23 24 25")],
    "diffusion.trajectory.Trajectory.log_p": [
        ("of x_t itself", "self.x[t - 1, ...]", "self.x[t, ...]", "3 joint"),
        ("ln σ² for ln σ in the decoder", "0.5 * log_sigma2", "log_sigma2", "3 joint"),
        ("the variance ignored", "p_mean_log_variance(self.reverse,", "p_mean_log_variance("
         "Reverse(self.schedule, self.reverse.model, self.reverse.predicts, clip=self.reverse.clip),", "3 joint"),
    ],
    "diffusion.trajectory.Trajectory.log_q_step": [
        ("√ᾱ for √α", "k.sqrt_alpha ", "k.sqrt_alpha_bar ", "3 joint"),
        ("ln β₁ clipped", "k.log_beta)", "k.log_beta_clipped)", "3 joint"),
    ],
    "diffusion.trajectory.Trajectory.log_q_given_x0": [
        ("x_{t−1} for x₀", "self.x[0, ...]", "self.x[t - 1, ...]", "20 21"),
        ("α for ᾱ", "k.sqrt_alpha_bar", "k.sqrt_alpha", "20 21"),
    ],
    "diffusion.trajectory.Trajectory.log_q_posterior": [
        ("β for β̃", ".posterior_log_variance_clipped", ".log_beta", "20 21"),
        ("x₀ and x_t swapped", "self.x[0, ...], x_t,", "x_t, self.x[0, ...],",
         "20 21"),
    ],
    "diffusion.appendix_a.log_p_joint": [("the prior left out", "tr.log_prior() + ", "0.0 + ", "joint")],
    "diffusion.appendix_a.log_q_joint": [("t = 1 left out", "tr.steps)", "tr.steps[1:])", "joint")],
    "diffusion.appendix_a.equation_17": [("the sign", "return -(", "return (", "17")],
    "diffusion.appendix_a.equation_18": [("the sign", "return equation_3", "return -equation_3", "18")],
    "diffusion.appendix_a.equation_19": [
        ("t = 1 twice", "tr.steps[1:]", "tr.steps", "19"),
        ("the last term's sign", "- later - (", "- later + (", "19"),
    ],
    "diffusion.appendix_a.equation_20": [
        ("Bayes' fraction upside down", "tr.log_q_given_x0(t - 1) - tr.log_q_given_x0(t)",
         "tr.log_q_given_x0(t) - tr.log_q_given_x0(t - 1)", "20"),
        ("no posterior", " - tr.log_q_posterior(t)", "", "20"),
    ],
    "diffusion.appendix_a.equation_21": [
        ("q(x_T | x₀) left out", "(tr.log_prior() - tr.log_q_given_x0(tr.schedule.T))", "tr.log_prior()", "21"),
        ("L₀ left out", " - tr.log_p(1)", "", "21"),
    ],
    "diffusion.appendix_a.equation_22": [
        ("KL's arguments swapped", "kl(posterior_mean(schedule, x_0, x_t, now), log_beta_tilde, mean, log_sigma2)",
         "kl(mean, log_sigma2, posterior_mean(schedule, x_0, x_t, now), log_beta_tilde)", "22"),
        ("t = 2 left out", "tr.steps[1:]", "tr.steps[2:]", "22"),
    ],
    "diffusion.appendix_a.equation_23": [("the sign", "return equation_3", "return -equation_3", "23")],
    "diffusion.appendix_a.equation_24": [
        ("the marginals' fraction upside down", "marginal[t - 1] - marginal[t]", "marginal[t] - marginal[t - 1]", "24"),
    ],
    "diffusion.appendix_a.equation_25": [
        ("q(x₀) left out", " - marginal[0]", "", "25"),
        ("q(x_T) left out", "(tr.log_prior() - marginal[tr.schedule.T])", "tr.log_prior()", "25"),
    ],
    "diffusion.appendix_a.log_q_reverse": [
        ("no Bayes", " + marginal[t - 1] - marginal[t]", "", "24 25"),
        ("the fraction upside down", "marginal[t - 1] - marginal[t]", "marginal[t] - marginal[t - 1]", "24 25"),
    ],
}

OBJECTIVES: Lines = {
    "diffusion.normal.log_normal": [
        ("no ln 2π", "math.log(2 * math.pi) + logvar", "logvar", "log-normal 3"),
        ("σ for σ²", "xp.exp(-logvar)", "xp.exp(-0.5 * logvar)", "log-normal 3"),
    ],
    "diffusion.loss.target": [
        ("x₀ for ε", "return noise", "return x_0", "14 prediction hybrid"),
        ("x_t and x₀ swapped in the mean", "posterior_mean(schedule, x_0, x_t, t)",
         "posterior_mean(schedule, x_t, x_0, t)", "prediction"),
        ("the velocity of swapped arguments", "velocity(schedule, x_0, t, noise)", "velocity(schedule, noise, t, x_0)",
         "prediction"),
    ],
    "diffusion.loss.hybrid_loss": [
        ("no stop-gradient", "xp.stop_gradient(prediction)", "prediction", "hybrid"),
        ("no λ", "weight * schedule.T * term", "schedule.T * term", "hybrid"),
        ("no T", "weight * schedule.T * term", "weight * term", "hybrid"),
        ("the variance held instead", "(xp.stop_gradient(prediction), second)",
         "(prediction, xp.stop_gradient(second))", "hybrid"),
    ],
    "diffusion.loss.bound_loss": [
        ("no L_T", "prior_kl(schedule, x_0) + ", "", "bound-loss"),
        ("T − 1 terms", "schedule.T * term", "(schedule.T - 1) * term", "bound-loss"),
    ],
    "diffusion.weights.bound_weight": [
        ("the 2 forgotten", " / 2", "", "bound-weight"),
        ("σ for σ²", "exp(-log_sigma2)", "exp(-0.5 * log_sigma2)", "bound-weight"),
    ],
    "diffusion.weights.optimal_variance": [
        ("β for β̃", "k.beta_tilde", "k.beta", "optimal-variance"),
        ("a minus", "k.beta_tilde + ", "k.beta_tilde - ", "optimal-variance"),
    ],
    "diffusion.weights._gain": [
        ("β for β²", "k.beta**2", "k.beta", "bound-weight optimal-variance"),
        ("ᾱ for α", "k.alpha * k", "k.alpha_bar * k", "bound-weight optimal-variance"),
        ("SNR for its difference", "return k.posterior_x0**2\n", "return k.alpha_bar / k.one_minus_alpha_bar\n",
         "bound-weight optimal-variance"),
        ("√(1 − ᾱ) for 1 − ᾱ", "k.posterior_x0**2 * k.one_minus_alpha_bar",
         "k.posterior_x0**2 * k.sqrt_one_minus_alpha_bar", "bound-weight optimal-variance"),
    ],
    "diffusion.loss.min_snr_weight": [
        ("a maximum", "xp.clip(snr, 0.0, gamma)\n", "xp.clip(snr, gamma, math.inf)\n", "min-snr"),
        ("SNR + 1 forgotten", " / (snr + 1.0)", "", "min-snr"),
        ("1 − ᾱ over ᾱ", "xp.clip(snr / gamma, 1.0, math.inf)", "xp.clip(gamma / snr, 1.0, math.inf)", "min-snr"),
    ],
    "diffusion.loss.p2_weight": [
        ("the power's sign", "** -gamma", "**gamma", "p2"),
        ("no k", "(k + snr)", "snr", "p2"),
        ("SNR + 1 forgotten", "snr / (snr + 1.0) * weight", "snr * weight", "p2"),
        ("ε's weight for x₀", "return snr * weight", "return weight", "p2"),
        ("√SNR", "(k + snr)", "(k + snr**0.5)", "p2"),
    ],
    "diffusion.edm.edm_preconditioning": [
        ("a missing square", "(sigma_data / total) ** 2", "sigma_data / total", "edm"),
        ("σ for σ_d", "(sigma_data / total) ** 2", "(sigma / total) ** 2", "edm"),
        ("c_out without σ_d", "sigma * sigma_data / total", "sigma / total", "edm"),
        ("c_in with σ_d", "1 / total,", "sigma_data / total,", "edm"),
        ("λ without its square", "1 / out**2", "1 / out", "edm"),
        ("no root", "of(sigma).sqrt(sigma**2 + sigma_data**2)", "(sigma**2 + sigma_data**2)", "edm"),
    ],
    "diffusion.score.score_matching_loss": [
        ("√(1 − ᾱ) for 1 − ᾱ", "k.one_minus_alpha_bar", "k.sqrt_one_minus_alpha_bar", "score-matching"),
        ("the sign of the target", "target = -(", "target = (", "score-matching"),
    ],
    "diffusion.editing.guided": [
        ("w for 1 + w", "(1 + weight) * prediction", "weight * prediction", "guidance"),
        ("the labels swapped", "(1 + weight) * prediction - weight * other",
         "(1 + weight) * other - weight * prediction", "guidance"),
        ("the variance extrapolated too", "(mixed, second)", "(mixed, 2 * second)", "guidance"),
    ],
    "diffusion.schedule.Schedule.learned": [
        ("tanh for σ", "xp.sigmoid(", "0.5 + 0.4 * xp.tanh(", "learned-schedule"),
        ("no gradient", "xp.astype(logits, of(logits.data).float64)",
         "xp.stop_gradient(xp.astype(logits, of(logits.data).float64))", "learned-schedule"),
    ],
}

ORACLES: Lines = {
    "diffusion.oracle.affine.affine_bound_16": [
        ("the variance's root", "return terms_of_16(schedule, mean, variance,",
         "return terms_of_16(schedule, mean, variance**0.5,", "16 26"),
    ],
    "diffusion.oracle.affine.affine_vlb": [
        ("the variance's root", "return terms_of_5(schedule, mean, variance,",
         "return terms_of_5(schedule, mean, variance**0.5,", "16"),
    ],
    "diffusion.oracle.affine.affine_nll": [
        ("the variance's root", "return expected_nll(schedule, mean, variance,",
         "return expected_nll(schedule, mean, variance**0.5,", "16"),
    ],
    "diffusion.oracle.affine.terms_of_5": [
        ("L_T without its mean", "(variance + mean**2)", "variance", "16 26 oracle-gaussian"),
        ("the ½ of a step forgotten", "steps = 0.5 * (", "steps = (", "16 26 oracle-gaussian"),
    ],
    "diffusion.oracle.affine.terms_of_16": [
        ("r and σ² swapped in the logarithm", "sigma2[1:] / r[1:]", "r[1:] / sigma2[1:]", "16 26"),
        ("the entropy left out", "first[None]", "0 * first[None]", "16 26"),
    ],
    "diffusion.oracle.affine.expected_nll": [
        ("m − M forgotten", "(variance + (mean - M) ** 2)", "variance", "16 oracle-gaussian"),
    ],
    "diffusion.oracle.affine.exact_step": [
        ("v_{t−1} for v_t", "v[:-1] / v[1:]))", "v[1:] / v[:-1]))", "16 26 oracle-gaussian"),
    ],
    "diffusion.oracle.affine.step_of": [("a plus", "1 - drift * a[1:]", "1 + drift * a[1:]", "16")],
    "diffusion.oracle.affine.entropy": [("no e", "2 * math.pi * math.e * variance", "2 * math.pi * variance", "16 26")],
    "diffusion.oracle.affine.chain_end": [
        ("the gain not squared", "gain[t] ** 2 * variance", "gain[t] * variance", "16 oracle-gaussian"),
    ],
    "diffusion.oracle.base.Oracle.eps": [("the sign", "return -", "return ", "oracle-gaussian oracle-mixture")],
    "diffusion.oracle.gaussian.Gaussian._deviation": [
        ("ᾱ for √ᾱ on the mean", "k.sqrt_alpha_bar", "k.alpha_bar", "oracle-gaussian"),
        ("v without 1 − ᾱ", " + k.rows(self._noise)", "", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.score": [("√v for v", "-y / v", "-y / v**0.5", "oracle-gaussian")],
    "diffusion.oracle.gaussian.Gaussian.x0": [
        ("ᾱ for √ᾱ", ".sqrt_alpha_bar", ".alpha_bar", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.log_q": [("no ½", "-0.5 * of(each)", "-1.0 * of(each)", "oracle-gaussian")],
    "diffusion.oracle.gaussian.Gaussian.full": [
        ("the eigenvectors as rows", 'host_numbers("the eigenvectors", basis)',
         'host_numbers("the eigenvectors", basis.T.copy())', "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.x0_variance": [
        ("ᾱ for 1 − ᾱ", '"one_minus_alpha_bar"', '"alpha_bar"', "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.ancestral_end": [
        ("noise in the last step", "sigma2[1] = 0.0", "sigma2[1] = 1.0", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.ddim_end": [
        ("η for η²", "eta**2", "eta", "oracle-gaussian"),
        ("the noise left out", " + share * s.one_minus_alpha_bar[to]", "", "oracle-gaussian"),
    ],
    "diffusion.oracle.gaussian.Gaussian.ddim_closed_form": [
        ("sin for cos", "_host.cos(", "_host.sin(", "oracle-gaussian"),
    ],
    "diffusion.oracle.mixture.Mixture.score": [
        ("the sign", "score = signal * towards - xp", "score = xp", "oracle-mixture"),
    ],
    "diffusion.oracle.mixture.Mixture.x0": [
        ("the spread left out", " + kept * x", "", "oracle-mixture"),
        ("1 − ᾱ left out", "x0 = noise * xp.matmul", "x0 = xp.matmul", "oracle-mixture"),
    ],
    "diffusion.oracle.mixture.Mixture._by_products": [
        ("weights forgotten", 'self._like("_log_weights", x) - ', "-", "oracle-mixture"),
    ],
    "diffusion.oracle.mixture.Mixture._by_differences": [
        ("√ᾱ forgotten once", "(x - signal * mean) * (x - signal * mean)", "(x - signal * mean) * (x - mean)",
         "oracle-mixture"),
    ],
    "diffusion.oracle.mixture.atoms": [
        ("a variance of 0.01", "[0.0 for _ in images]", "[0.01 for _ in images]", "oracle-mixture"),
        ("the weights ignored", "if weights is None:", "if True:", "oracle-mixture"),
    ],
    "diffusion.appendix_a.log_marginals": [
        ("one too few", "range(tr.schedule.T + 1)", "range(tr.schedule.T)", "24 25"),
    ],
}
