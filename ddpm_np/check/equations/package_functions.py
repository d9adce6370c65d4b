"""Functions of this package that are not methods of the protocol, each under the equation that it implements.

The protocol's methods are built from them. Their properties have the aspects of those methods' properties, so another
target does not need these functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches
from ddpm_np.check.comparison import Check
from ddpm_np.check.distributions import normal_log_density
from ddpm_np.check.equations import bound, losses  # noqa: F401 - register (8) and (12)
from ddpm_np.check.equations.extensions import marginal, per_image
from ddpm_np.check.equations.posterior import posterior_has_its_coefficients
from ddpm_np.check.equations.reverse import VARIANCES, affine, constant
from ddpm_np.check.equations.sampler import plain_jumps
from ddpm_np.check.registry import checks, equation

equation("log-normal", "a normal distribution's logarithm",
         r"\ln\mathcal{N}(x;\mu,\sigma^2) = -\frac{1}{2}\left(\ln2\pi+\ln\sigma^2+\frac{(x-\mu)^2}{\sigma^2}\right)",
         "Ho et al. 2020, (1) and (2)", "diffusion.normal.log_normal")


def no_first() -> list[Batch]:
    """Return the fixed cases with t ≥ 2."""
    return list(plain_batches(2))


@checks("log-normal", first=plain_batches, needs=["log_normal"], method="normal densities")
def log_normal_is_the_log_density(check: Check, b: Batch) -> None:
    logvar = b.x - 0.5 * b.y
    want = normal_log_density(b.x, b.y, np.exp(logvar / 2))
    check.equal("ln N(x; μ, σ²)", check(b.case).array("log_normal", b.x.shape, b.x, b.y, logvar), want,
                at={"x": b.x, "μ": b.y, "ln σ²": logvar}, scale=1 + np.abs(logvar) + (b.x - b.y) ** 2 * np.exp(-logvar),
                mistakes=lambda: {"σ for σ²": normal_log_density(b.x, b.y, np.exp(logvar)), "−ln N": -want,
                                  "no ln 2π": want + np.log(2 * np.pi) / 2})


@checks("7", first=plain_batches, needs=["posterior_mean"], aspect=posterior_has_its_coefficients.__name__)
def posterior_mean_alone(check: Check, b: Batch) -> None:
    k = b.rows
    check.equal("μ̃_t", check(b.case).array("posterior_mean", b.x.shape, b.x, b.y, b.t), k.x0 * b.x + k.xt * b.y,
                case=b.case, at={"t": b.t, "x₀": b.x, "x_t": b.y}, scale=k.x0 * np.abs(b.x) + k.xt * np.abs(b.y))


@checks("2", first=lambda: [b for b in plain_batches() if b.case.T < 100], needs=["q_trajectory"],
        aspect="q_step_is_one_step")
def trajectory_step_by_step(check: Check, b: Batch) -> None:
    """Check x₀..x_T from x₀ = x with the noise y·t at step t; row 0 of the noises must not be used."""
    k, noises = b.case.table, np.stack([b.y * t for t in range(b.case.T + 1)])
    noises[0] = 1e6
    want = [b.x]
    for t in range(1, b.case.T + 1):
        want.append(k.sqrt_alpha[t] * want[-1] + k.sqrt_beta[t] * noises[t])
    got = check(b.case).array("q_trajectory", noises.shape, b.x, noises)
    check.equal("x₀, x₁, …, x_T", got, np.stack(want), case=b.case, scale=1 + 2 * np.abs(noises[1:]).sum(axis=0))


@checks("15", first=plain_batches, needs=["x0_from_mean"], aspect="x0_hat")
def x0_of_a_mean(check: Check, b: Batch) -> None:
    """Check (7) solved for x₀, where x is x_t and y is the mean."""
    k = b.rows
    from_mean, from_xt = b.y / k.x0, k.xt / k.x0 * b.x
    got = check(b.case).array("x0_from_mean", b.x.shape, b.x, b.t, b.y)
    check.equal("x̂₀ of μ", got, from_mean - from_xt, case=b.case,
                at={"t": b.t, "x_t": b.x, "μ": b.y}, scale=np.abs(from_mean) + np.abs(from_xt))


@checks("11", first=plain_batches, needs=["eps_from_mean"], aspect="mean")
def eps_of_a_mean(check: Check, b: Batch) -> None:
    """Check (11) solved for ε, where x is x_t and y is the mean."""
    k = b.rows
    gain = k.sqrt_one_minus_alpha_bar / k.beta
    got = check(b.case).array("eps_from_mean", b.x.shape, b.x, b.t, b.y)
    check.equal("ε of μ", got, gain * (b.x - k.sqrt_alpha * b.y), case=b.case,
                at={"t": b.t, "x_t": b.x, "μ": b.y}, scale=gain * (np.abs(b.x) + np.abs(b.y)))


@checks("score", first=plain_batches, needs=["eps_from_score"], aspect="score_of_the_noise")
def eps_of_a_score(check: Check, b: Batch) -> None:
    check.equal("ε of s", check(b.case).array("eps_from_score", b.x.shape, b.x, b.t, b.y),
                -b.rows.sqrt_one_minus_alpha_bar * b.y, case=b.case, at={"t": b.t, "s": b.y})


@checks("11", first=plain_batches, needs=["p_mean_log_variance"], aspect="mean")
def mean_and_log_variance_of_a_model(check: Check, b: Batch) -> None:
    """Check mean and ln variance at x_t = x, for an affine model of ε and for a model that predicts x₀ = y."""
    k = b.rows
    model = affine(b.case)
    eps = model(b.x, b.t)
    x0 = (b.x - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar
    error = (np.abs(b.x) + np.abs(eps)) / k.sqrt_alpha_bar
    for predicts, asked, say, x0_hat in (("eps", model, eps, x0), ("x0", constant(b.y), b.y, b.y)):
        at = {"t": b.t, "x_t": b.x, "the net's output": say}
        for variance in VARIANCES:
            with check.if_offered():
                options, sigma2 = {"predicts": predicts, "variance": variance}, getattr(k, variance)
                mean, logvar, got = check(b.case).call("p_mean_log_variance", asked, b.x, b.t, **options)
                check.equal("μ_θ", mean, k.x0 * x0_hat + k.xt * b.x, case=b.case, at=at,
                            scale=k.x0 * (error + np.abs(b.y)) + k.xt * np.abs(b.x))
                check.equal("ln σ_t²", logvar, np.log(sigma2), case=b.case, scale=1 + np.abs(np.log(sigma2)))
                check.equal("x̂₀", got, x0_hat, case=b.case, at=at, scale=error + np.abs(b.y))


@checks("sigma", first=plain_batches, needs=["log_variance"], aspect="small_variance_is_beta_tilde")
def log_variance_of_every_kind(check: Check, b: Batch) -> None:
    k, second = b.rows, b.y / 4
    table = np.concatenate(([np.nan], 0.5 + np.arange(b.case.T) % 7))
    rows, between = table[b.t].reshape(k.beta.shape), (second + 1) / 2
    log_between = between * np.log(k.beta) + (1 - between) * np.log(k.small)
    for variance, want in (("small", np.log(k.small)), ("large", np.log(k.large)), (table, np.log(rows)),
                           ("learned", second), ("learned_range", log_between)):
        name = variance if isinstance(variance, str) else "a table"
        with check.if_offered():
            got = check(b.case).array("log_variance", want.shape, variance, b.t, b.x, second)
            check.equal(f"ln σ_t² ({name})", got, want, case=b.case, at={"t": b.t},
                        scale=1 + np.abs(np.log(k.small)) + np.abs(want))


@checks("learned-range", first=plain_batches, needs=["learned_range_log_variance"], aspect="learned_range_is_geometric")
def learned_range_in_logarithms(check: Check, b: Batch) -> None:
    k, v = b.rows, b.x / 2
    want = (v + 1) / 2 * np.log(k.beta) + (1 - v) / 2 * np.log(k.small)
    check.equal("ln Σ_θ", check(b.case).array("learned_range_log_variance", v.shape, v, b.t), want, case=b.case,
                at={"t": b.t, "v": v}, scale=1 + np.abs(np.log(k.small)))


@checks("ddim-16", first=lambda: plain_jumps()[:12], needs=["ddim_sigma"],
        aspect="ddim_noise_is_sigma")
def sigma_alone(check: Check, drawn: tuple[Batch, np.ndarray, float]) -> None:
    b, s, eta = drawn
    k, then = b.rows, b.case.rows(s, b.x)
    left = np.array([float(1 - b.case.exact.alpha_bar[t] / b.case.exact.alpha_bar[u])  # exactly, then rounded
                     for t, u in zip(b.t, s, strict=True)]).reshape(k.beta.shape)
    want = eta * np.sqrt(then.one_minus_alpha_bar / k.one_minus_alpha_bar * left)
    got = check(b.case).array("ddim_sigma", want.shape, b.t, s, eta, b.x)
    check.equal("σ_t", got, want, case=b.case, at={"t": b.t, "s": s}, scale=np.sqrt(k.one_minus_alpha_bar), slack=10)


# (8), (9), (10) and (12): four forms of one number


def _mismatch(b: Batch, variance: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return (μ̃_t − μ_θ)²/(2σ_t²) of x₀ = x and ε = y, (N,), the scale of its errors, and the affine model."""
    k, model, x_t = b.rows, affine(b.case), marginal(b)
    eps, sigma2 = model(x_t, b.t), k.small if variance == "small" else k.large
    gap = k.beta / k.sqrt_one_minus_alpha_bar / k.sqrt_alpha * (b.y - eps)
    size = k.x0 / k.sqrt_alpha_bar * (np.abs(b.x) + np.abs(b.y) + np.abs(eps)) + k.xt * (np.abs(b.x) + np.abs(b.y))
    return per_image(gap**2 / (2 * sigma2)), per_image(size**2 / (2 * sigma2)), model


def _compare_mismatch(check: Check, b: Batch, name: str, *args: Any) -> None:
    for variance, predicts in (("small", "eps"), ("large", "eps"), ("large", "x0")):
        if predicts == "x0" and name == "weighted_noise_loss":  # a loss of the noise alone
            continue
        want, scale, model = _mismatch(b, variance)
        options = {"variance": variance}
        if predicts == "x0":
            eps, k = model(marginal(b), b.t), b.rows
            model = constant((marginal(b) - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar)
            options["predicts"] = predicts
        with check.if_offered():
            got = check(b.case).array(name, b.t.shape, model, *args, **options)
            check.equal(f"(μ̃_t − μ_θ)²/(2σ_t²), {variance}", got, want, case=b.case, at={"t": b.t}, scale=scale,
                        mistakes={"no factor ½": 2 * want, "a sum for the mean": want * b.x[0].size,
                                  "bits for nats": want / np.log(2)})


@checks("8", first=no_first, needs=["mean_mismatch"], aspect="term_is_a_divergence", method="closed form")
def mismatch_of_means(check: Check, b: Batch) -> None:
    _compare_mismatch(check, b, "mean_mismatch", b.x, marginal(b), b.t)


@checks("9", first=no_first, needs=["mean_mismatch_from_noise"], aspect="x0_comes_back", method="closed form")
def mismatch_by_way_of_x0(check: Check, b: Batch) -> None:
    _compare_mismatch(check, b, "mean_mismatch_from_noise", b.x, b.t, b.y)


@checks("10", first=no_first, needs=["mean_mismatch_simplified"], aspect="mean_in_terms_of_the_noise",
        method="closed form")
def mismatch_simplified(check: Check, b: Batch) -> None:
    _compare_mismatch(check, b, "mean_mismatch_simplified", b.x, b.t, b.y)


@checks("12", first=no_first, needs=["weighted_noise_loss"], aspect="weight_of_the_noise_error", method="closed form")
def mismatch_of_the_noise(check: Check, b: Batch) -> None:
    _compare_mismatch(check, b, "weighted_noise_loss", b.x, b.t, b.y)


@checks("8", first=no_first, needs=["mismatch_constant"], aspect="term_is_a_square_and_a_constant",
        method="closed form")
def constant_of_eight(check: Check, b: Batch) -> None:
    k = b.rows
    for variance, sigma2 in (("small", k.small), ("large", k.large)):
        ratio = k.beta_tilde / sigma2
        want = 0.5 * (ratio - 1 - np.log(ratio))
        with check.if_offered():
            got = check(b.case).array("mismatch_constant", want.shape, b.t, b.x, variance)
            check.equal(f"C ({variance})", got, want, case=b.case, at={"t": b.t}, scale=1 + np.abs(np.log(ratio)),
                        mistakes={"upside down": 0.5 * (1 / ratio - 1 + np.log(ratio)), "no ½": 2 * want})
