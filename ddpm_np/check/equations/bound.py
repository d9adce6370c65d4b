"""The bound and its terms: a KL divergence, L_T, (8), L₀, (5), the weight of (12), and L_simple (14).

The bound is checked for x₀ on the grid of 256 levels and, at t = 1, for x₁ whose x̂₀ lies within 2 σ₁ of x₀: the
decoder's far tails are checked in `decoder` alone.
"""

from __future__ import annotations

import math

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches, plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations.bound_terms import (
    Means,
    bits,
    bound,
    divergence,
    first_sigma,
    kl_scale,
    level_scale,
    levels,
    log_level,
    other_conventions,
    shown,
    start,
)
from ddpm_np.check.equations.reverse import PAPER, VARIANCES, affine
from ddpm_np.check.registry import checks, drawn, equation

equation("kl", "KL of two normal distributions",
         r"D_\mathrm{KL} = \frac{1}{2}\left(\ln\frac{\sigma_2^2}{\sigma_1^2}+"
         r"\frac{\sigma_1^2+(\mu_1-\mu_2)^2}{\sigma_2^2}-1\right)", PAPER + "below (5)", "diffusion.normal.kl")
equation("L_T", "the prior's term", r"L_T = D_\mathrm{KL}(q(x_T\mid x_0)\,\|\,\mathcal{N}(0,I))", PAPER + "(5)",
         "diffusion.bound.prior_kl")
equation("8", "a term of the bound",
         r"L_{t-1} = \mathbb{E}_q\left[\frac{1}{2\sigma_t^2}\|\tilde\mu_t(x_t,x_0)-\mu_\theta(x_t,t)\|^2\right]+C,"
         r"\quad C = \frac{1}{2}\left(\ln\frac{\sigma_t^2}{\tilde\beta_t}+\frac{\tilde\beta_t}{\sigma_t^2}-1\right)",
         PAPER + "(8)", "diffusion.bound.vlb_term", "diffusion.mean_mismatch.mean_mismatch",
         "diffusion.mean_mismatch.mismatch_constant")
equation("L_0", "the data's term", r"L_0 = -\log p_\theta(x_0\mid x_1),\quad \sigma_1^2 = \tilde\beta_2",
         PAPER + "(5), section 3.3", "diffusion.bound.vlb_term")
equation("5", "the whole bound", r"L = L_T+\sum_{t>1}L_{t-1}+L_0", PAPER + "(5)", "diffusion.bound.vlb",
         "diffusion.bound.vlb_terms")

MODEL = "ε_θ = 3/4·x_t + 1/2·t/T − 1/4"  # `affine`, as counterexamples show it


# KL


def plain_normals() -> tuple[np.ndarray, ...]:
    """Return fixed cases: means that differ by one, variances that differ by a factor of four, then three ranks."""
    four = math.log(4.0)
    simple = np.array([[1.0, 0, 0, 0], [0, four, 0, 0], [0, 0, 0, four], [2, 0, 0, four]]).T[:, :, None]
    rng = np.random.default_rng(0)
    return (simple, *(rng.integers(-8, 9, (4, *shape)) / 4 for shape in ((3, 3), (2, 2, 3, 2))))


@checks("kl", draws=drawn("normals"), first=plain_normals, needs=["kl"], method="closed form")
def kl_is_its_formula(check: Check, four: np.ndarray) -> None:
    _compare_kl(check, four)


@checks("kl", first=plain_normals, needs=["kl"], aspect="kl_is_its_formula", method="closed form")
def kl_of_nearly_equal_variances(check: Check, four: np.ndarray) -> None:
    """Check variances so close that the plain formula cancels: it is still right to 1e-9 of its terms."""
    mean1, logvar1, mean2, logvar2 = four
    for small in (1e-3, 1e-6):
        _compare_kl(check, np.stack([mean1, logvar1, mean1 + small * mean2, logvar1 + small * logvar2]))


def _compare_kl(check: Check, four: np.ndarray) -> None:
    mean1, logvar1, mean2, logvar2 = four
    want, square = divergence(*four), (mean1 - mean2) ** 2
    ratio, log_ratio = np.exp(logvar1 - logvar2), logvar2 - logvar1
    check.equal("KL(1 ‖ 2)", check(plain_cases()[0]).kl(*four), want,
                at={"μ₁": mean1, "ln σ₁²": logvar1, "μ₂": mean2, "ln σ₂²": logvar2},
                scale=1 + np.abs(logvar1) + np.abs(logvar2) + ratio + square * np.exp(-logvar2), mistakes=lambda: {
                    "KL(2 ‖ 1): the arguments swapped": divergence(mean2, logvar2, mean1, logvar1),
                    "bits; kl is asked in nats": want / math.log(2),
                    "ln σ taken for ln σ²": divergence(mean1, 2 * logvar1, mean2, 2 * logvar2),
                    "no factor ½": 2 * want,
                    "the −1 missing": want + 0.5,
                    "the logarithm's sign": want - log_ratio,
                    "the logarithm missing": want - 0.5 * log_ratio,
                    "ln σ₂/σ₁ halved once more": want - 0.25 * log_ratio,
                    "(μ₁ − μ₂)² divided by σ₁²": want + 0.5 * square * (np.exp(-logvar1) - np.exp(-logvar2)),
                    "(μ₁ − μ₂)² not divided by σ₂²": want + 0.5 * square * (1 - np.exp(-logvar2)),
                    "|μ₁ − μ₂| without its square": want + 0.5 * (np.sqrt(square) - square) * np.exp(-logvar2),
                    "−KL: the sign": -want})


@checks("kl", first=plain_normals, needs=["kl"], aspect="kl_is_its_formula",
        method="40-node Gauss–Hermite integral")
def kl_is_an_expectation(check: Check, four: np.ndarray) -> None:
    """Check KL against E[ln p₁(x) − ln p₂(x)] over x ~ N(μ₁, σ₁²)."""
    mean1, logvar1, mean2, logvar2 = four
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x = mean1[..., None] + np.exp(logvar1 / 2)[..., None] * nodes  # (N, …, 40)
    squares = (x - mean2[..., None]) ** 2 * np.exp(-logvar2)[..., None] - nodes**2
    want = 0.5 * (logvar2 - logvar1) + 0.5 * (squares * weights).sum(axis=-1) / weights.sum()
    scale = 1 + np.abs(logvar1) + np.abs(logvar2) + (np.abs(squares) * weights).sum(axis=-1) / weights.sum()
    check.equal("KL(1 ‖ 2) against the integral of p₁·ln(p₁/p₂)", check(plain_cases()[0]).kl(*four), want, scale=scale,
                at={"μ₁": mean1, "ln σ₁²": logvar1, "μ₂": mean2, "ln σ₂²": logvar2})


@checks("kl", first=plain_normals, needs=["kl"], method="identity")
def kl_of_itself_is_zero(check: Check, four: np.ndarray) -> None:
    mean, logvar = four[0], four[1]
    check.equal("KL(1 ‖ 1)", check(plain_cases()[0]).kl(mean, logvar, mean, logvar), np.zeros_like(mean),
                scale=1 + np.abs(logvar), at={"μ₁": mean, "ln σ₁²": logvar})


# L_T


@checks("L_T", draws=drawn("batches"), first=plain_batches, needs=["prior_kl"], method="closed form")
def prior_term(check: Check, b: Batch) -> None:
    target, x_0 = check(b.case), levels(check, b)
    table, dims = b.case.table, x_0[0].size
    signal, noise = table.alpha_bar[-1] * x_0**2, table.one_minus_alpha_bar[-1]
    mean, logvar, zero = table.sqrt_alpha_bar[-1] * x_0, np.log(noise), np.zeros_like(x_0)
    want = bits(divergence(mean, logvar, 0.0, 0.0))
    before, other = table.alpha_bar[-2], np.log(table.one_minus_alpha_bar[-2]) if b.case.T > 1 else zero
    check.equal("L_T", target.prior_kl(x_0), want, case=b.case, at=shown(**{"x₀": x_0}),
                scale=bits(0.5 * (signal + noise + 1 + np.abs(logvar))), mistakes=lambda: {
                    **other_conventions(target, want, dims),
                    "KL(N(0, I) ‖ q): the arguments swapped": bits(divergence(0.0, 0.0, mean, logvar)),
                    "no factor ½": 2 * want,
                    "ᾱ_T·x₀ as the mean: a missing root": bits(divergence(table.alpha_bar[-1] * x_0, logvar, 0.0, 0.0)),
                    "x₀ itself as the mean": bits(divergence(x_0, logvar, 0.0, 0.0)),
                    "the mean left out": bits(divergence(zero, logvar, 0.0, 0.0)),
                    "√(1 − ᾱ_T), a standard deviation, as the variance": bits(divergence(mean, logvar / 2, 0.0, 0.0)),
                    "(1 − ᾱ_T)² as the variance": bits(divergence(mean, 2 * logvar, 0.0, 0.0)),
                    "the variances left out: ½·ᾱ_T·x₀²": bits(0.5 * signal),
                    "t = T − 1": bits(divergence(np.sqrt(before) * x_0, other, 0.0, 0.0)),
                    "the −1 missing": want + 0.5 / math.log(2),
                    "−L_T: the sign": -want})


# (8)


@checks("8", draws=drawn("batches", first=2), first=lambda: plain_batches(2), needs=["vlb_term"], method="closed form")
def term_is_a_divergence(check: Check, b: Batch) -> None:
    for variance in VARIANCES:
        with check.if_offered():
            _compare_term(check, b, variance)


def _compare_term(check: Check, b: Batch, variance: str) -> None:
    target, x_0, x_t, k, model = check(b.case), levels(check, b), b.y, b.rows, affine(b.case)
    eps, spread = model(x_t, b.t), np.ones_like(x_t)
    m = Means(k, x_0, x_t, eps, target.range)
    sigma_2, other = (k.beta_tilde, k.beta) if variance == "small" else (k.beta, k.beta_tilde)
    logvar1, logvar2 = np.log(k.beta_tilde), np.log(sigma_2)
    d2 = (m.posterior - m.model) ** 2
    want = bits(divergence(m.posterior, logvar1, m.model, logvar2))
    got = target.vlb_term(model, x_0, x_t, b.t, variance=variance)
    check.equal(f"L_(t−1) ({variance})", got, want, case=b.case, scale=bits(kl_scale(m, logvar1, logvar2)),
                at={"t": b.t, **shown(**{"x₀": x_0, "x_t": x_t, "ε_θ": eps})}, mistakes=lambda: {
                    **other_conventions(target, want, x_0[0].size),
                    "KL(p_θ ‖ q): the arguments swapped": bits(divergence(m.model, logvar2, m.posterior, logvar1)),
                    f"σ_t² = {'β_t' if variance == 'small' else 'β̃_t'}, the other variance":
                        bits(divergence(m.posterior, logvar1, m.model, np.log(other))),
                    "β_t for β̃_t in both": bits(divergence(m.posterior, np.log(k.beta), m.model, np.log(k.beta))),
                    "x̂₀ clipped, though the bound never clips":
                        bits(divergence(m.posterior, logvar1, m.clipped, logvar2)),
                    "the quadratic alone: C missing": bits(0.5 * d2 / sigma_2),
                    "no factor ½": 2 * want,
                    "‖μ̃_t − μ_θ‖² without 1/(2σ_t²)": bits(d2),
                    "β_t for β̃_t in q": bits(divergence(m.posterior, np.log(k.beta), m.model, logvar2)),
                    "σ_t for σ_t²": bits(divergence(m.posterior, logvar1 / 2, m.model, logvar2 / 2)),
                    "σ_t² for ln σ_t²": bits(divergence(m.posterior, k.beta_tilde * spread, m.model, sigma_2 * spread)),
                    "x₀ for μ̃_t": bits(divergence(x_0, logvar1, m.model, logvar2)),
                    "x̂₀ for μ_θ": bits(divergence(m.posterior, logvar1, m.x0_hat, logvar2)),
                    "L₀, the decoder, at t > 1": bits(-log_level(x_0, m.model, np.sqrt(sigma_2), *target.range)),
                    "−L_(t−1): the sign": -want})


@checks("8", first=lambda: plain_batches(2), needs=["vlb_term"], method="closed form")
def term_is_a_square_and_a_constant(check: Check, b: Batch) -> None:
    """Check that L_{t−1} is C for the true ε of x₀ and x_t, and exceeds C by (μ̃_t − μ_θ)²/(2σ_t²) for another ε."""
    for variance in VARIANCES:
        with check.if_offered():
            _compare_square(check, b, variance)


def _compare_square(check: Check, b: Batch, variance: str) -> None:
    target, x_0, x_t, k = check(b.case), levels(check, b), b.y, b.rows
    true = (x_t - k.sqrt_alpha_bar * x_0) / k.sqrt_one_minus_alpha_bar
    best = Means(k, x_0, x_t, true, target.range)
    m = Means(k, x_0, x_t, true + 1, target.range)
    sigma_2, other = (k.beta_tilde, k.beta) if variance == "small" else (k.beta, k.beta_tilde)
    logs = np.log(k.beta_tilde), np.log(sigma_2)
    at = {"t": b.t, **shown(**{"x₀": x_0, "x_t": x_t})}
    constant = target.vlb_term(lambda x, t: true, x_0, x_t, b.t, variance=variance)
    c = bits(0.5 * (logs[1] - logs[0] + k.beta_tilde / sigma_2 - 1) + 0 * x_0)
    check.equal(f"L_(t−1) ({variance}) of the true ε, which is C", constant, c, case=b.case, at=at,
                scale=bits(kl_scale(best, *logs)), mistakes=lambda: {
                    **other_conventions(target, c, x_0[0].size), "0: C missing": 0 * c, "no factor ½": 2 * c,
                    "C with β_t and β̃_t swapped":
                        bits(0.5 * (logs[0] - logs[1] + sigma_2 / k.beta_tilde - 1) + 0 * x_0)})
    got = target.vlb_term(lambda x, t: true + 1, x_0, x_t, b.t, variance=variance) - constant
    gap = k.beta / k.sqrt_one_minus_alpha_bar / k.sqrt_alpha * np.ones_like(x_0)  # of the means, for an ε off by 1
    square = bits(gap**2 / (2 * sigma_2))
    check.equal(f"L_(t−1) ({variance}) of the true ε + 1, less C", got, square, case=b.case, at=at,
                scale=bits(kl_scale(m, *logs) + kl_scale(best, *logs)), mistakes=lambda: {
                    **other_conventions(target, square, x_0[0].size), "no factor ½": 2 * square,
                    f"σ_t² = {'β_t' if variance == 'small' else 'β̃_t'}, the other variance":
                        bits(gap**2 / (2 * other))})


# L_0


@checks("L_0", draws=drawn("batches"), first=plain_batches, needs=["vlb_term"], method="normal distribution function")
def first_term_is_the_decoder(check: Check, b: Batch) -> None:
    """Check L₀ as the decoder's likelihood, with σ₁² = β̃₂ for either variance."""
    for variance in VARIANCES:
        with check.if_offered():
            _compare_first(check, b, variance)


def _compare_first(check: Check, b: Batch, variance: str) -> None:
    target, model, x_0 = check(b.case), affine(b.case), levels(check, b)
    b = Batch(b.case, np.ones(len(b.t), b.t.dtype), x_0, b.y)
    k = b.rows
    x_1 = k.sqrt_alpha_bar * x_0 + k.sqrt_beta * start(b.case, x_0, b.y)
    eps, sigma, ends = model(x_1, b.t), first_sigma(check, b, variance), target.range
    m = Means(k, x_0, x_1, eps, ends)
    log_p = log_level(x_0, m.model, sigma, *ends)
    want, z2 = bits(-log_p), ((x_0 - m.model) / sigma) ** 2
    got = target.vlb_term(model, x_0, x_1, b.t, variance=variance)
    check.equal(f"L₀ ({variance})", got, want, case=b.case, at=shown(**{"x₀": x_0, "x₁": x_1, "ε_θ": eps}),
                scale=bits(level_scale(m, log_p, sigma)), mistakes=lambda: {
                    **other_conventions(target, want, x_0[0].size),
                    "σ₁² = β₁ for β̃₂": bits(-log_level(x_0, m.model, k.sqrt_beta, *ends)),
                    "σ₁² = 1e-20 for β̃₂": bits(-log_level(x_0, m.model, 1e-10, *ends)),
                    "σ₁² = β₂ for β̃₂": bits(-log_level(x_0, m.model, b.case.table.sqrt_beta[2], *ends)),
                    "σ₁² for σ₁, a variance as the scale": bits(-log_level(x_0, m.model, sigma**2, *ends)),
                    "x̂₀ clipped, though the bound never clips": bits(-log_level(x_0, m.clipped, sigma, *ends)),
                    "the log density, without levels": bits(0.5 * (math.log(2 * math.pi) + 2 * np.log(sigma) + z2)),
                    "a KL divergence, as at t > 1": bits(0.5 * z2),
                    "‖x₀ − μ_θ‖²": bits((x_0 - m.model) ** 2),
                    "log p, without the minus": -want})


@checks("L_0", first=lambda: short_batches()[:3], needs=["vlb_term"], aspect="first_term_is_the_decoder",
        method="each image by itself")
def first_term_in_a_batch_of_any_t(check: Check, b: Batch) -> None:
    """Check a batch of different t: the decoder for the images at t = 1, a divergence for the others."""
    for variance in VARIANCES:
        with check.if_offered():
            _compare_with_each_image(check, b, variance)


def _compare_with_each_image(check: Check, b: Batch, variance: str) -> None:
    target, x_0, k, model = check(b.case), levels(check, b), b.rows, affine(b.case)
    first, ones = (b.t == 1).reshape(k.beta.shape), np.ones(len(b.t), b.t.dtype)
    usual = np.sqrt(k.small if variance == "small" else k.large)
    sigma = np.where(first, first_sigma(check, b._replace(t=ones), variance), usual)
    x_1 = k.sqrt_alpha_bar * x_0 + k.sqrt_beta * start(b.case, x_0, 0 * x_0)
    x_t = np.where(first, x_1, b.y)
    m = Means(k, x_0, x_t, model(x_t, b.t), target.range)
    alone = [target.vlb_term(model, x_0[i : i + 1], x_t[i : i + 1], b.t[i : i + 1], variance=variance)
             for i in range(len(b.t))]
    got = target.vlb_term(model, x_0, x_t, b.t, variance=variance)
    logs = np.log(k.small), 2 * np.log(sigma)
    check.equal("L_(t−1) in a batch against that of each image", got, np.concatenate(alone), case=b.case, at={"t": b.t},
                scale=bits(kl_scale(m, *logs) + level_scale(m, 0 * m.model, sigma)) + np.concatenate(alone))


# (5)


def short_batches() -> list[Batch]:
    """Return the fixed cases with few steps."""
    return [b for b in plain_batches() if b.case.T < 100]


@checks("5", draws=drawn("short_batches"), first=short_batches, needs=["vlb"], method="closed form")
def bound_is_the_sum_of_its_terms(check: Check, b: Batch) -> None:
    """Check the bound of a model whose x̂₀ sometimes leave [−1, 1], which the bound does not clip."""
    for variance in VARIANCES:
        with check.if_offered():
            _compare_bound(check, b, variance)


def _compare_bound(check: Check, b: Batch, variance: str) -> None:
    target, case, x_0 = check(b.case), b.case, levels(check, b)
    noises = np.stack([(-1) ** t * np.roll(b.y, t) for t in range(case.T + 1)])  # (T+1, N, …)
    noises[0], noises[1] = 1e6, start(case, x_0, b.y)  # row 0 is not to be used
    terms, scales = bound(check, b, variance, noises, x_0)
    want, (first, *between, last) = terms.sum(axis=0), terms
    got = target.vlb(affine(case), x_0, noises, variance=variance)

    def mistakes() -> dict[str, np.ndarray]:
        other = "large" if variance == "small" else "small"
        return {
            **other_conventions(target, want, x_0[0].size),
            "L_T missing": want - last, "L₀ missing": want - first,
            f"L_(T−1) missing: a loop that skips T = {case.T}": want - terms[-2],
            "L₁ missing: a loop that skips t = 2": want - between[0],
            "L_T twice": want + last, "L₀ twice": want + first,
            "L_T + L₀: the sum between missing": first + last,
            "the mean over t for the sum": last + terms[:-1].mean(axis=0),
            "the mean over all terms for their sum": terms.mean(axis=0),
            "T times the bound": want * case.T,
            "x̂₀ clipped, though the bound never clips":
                bound(check, b, variance, noises, x_0, clip=True)[0].sum(axis=0),
            "the other variance": bound(check, b, other, noises, x_0)[0].sum(axis=0),
            "noises[t − 1] for noises[t]": bound(check, b, variance, np.roll(noises, 1, 0), x_0)[0].sum(axis=0),
            "noises[1] at every t": bound(check, b, variance, noises[[1] * len(noises)], x_0)[0].sum(axis=0)}

    texts = np.array([", ".join(f"{v:.6g}" for v in noises[1:5, i].reshape(-1)[:4]) for i in range(len(x_0))])
    check.equal(f"L ({variance}) of {MODEL}", got, want, case=case, scale=scales.sum(axis=0), mistakes=mistakes,
                at={**shown(**{"x₀": x_0}), "noises[1:]": np.array([f"({text}, …)" for text in texts])})
