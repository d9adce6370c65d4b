"""Methods of later papers: DPM-Solver-1, P2 weights, zero terminal SNR, EDM's coefficients around a net."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches, plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations.extensions import marginal, per_image
from ddpm_np.check.equations.reverse import affine, constant
from ddpm_np.check.equations.sampler import plain_jumps
from ddpm_np.check.exact import Case, mp50
from ddpm_np.check.registry import checks, drawn, equation

equation("dpm-solver-1", "a step of DPM-Solver-1",
         r"x_s = \sqrt{\frac{\bar\alpha_s}{\bar\alpha_t}}\,x_t-\sqrt{1-\bar\alpha_s}\,(e^h-1)\,\epsilon_\theta(x_t,t),"
         r"\quad h = \lambda_s-\lambda_t,\ \lambda = \frac{1}{2}\ln\frac{\bar\alpha}{1-\bar\alpha}",
         "Lu et al. 2022, (3.7)", "diffusion.dpm_solver.dpm_solver_1_step")
equation("p2", "P2 weights",
         r"w_\epsilon = \frac{1}{(k+SNR)^\gamma},\ w_{x_0} = \frac{SNR}{(k+SNR)^\gamma},\ "
         r"w_v = \frac{SNR}{(SNR+1)(k+SNR)^\gamma},\quad SNR = \frac{\bar\alpha_t}{1-\bar\alpha_t}",
         "Choi et al. 2022, (8)", "diffusion.loss.p2_weight")
equation("zero-terminal-snr", "a schedule rescaled to end without signal",
         r"\sqrt{\bar\alpha'_t} = (\sqrt{\bar\alpha_t}-\sqrt{\bar\alpha_T})\,\frac{\sqrt{\bar\alpha_1}}"
         r"{\sqrt{\bar\alpha_1}-\sqrt{\bar\alpha_T}},\quad \beta'_t = 1-\frac{\bar\alpha'_t}{\bar\alpha'_{t-1}}",
         "Lin et al. 2023, algorithm 1", "diffusion.zero_snr.zero_terminal_snr")
equation("edm", "EDM's coefficients around a net",
         r"c_{skip} = \frac{\sigma_d^2}{\sigma^2+\sigma_d^2},\ c_{out} = \frac{\sigma\,\sigma_d}"
         r"{\sqrt{\sigma^2+\sigma_d^2}},\ c_{in} = \frac{1}{\sqrt{\sigma^2+\sigma_d^2}},\ "
         r"\lambda = \frac{\sigma^2+\sigma_d^2}{(\sigma\,\sigma_d)^2}",
         "Karras et al. 2022, table 1", "diffusion.edm.edm_preconditioning")

Jump = tuple[Batch, np.ndarray]  # a batch, and an s for each of its images, 1 ≤ s < t


def to_a_step(b: Batch, s: np.ndarray) -> Jump:
    """Return the images that go to a step, where λ is finite, and not to the data."""
    return b.where(s >= 1), s[s >= 1]


def later_jumps() -> list[Jump]:
    """Return the fixed jumps of DDIM that end at s ≥ 1."""
    found = [to_a_step(b, s) for b, s, eta in plain_jumps() if eta == 0]
    return [jump for jump in found if len(jump[1])]


@checks("dpm-solver-1", first=later_jumps, needs=["dpm_solver_1_step"])
def dpm_solver_1_goes_to_s(check: Check, drawn: Jump) -> None:
    _compare_solver(check, *drawn)


@checks("dpm-solver-1", draws=drawn("jumps"), needs=["dpm_solver_1_step"], aspect="dpm_solver_1_goes_to_s")
def dpm_solver_1_goes_to_any_s(check: Check, drawn: tuple[Batch, np.ndarray, float]) -> None:
    b, s = to_a_step(*drawn[:2])
    if len(s):
        _compare_solver(check, b, s)


def _compare_solver(check: Check, b: Batch, s: np.ndarray) -> None:
    """Compare with DDIM's form of the same step, √ᾱ_s·x̂₀ + √(1 − ᾱ_s)·ε, for a model that is affine in x and t."""
    k, then, model = b.rows, b.case.rows(s, b.x), affine(b.case)
    eps, gain = model(b.x, b.t), then.sqrt_alpha_bar / k.sqrt_alpha_bar
    x0 = (b.x - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar
    grown = gain * k.sqrt_one_minus_alpha_bar / then.sqrt_one_minus_alpha_bar  # e^h
    level, h = then.sqrt_one_minus_alpha_bar, np.log(grown)
    got = check(b.case).array("dpm_solver_1_step", b.x.shape, model, b.x, b.t, s)
    check.equal("x_s", got, then.sqrt_alpha_bar * x0 + level * eps, case=b.case, slack=10,
                at={"t": b.t, "s": s, "x_t": b.x, "ε": eps}, scale=gain * (np.abs(b.x) + np.abs(eps)) + np.abs(eps),
                mistakes=lambda: {
                    "h for e^h − 1": gain * b.x - level * h * eps,
                    "e^h for e^h − 1": gain * b.x - level * grown * eps,
                    "−h: λ_t − λ_s": gain * b.x - level * (1 / grown - 1) * eps,
                    "2h: λ without its ½": gain * b.x - level * (grown**2 - 1) * eps,
                    "√(1 − ᾱ_t) for √(1 − ᾱ_s)": gain * b.x - k.sqrt_one_minus_alpha_bar * (grown - 1) * eps,
                    "√(ᾱ_t/ᾱ_s): upside down": b.x / gain - level * (grown - 1) * eps,
                    "a plus before ε": gain * b.x + level * (grown - 1) * eps,
                    "x̂₀": x0})


@checks("dpm-solver-1", first=later_jumps, needs=["dpm_solver_1_step", "ddim_step"], aspect="dpm_solver_1_goes_to_s",
        method="equality with DDIM")
def dpm_solver_1_is_ddim_without_noise(check: Check, drawn: Jump) -> None:
    b, s = drawn
    target, model, k = check(b.case), affine(b.case), b.rows
    size = np.abs(b.x) + np.abs(model(b.x, b.t))
    check.equal("x_s of DPM-Solver-1 against that of DDIM, η = 0",
                target.array("dpm_solver_1_step", b.x.shape, model, b.x, b.t, s),
                target.ddim_step(model, b.x, b.t, s, 0.0, 0 * b.x), case=b.case, at={"t": b.t, "s": s, "x_t": b.x},
                scale=size / k.sqrt_alpha_bar, slack=10)


@checks("p2", draws=drawn("batches"), first=plain_batches, needs=["p2_weight"])
def p2_weights(check: Check, b: Batch) -> None:
    k = b.case.rows(b.t, b.t)
    snr = k.alpha_bar / k.one_minus_alpha_bar
    for more, gamma in ((1.0, 1.0), (1.0, 0.5), (2.0, 1.0), (1.0, 0.0)):
        power = (more + snr) ** gamma
        wants = {"eps": 1 / power, "x0": snr / power, "v": snr / (snr + 1) / power}
        for predicts, want in wants.items():
            with check.if_offered():
                got = check(b.case).array("p2_weight", b.t.shape, b.t, b.x, more, gamma, predicts)
                check.equal(f"the weight of {predicts!r} (k={more:g}, γ={gamma:g})", got, want, case=b.case,
                            at={"t": b.t}, slack=10, mistakes={
                                **{f"that of {other!r}": w for other, w in wants.items() if other != predicts},
                                "(k + SNR)^γ itself": want * power**2, "SNR^γ: no k": want * power / snr**gamma,
                                "k + SNR^γ": want * power / (more + snr**gamma),
                                "no power γ": want * power / (more + snr),
                                "√SNR for SNR": want * power / (more + np.sqrt(snr)) ** gamma})


@checks("p2", first=plain_batches, needs=["p2_weight", "simple_loss"], method="equality of the losses")
def p2_losses_are_equal(check: Check, b: Batch) -> None:
    """Check that nets with the same error in x₀ have the same weighted loss, whether they predict ε, x₀ or v."""
    target, k, miss = check(b.case), b.rows, 0.25 + b.y / 2
    outputs = {"x0": b.x - miss, "eps": b.y + k.sqrt_alpha_bar / k.sqrt_one_minus_alpha_bar * miss,
               "v": k.sqrt_alpha_bar * b.y - k.sqrt_one_minus_alpha_bar * b.x + miss / k.sqrt_one_minus_alpha_bar}
    snr = (k.alpha_bar / k.one_minus_alpha_bar).ravel()
    want = snr / np.sqrt(1 + snr) * per_image(miss**2)
    for predicts, output in outputs.items():
        with check.if_offered():
            loss = target.array("simple_loss", b.t.shape, constant(output), b.x, b.t, b.y, predicts=predicts)
            weight = target.array("p2_weight", b.t.shape, b.t, b.x, 1.0, 0.5, predicts)
            check.equal(f"the weighted loss of {predicts!r}", weight * loss, want, case=b.case, at={"t": b.t},
                        slack=1e3, scale=want + weight * per_image(output**2 + marginal(b) ** 2))


def rescaled(roots: list[Any]) -> np.ndarray:
    """Return β'₁..β'_T of √ᾱ'₁..√ᾱ'_T, with 1 before them."""
    return np.array([float(1 - (after / before) ** 2) for before, after in pairwise([mp50.mpf(1), *roots])])


@checks("zero-terminal-snr", draws=drawn("schedules"), first=plain_cases, needs=["zero_terminal_snr"],
        method="50 digits")
def the_last_step_has_no_signal(check: Check, case: Case) -> None:
    exact = [mp50.mpf(a.numerator) / a.denominator if isinstance(a, Fraction) else a for a in case.exact.alpha_bar[1:]]
    roots = [mp50.sqrt(a) for a in exact]
    first, last = roots[0], roots[-1]
    want = rescaled([(r - last) * first / (first - last) for r in roots])
    got, t = check(case).array("zero_terminal_snr", (case.T,)), np.arange(1, case.T + 1)
    check.equal("β'_t", got, want, case=case, at={"t": t}, slack=100, mistakes=lambda: {
        "β_t: nothing changed": case.table.beta[1:],
        "√ᾱ_t − √ᾱ_T, not rescaled": rescaled([r - last for r in roots]),
        "rescaled to √ᾱ₀ = 1 in place of √ᾱ₁": rescaled([(r - last) / (1 - last) for r in roots]),
        "ᾱ for √ᾱ": rescaled([mp50.sqrt((a - exact[-1]) * exact[0] / (exact[0] - exact[-1])) for a in exact]),
        "β_T = 1 alone": np.append(case.table.beta[1:-1], 1.0),
        "√ᾱ' taken for ᾱ'": np.array([float(1 - after / before) for before, after in pairwise(
            [mp50.mpf(1), *((r - last) * first / (first - last) for r in roots)])])})


SIGMAS = (np.array([4.0, 3.0, 1.5, 0.002, 80.0]), np.array([0.5]))
OF_DATA = (3.0, 0.5, 1.0)


def _asked(check: Check, drawn: tuple[np.ndarray, float]) -> list[np.ndarray]:
    sigma, data = drawn
    return check(plain_cases()[0]).arrays("edm_preconditioning", [sigma.shape] * 4, sigma, data)


@checks("edm", first=lambda: product(SIGMAS, OF_DATA), needs=["edm_preconditioning"], method="formulas")
def coefficients_of_edm(check: Check, drawn: tuple[np.ndarray, float]) -> None:
    (sigma, data), (skip, out, into, weight) = drawn, _asked(check, drawn)
    total, at = sigma**2 + data**2, {"σ": sigma, "σ_d": np.full(sigma.shape, data)}
    check.equal("c_skip", skip, data**2 / total, at=at, mistakes={
        "σ²/(σ² + σ_d²)": sigma**2 / total, "σ_d/√(σ² + σ_d²): a missing square": data / np.sqrt(total),
        "1/(σ² + 1): as in variance-exploding networks": 1 / (sigma**2 + 1)})
    check.equal("c_out", out, sigma * data / np.sqrt(total), at=at, mistakes={
        "σ·σ_d/(σ² + σ_d²): a missing root": sigma * data / total, "σ": sigma, "σ/√(σ² + σ_d²)": sigma / np.sqrt(total),
        "−c_out": -sigma * data / np.sqrt(total)})
    check.equal("c_in", into, 1 / np.sqrt(total), at=at, mistakes={
        "1/(σ² + σ_d²): a missing root": 1 / total, "σ_d/√(σ² + σ_d²)": data / np.sqrt(total), "1/σ": 1 / sigma,
        "1/(σ + σ_d)": 1 / (sigma + data)})
    check.equal("λ", weight, total / (sigma * data) ** 2, at=at, mistakes={
        "(σ² + σ_d²)/(σ·σ_d): a missing square": total / (sigma * data), "1/c_out": np.sqrt(total) / (sigma * data),
        "(σ² + σ_d²)/(σ + σ_d)²": total / (sigma + data) ** 2, "1/σ²": 1 / sigma**2,
        "c_out²": (sigma * data) ** 2 / total})


@checks("edm", first=lambda: product(SIGMAS, OF_DATA), needs=["edm_preconditioning"], method="identities")
def variances_of_edm_are_one(check: Check, drawn: tuple[np.ndarray, float]) -> None:
    """Check a net's input c_in·(x₀ + σ·n), its target (x₀ − c_skip·(x₀ + σ·n))/c_out, and the weight of its output."""
    (sigma, data), (skip, out, into, weight) = drawn, _asked(check, drawn)
    ones, at = np.ones(sigma.shape), {"σ": sigma, "σ_d": np.full(sigma.shape, data)}
    check.equal("the variance of the net's input", into**2 * (sigma**2 + data**2), ones, at=at)
    target = ((1 - skip) ** 2 * data**2 + skip**2 * sigma**2) / out**2
    check.equal("the variance of the net's target", target, ones, at=at, slack=10,
                scale=1 + ((1 + skip**2) * data**2 + skip**2 * sigma**2) / out**2)
    check.equal("λ·c_out²", weight * out**2, ones, at=at)
    check.equal("half the derivative of c_out² by c_skip, which is least", skip * sigma**2, (1 - skip) * data**2, at=at,
                scale=sigma**2 + data**2)
