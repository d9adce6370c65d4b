"""Samplers with injected noise: a step of Algorithm 2 and its loop, which is (1); a step of DDIM; respaced steps."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches, plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations.reverse import CLIPS, VARIANCES, affine, constant
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, drawn, equation

equation("1", "the reverse process, from x_T down",
         r"p_\theta(x_{0:T}) = p(x_T)\prod_{t=1}^T p_\theta(x_{t-1}\mid x_t),\quad "
         r"p_\theta(x_{t-1}\mid x_t) = \mathcal{N}(\mu_\theta(x_t,t),\,\Sigma_\theta(x_t,t))",
         "Ho et al. 2020, (1)", "diffusion.sampler.sample_with", "diffusion.sampler.ancestral")
equation("algorithm-2", "a step of Algorithm 2",
         r"x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{1-\alpha_t}{\sqrt{1-\bar\alpha_t}}"
         r"\epsilon_\theta(x_t,t)\right)+\sigma_t z,\quad z = 0\ \mathrm{at}\ t = 1",
         "Ho et al. 2020, Algorithm 2", "diffusion.sampler.p_sample", "diffusion.sampler.add_noise")
equation("ddim-12", "a step of DDIM",
         r"x_s = \sqrt{\bar\alpha_s}\,\hat x_0+\sqrt{1-\bar\alpha_s-\sigma_t^2}\,\epsilon_\theta+\sigma_t z",
         "Song, Meng & Ermon 2021, (12)", "diffusion.ddim.ddim_step", "diffusion.ddim.ddim")
equation("ddim-16", "σ_t of DDIM",
         r"\sigma_t(\eta) = \eta\sqrt{\frac{1-\bar\alpha_s}{1-\bar\alpha_t}}"
         r"\sqrt{1-\frac{\bar\alpha_t}{\bar\alpha_s}}",
         "Song, Meng & Ermon 2021, (16)", "diffusion.ddim.ddim_sigma")
equation("timesteps", "n of the T steps", r"T \geq \tau_n > \dots > \tau_1 \geq 1",
         "Song, Meng & Ermon 2021, section 4.2", "diffusion.respacing.timesteps")


@checks("algorithm-2", draws=drawn("batches"), first=plain_batches, needs=["p_sample"])
def small_step(check: Check, b: Batch) -> None:
    _compare_step(check, b, "small")


@checks("algorithm-2", draws=drawn("batches"), first=plain_batches, needs=["p_sample"])
def large_step(check: Check, b: Batch) -> None:
    _compare_step(check, b, "large")


def _compare_step(check: Check, b: Batch, variance: str) -> None:
    """Compare a step at x_t = x with z = y, for a model that is affine in x and t."""
    k, model = b.rows, affine(b.case)
    eps, later = model(b.x, b.t), (b.t > 1).reshape(b.rows.beta.shape)
    from_xt, from_eps = b.x / k.sqrt_alpha, k.beta / k.sqrt_one_minus_alpha_bar / k.sqrt_alpha * eps
    mean, sigma = from_xt - from_eps, np.sqrt(k.small if variance == "small" else k.large)
    scale = np.abs(from_xt) + np.abs(from_eps) + sigma * np.abs(b.y) + k.x0 * (
        np.abs(b.x) + np.abs(eps)) / k.sqrt_alpha_bar
    got = check(b.case).p_sample(model, b.x, b.t, b.y, variance=variance, clip=False)
    check.equal("x_{t−1}", got, mean + later * sigma * b.y, case=b.case, scale=scale,
                at={"t": b.t, "x_t": b.x, "z": b.y, "ε": eps}, mistakes=lambda: {
                    "noise at the last step, t = 1": mean + sigma * b.y,
                    "no noise at all": mean + 0 * sigma,
                    "σ_t²·z: a missing root": mean + later * sigma**2 * b.y,
                    "exp(ln σ_t²)·z: a missing ½": mean + later * sigma**2 * b.y,
                    "√β_t·z": mean + later * k.sqrt_beta * b.y,
                    "√β̃_t·z": mean + later * np.sqrt(k.small) * b.y,
                    "√(1 − ᾱ_t)·z": mean + later * k.sqrt_one_minus_alpha_bar * b.y,
                    "z without σ_t": mean + later * b.y,
                    "−σ_t·z": mean - later * sigma * b.y,
                    "no noise at t = 2 either": mean + (b.t > 2).reshape(later.shape) * sigma * b.y,
                    "noise at t = T missing": mean + later * (b.t < b.case.T).reshape(later.shape) * sigma * b.y,
                    "x̂₀ instead of x_{t−1}": (b.x - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar})


@checks("algorithm-2", draws=drawn("batches"), first=plain_batches, needs=["p_sample"])
def clipped_step(check: Check, b: Batch) -> None:
    """Check a clipped step, which uses x̂₀ clipped to the data's range, for nets with x̂₀ outside and inside it."""
    for variance in VARIANCES:
        with check.if_offered():
            _compare_clipped(check, b, variance)


def _compare_clipped(check: Check, b: Batch, variance: str) -> None:
    target, k = check(b.case), b.rows
    low, high = target.range
    later, sigma = (b.t > 1).reshape(k.beta.shape), np.sqrt(k.small if variance == "small" else k.large)
    for wanted in (2 * b.y, 0.4 + 0 * b.y):
        eps = (b.x - k.sqrt_alpha_bar * wanted) / k.sqrt_one_minus_alpha_bar
        got = target.p_sample(constant(eps), b.x, b.t, b.y, variance=variance, clip=True)
        noise, rest = later * sigma * b.y, k.xt * b.x
        check.equal("x_{t−1}, clipped", got, k.x0 * np.clip(wanted, low, high) + rest + noise, case=b.case,
                    at={"t": b.t, "x_t": b.x, "z": b.y, "ε": eps},
                    scale=k.x0 * (1 + (np.abs(b.x) + np.abs(eps)) / k.sqrt_alpha_bar) + np.abs(rest) + np.abs(noise),
                    mistakes=lambda w=wanted, r=rest, n=noise: {  # type: ignore[misc]
                        "no clip": k.x0 * w + r + n,
                        "a clip of μ_θ instead of x̂₀": np.clip(k.x0 * w + r, low, high) + n,
                        "a clip of x_{t−1}": np.clip(k.x0 * w + r + n, low, high)})


@checks("1", draws=drawn("schedules", max_T=12), first=lambda: plain_cases()[:2], needs=["sample"], aspect="calls",
        method="recorded calls")
def sample_asks_once_for_each_step(check: Check, case: Case) -> None:
    """Check that the model is called at t = T, …, 1, once each."""
    for variance, clip in product(VARIANCES, CLIPS):
        with check.if_offered():
            _compare_calls(check, case, variance, clip)


def _compare_calls(check: Check, case: Case, variance: str, clip: bool) -> None:
    asked: list[int] = []

    def record(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        check.true((t == t[0]).all(), f"{case!r}: the model was called at t = {t.tolist()} in one batch")
        asked.append(int(t[0]))
        return 0.1 * x

    check(case).sample(record, np.ones((2, 3)), _noises(case, np.zeros((2, 3))), variance=variance, clip=clip)
    want = list(range(case.T, 0, -1))
    hint = ""
    if asked != want:
        hint = ("the loop skips t = 1" if asked == want[:-1] else "the loop skips t = T" if asked == want[1:]
                else "the loop runs upwards" if asked == want[::-1] else "")
    check.true(asked == want, f"{case!r}: the model was called at t = {_short(asked)}, expected {_short(want)}", hint)


@checks("1", draws=drawn("pythagorean"), first=lambda: plain_cases()[:2], needs=["sample"], aspect="response",
        method="closed form")
def sample_is_affine_in_its_noise(check: Check, case: Case) -> None:
    """Check the constant term of x₀ and its coefficients of x_T and of each z_t, for ε = a·x + b·t/T + c."""
    _compare_response(check, case, "small")


@checks("1", draws=drawn("pythagorean"), first=lambda: plain_cases()[:2], needs=["sample"], aspect="response, large",
        method="closed form")
def sample_is_affine_in_its_noise_large(check: Check, case: Case) -> None:
    _compare_response(check, case, "large")


def _compare_response(check: Check, case: Case, variance: str) -> None:
    a, b, c = 0.75, 0.5, -0.25
    k, T = case.table, case.T
    # image 0: all inputs 0, which leaves the constant term; image 1: x_T alone; image 1 + t: z_t alone, for t = 1..T
    x_T, noises = np.zeros((T + 2, 1)), _noises(case, np.zeros((T + 2, 1)))
    x_T[1] = 1.0
    for t in range(1, T + 1):
        noises[t, 1 + t] = 1.0
    sigma = np.sqrt(k.small if variance == "small" else k.large)
    want = x_T
    for t in range(T, 0, -1):
        drift = k.beta[t] / k.sqrt_one_minus_alpha_bar[t]
        mean = (want - drift * (a * want + b * t / T + c)) / k.sqrt_alpha[t]
        want = mean + (sigma[t] * noises[t] if t > 1 else 0.0)
    got = check(case).sample(affine(case, a, b, c), x_T, noises, variance=variance, clip=False)
    scale = 1 / k.sqrt_alpha_bar[T]
    names = np.array(["the constants", "x_T", *(f"z_{t}" for t in range(1, T + 1))])
    try:
        check.equal("x₀", got, want, case=case, scale=scale + np.abs(want))
    except Exception as error:
        wrong = np.abs(got - want)[:, 0] > 1e-6 * (scale + np.abs(want[:, 0]))
        error.hint = error.hint or (  # type: ignore[attr-defined]
            f"wrong in its dependence on {', '.join(names[wrong])}" if wrong.any() else "")
        raise


@checks("1", first=lambda: plain_cases()[:2], needs=["sample"], aspect="response", method="closed form")
def sample_clips_where_it_is_asked_to(check: Check, case: Case) -> None:
    """Check chains from x_T far outside the range: clip=True clips x̂₀ at every step but not x₀, clip=False nothing."""
    target, k, model = check(case), case.table, affine(case)
    x_T, (low, high) = np.array([[-8.0], [0.5], [8.0]]), target.range
    noises = _noises(case, x_T)
    noises[1:] = np.arange(case.T)[:, None, None] * np.array([[1.0], [-0.5], [0.25]])
    for variance, clip in product(VARIANCES, CLIPS):
        sigma, want = np.sqrt(k.small if variance == "small" else k.large), x_T
        for t in range(case.T, 0, -1):
            steps = np.full(len(x_T), t)
            x0 = (want - k.sqrt_one_minus_alpha_bar[t] * model(want, steps)) / k.sqrt_alpha_bar[t]
            mean = k.x0[t] * (np.clip(x0, low, high) if clip else x0) + k.xt[t] * want
            want = mean + (sigma[t] * noises[t] if t > 1 else 0.0)
        with check.if_offered():
            got = target.sample(model, x_T, noises, variance=variance, clip=clip)
            check.equal(f"x₀ ({variance}) with clip={clip}", got, want, case=case, at={"x_T": x_T},
                        scale=8 / k.sqrt_alpha_bar[-1],
                        mistakes={"x₀ held in the data's range": np.clip(want, low, high)})


def _noises(case: Case, x: np.ndarray) -> np.ndarray:
    """Return zeros (T + 1, N, …) whose row 0, which must not be used, is large."""
    noises = np.zeros((case.T + 1, *x.shape))
    noises[0] = 1e6
    return noises


def _short(steps: list[int]) -> str:
    return ", ".join(map(str, steps if len(steps) <= 8 else [*steps[:3], "…", *steps[-3:]]))


def plain_jumps() -> list[tuple[Batch, np.ndarray, float]]:
    """Return fixed cases: s = t − 1, 0 and t // 2, each with η = 0, 0.5 and 1."""
    found = []
    for b in plain_batches():
        for eta in (0.0, 0.5, 1.0):
            found += [(b, b.t - 1, eta), (b, 0 * b.t, eta), (b, b.t // 2, eta)]
    return found


@checks("ddim-12", draws=drawn("jumps"), first=plain_jumps, needs=["ddim_step"])
def ddim_step_goes_to_s(check: Check, drawn: tuple[Batch, np.ndarray, float]) -> None:
    b, s, eta = drawn
    model = affine(b.case)
    _compare_ddim(check, b, s, eta, model, model(b.x, b.t))


@checks("ddim-12", draws=drawn("jumps"), first=plain_jumps, needs=["ddim_step"], method="marginals kept")
def ddim_step_keeps_the_marginal(check: Check, drawn: tuple[Batch, np.ndarray, float]) -> None:
    """Check that x_s has mean √ᾱ_s·x₀ and variance 1 − ᾱ_s for every σ, from x_t of (4) with the true ε."""
    b, s, eta = drawn
    target, k, then = check(b.case), b.rows, b.case.rows(s, b.x)
    zeros, ones = np.zeros_like(b.x), np.ones_like(b.x)

    def step(x_0: np.ndarray, eps: np.ndarray, z: np.ndarray) -> np.ndarray:
        x_t = k.sqrt_alpha_bar * x_0 + k.sqrt_one_minus_alpha_bar * eps
        return target.ddim_step(constant(eps), x_t, b.t, s, eta, z)

    check.equal("√ᾱ_s", step(ones, zeros, zeros), then.sqrt_alpha_bar * ones, case=b.case, at={"t": b.t, "s": s})
    variance = step(zeros, ones, zeros) ** 2 + step(zeros, zeros, ones) ** 2
    check.equal("1 − ᾱ_s", variance, then.one_minus_alpha_bar * ones, case=b.case, at={"t": b.t, "s": s}, slack=10,
                scale=then.one_minus_alpha_bar + (k.one_minus_alpha_bar / k.alpha_bar) * then.alpha_bar)


@checks("ddim-16", draws=drawn("jumps"), first=plain_jumps, needs=["ddim_step"])
def ddim_noise_is_sigma(check: Check, drawn: tuple[Batch, np.ndarray, float]) -> None:
    """Check the coefficient of z in x_s, as the difference of two steps."""
    b, s, eta = drawn
    target, ones = check(b.case), np.ones_like(b.x)
    got = (target.ddim_step(constant(0 * b.x), 0 * b.x, b.t, s, eta, ones)
           - target.ddim_step(constant(0 * b.x), 0 * b.x, b.t, s, eta, 0 * ones))
    sigma = _sigma(b, s, eta) * ones
    k, then = b.rows, b.case.rows(s, b.x)
    check.equal("σ_t", got, sigma, case=b.case, at={"t": b.t, "s": s, "η": np.full(b.x.shape[:1], eta)}, slack=10,
                scale=np.sqrt(k.one_minus_alpha_bar) * ones, mistakes=lambda: {
                    "η²": eta * sigma,
                    "σ_t²: a missing root": sigma**2,
                    "√β_t": eta * k.sqrt_beta * ones,
                    "√(1 − ᾱ_t/ᾱ_s) alone": eta * np.sqrt(1 - k.alpha_bar / then.alpha_bar) * ones,
                    "(1 − ᾱ_t)/(1 − ᾱ_s) upside down": eta * np.sqrt(
                        k.one_minus_alpha_bar / then.one_minus_alpha_bar * (1 - k.alpha_bar / then.alpha_bar)) * ones,
                    "β̃_t of the step below t, whatever s": eta * np.sqrt(k.beta_tilde) * ones,
                    "no noise": 0 * ones})


def _sigma(b: Batch, s: np.ndarray, eta: float) -> np.ndarray:
    k, then = b.rows, b.case.rows(s, b.x)
    left = np.array([float(1 - b.case.exact.alpha_bar[t] / b.case.exact.alpha_bar[u])  # exactly, then rounded
                     for t, u in zip(b.t, s, strict=True)]).reshape(k.beta.shape)
    return eta * np.sqrt(then.one_minus_alpha_bar / k.one_minus_alpha_bar * left)


def _compare_ddim(check: Check, b: Batch, s: np.ndarray, eta: float, model: Any, eps: np.ndarray) -> None:
    k, then, sigma = b.rows, b.case.rows(s, b.x), _sigma(b, s, eta)
    x0 = (b.x - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar
    direction = np.sqrt(np.maximum(then.one_minus_alpha_bar - sigma**2, 0))
    want = then.sqrt_alpha_bar * x0 + direction * eps + sigma * b.y
    scale = then.sqrt_alpha_bar * (np.abs(b.x) + np.abs(eps)) / k.sqrt_alpha_bar + np.abs(eps) + sigma * np.abs(b.y)
    got = check(b.case).ddim_step(model, b.x, b.t, s, eta, b.y)
    check.equal("x_s", got, want, case=b.case, scale=scale, slack=10,
                at={"t": b.t, "s": s, "η": np.full(b.x.shape[:1], eta), "x_t": b.x, "z": b.y, "ε": eps},
                mistakes=lambda: {
                    "no −σ² under the root": then.sqrt_alpha_bar * x0 + np.sqrt(then.one_minus_alpha_bar) * eps
                    + sigma * b.y,
                    "x̂₀ clipped, though DDIM never clips": then.sqrt_alpha_bar * np.clip(x0, -1, 1) + direction * eps
                    + sigma * b.y,
                    "no noise": want - sigma * b.y,
                    "noise at η = 0": want + k.sqrt_beta * b.y,
                    "t − 1 for s": k.sqrt_alpha_bar_prev * x0 + np.sqrt(
                        np.maximum(k.one_minus_alpha_bar_prev - sigma**2, 0)) * eps + sigma * b.y,
                    "σ for σ² under the root": then.sqrt_alpha_bar * x0 + np.sqrt(
                        np.maximum(then.one_minus_alpha_bar - sigma, 0)) * eps + sigma * b.y,
                    "√ᾱ_t for √ᾱ_s": k.sqrt_alpha_bar * x0 + direction * eps + sigma * b.y,
                    "x̂₀ with all its noise gone": x0 + 0 * eps})


@checks("ddim-12", draws=drawn("batches"), first=plain_batches, needs=["ddim_step", "p_sample"],
        aspect="ddim_step_goes_to_s", method="equality with Algorithm 2")
def ddim_at_eta_one_is_algorithm_2(check: Check, b: Batch) -> None:
    """Check that DDIM with η = 1 and s = t − 1 is Algorithm 2 with σ² = β̃_t."""
    target, model, k = check(b.case), affine(b.case), b.rows
    scale = (np.abs(b.x) + np.abs(model(b.x, b.t))) / k.sqrt_alpha_bar + np.abs(b.y)
    check.equal("x_{t−1} of DDIM against Algorithm 2's", target.ddim_step(model, b.x, b.t, b.t - 1, 1.0, b.y),
                target.p_sample(model, b.x, b.t, b.y, variance="small", clip=False), case=b.case, scale=scale,
                at={"t": b.t, "x_t": b.x, "z": b.y}, slack=10)


@checks("timesteps", draws=drawn("schedules"), first=plain_cases, needs=["timesteps"], method="every n")
def timesteps_are_distinct_and_descend(check: Check, case: Case) -> None:
    """Check every n from 1 to T; for long schedules, those near either end and every seventh between."""
    target, T = check(case), case.T
    for n in range(1, T + 1):
        if 130 < n < T - 30 and n % 7:
            continue
        with check.if_offered():
            _compare_timesteps(check, T, n, target.timesteps(n))


def _compare_timesteps(check: Check, T: int, n: int, steps: np.ndarray) -> None:
    descend = (steps[1:] < steps[:-1]).all()
    if len(steps) == n and descend and steps[0] <= T and steps[-1] >= 1:
        check.true(True, "")
        return
    shown = f"T={T}: timesteps({n}) got {_short(steps.tolist())}"
    check.true(len(steps) == n, f"{shown}: {len(steps)} steps, expected {n}")
    check.true(descend, f"{shown}: expected distinct, the largest first",
               "in rising order" if (np.diff(steps) > 0).all() else "")
    check.true(steps[0] <= T and steps[-1] >= 1, f"{shown}: expected steps of 1..{T}",
               "counted from 0: declare conventions = {'index_base': 0}" if steps[-1] == 0 else "")
