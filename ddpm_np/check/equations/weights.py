"""The bound's weights of a prediction's error, and the variance that is best for it (`diffusion.weights`)."""

from __future__ import annotations

from itertools import product

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches
from ddpm_np.check.comparison import Check
from ddpm_np.check.exact import Rows
from ddpm_np.check.registry import checks, drawn, equation

equation("bound-weight", "the weight of a prediction's error in the bound",
         r"\frac{1}{2}\left(\frac{\bar\alpha_{t-1}}{1-\bar\alpha_{t-1}}-\frac{\bar\alpha_t}{1-\bar\alpha_t}\right)"
         r"\|x_0-\hat x_0\|^2,\quad \sigma_t^2 = \tilde\beta_t",
         "Ho et al. 2020, (8) and (12); Kingma et al. 2021, (13)", "diffusion.weights.bound_weight")
equation("optimal-variance", "the σ_t² for which the bound is least",
         r"\sigma_t^2 = \tilde\beta_t+\frac{\beta_t^2}{\alpha_t(1-\bar\alpha_t)}\,\mathbb{E}\,"
         r"\|\epsilon-\epsilon_\theta\|^2/D", "Bao et al. 2022, theorem 1", "diffusion.weights.optimal_variance")


def gains(k: Rows) -> dict[str, np.ndarray]:
    """Return the squared factor by which an error of each prediction moves the mean, from its difference quotient."""
    x0 = (k.sqrt_alpha_bar_prev * k.beta / k.one_minus_alpha_bar) ** 2
    ratio = k.one_minus_alpha_bar / k.alpha_bar  # of squared errors of x₀ and ε
    return {"eps": x0 * ratio, "x0": x0, "v": x0 * k.one_minus_alpha_bar, "mean": np.ones_like(x0)}


@checks("bound-weight", draws=drawn("batches", first=2), first=lambda: plain_batches(2), needs=["bound_weight"])
def weight_of_each_prediction(check: Check, b: Batch) -> None:
    """Check each weight with σ_t² = β̃_t and β_t, and that of x₀ by signal-to-noise ratios."""
    k = b.case.rows(b.t, b.t)
    half_fall = (k.alpha_bar_prev / k.one_minus_alpha_bar_prev - k.alpha_bar / k.one_minus_alpha_bar) / 2
    variances = {"small": k.beta_tilde, "large": k.beta}
    for (variance, sigma2), (predicts, gain) in product(variances.items(), gains(k).items()):
        want = gain / (2 * sigma2)
        with check.if_offered():
            got = check(b.case).array("bound_weight", b.t.shape, b.t, variance, predicts=predicts)
            check.equal(f"the weight of {predicts!r} ({variance})", got, want, case=b.case, at={"t": b.t}, slack=10,
                        mistakes={"no factor ½": 2 * want, "σ_t for σ_t²": want * np.sqrt(sigma2)})
            if (variance, predicts) == ("small", "x0"):
                check.equal("½·(SNR(t − 1) − SNR(t))", got, half_fall, case=b.case, at={"t": b.t}, slack=10,
                            scale=k.alpha_bar_prev / k.one_minus_alpha_bar_prev)


@checks("optimal-variance", draws=drawn("batches"), first=plain_batches, needs=["optimal_variance"])
def variance_of_a_given_error(check: Check, b: Batch) -> None:
    k, error = b.rows, b.x**2
    for predicts, gain in gains(k).items():
        with check.if_offered():
            got = check(b.case).array("optimal_variance", b.x.shape, b.t, error, predicts=predicts)
            check.equal(f"σ_t² of an error of {predicts!r}", got, k.beta_tilde + gain * error, case=b.case,
                        at={"t": b.t, "error": error}, slack=10, mistakes={
                            "β_t for β̃_t": k.beta + gain * error, "the error itself": k.beta_tilde + error})


@checks("optimal-variance", draws=drawn("batches"), first=plain_batches, needs=["optimal_variance"],
        method="closed form")
def variance_of_gaussian_data(check: Check, b: Batch) -> None:
    """Check data N(0, s²): β_t·v_{t−1}/v_t, v_t = ᾱ_t·s² + 1 − ᾱ_t; that is β_t for s = 1 and β̃_t for s = 0."""
    k = b.rows
    for s2 in (0.0, 0.25, 1.0):
        here = k.alpha_bar * s2 + k.one_minus_alpha_bar
        error = k.alpha_bar * s2 / here * np.ones_like(b.x)
        got = check(b.case).array("optimal_variance", b.x.shape, b.t, error)
        check.equal(f"σ_t² of N(0, {s2})", got,
                    k.beta * (k.alpha_bar_prev * s2 + k.one_minus_alpha_bar_prev) / here * np.ones_like(b.x),
                    case=b.case, at={"t": b.t}, slack=10, scale=k.beta * np.ones_like(b.x))
