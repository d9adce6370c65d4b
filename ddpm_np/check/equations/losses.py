"""The training losses: the weight of (12), and L_simple (14)."""

from __future__ import annotations

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations.bound_terms import other_conventions, shown
from ddpm_np.check.equations.reverse import PAPER, VARIANCES, affine
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, drawn, equation

equation("12", "the weight of the noise's error", r"\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}",
         PAPER + "(12)", "diffusion.mean_mismatch.eq12_weight", "diffusion.mean_mismatch.weighted_noise_loss")
equation("14", "L_simple",
         r"\|\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon,\,t)\|^2",
         PAPER + "(14)", "diffusion.loss.simple_loss")


Steps = tuple[Case, np.ndarray]  # a schedule, and t (N,)


def plain_steps() -> list[Steps]:
    """Return the schedules and t of the fixed cases with t ≥ 2."""
    return [(b.case, b.t) for b in plain_batches(2)]


@checks("12", draws=drawn("later_steps"), first=plain_steps, needs=["eq12_weight"])
def weight_of_the_noise_error(check: Check, drawn: Steps) -> None:
    for variance in VARIANCES:
        with check.if_offered():
            _compare_weight(check, *drawn, variance)


def _compare_weight(check: Check, case: Case, t: np.ndarray, variance: str) -> None:
    k, target = case.rows(t, t), check(case)  # (N,) each
    sigma_2, other = (k.beta_tilde, k.beta) if variance == "small" else (k.beta, k.beta_tilde)
    want = k.beta**2 / (2 * sigma_2 * k.alpha * k.one_minus_alpha_bar)
    got = target.eq12_weight(t, variance=variance)
    check.equal(f"the weight ({variance})", got, want, case=case, at={"t": t}, mistakes=lambda: {
        "β_t for β_t²": want / k.beta, "σ_t for σ_t²": want * np.sqrt(sigma_2),
        f"σ_t² = {'β_t' if variance == 'small' else 'β̃_t'}, the other variance": want * sigma_2 / other,
        "no factor ½": 2 * want, "no 1/α_t": want * k.alpha, "ᾱ_t for α_t": want * k.alpha / k.alpha_bar,
        "√α_t for α_t": want * k.sqrt_alpha, "√(1 − ᾱ_t) for 1 − ᾱ_t": want * k.sqrt_one_minus_alpha_bar,
        "ᾱ_t for 1 − ᾱ_t": want * k.one_minus_alpha_bar / k.alpha_bar,
        "1 − α_t for 1 − ᾱ_t": want * k.one_minus_alpha_bar / k.beta,
        "σ_t² missing": want * sigma_2, "1: the weight of L_simple": np.ones_like(want),
        "the weight of x₀'s error": want * k.alpha_bar / k.one_minus_alpha_bar,
        "its root": np.sqrt(want)})
    gap = k.x0 * k.sqrt_one_minus_alpha_bar / k.sqrt_alpha_bar  # of the means by (7) and (15), where ε_θ is off by 1
    check.equal(f"the weight ({variance}) times (ε − ε_θ)² = 1 against (μ̃_t − μ_θ)²/(2σ_t²)", got,
                gap**2 / (2 * sigma_2), case=case, at={"t": t})


# (14)


@checks("14", draws=drawn("batches"), first=plain_batches, needs=["simple_loss"])
def simple_loss_of_a_model(check: Check, b: Batch) -> None:
    target, k, model = check(b.case), b.rows, affine(b.case)
    x_0, noise = b.x, b.y
    x_t = k.sqrt_alpha_bar * x_0 + k.sqrt_one_minus_alpha_bar * noise
    eps = model(x_t, b.t)

    def loss(x: np.ndarray, t: np.ndarray = b.t, of: np.ndarray = noise) -> np.ndarray:
        return mean((of - model(x, t)) ** 2)

    def mean(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1).mean(axis=1)

    want, table = loss(x_t), b.case.table
    last = b.t if x_0.shape[-1] == len(b.t) else b.t[:1]
    size = np.abs(noise) + 0.75 * (np.abs(k.sqrt_alpha_bar * x_0) + np.abs(noise)) + 1
    check.equal("L_simple", target.simple_loss(model, x_0, b.t, noise), want, case=b.case, scale=mean(size**2),
                at={"t": b.t, **shown(**{"x₀": x_0, "ε": noise, "ε_θ": eps})}, mistakes=lambda: {
                    **other_conventions(target, want, x_0[0].size, unit=False),
                    "half of it": want / 2,
                    "‖ε − ε_θ‖, a missing square": np.sqrt(want), "|ε − ε_θ|": mean(np.abs(noise - eps)),
                    "the mean over the batch at every image": want.mean() + 0 * want,
                    "ε_θ asked at x₀": loss(x_0), "ε_θ asked at the noise": loss(noise),
                    "(1 − ᾱ_t)·ε in x_t: a missing root": loss(k.sqrt_alpha_bar * x_0 + k.one_minus_alpha_bar * noise),
                    "ᾱ_t·x₀ in x_t: a missing root": loss(k.alpha_bar * x_0 + k.sqrt_one_minus_alpha_bar * noise),
                    "α_t for ᾱ_t in x_t": loss(k.sqrt_alpha * x_0 + k.sqrt_beta * noise),
                    "ε_θ asked at t − 1": loss(x_t, b.t - 1),
                    "ε_θ asked at t − 1, or 1": loss(x_t, np.maximum(b.t - 1, 1)),
                    "√ᾱ_t along the last axis, which is as long as the batch": loss(
                        table.sqrt_alpha_bar[last] * x_0 + table.sqrt_one_minus_alpha_bar[last] * noise),
                    "ε_θ asked at t + 1": loss(x_t, b.t + 1),
                    "x₀ for ε": loss(x_t, of=x_0), "x_t for ε": loss(x_t, of=x_t),
                    "ε + ε_θ: the sign": mean((noise + eps) ** 2),
                    "the weight of (12) times it": want * (k.beta**2 / (
                        2 * k.small * k.alpha * k.one_minus_alpha_bar)).reshape(-1)})
