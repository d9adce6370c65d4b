"""Mistakes, rewrites and conventions in openai_shape.py, which the adapter for OpenAI's code must tell apart.

A line is (name, old, new, equations): a mistake breaks each of them, a rewrite leaves all of them. A convention has the
setting in place of the equations that the adapter must find.
"""

from __future__ import annotations

from pathlib import Path

from mistakes import Change, Lines, changes, parted

SHAPE = (Path(__file__).parent.parent / "openai_shape.py").read_text(encoding="utf-8")
PREV, CUM = "self.alphas_cumprod_prev", "self.alphas_cumprod"

TABLES: Lines = {
    "rows": [
        ("one t for the whole batch", "[t].float()", "[t[:1].expand_as(t)].float()", "4 7 15 eps"),
        ("along the last axis", "column.reshape(-1, *[1] * (x.dim() - 1))",
         "(column.reshape(-1, *[1] * (x.dim() - 1)) if len(t) != x.shape[1] else column.reshape(1, -1, 1, 1))", "4 7"),
        ("in half precision", ".float()", ".half().float()", "15"),
        ("the step before", "[t].float()", "[(t - 1).clamp(min=0)].float()", "1 timesteps algorithm-1"),
    ],
    "__init__": [
        ("ᾱ is α", "np.cumprod(alphas)", "alphas.copy()", "alpha-bar 4 15"),
        ("ᾱ is exp(−Σβ)", "np.cumprod(alphas)", "np.exp(-np.cumsum(self.betas))", "alpha-bar 4 15"),
        ("ᾱ begins with 1", "np.cumprod(alphas)", "np.append(1.0, np.cumprod(alphas)[:-1]) - 1e-9", "alpha-bar 4"),
        ("ᾱ of the betas", "np.cumprod(alphas)", "np.cumprod(self.betas)", "alpha-bar 4 15"),
        ("betas reversed", "np.array(betas, dtype=np.float64)", "np.array(betas, dtype=np.float64)[::-1].copy()",
         "alpha-bar 4"),
        ("ᾱ_{t−1} not shifted", f"np.append(1.0, {CUM}[:-1])", f"{CUM}.copy()", "7 6 ddim-12 ddim-16"),
        ("ᾱ₀ is ᾱ₁", f"np.append(1.0, {CUM}[:-1])", f"np.append({CUM}[0], {CUM}[:-1])", "7 ddim-12"),
        ("ᾱ for its root", f"np.sqrt({CUM})\n", f"{CUM}.copy()\n", "4 9 L_T"),
        ("1 − √ᾱ", f"np.sqrt(1 - {CUM})\n", f"1 - np.sqrt({CUM})\n", "4 9"),
        ("no root at the noise", f"np.sqrt(1 - {CUM})\n", f"1 - {CUM}\n", "4 9"),
        ("√ᾱ for 1/√ᾱ", f"np.sqrt(1 / {CUM})\n", f"np.sqrt({CUM})\n", "15 9 11 eps"),
        ("1/ᾱ + 1", f"np.sqrt(1 / {CUM} - 1)", f"np.sqrt(1 / {CUM} + 1)", "15 11 eps"),
        ("1/ᾱ − 1 without a root", f"np.sqrt(1 / {CUM} - 1)", f"1 / {CUM} - 1", "15 11 eps"),
        ("β for β̃", f"self.betas * (1 - {PREV}) / (1 - {CUM})\n", "self.betas.copy()\n", "7 6 log-variance sigma"),
        ("β̃ upside down", f"self.betas * (1 - {PREV}) / (1 - {CUM})\n",
         f"self.betas * (1 - {CUM}) / (1 - {PREV} + 1e-6)\n", "7 6 log-variance"),
        ("β̃ without its denominator", f"self.betas * (1 - {PREV}) / (1 - {CUM})\n", f"self.betas * (1 - {PREV})\n",
         "7 6 log-variance sigma"),
        ("1e-20 at t = 1", "np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:]))",
         "np.log(np.maximum(self.posterior_variance, 1e-20))", "log-variance learned-range L_0"),
        ("β̃₂ everywhere", "np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:]))",
         "np.log(np.full_like(self.betas, self.posterior_variance[1]))", "log-variance sigma algorithm-2 8"),
        ("a standard deviation for the small variance",
         "np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:]))",
         "np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:])) / 2", "log-variance sigma 1"),
        ("the large variance is the small one", "np.log(np.append(self.posterior_variance[1], self.betas[1:]))",
         "self.log_small", "sigma algorithm-2 8"),
        ("1 − ᾱ for the large variance", "np.log(np.append(self.posterior_variance[1], self.betas[1:]))",
         f"np.log(1 - {CUM})", "sigma algorithm-2 8"),
        ("no root at ᾱ_{t−1}", f"self.betas * np.sqrt({PREV})", f"self.betas * {PREV}", "7 11"),
        ("√ᾱ_t for √ᾱ_{t−1}", f"self.betas * np.sqrt({PREV})", f"self.betas * np.sqrt({CUM})", "7 11"),
        ("√β in the first coefficient", f"self.betas * np.sqrt({PREV})", f"np.sqrt(self.betas * {PREV})", "7 11"),
        ("no root at α", f"(1 - {PREV}) * np.sqrt(alphas)", f"(1 - {PREV}) * alphas", "7 11"),
        ("1 − ᾱ_t for 1 − ᾱ_{t−1}", f"(1 - {PREV}) * np.sqrt(alphas)", f"(1 - {CUM}) * np.sqrt(alphas)", "7 11"),
        ("the coefficients swapped", "self.coef2 = ", "self.coef1, self.coef2 = self.coef1[::-1].copy(), ", "7 11"),
    ],
}
PROCESS: Lines = {
    "q_mean_variance": [
        ("√(1 − ᾱ) for the variance", "torch.log(variance)", "torch.log(variance) / 2", "L_T"),
        ("the mean is x₀", "rows(self.signal, t, x_start) * x_start, variance", "x_start, variance", "L_T 5"),
    ],
    "q_sample": [
        ("the noise not scaled", "rows(self.noise, t, x_start) * noise", "noise", "4 9"),
        ("x₀ not scaled", "rows(self.signal, t, x_start) * x_start", "x_start", "4 9"),
        ("a minus before the noise", "x_start + rows", "x_start - rows", "4 9"),
        ("uniform noise", "torch.randn_like(x_start)", "torch.rand_like(x_start)", "algorithm-1"),
        ("one noise for the whole batch", "torch.randn_like(x_start)",
         "torch.randn_like(x_start)[:1].expand_as(x_start)", "algorithm-1"),
        ("noise of twice the variance", "torch.randn_like(x_start)", "1.4142 * torch.randn_like(x_start)",
         "algorithm-1"),
    ],
    "q_posterior_mean_variance": [
        ("x₀ and x_t swapped", "x_start + rows(self.coef2, t, x_t) * x_t", "x_t + rows(self.coef2, t, x_t) * x_start",
         "7"),
        ("the logarithm for the variance", "rows(self.posterior_variance, t, x_t)", "rows(self.log_small, t, x_t)",
         "7 6"),
        ("β for the variance", "rows(self.posterior_variance, t, x_t)", "rows(self.betas, t, x_t)", "7 6"),
        ("the large variance's logarithm", "rows(self.log_small, t, x_t)", "rows(self.log_large, t, x_t)",
         "log-variance 8"),
        ("the logarithm of σ", "rows(self.log_small, t, x_t)", "rows(self.log_small / 2, t, x_t)", "log-variance 8"),
    ],
    "_predict_xstart_from_eps": [
        ("a plus", "x_t - rows", "x_t + rows", "15 9 11"),
        ("ε not scaled", "rows(self.recipm1, t, x_t) * eps", "rows(self.noise, t, x_t) * eps", "15 9 11"),
    ],
    "_predict_xstart_from_xprev": [
        ("not divided", "rows(1 / self.coef1, t, x_t)", "rows(self.coef1, t, x_t)", "15"),
        ("c₂ for c₂/c₁", "self.coef2 / self.coef1", "self.coef2", "15"),
    ],
    "_predict_eps_from_xstart": [
        ("not divided", "/ rows(self.recipm1, t, x_t)", "* rows(self.recipm1, t, x_t)", "eps ddim-12"),
        ("the sign", "x_t - pred_xstart", "x_t + pred_xstart", "eps ddim-12"),
    ],
}
REVERSE: Lines = {
    "model_variance": [
        ("v from 0 to 1", "(values + 1) / 2", "values", "learned-range"),
        ("the ends swapped", "share * rows(np.log(self.betas), t, x) + (1 - share) * rows(self.log_small, t, x)",
         "(1 - share) * rows(np.log(self.betas), t, x) + share * rows(self.log_small, t, x)", "learned-range"),
        ("between the variances, not their logarithms",
         "share * rows(np.log(self.betas), t, x) + (1 - share) * rows(self.log_small, t, x)",
         "torch.log(share * rows(self.betas, t, x) + (1 - share) * torch.exp(rows(self.log_small, t, x)) + 1e-9)",
         "learned-range"),
        ("large and small swapped", "self.log_large if large", "self.log_small if large else self.log_large if True",
         "sigma algorithm-2 8"),
        ("always the small variance", "== ModelVarType.FIXED_LARGE", "== ModelVarType.LEARNED_RANGE",
         "sigma algorithm-2 8"),
    ],
    "p_mean_variance": [
        ("never clips", "if clip_denoised:", "if False:", "clip algorithm-2 1"),
        ("always clips", "if clip_denoised:", "if True:", "15 11 algorithm-2 1 8"),
        ("clips to [0, 1] from below alone", "clamp(-1, 1)", "clamp(0, None)", "clip algorithm-2"),
        ("clips the mean as well", "(pred_xstart, x, t)[0]", "(pred_xstart, x, t)[0].clamp(-1, 1)", "11 algorithm-2 8"),
        ("σ for σ²", "torch.exp(log_variance)", "torch.exp(log_variance / 2)", "sigma learned-range"),
        ("the mean is x̂₀", '"mean": mean', '"mean": pred_xstart', "11 algorithm-2 8 1"),
        ("ε's sign", "self.model_start(output, x, t)", "self.model_start(-output, x, t)",
         "15 11 algorithm-2 8 ddim-12"),
    ],
    "p_sample": [
        ("noise at t = 1", "(t != 0)", "(t >= 0)", "algorithm-2 1"),
        ("no noise at t = 2", "(t != 0)", "(t > 1)", "algorithm-2 1"),
        ("no noise", "later * torch", "0 * later * torch", "algorithm-2 1"),
        ("σ² for σ", "out[\"log_variance\"] / 2", "out[\"log_variance\"]", "algorithm-2 1"),
        ("one noise for the batch", "torch.randn_like(x)", "torch.randn_like(x)[:1]", "algorithm-2"),
        ("forgets the clip", "model, x, t, clip_denoised, model_kwargs", "model, x, t, False, model_kwargs",
         "algorithm-2 1"),
    ],
    "p_sample_loop": [
        ("upwards", "reversed(range(self.num_timesteps))", "range(self.num_timesteps)", "1"),
        ("without t = T", "range(self.num_timesteps)", "range(self.num_timesteps - 1)", "1"),
        ("without t = 1", "range(self.num_timesteps)", "range(1, self.num_timesteps)", "1"),
        ("the result clipped", "return x", "return x.clamp(-1, 1)", "1"),
        ("begins with 0", "if noise is None else noise", "if noise is None else 0 * noise", "1"),
        ("the mean of the last step for all", '["sample"]', '["mean"]', "1"),
    ],
    "ddim_sample": [
        ("η² ", "sigma = eta *", "sigma = eta**2 *", "ddim-16 ddim-12"),
        ("σ for σ² under the root", "sigma**2", "sigma", "ddim-12"),
        ("no −σ² under the root", " - sigma**2", "", "ddim-12"),
        ("ᾱ_t for ᾱ_s", 'out["pred_xstart"] * torch.sqrt(then)', 'out["pred_xstart"] * torch.sqrt(here)', "ddim-12"),
        ("ᾱ_t/ᾱ_s for its complement", "(1 - here / then)", "(here / then)", "ddim-16"),
        ("σ upside down", "(1 - then) / (1 - here)", "(1 - here) / (1 - then + 1e-3)", "ddim-16"),
        ("clips", "model, x, t, clip_denoised, model_kwargs", "model, x, t, True, model_kwargs", "ddim-12"),
        ("the net's ε for its mean", "sigma**2) * eps", "sigma**2) * x", "ddim-12"),
        ("no noise", "sigma * torch.randn_like(x)", "0 * sigma * torch.randn_like(x)", "ddim-16"),
        ("ᾱ is not squared off at η = 1", "eta * torch.sqrt(", "min(eta, 0.5) * torch.sqrt(", "ddim-16"),
    ],
}
BOUND: Lines = {
    "normal_kl": [
        ("not halved", "(logvar1 - logvar2)) / 2", "(logvar1 - logvar2))", "kl L_T 8"),
        ("the arguments swapped", "torch.exp(logvar1 - logvar2)", "torch.exp(logvar2 - logvar1)", "kl L_T 8"),
        ("the distance not squared", "(mean1 - mean2) ** 2", "(mean1 - mean2).abs()", "kl L_T 8"),
        ("the other variance", "torch.exp(-logvar2)", "torch.exp(-logvar1)", "kl L_T 8"),
        ("no −1", "distance - 1 -", "distance -", "kl L_T 8"),
        ("σ for σ²", "torch.exp(logvar1 - logvar2)", "torch.exp((logvar1 - logvar2) / 2)", "kl L_T 8"),
    ],
    "discretized_gaussian_log_likelihood": [
        ("a bin of twice the width", "(x - means + 1 / 255) * inverse, (x - means - 1 / 255)",
         "(x - means + 2 / 255) * inverse, (x - means - 2 / 255)", "13 L_0"),
        ("bins of 250 levels", "(x - means + 1 / 255) * inverse, (x - means - 1 / 255)",
         "(x - means + 1 / 250) * inverse, (x - means - 1 / 250)", "13"),
        ("σ² for σ", "torch.exp(-log_scales)", "torch.exp(-2 * log_scales)", "13 L_0"),
        ("no open bin below", "torch.where(x < -0.999, log_normal_cdf(upper), ", "torch.where(x < -9, x, ", "13"),
        ("no open bin above", "torch.where(x > 0.999, above, inside)", "inside", "13"),
        ("the open bins swapped",
         "torch.where(x < -0.999, log_normal_cdf(upper), torch.where(x > 0.999, above, inside))",
         "torch.where(x > 0.999, log_normal_cdf(upper), torch.where(x < -0.999, above, inside))", "13"),
        ("a density", "inside = log_normal_cdf(high)",
         "inside = -((x - means) * inverse) ** 2 / 2 + 0 * log_normal_cdf(high)", "13 L_0"),
    ],
    "log_normal_cdf": [
        ("a tanh for Φ", "torch.special.log_ndtr(z)",
         "torch.log((0.5 + 0.5 * torch.tanh((2 / math.pi) ** 0.5 * (z + 0.044715 * z**3))).clamp(min=1e-12))", "13"),
        ("the logistic for Φ", "torch.special.log_ndtr(z)", "torch.nn.functional.logsigmoid(1.702 * z)", "13 L_0"),
        ("erf without √2", "torch.special.log_ndtr(z)", "torch.special.log_ndtr(z * 2**0.5)", "13 L_0"),
    ],
    "_vb_terms_bpd": [
        ("the divergence at t = 1 too", "torch.where((t == 0)", "torch.where((t < 0)", "L_0 5"),
        ("the decoder everywhere", "torch.where((t == 0)", "torch.where((t >= 0)", "8 5"),
        ("the decoder at t = 2", "torch.where((t == 0)", "torch.where((t == 1)", "L_0 8 5"),
        ("σ² for the decoder's σ", 'out["log_variance"] / 2', 'out["log_variance"]', "L_0 5"),
        ("KL(p‖q)", 'mean, log_variance, out["mean"], out["log_variance"])',
         'out["mean"], out["log_variance"], mean, log_variance)', "8 5"),
        ("the likelihood's sign", "nll = -discretized", "nll = discretized", "L_0 5"),
        ("clips", "x_t, t, clip_denoised, model_kwargs", "x_t, t, True, model_kwargs", "8"),
        ("bits of base 10", "math.log(2)", "math.log(10)", "8 L_0 5"),
    ],
    "_prior_bpd": [
        ("at t = 1", "self.num_timesteps - 1", "0", "L_T 5"),
        ("in nats", " / math.log(2)", "", "L_T"),
        ("with N(0, e)", "log_variance, 0.0, 0.0)", "log_variance, 0.0, 1.0)", "L_T 5"),
        ("the sum", "mean_flat(normal_kl(mean, log_variance, 0.0, 0.0))",
         "normal_kl(mean, log_variance, 0.0, 0.0).flatten(1).sum(1)", "L_T"),
    ],
    "calc_bpd_loop": [
        ("no L_T", " + self._prior_bpd(x_start)", "", "5"),
        ("no L₀", "range(self.num_timesteps)", "range(1, self.num_timesteps)", "5"),
        ("the mean of the terms", ".sum(1)", ".mean(1)", "5"),
        ("clips", "x_t, t, clip_denoised, model_kwargs", "x_t, t, True, model_kwargs", "5"),
        ("x₀ for x_t", "x_start, x_t, t, clip", "x_start, x_start, t, clip", "5"),
    ],
}
TRAINING: Lines = {
    "training_losses": [
        ("x₀ for the noise", "EPSILON: noise", "EPSILON: x_start", "14"),
        ("the net sees x₀", "output = model(x_t,", "output = model(x_start,", "14"),
        ("the absolute value", "(target - output) ** 2", "(target - output).abs()", "14"),
        ("the sum", "mean_flat((target - output) ** 2)", "((target - output) ** 2).flatten(1).sum(1)", "14"),
        ("half of it", "mean_flat((target - output) ** 2)", "mean_flat((target - output) ** 2) / 2", "14"),
        ("the mean over the batch", "mean_flat((target - output) ** 2)",
         "((target - output) ** 2).mean().expand(len(x_start))", "14"),
        ("fresh noise for x_t", "self.q_sample(x_start, t, noise)", "self.q_sample(x_start, t)", "14"),
        ("t one later", "output = model(x_t, t,", "output = model(x_t, (t + 1) % self.num_timesteps,", "14"),
    ],
    "UniformSampler": [
        ("never t = T", "np.random.choice(self.diffusion.num_timesteps,",
         "np.random.choice(self.diffusion.num_timesteps - 1,", "algorithm-1"),
        ("never t = 1", "torch.from_numpy(t).to(device)", "torch.from_numpy(t).to(device).clamp(min=1)", "algorithm-1"),
        ("one t for the batch", "size=(batch_size,)", "size=(1,)).repeat(batch_size", "algorithm-1"),
    ],
}
STEPS: Lines = {
    "space_timesteps": [
        ("one step too few", "for i in range(count)}", "for i in range(count - 1)}", "timesteps"),
        ("beyond T", "round(i * stride)", "round(i * (stride + 1))", "timesteps"),
        ("repeated", "round(i * stride)", "round(i * stride) // 2", "timesteps"),
    ],
    "spaced_betas": [
        ("not relative to the step before", "1 - level / last", "1 - level", "respacing ddim-12"),
        ("the product goes on", "            last = level\n", "", "respacing ddim-12"),
        ("the last of every step", "            last = level\n", "        last = level\n", "respacing ddim-12"),
    ],
    "_wrap_model": [
        ("the respaced index", "torch.tensor(self.timestep_map)[t]", "t", "respacing ddim-12"),
        ("the map reversed", "torch.tensor(self.timestep_map)[t]", "torch.tensor(self.timestep_map[::-1])[t]",
         "respacing ddim-12"),
    ],
    "get_named_beta_schedule": [
        ("1000/T times it", "np.linspace(1e-4, 0.02, steps)", "1000 / steps * np.linspace(1e-4, 0.02, steps)",
         "linear-schedule"),
        ("the ends' roots", "np.linspace(1e-4, 0.02, steps)", "np.linspace(1e-2, 0.02**0.5, steps) ** 2",
         "linear-schedule"),
        ("ends at 0.2", "np.linspace(1e-4, 0.02, steps)", "np.linspace(1e-4, 0.2, steps)", "linear-schedule"),
        ("without its last step", "np.linspace(1e-4, 0.02, steps)", "np.linspace(1e-4, 0.02, steps, endpoint=False)",
         "linear-schedule"),
        ("the cosine not squared", " / 2) ** 2", " / 2)", "cosine-schedule"),
        ("s = 0.08", "0.008) / 1.008", "0.08) / 1.08", "cosine-schedule"),
        ("no shift", "(i / steps + 0.008) / 1.008", "i / steps", "cosine-schedule"),
        ("at most 0.99", "0.999", "0.99", "cosine-schedule"),
    ],
    "timestep_embedding": [
        ("frequencies from 1000", "max_period) *", "max_period / 10) *", "time-embedding"),
        ("frequencies from 2", "torch.exp(-math.log(max_period) *", "torch.exp(-math.log(2) *", "time-embedding"),
        ("sines alone", "torch.cos(angle), ", "torch.sin(angle), ", "time-embedding"),
        ("no sign", "-math.log(max_period)", "math.log(max_period)", "time-embedding"),
        ("t of a thousand", "timesteps[:, None].float()", "timesteps[:, None].float() / 1000", "time-embedding"),
    ],
}
MISTAKES = changes({**TABLES, **PROCESS, **REVERSE, **BOUND, **TRAINING, **STEPS})

EQUIVALENT = changes({
    "rows": [("by gather and unsqueeze", "column.reshape(-1, *[1] * (x.dim() - 1))",
              "column[(...,) + (None,) * (x.dim() - 1)]", "4 7 15"),
             ("broadcast", "column.reshape(-1, *[1] * (x.dim() - 1))",
              "column.reshape(-1, *[1] * (x.dim() - 1)).expand_as(x)", "4 7 15 8")],
    "__init__": [("ᾱ by logarithms", "np.cumprod(alphas)", "np.exp(np.cumsum(np.log(alphas)))", "alpha-bar 4 7 15"),
                 ("1/ᾱ − 1 as a quotient", f"np.sqrt(1 / {CUM} - 1)", f"np.sqrt((1 - {CUM}) / {CUM})", "15 11 eps")],
    "q_sample": [("√ᾱ·(x₀ + …)", "x_start + rows(self.noise, t, x_start) * noise",
                  "(x_start + rows(self.recipm1, t, x_start) * noise)", "4 9 14"),
                 ("draws by a shape", "torch.randn_like(x_start)", "torch.randn(x_start.shape, dtype=x_start.dtype)",
                  "4 algorithm-1")],
    "p_sample": [("draws by a shape", "torch.randn_like(x)", "torch.randn(*x.shape)", "algorithm-2 1"),
                 ("draws nothing at t = 1", "later * torch", "later * (t > 0).any() * torch", "algorithm-2 1"),
                 ("draws before it asks", 'torch.exp(out["log_variance"] / 2) * torch.randn_like(x)',
                  'torch.sqrt(out["variance"]) * torch.randn_like(x)', "algorithm-2 1")],
    "p_sample_loop": [("draws x_T though it is given", "torch.randn(*shape) if noise is None else noise",
                       "noise if noise is not None else torch.randn(*shape)", "1"),
                      ("a while loop in steps", "reversed(range(self.num_timesteps))",
                       "range(self.num_timesteps - 1, -1, -1)", "1")],
    "ddim_sample": [("σ in two roots", "torch.sqrt((1 - then) / (1 - here) * (1 - here / then))",
                     "torch.sqrt((1 - then) / (1 - here)) * torch.sqrt(1 - here / then)", "ddim-12 ddim-16")],
    "_vb_terms_bpd": [("means first", "mean_flat(torch.where((t == 0).reshape(-1, *[1] * (x_t.dim() - 1)), nll, kl))",
                       "torch.where(t == 0, mean_flat(nll), mean_flat(kl))", "8 L_0 5")],
    "spaced_betas": [("by an array", "return np.array(kept)", "return np.stack(kept).astype(np.float64)",
                      "respacing ddim-12")],
    "space_timesteps": [("with constant stride", "round(i * stride)", "i * num_timesteps // max(count, 1)",
                         "timesteps")],
})

CONVENTIONS = changes({
    "rows": [("tables in float64", ".float()", "", "precision=float64 4 7 15 algorithm-2")],
    "timestep_embedding": [
        ("sines first", "torch.cos(angle), torch.sin(angle)", "torch.sin(angle), torch.cos(angle)",
         "embedding=sin_cos_half time-embedding"),
        ("frequencies of the authors", "torch.arange(half) / half", "torch.arange(half) / (half - 1)",
         "embedding=cos_sin time-embedding"),
    ],
    "__init__": [("β₁ at t = 1", "np.log(np.append(self.posterior_variance[1], self.betas[1:]))", "np.log(self.betas)\n"
                  "        self.log_small[0] = self.log_large[0]", "first_variance=beta sigma algorithm-2")],
    "p_mean_variance": [("images in [0, 1]", "clamp(-1, 1)", "clamp(0, 1)", "range=(0,1) clip algorithm-2")],
    "mean_flat": [("sums", ".mean(1)", ".sum(1)", "reduction=sum 8 L_T 14 5")],
})


def changed_shape(*made: Change) -> str:
    """Return the text of the class with changes in it."""
    text = SHAPE
    for change in made:
        mark = f"class {change.place}:"
        if mark in text:
            start = text.index(mark)
            text = text[:start] + change.applied(text[start:])
        else:
            head, source, tail = parted(text, change.place)
            text = head + change.applied(source) + tail
    return text
