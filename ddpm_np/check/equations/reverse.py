"""Quantities from a prediction of the noise: (15), (9), (10), (11), the score, the velocity, the reverse variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches
from ddpm_np.check.comparison import Check
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, drawn, equation

PAPER = "Ho et al. 2020, "
equation("9", "x₀ recovered from x_t of (4)",
         r"L_{t-1}-C = \mathbb{E}\left[\frac{1}{2\sigma_t^2}\|\tilde\mu_t\left(x_t,\frac{1}{\sqrt{\bar\alpha_t}}"
         r"(x_t-\sqrt{1-\bar\alpha_t}\,\epsilon)\right)-\mu_\theta(x_t,t)\|^2\right]",
         PAPER + "(9)", "diffusion.mean_mismatch.mean_mismatch_from_noise")
equation("10", "μ̃_t in terms of the noise",
         r"L_{t-1}-C = \mathbb{E}\left[\frac{1}{2\sigma_t^2}\|\frac{1}{\sqrt{\alpha_t}}\left(x_t-"
         r"\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon\right)-\mu_\theta(x_t,t)\|^2\right]",
         PAPER + "(10)", "diffusion.mean_mismatch.mean_mismatch_simplified")
equation("11", "μ_θ of a prediction of the noise",
         r"\mu_\theta(x_t,t) = \frac{1}{\sqrt{\alpha_t}}\left(x_t-"
         r"\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon_\theta(x_t,t)\right)",
         PAPER + "(11)", "diffusion.parameterisation.mean_from_eps", "diffusion.parameterisation.eps_from_mean",
         "diffusion.reverse.p_mean_variance", "diffusion.reverse.p_mean_log_variance")
equation("15", "x̂₀ of a prediction of the noise",
         r"x_0 \approx \hat x_0 = (x_t-\sqrt{1-\bar\alpha_t}\,\epsilon_\theta(x_t))/\sqrt{\bar\alpha_t}",
         PAPER + "(15)", "diffusion.parameterisation.predict_x0", "diffusion.reverse.predict",
         "diffusion.parameterisation.x0_from_mean")
equation("eps", "the noise, of x_t and x₀", r"\epsilon = (x_t-\sqrt{\bar\alpha_t}\,x_0)/\sqrt{1-\bar\alpha_t}",
         PAPER + "(4) solved for ε", "diffusion.parameterisation.predict_eps")
equation("score", "the score of a prediction of the noise", r"s(x_t) = -\epsilon_\theta(x_t,t)/\sqrt{1-\bar\alpha_t}",
         PAPER + "section 3.2", "diffusion.score.score_from_eps", "diffusion.score.eps_from_score")
equation("sigma", "σ_t² of the reverse step",
         r"\sigma_t^2 \in \{\tilde\beta_t,\ \beta_t\},\quad \sigma_1^2 = \tilde\beta_2",
         PAPER + "section 3.2 and the authors' code", "diffusion.variance.log_variance",
         "diffusion.reverse.p_mean_variance")
equation("clip", "the step from x̂₀ clipped to [−1, 1]", r"\mu_\theta = \tilde\mu_t(x_t,\,\mathrm{clip}(\hat x_0,-1,1))",
         PAPER + "the authors' code", "diffusion.reverse.predict", "diffusion.reverse.p_mean_variance")
equation("velocity", "v, and x̂₀ and ε̂ from v",
         r"v = \sqrt{\bar\alpha_t}\,\epsilon-\sqrt{1-\bar\alpha_t}\,x_0,\ \hat x_0 = \sqrt{\bar\alpha_t}x_t-"
         r"\sqrt{1-\bar\alpha_t}\,v,\ \hat\epsilon = \sqrt{\bar\alpha_t}v+\sqrt{1-\bar\alpha_t}\,x_t",
         "Salimans & Ho 2022, section 3", "diffusion.velocity.velocity", "diffusion.velocity.x0_from_velocity",
         "diffusion.velocity.eps_from_velocity")
equation("learned-range", "Σ_θ between β̃_t and β_t",
         r"\Sigma_\theta = \exp\left(w\ln\beta_t+(1-w)\ln\tilde\beta_t\right),\ w = (v+1)/2",
         "Nichol & Dhariwal 2021, (15)", "diffusion.variance.learned_range_variance",
         "diffusion.variance.learned_range_log_variance")


VARIANCES = ("small", "large")
CLIPS = (False, True)


def affine(case: Case, a: float = 0.75, b: float = 0.5, c: float = -0.25) -> Any:
    """Return the model ε_θ(x, t) = a·x + b·t/T + c."""
    return lambda x, t: a * x + (b * t / case.T).reshape((-1,) + (1,) * (x.ndim - 1)) + c


def constant(values: np.ndarray) -> Any:
    """Return a model whose output is `values` for every input."""
    return lambda x, t: values


@checks("15", draws=drawn("batches"), first=plain_batches, needs=["predict_x0"], aspect="x0_hat")
def x0_hat_solves_4(check: Check, b: Batch) -> None:
    _compare_x0(check, b, check(b.case).predict_x0(b.x, b.t, b.y))


@checks("15", draws=drawn("batches"), first=plain_batches, needs=["p_mean_variance"], aspect="x0_hat")
def x0_hat_of_a_model_solves_4(check: Check, b: Batch) -> None:
    for variance in VARIANCES:
        with check.if_offered():
            options = {"variance": variance, "clip": False}
            _compare_x0(check, b, *check(b.case).of_p_mean_variance("x0", constant(b.y), b.x, b.t, **options))


def _compare_x0(check: Check, b: Batch, got: np.ndarray) -> None:
    k = b.rows
    from_xt, from_eps = b.x / k.sqrt_alpha_bar, k.sqrt_one_minus_alpha_bar / k.sqrt_alpha_bar * b.y
    check.equal("x̂₀", got, from_xt - from_eps, case=b.case, scale=np.abs(from_xt) + np.abs(from_eps),
                at={"t": b.t, "x_t": b.x, "ε": b.y}, mistakes=lambda: {
                    "(1 − ᾱ_t)·ε: a missing root": from_xt - k.one_minus_alpha_bar / k.sqrt_alpha_bar * b.y,
                    "a division by ᾱ_t: a missing root": (from_xt - from_eps) / k.sqrt_alpha_bar,
                    "no division by √ᾱ_t": b.x - k.sqrt_one_minus_alpha_bar * b.y,
                    "x_t divided by √ᾱ_t but ε not": from_xt - k.sqrt_one_minus_alpha_bar * b.y,
                    "α_t for ᾱ_t": (b.x - k.sqrt_beta * b.y) / k.sqrt_alpha,
                    "a plus before ε": from_xt + from_eps,
                    "x̂₀ clipped to [−1, 1]": np.clip(from_xt - from_eps, -1, 1),
                    "ᾱ_{t−1}: t is one too small": (
                        b.x - k.sqrt_one_minus_alpha_bar_prev * b.y) / k.sqrt_alpha_bar_prev})


@checks("eps", draws=drawn("batches"), first=plain_batches, needs=["predict_eps"])
def eps_solves_4(check: Check, b: Batch) -> None:
    k = b.rows
    from_xt = b.x / k.sqrt_one_minus_alpha_bar
    from_x0 = k.sqrt_alpha_bar / k.sqrt_one_minus_alpha_bar * b.y
    check.equal("ε", check(b.case).predict_eps(b.x, b.t, b.y), from_xt - from_x0, case=b.case,
                scale=np.abs(from_xt) + np.abs(from_x0), at={"t": b.t, "x_t": b.x, "x₀": b.y}, mistakes=lambda: {
                    "a division by 1 − ᾱ_t: a missing root": (from_xt - from_x0) / k.sqrt_one_minus_alpha_bar,
                    "ᾱ_t·x₀: a missing root": from_xt - from_x0 * k.sqrt_alpha_bar,
                    "x₀ without √ᾱ_t": (b.x - b.y) / k.sqrt_one_minus_alpha_bar,
                    "a division by √ᾱ_t": (b.x - k.sqrt_alpha_bar * b.y) / k.sqrt_alpha_bar,
                    "x₀ − x_t: the sign": from_x0 - from_xt})


@checks("9", draws=drawn("batches"), first=plain_batches, needs=["q_sample", "predict_x0"], method="round trip")
def x0_comes_back(check: Check, b: Batch) -> None:
    target, k = check(b.case), b.rows
    x_t = target.q_sample(b.x, b.t, b.y)
    check.equal("x̂₀ of the x_t of (4)", target.predict_x0(x_t, b.t, b.y), b.x, case=b.case,
                at={"t": b.t, "x₀": b.x, "ε": b.y}, scale=np.abs(b.x) + np.abs(b.y) / k.sqrt_alpha_bar)


@checks("10", draws=drawn("batches"), first=plain_batches, needs=["q_posterior", "predict_x0", "mean_from_eps"],
        method="composition of (7) and (15)")
def mean_in_terms_of_the_noise(check: Check, b: Batch) -> None:
    """Check that (x_t − β_t/√(1 − ᾱ_t)·ε)/√α_t is μ̃_t(x_t, x̂₀) for any x_t and ε."""
    target, k = check(b.case), b.rows
    x0 = target.predict_x0(b.x, b.t, b.y)
    scale = k.x0 * (np.abs(b.x) + np.abs(b.y)) / k.sqrt_alpha_bar + k.xt * np.abs(b.x)
    check.equal("μ̃_t(x_t, x̂₀)", target.q_posterior(x0, b.x, b.t)[0], target.mean_from_eps(b.x, b.t, b.y), case=b.case,
                at={"t": b.t, "x_t": b.x, "ε": b.y}, scale=scale)


@checks("11", draws=drawn("batches"), first=plain_batches, needs=["mean_from_eps"], aspect="mean")
def mean_of_the_noise(check: Check, b: Batch) -> None:
    _compare_mean(check, b, check(b.case).mean_from_eps(b.x, b.t, b.y), b.y)


@checks("11", draws=drawn("batches"), first=plain_batches, needs=["p_mean_variance"], aspect="mean")
def mean_of_a_model(check: Check, b: Batch) -> None:
    model = affine(b.case)
    for variance in VARIANCES:
        with check.if_offered():
            options = {"variance": variance, "clip": False}
            mean, = check(b.case).of_p_mean_variance("mean", model, b.x, b.t, **options)
            _compare_mean(check, b, mean, model(b.x, b.t))


def _compare_mean(check: Check, b: Batch, got: np.ndarray, eps: np.ndarray) -> None:
    k = b.rows
    from_xt, from_eps = b.x / k.sqrt_alpha, k.beta / k.sqrt_one_minus_alpha_bar / k.sqrt_alpha * eps
    # computed from x̂₀, the mean has larger terms than these
    scale = np.abs(from_xt) + np.abs(from_eps) + k.x0 * (np.abs(b.x) + np.abs(eps)) / k.sqrt_alpha_bar
    check.equal("μ_θ", got, from_xt - from_eps, case=b.case, scale=scale, at={"t": b.t, "x_t": b.x, "ε": eps},
                mistakes=lambda: {
                    "√β_t for β_t": from_xt - from_eps / k.sqrt_beta,
                    "1 − ᾱ_t without its root": from_xt - from_eps / k.sqrt_one_minus_alpha_bar,
                    "β_t without √(1 − ᾱ_t)": from_xt - k.beta / k.sqrt_alpha * eps,
                    "a division by α_t: a missing root": (from_xt - from_eps) / k.sqrt_alpha,
                    "no division by √α_t": (from_xt - from_eps) * k.sqrt_alpha,
                    "x_t divided by √α_t but ε not": from_xt - from_eps * k.sqrt_alpha,
                    "√ᾱ_t for √α_t": (from_xt - from_eps) * k.sqrt_alpha / k.sqrt_alpha_bar,
                    "a plus before ε": from_xt + from_eps,
                    "α_t for β_t = 1 − α_t": from_xt - from_eps / k.beta * k.alpha,
                    "1 − ᾱ_t for 1 − α_t": from_xt - from_eps / k.beta * k.one_minus_alpha_bar,
                    "x̂₀ clipped, though it is not to be": k.x0 * np.clip(
                        (b.x - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar, -1, 1) + k.xt * b.x})


@checks("score", draws=drawn("batches"), first=plain_batches, needs=["score_from_eps"])
def score_of_the_noise(check: Check, b: Batch) -> None:
    k = b.rows
    want = -b.y / k.sqrt_one_minus_alpha_bar
    check.equal("s", check(b.case).score_from_eps(b.x, b.t, b.y), want, case=b.case, at={"t": b.t, "ε": b.y},
                mistakes=lambda: {
                    "ε/√(1 − ᾱ_t): the sign": -want,
                    "−ε/(1 − ᾱ_t): a missing root": want / k.sqrt_one_minus_alpha_bar,
                    "−ε: no division by √(1 − ᾱ_t)": -b.y,
                    "−√(1 − ᾱ_t)·ε": -b.y * k.sqrt_one_minus_alpha_bar,
                    "−ε/√β_t": -b.y / k.sqrt_beta})


@checks("velocity", draws=drawn("batches"), first=plain_batches, needs=["velocity"])
def velocity_is_a_rotation(check: Check, b: Batch) -> None:
    k = b.rows
    c, s = k.sqrt_alpha_bar, k.sqrt_one_minus_alpha_bar
    check.equal("v", check(b.case).velocity(b.x, b.t, b.y), c * b.y - s * b.x, case=b.case,
                scale=c * np.abs(b.y) + s * np.abs(b.x), at={"t": b.t, "x₀": b.x, "ε": b.y}, mistakes=lambda: {
                    "−v: the sign": s * b.x - c * b.y,
                    "√ᾱ_t·x₀ − √(1 − ᾱ_t)·ε: x₀ and ε swapped": c * b.x - s * b.y,
                    "√(1 − ᾱ_t)·ε − √ᾱ_t·x₀: the coefficients swapped": s * b.y - c * b.x,
                    "a plus between the terms": c * b.y + s * b.x,
                    "ε − x₀, of a flow": b.y - b.x})


@checks("velocity", draws=drawn("batches"), first=plain_batches, needs=["x0_from_velocity"])
def velocity_gives_x0(check: Check, b: Batch) -> None:
    k = b.rows
    c, s = k.sqrt_alpha_bar, k.sqrt_one_minus_alpha_bar
    check.equal("x̂₀ of v", check(b.case).x0_from_velocity(b.x, b.t, b.y), c * b.x - s * b.y, case=b.case,
                scale=c * np.abs(b.x) + s * np.abs(b.y), at={"t": b.t, "x_t": b.x, "v": b.y}, mistakes=lambda: {
                    "ε̂ of v: x₀ and ε swapped": c * b.y + s * b.x,
                    "a plus before v": c * b.x + s * b.y,
                    "the coefficients swapped": s * b.x - c * b.y,
                    "v taken for ε: (x_t − √(1 − ᾱ_t)·v)/√ᾱ_t": (b.x - s * b.y) / c})


@checks("velocity", draws=drawn("batches"), first=plain_batches, needs=["eps_from_velocity"])
def velocity_gives_eps(check: Check, b: Batch) -> None:
    k = b.rows
    c, s = k.sqrt_alpha_bar, k.sqrt_one_minus_alpha_bar
    check.equal("ε̂ of v", check(b.case).eps_from_velocity(b.x, b.t, b.y), c * b.y + s * b.x, case=b.case,
                scale=c * np.abs(b.y) + s * np.abs(b.x), at={"t": b.t, "x_t": b.x, "v": b.y}, mistakes=lambda: {
                    "x̂₀ of v: x₀ and ε swapped": c * b.x - s * b.y,
                    "a minus between the terms": c * b.y - s * b.x,
                    "the coefficients swapped": s * b.y + c * b.x})


@checks("sigma", draws=drawn("batches"), first=plain_batches, needs=["p_mean_variance"])
def small_variance_is_beta_tilde(check: Check, b: Batch) -> None:
    for clip in CLIPS:
        with check.if_offered():
            _compare_sigma(check, b, "small", clip)


@checks("sigma", draws=drawn("batches"), first=plain_batches, needs=["p_mean_variance"])
def large_variance_is_beta(check: Check, b: Batch) -> None:
    for clip in CLIPS:
        with check.if_offered():
            _compare_sigma(check, b, "large", clip)


def sigma2(check: Check, b: Batch, variance: str) -> np.ndarray:
    """Return σ_t², at t = 1 by the target's convention (β̃₂ by default), (N, 1, …)."""
    k = b.rows
    first = (b.t == 1).reshape(k.beta.shape)
    other = {"clipped": None, "posterior": k.beta_tilde, "beta": k.beta}[check(b.case).first_variance(b.t)]
    usual = k.small if variance == "small" else k.large
    return usual if other is None else np.where(first, other, usual)


def _compare_sigma(check: Check, b: Batch, variance: str, clip: bool) -> None:
    k, spread = b.rows, np.ones_like(b.x)
    got, = check(b.case).of_p_mean_variance("variance", affine(b.case), b.x, b.t, variance=variance, clip=clip)
    first, usual = (b.t == 1).reshape(k.beta.shape), k.small if variance == "small" else k.large
    check.equal(f"σ_t² ({variance})", got, sigma2(check, b, variance) * spread, case=b.case, at={"t": b.t},
                scale=k.beta * spread, mistakes=lambda: {
                    "β₁ at t = 1 (if meant, declare conventions = {'first_variance': 'beta'})":
                        np.where(first, k.beta, usual) * spread,
                    "β̃₁ = 0 at t = 1 (if meant, declare conventions = {'first_variance': 'posterior'})":
                        np.where(first, 0, usual) * spread,
                    "β_t": k.beta * spread, "β_t with β̃₂ at t = 1": k.large * spread,
                    "β̃_t": k.beta_tilde * spread, "β̃_t with β̃₂ at t = 1": k.small * spread,
                    "σ_t, a standard deviation": np.sqrt(usual) * spread,
                    "ln σ_t², a logarithm": np.log(usual) * spread,
                    "1 − ᾱ_t": k.one_minus_alpha_bar * spread,
                    "β̃_t, at least 1e-20": np.maximum(k.beta_tilde, 1e-20) * spread})


@checks("clip", draws=drawn("batches"), first=plain_batches, needs=["p_mean_variance"])
def clip_holds_x0_and_not_the_mean(check: Check, b: Batch) -> None:
    """Check a net whose x̂₀ lies outside the range and one whose x̂₀ lies inside, where clipping changes nothing."""
    for variance in VARIANCES:
        with check.if_offered():
            _compare_clipped(check, b, variance)


def _compare_clipped(check: Check, b: Batch, variance: str) -> None:
    target, k = check(b.case), b.rows
    low, high = target.range
    for wanted in (b.y, 0.4 + 0 * b.y):
        eps = (b.x - k.sqrt_alpha_bar * wanted) / k.sqrt_one_minus_alpha_bar
        mean, x0 = target.of_p_mean_variance("mean x0", constant(eps), b.x, b.t, variance=variance, clip=True)
        clipped, at = np.clip(wanted, low, high), {"t": b.t, "x_t": b.x, "ε": eps}
        error = np.abs(b.x) / k.sqrt_alpha_bar + np.abs(eps) / k.sqrt_alpha_bar
        unclipped = k.x0 * wanted + k.xt * b.x
        check.equal("x̂₀, clipped", x0, clipped, case=b.case, at=at, scale=1 + error, mistakes=lambda w=wanted: {  # type: ignore[misc]
            "x̂₀ without the clip": w, "a clip to [0, 1]": np.clip(w, 0, 1)})
        check.equal("μ_θ of the clipped x̂₀", mean, k.x0 * clipped + k.xt * b.x, case=b.case, at=at,
                    scale=k.x0 * (1 + error) + k.xt * np.abs(b.x), mistakes=lambda u=unclipped: {  # type: ignore[misc]
                        "μ_θ without the clip": u, "a clip of μ_θ instead of x̂₀": np.clip(u, low, high)})


@checks("learned-range", draws=drawn("batches"), first=plain_batches, needs=["learned_range_variance"])
def learned_range_is_geometric(check: Check, b: Batch) -> None:
    ends = np.array([1.0, -1.0, 0.0, 0.4]).reshape((4,) + (1,) * (b.x.ndim - 1))
    v = np.concatenate([ends + 0 * b.x[:1], b.x / 2])  # (4 + N, …)
    t = np.concatenate([np.full(4, b.t.max()), b.t])
    target = check(b.case)
    first = target.first_variance(t)
    if first == "posterior":  # β̃₁ = 0 has no logarithm
        v, t = v[t > 1], t[t > 1]
        if not len(t):
            return
    k = b.case.rows(t, v)
    w, high, low = (v + 1) / 2, np.log(k.beta), np.log(k.small)
    if first == "beta":
        low = np.where((t == 1).reshape(low.shape), high, low)
    got = target.learned_range_variance(v, t)
    check.equal("Σ_θ", got, np.exp(w * high + (1 - w) * low), case=b.case, at={"t": t, "v": v}, slack=10,
                mistakes=lambda: {
                    "β_t and β̃_t swapped": np.exp(w * low + (1 - w) * high),
                    "v itself for (v + 1)/2": np.exp(v * high + (1 - v) * low),
                    "an arithmetic mean": w * k.beta + (1 - w) * k.small,
                    "ln Σ_θ": w * high + (1 - w) * low,
                    "√Σ_θ": np.exp((w * high + (1 - w) * low) / 2)})
