"""The forward process: ᾱ_t, one step (2), and the marginal (4)."""

from __future__ import annotations

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches, plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, drawn, equation

equation("alpha-bar", "ᾱ_t of β_1..β_t", r"\alpha_t := 1-\beta_t,\quad \bar\alpha_t := \prod_{s=1}^t\alpha_s",
         "Ho et al. 2020, section 2, above (4)", "diffusion.schedule.Schedule")
equation("2", "a forward step", r"q(x_t\mid x_{t-1}) = \mathcal{N}(\sqrt{1-\beta_t}\,x_{t-1},\,\beta_t I)",
         "Ho et al. 2020, (2)", "diffusion.forward.q_step", "diffusion.trajectory.q_trajectory")
equation("4", "x_t from x₀", r"q(x_t\mid x_0) = \mathcal{N}(\sqrt{\bar\alpha_t}\,x_0,\,(1-\bar\alpha_t) I)",
         "Ho et al. 2020, (4)", "diffusion.forward.q_sample")


@checks("alpha-bar", draws=drawn("schedules"), first=plain_cases, needs=["alpha_bar"],
        method="exact fractions, 50 digits")
def alpha_bar_is_the_product(check: Check, case: Case) -> None:
    """Check ᾱ_t, and 1 − ᾱ_t separately, since near 1 a small relative error in ᾱ_t can be a large one in 1 − ᾱ_t."""
    got, table, t = check(case).alpha_bar(), case.table, np.arange(case.T + 1)
    check.equal("ᾱ_t", got, table.alpha_bar, case=case, at={"t": t}, mistakes=lambda: {
        "ᾱ_{t−1}, a table that begins one step late": np.concatenate(([1.0], table.alpha_bar[:-1])),
        "ᾱ_{t+1}, a table without ᾱ₀ = 1": np.concatenate((table.alpha_bar[1:], table.alpha_bar[-1:])),
        "α_t: the product is missing": table.alpha,
        "Π β_s": np.cumprod(np.concatenate(([1.0], table.beta[1:]))),
        "1 − Σ β_s": 1 - np.cumsum(table.beta),
        "√ᾱ_t": table.sqrt_alpha_bar,
        "1 − ᾱ_t": table.one_minus_alpha_bar})
    check.equal("1 − ᾱ_t", 1 - got[1:], table.one_minus_alpha_bar[1:], case=case, at={"t": t[1:]})


@checks("2", draws=drawn("batches"), first=plain_batches, needs=["q_step"])
def q_step_is_one_step(check: Check, b: Batch) -> None:
    k = b.rows
    signal, noise = k.sqrt_alpha * b.x, k.sqrt_beta * b.y
    got = check(b.case).q_step(b.x, b.t, b.y)
    check.equal("x_t", got, signal + noise, case=b.case, scale=np.abs(signal) + np.abs(noise),
                at={"t": b.t, "x_{t−1}": b.x, "z": b.y}, mistakes=lambda: {
                    "β_t·z: a missing root": signal + k.beta * b.y,
                    "α_t·x_{t−1}: a missing root": k.alpha * b.x + noise,
                    "x_{t−1} not scaled by √(1 − β_t)": b.x + noise,
                    "√β_t and √(1 − β_t) swapped": k.sqrt_beta * b.x + k.sqrt_alpha * b.y,
                    "all steps at once: ᾱ_t for α_t": k.sqrt_alpha_bar * b.x + k.sqrt_one_minus_alpha_bar * b.y})


@checks("4", draws=drawn("batches"), first=plain_batches, needs=["q_sample"])
def q_sample_is_the_marginal(check: Check, b: Batch) -> None:
    k = b.rows
    signal, noise = k.sqrt_alpha_bar * b.x, k.sqrt_one_minus_alpha_bar * b.y
    got = check(b.case).q_sample(b.x, b.t, b.y)
    check.equal("x_t", got, signal + noise, case=b.case, scale=np.abs(signal) + np.abs(noise),
                at={"t": b.t, "x₀": b.x, "ε": b.y}, mistakes=lambda: {
                    "(1 − ᾱ_t)·ε: a missing root": signal + k.one_minus_alpha_bar * b.y,
                    "ᾱ_t·x₀: a missing root": k.alpha_bar * b.x + noise,
                    "(1 − √ᾱ_t)·ε": signal + (1 - k.sqrt_alpha_bar) * b.y,
                    "α_t for ᾱ_t: a single step": k.sqrt_alpha * b.x + k.sqrt_beta * b.y,
                    "√β_t·ε": signal + k.sqrt_beta * b.y,
                    "ᾱ_{t−1}: t is one too small": k.sqrt_alpha_bar_prev * b.x + k.sqrt_one_minus_alpha_bar_prev * b.y,
                    "signal and noise swapped": k.sqrt_one_minus_alpha_bar * b.x + k.sqrt_alpha_bar * b.y,
                    "a minus before the noise": signal - noise})


@checks("4", draws=drawn("short_batches"), first=lambda: [b for b in plain_batches() if b.case.T < 100],
        needs=["q_sample", "q_step"], aspect="q_sample_is_the_marginal", method="composition of (2)")
def q_sample_composes_q_step(check: Check, b: Batch) -> None:
    """Check (4) against t steps of (2): the factors of x₀ multiply, the noises add up in quadrature."""
    target, t = check(b.case), int(b.t.max())
    ones, zeros, at_t = np.ones((1, 1)), np.zeros((1, 1)), np.array([t])
    signal, noises = ones, zeros
    for s in range(1, t + 1):
        step = np.array([s])
        signal = target.q_step(signal, step, zeros)
        noises = target.q_step(np.sqrt(noises), step, zeros) ** 2 + target.q_step(zeros, step, ones) ** 2
    check.equal("√ᾱ_t of q_sample against t steps of q_step", target.q_sample(ones, at_t, zeros), signal, case=b.case,
                at={"t": t})
    check.equal("√(1 − ᾱ_t) of q_sample against t steps of q_step", target.q_sample(zeros, at_t, ones),
                np.sqrt(noises), case=b.case, at={"t": t}, slack=10)
