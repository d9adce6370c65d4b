"""The posterior of a forward step given both ends: (6) by Bayes' rule on densities, (7) by its coefficients."""

from __future__ import annotations

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches
from ddpm_np.check.comparison import Check
from ddpm_np.check.registry import checks, drawn, equation

equation("6", "the posterior is Bayes' rule",
         r"q(x_{t-1}\mid x_t,x_0) = \mathcal{N}(\tilde\mu_t(x_t,x_0),\,\tilde\beta_t I)",
         "Ho et al. 2020, (6)", "diffusion.posterior.q_posterior")
equation("7", "μ̃_t and β̃_t",
         r"\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\beta_t}{1-\bar\alpha_t}x_0 + "
         r"\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t,\quad "
         r"\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t",
         "Ho et al. 2020, (7)", "diffusion.posterior.posterior_mean", "diffusion.posterior.q_posterior",
         "diffusion.schedule.Schedule")
equation("log-variance", "ln β̃_t, clipped at t = 1", r"\ln\tilde\beta_{\max(t,2)}",
         "Ho et al. 2020, the authors' code", "diffusion.schedule.Schedule", "diffusion.variance.log_variance")


@checks("7", draws=drawn("batches"), first=plain_batches, needs=["q_posterior"])
def posterior_has_its_coefficients(check: Check, b: Batch) -> None:
    k = b.rows
    from_x0, from_xt = k.x0 * b.x, k.xt * b.y
    mean, variance = check(b.case).q_posterior(b.x, b.y, b.t)
    at = {"t": b.t, "x₀": b.x, "x_t": b.y}
    spread = np.ones_like(b.x)
    check.equal("β̃_t", variance, k.beta_tilde * spread, case=b.case, at={"t": b.t}, scale=k.beta * spread,
                mistakes=lambda: {
                    "β_t: the large variance for the small": k.beta * spread,
                    "√β̃_t, a standard deviation": np.sqrt(k.beta_tilde) * spread,
                    "ln β̃_t, a logarithm": np.log(k.beta_tilde) * spread,
                    "ln β̃_t clipped, a logarithm": np.log(k.small) * spread,
                    "ᾱ_{t−1} without 1 −": k.alpha_bar_prev / k.one_minus_alpha_bar * k.beta * spread,
                    "the fraction upside down": k.one_minus_alpha_bar / k.one_minus_alpha_bar_prev * k.beta * spread,
                    "(1 − α_t)²: β_t twice": k.beta_tilde * k.beta * spread,
                    "1 − ᾱ_t": k.one_minus_alpha_bar * spread,
                    "β̃₂ at t = 1, where the posterior is a point": k.small * spread,
                    "1e-20 at t = 1, where it is 0": np.maximum(k.beta_tilde, 1e-20) * spread})
    scale = np.abs(from_x0) + np.abs(from_xt) + np.abs(b.y) / k.sqrt_alpha  # computed from ε, x_t/√α_t is a term
    check.equal("μ̃_t", mean, from_x0 + from_xt, case=b.case, scale=scale, at=at,
                mistakes=lambda: {
                    "x₀ and x_t swapped": k.x0 * b.y + k.xt * b.x,
                    "ᾱ_{t−1}·β_t: a missing root": k.x0 * k.sqrt_alpha_bar_prev * b.x + from_xt,
                    "α_t·(1 − ᾱ_{t−1}): a missing root": from_x0 + k.xt * k.sqrt_alpha * b.y,
                    "√ᾱ_t for √ᾱ_{t−1}": k.x0 * k.sqrt_alpha * b.x + from_xt,
                    "√ᾱ_t for √α_t": from_x0 + k.xt / k.sqrt_alpha * k.sqrt_alpha_bar * b.y,
                    "√β_t for β_t": k.x0 / k.sqrt_beta * b.x + from_xt,
                    "1 − ᾱ_t for 1 − ᾱ_{t−1}": from_x0 + k.sqrt_alpha * b.y,
                    "a minus between the terms": from_x0 - from_xt,
                    "x_t alone": from_xt,
                    "x₀ alone": from_x0})


@checks("7", draws=drawn("batches"), first=plain_batches, needs=["q_posterior"],
        aspect="posterior_has_its_coefficients", method="tower identities")
def posterior_averages_to_the_marginal(check: Check, b: Batch) -> None:
    """Check that (6) averaged over q(x_t | x₀) is (4).

    That is c₀ + c_t·√ᾱ_t = √ᾱ_{t−1} and c_t²·(1 − ᾱ_t) + β̃_t = 1 − ᾱ_{t−1}.
    """
    target, k = check(b.case), b.rows
    zeros, ones = np.zeros_like(b.x), np.ones_like(b.x)
    c0, variance = target.q_posterior(ones, zeros, b.t)
    ct, _ = target.q_posterior(zeros, ones, b.t)
    check.equal("c₀ + c_t·√ᾱ_t", c0 + ct * k.sqrt_alpha_bar, k.sqrt_alpha_bar_prev * ones, case=b.case, at={"t": b.t})
    check.equal("c_t²·(1 − ᾱ_t) + β̃_t", ct**2 * k.one_minus_alpha_bar + variance, k.one_minus_alpha_bar_prev * ones,
                case=b.case, at={"t": b.t}, scale=k.one_minus_alpha_bar * ones)


@checks("6", draws=drawn("batches", first=2), first=lambda: plain_batches(2), needs=["q_posterior"],
        method="Bayes' rule on densities")
def posterior_is_bayes_rule(check: Check, b: Batch) -> None:
    """Check ln q(x_t | x_{t−1}) + ln q(x_{t−1} | x₀) − ln q(x_t | x₀) = ln q(x_{t−1} | x_t, x₀) at five x_{t−1}.

    Two normal densities that agree at three points are equal, so this determines mean and variance together.
    """
    k = b.rows
    mean, variance = check(b.case).q_posterior(b.x, b.y, b.t)
    check.true((variance > 0).all(), f"{b.case!r}: β̃_t got {variance.min():.6g} at t ≥ 2")
    centre = k.x0 * b.x + k.xt * b.y  # the centre of the density
    for steps in (-2.0, -1.0, 0.0, 1.0, 2.0):
        x = centre + steps * np.sqrt(k.beta_tilde)
        terms = [_log_normal(b.y, k.sqrt_alpha * x, k.beta), _log_normal(x, k.sqrt_alpha_bar_prev * b.x,
                                                                        k.one_minus_alpha_bar_prev),
                 -_log_normal(b.y, k.sqrt_alpha_bar * b.x, k.one_minus_alpha_bar)]
        check.equal("ln q(x_{t−1} | x_t, x₀)", _log_normal(x, mean, variance), sum(terms), case=b.case,
                    at={"t": b.t, "x₀": b.x, "x_t": b.y, "x_{t−1}": x},
                    scale=sum(map(np.abs, terms)) + np.abs(b.x) + np.abs(b.y) + 1, slack=10)


@checks("log-variance", draws=drawn("batches"), first=plain_batches, needs=["posterior_log_variance_clipped"])
def log_variance_is_that_of_two_at_one(check: Check, b: Batch) -> None:
    k = b.case.table
    got = check(b.case).posterior_log_variance_clipped(b.t)
    check.equal("ln β̃_t (of t = 2 at t = 1)", got, np.log(k.small)[b.t], case=b.case, at={"t": b.t},
                scale=1 + np.abs(np.log(k.small)[b.t]), mistakes=lambda: {
                    "ln β_t": np.log(k.beta)[b.t],
                    "ln β_t, with β̃₂ at t = 1": np.log(k.large)[b.t],
                    "β̃_t itself": k.small[b.t],
                    "ln √β̃_t": np.log(k.small)[b.t] / 2,
                    "ln max(β̃_t, 1e-20)": np.log(np.maximum(k.beta_tilde, 1e-20))[b.t],
                    "ln β₁ at t = 1": np.log(np.where(np.arange(b.case.T + 1) == 1, k.beta, k.beta_tilde))[b.t]})


@checks("log-variance", first=plain_batches, needs=["log_variance"], aspect="log_variance_is_that_of_two_at_one")
def log_variance_of_the_small_step(check: Check, b: Batch) -> None:
    """Check the same rows as the variance of a reverse step."""
    want = np.log(b.rows.small)
    got = check(b.case).array("log_variance", want.shape, "small", b.t, b.x)
    check.equal("ln σ_t² (small)", got, want, case=b.case, at={"t": b.t}, scale=1 + np.abs(want))


def _log_normal(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)
