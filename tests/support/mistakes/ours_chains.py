"""Mistakes in this package's samplers and other chains, and in its named schedules and draws."""

from __future__ import annotations

from mistakes import CLIPPED, SMALL, UNCLIPPED, Lines

SAMPLERS: Lines = {
    "diffusion.sampler.p_sample": [
        ("x̂₀ for the mean", "mean, log_sigma2, _ =", "_, log_sigma2, mean =", "algorithm-2"),
        ("the variance ignored", "variance(reverse,", f"variance({SMALL},", "algorithm-2"),
        ("the clip ignored", "variance(reverse,", f"variance({UNCLIPPED},", "algorithm-2"),
    ],
    "diffusion.sampler.add_noise": [
        ("noise at the last step", "t > 1", "t > 0", "algorithm-2"),
        ("a missing root on the variance", "space.sqrt(space.exp(log_sigma2))", "space.exp(log_sigma2)",
         "algorithm-2 1"),
        ("noise by the first image's t", "xp.reshape(t > 1, (noise.shape[0],) + (1,) * (noise.ndim - 1))", "t[0] > 1",
         "algorithm-2"),
    ],
    "diffusion.sampler.ancestral": [
        ("1 skipped", "range(start, 0, -1)", "range(start, 1, -1)", "1"),
        ("T skipped", "range(start, 0, -1)", "range(start - 1, 0, -1)", "1"),
        ("noise one row off", "noise_at(t)", "noise_at(t - 1)", "1"),
        ("upwards", "range(start, 0, -1)", "range(1, start + 1)", "1"),
        ("T at every step", "times(x, t)", "times(x, start)", "1"),
        ("the variance ignored", "variance(reverse,", f"variance({SMALL},", "1"),
        ("x one step behind", "yield t - 1, x,", "yield t - 1, x_T,", "1"),
    ],
    "diffusion.sampler.sample_with": [
        ("noise in the loop's order", "noises[t, ...]", "noises[reverse.schedule.T - t + 1, ...]", "1"),
        ("the variance ignored", "ancestral(reverse,", f"ancestral({SMALL},", "1"),
        ("one noise for all steps", "noises[t, ...]", "noises[reverse.schedule.T, ...]", "1"),
    ],
    "diffusion.ddim.ddim_sigma": [
        ("η²", "eta * xp", "eta**2 * xp", "ddim-16"),
        ("no root", "xp.sqrt(then", "(then", "ddim-16"),
        ("upside down", "then.one_minus_alpha_bar / now.one_minus_alpha_bar",
         "now.one_minus_alpha_bar / then.one_minus_alpha_bar", "ddim-16"),
        ("the second factor dropped", " * (1 - ratio)", "", "ddim-16"),
    ],
    "diffusion.ddim.ddim_step": [
        ("x̂₀ for x_s", "[0]", "[1]", "ddim-12"),
        ("clipped", "step(reverse,", f"step({CLIPPED},", "ddim-12"),
    ],
    "diffusion.dpm_solver.dpm_solver_1_step": [
        ("the sign of h", "there - here", "here - there", "dpm-solver-1"),
        ("h for e^h − 1", "xp.expm1(there - here)", "(there - here)", "dpm-solver-1"),
        ("e^h", "xp.expm1(", "xp.exp(", "dpm-solver-1"),
        ("λ without its ½", "0.5 * xp.log", "xp.log", "dpm-solver-1"),
        ("√(1 − ᾱ_t)", "then.sqrt_one_minus_alpha_bar", "now.sqrt_one_minus_alpha_bar", "dpm-solver-1"),
        ("upside down", "then.sqrt_alpha_bar / now.sqrt_alpha_bar", "now.sqrt_alpha_bar / then.sqrt_alpha_bar",
         "dpm-solver-1"),
        ("a plus", "gain * x_t - change", "gain * x_t + change", "dpm-solver-1"),
    ],
    "diffusion.zero_snr.zero_terminal_snr": [
        ("nothing changed but the end", "later[:-1]", "beta[2:-1]", "zero-terminal-snr"),
        ("a missing square", "falls * (left[:-1] + left[1:]) / left[:-1] ** 2", "falls / left[:-1]",
         "zero-terminal-snr"),
        ("ᾱ_t − ᾱ_{t+1} for the roots", "/ (1 + alpha[2:])", "", "zero-terminal-snr"),
        ("not at the end", "(beta[1:2], later[:-1], [1.0])", "(beta[1:2], later[:-1], beta[-1:])", "zero-terminal-snr"),
    ],
    "diffusion.ddim.step": [
        ("no −σ² under the root", " - xp.square(sigma)  #", "  #", "ddim-12"),
        ("ᾱ_t for ᾱ_s", "then.sqrt_alpha_bar", "reverse.schedule.at(t, like=x_t).sqrt_alpha_bar", "ddim-12"),
        ("the noise left out", "return mean + sigma * noise,", "return mean,", "ddim-12 ddim-16"),
    ],
    "diffusion.ddim.ddim": [
        ("the last step left out", "[*descending(reverse.schedule, steps), 0]",
         "descending(reverse.schedule, steps)", "ddim-12"),
        ("t for s", "times(x, s)", "times(x, max(t - 1, 0))", "ddim-12"),
        ("η ignored", "times(x, s), eta,", "times(x, s), 0.0,", "ddim-12"),
    ],
    "diffusion.respacing.timesteps": [
        ("counted from 0", "[_nearest(i * T, n) for", "[_nearest(i * T, n) - 1 for", "timesteps"),
        ("upwards", "for i in range(n, 0, -1)]", "for i in range(1, n + 1)]", "timesteps"),
        ("one too few", "for i in range(n, 0, -1)]", "for i in range(n, 1, -1)]", "timesteps"),
    ],
}

CHAINS: Lines = {
    "diffusion.ddim.ddim_invert": [
        ("the net at the step before", "predict(reverse, x_t, now)",
         "predict(reverse, x_t, times(x_0, max(s, 1)))", "ddim-inversion"),
        ("one iteration always", "range(iterations)", "range(1)", "ddim-inversion"),
        ("noise of t for noise of s", "noise_s * eps", "noise_t * eps", "ddim-inversion"),
        ("the gain upside down", "gain * (", "(1 / gain) * (", "ddim-inversion"),
    ],
    "diffusion.langevin.langevin_step": [
        ("δ for δ/2", "0.5 * delta * score", "delta * score", "langevin annealed-langevin"),
        ("δ for √δ on the noise", "root * noise", "delta * noise", "langevin annealed-langevin"),
        ("√2δ on the noise", "root * noise", "2**0.5 * root * noise", "langevin annealed-langevin"),
        ("downhill", "x + 0.5", "x - 0.5", "langevin annealed-langevin"),
    ],
    "diffusion.langevin.annealed_langevin": [
        ("x not scaled between levels", "x if before is None else x * (signal / before)", "x", "annealed-langevin"),
        ("the step not scaled by the noise", "size * k.one_minus_alpha_bar",
         "size * k.one_minus_alpha_bar**0.5", "annealed-langevin"),
        ("the noise left in", "yield 0, x0_hat,", "yield 0, x,", "annealed-langevin"),
        ("one step a level too many", "range(per_level)", "range(per_level + 1)", "annealed-langevin"),
    ],
    "diffusion.editing.interpolate": [
        ("λ and 1 − λ swapped", "(1 - share) * x_t + share * y_t", "share * x_t + (1 - share) * y_t", "interpolation"),
        ("decoded from t − 1", "start=t)", "start=max(t - 1, 0))", "interpolation"),
        ("one noise for both", "((x_0, noise_x), (y_0, noise_y))", "((x_0, noise_x), (y_0, noise_x))", "interpolation"),
    ],
    "diffusion.editing.inpaint": [
        ("the known part noised to t", "q_sample(schedule, given, before,", "q_sample(schedule, given, now,",
         "inpainting"),
        ("the mask turned round", "xp.where(mask, kept, drawn)", "xp.where(mask, drawn, kept)", "inpainting"),
        ("back by the wrong step", "q_step(schedule, lower, now,", "q_step(schedule, lower, before,", "inpainting"),
        ("one repeat too few", "range(repeats if t > 1 else 1)", "range(max(repeats - 1, 1) if t > 1 else 1)",
         "inpainting"),
    ],
    "diffusion.compression.send": [
        ("the rate one term ahead", "rate = prior_kl(", "rate = 2 * prior_kl(", "algorithm-3"),
        ("the rate not added up", "rate = rate + vlb_term", "rate = vlb_term", "algorithm-3"),
        ("x_t for x̂₀", "distortion(x_0, estimate, levels), estimate)", "distortion(x_0, x_t, levels), x_t)",
         "algorithm-4"),
        ("the prior left out", "rate = prior_kl(", "rate = 0 * prior_kl(", "algorithm-3"),
    ],
    "diffusion.compression.distortion": [
        ("no root", "xp.sqrt(mean_over_image(xp.square(x_0 - estimate)))",
         "mean_over_image(xp.square(x_0 - estimate))", "algorithm-4"),
        ("on the scale of [−1, 1]", " * ((levels - 1) / 2)", "", "algorithm-4"),
        ("256 for 255", "(levels - 1)", "levels", "algorithm-4"),
    ],
}

SCHEDULES: Lines = {
    "diffusion.schedules.linear_schedule": [
        ("scaled by 1000/T", "_host.linspace(start, end, T)", "_host.linspace(start, end, T) * (1000 / T)",
         "linear-schedule"),
        ("without its end", "start, end, T)", "start, end, T + 1)[:-1]", "linear-schedule"),
        ("downwards", "linspace(start, end, T)", "linspace(end, start, T)", "linear-schedule"),
    ],
    "diffusion.schedules.cosine_schedule": [
        ("without s", "s = 0.008\n", "s = 0.0\n", "cosine-schedule"),
        ("cut at 0.99", ", 0.999))", ", 0.99))", "cosine-schedule"),
        ("cos for cos²", "math.sin(step) * _host.sin(a + b) / _host.cos(a) ** 2", "1 - _host.cos(b) / _host.cos(a)",
         "cosine-schedule"),
        ("b − a of T + 1 steps", "(2 * T * (1 + s))", "(2 * (T + 1) * (1 + s))", "cosine-schedule"),
    ],
    "diffusion.schedules.quadratic_schedule": [
        ("no square", ") ** 2", ") ** 1", "named-schedules"),
        ("β and not √β in equal steps", "math.sqrt(start), math.sqrt(end), T", "start, end, T", "named-schedules"),
    ],
    "diffusion.schedules.sigmoid_schedule": [
        ("u from −3 to 3", "linspace(-6, 6, T)", "linspace(-3, 3, T)", "named-schedules"),
        ("the sign of u", "_host.exp(-u)", "_host.exp(u)", "named-schedules"),
    ],
    "diffusion.schedules.constant_schedule": [
        ("its start", "_host.full(T, end)", "_host.full(T, start)", "named-schedules"),
    ],
    "diffusion.schedules.jsd_schedule": [
        ("upwards", "_host.arange(T, 0, -1)", "_host.arange(1, T + 1)", "named-schedules"),
        ("1/(T − t + 2)", "_host.arange(T, 0, -1)", "_host.arange(T + 1, 1, -1)", "named-schedules"),
    ],
    "diffusion.schedules.warmup10_schedule": [("half of the steps", "0.1", "0.5", "named-schedules")],
    "diffusion.schedules.warmup50_schedule": [("a tenth of the steps", "0.5", "0.1", "named-schedules")],
    "diffusion.schedules._warm_up": [
        ("the start after the rise", "_host.full(T - count, end)", "_host.full(T - count, start)", "named-schedules"),
    ],
    "diffusion.schedules.named_schedule": [
        ("always the linear one", "SCHEDULES[name](T", 'SCHEDULES["linear"](T', "named-schedules cosine-schedule"),
        ("start and end swapped", "(T, start, end)", "(T, end, start)", "named-schedules"),
    ],
    "diffusion.respacing.respace": [
        ("β of the step itself", "log_alpha[a + 1 : b + 1].sum()", "log_alpha[b]", "respacing fewer-steps"),
        ("the sum one step off", "log_alpha[a + 1 : b + 1]", "log_alpha[a:b]", "respacing fewer-steps"),
        ("the model at i", "return model(x, of(i).take(of(i).asarray(index), i, axis=0))", "return model(x, i)",
         "respacing fewer-steps"),
        ("the model at the step before", "i, axis=0)", "i - 1, axis=0)", "respacing fewer-steps"),
    ],
    "models.unet.time_embedding": [
        ("half for half − 1", "(half - freq_shift)", "half", "time-embedding"),
        ("cosines first", "if flip_sin_to_cos else", "if not flip_sin_to_cos else", "time-embedding"),
        ("1000 for 10000", "math.log(10000.0)", "math.log(1000.0)", "time-embedding"),
        ("t − 1", "t[:, None]", "(t - 1)[:, None]", "time-embedding"),
    ],
    "training.algorithm1.gradient_of_batch": [
        ("t from 0", "n, 1, schedule.T)", "n, 0, schedule.T - 1)", "algorithm-1"),
        ("T left out", "n, 1, schedule.T)", "n, 1, schedule.T - 1)", "algorithm-1"),
        ("one t for the batch", "1, schedule.T)", "1, schedule.T)[:1].repeat(n)", "algorithm-1"),
        ("noise that is too wide", "noise = backend.normal(", "noise = 1.1 * backend.normal(", "algorithm-1"),
        ("one noise for the batch", "first, n, x_0.shape[1:], x_0.dtype)",
         "first, 1, x_0.shape[1:], x_0.dtype).repeat(n, 0)", "algorithm-1"),
    ],
    "backend.Backend.integers": [
        ("the upper end left out", "(high - low + 1)", "(high - low)", "algorithm-1"),
        ("rounded", "xp.floor(u", "xp.round(u", "algorithm-1"),
    ],
    "backend.Backend.normal": [
        ("uniform", "xp.ndtri(self.uniform(seed, purpose, step, first, n, shape))",
         "self.uniform(seed, purpose, step, first, n, shape)", "algorithm-1"),
        ("the seed ignored", "self.uniform(seed,", "self.uniform(0,", "algorithm-1"),
    ],
}
