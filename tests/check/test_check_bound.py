"""The checker's properties of the bound, losses, random draws and schedules fail planted mistakes.

A mistake is planted in one method of this package's own target; the equation of that method must FAIL, and the hint
must name the mistake. Equivalent formulas and declared conventions must not fail.
"""

from __future__ import annotations

import math
from functools import partial

import fake_cupy
import numpy as np
import pytest
from scipy.special import log_ndtr, ndtr
from scipy.stats import binom

from ddpm_np.check import CONVENTION, FAIL, PASS, UNVERIFIED, run
from ddpm_np.check.equations import statistics
from ddpm_np.check.equations.bound_terms import log_level
from ddpm_np.check.equations.decoder import EDGES, MIDDLE, TAILS, fixed
from ddpm_np.check.exact import Case
from ddpm_np.check.targets import ddpm_np
from ddpm_np.check.targets.ours import Ours

LN2 = math.log(2)
BOUNDS = ("prior_kl", "vlb_term", "vlb")


def planted(conventions=None, **wrong):
    """Return our target with some methods replaced: each is ``wrong(right, case, *arguments)``."""

    def factory(betas):
        target, case = Ours(betas), Case(betas)
        for method, f in wrong.items():
            right = getattr(target, method)
            setattr(target, method, lambda *a, f=f, right=right, **options: f(right, case, *a, **options))
        target.conventions = conventions or {}
        return target

    return factory


def verdict(equation, factory):
    return run(factory, equations=[equation]).results[0]


def dims(x):
    return math.prod(x.shape[1:])


def mean(x):
    return x.reshape(len(x), -1).mean(axis=1)


def kl(mean1, logvar1, mean2, logvar2):
    return 0.5 * (logvar2 - logvar1 + np.exp(logvar1 - logvar2) + (mean1 - mean2) ** 2 / np.exp(logvar2) - 1)


# The bound


def term(clip=False, swap=False, large=False, square=False):
    """L_{t−1} written out with a mistake; L₀ is right."""

    def wrong(right, case, model, x_0, x_t, t, variance="small"):
        k, eps = case.rows(t, x_t), model(x_t, t)
        x0_hat = (x_t - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar
        x0_hat = np.clip(x0_hat, -1, 1) if clip else x0_hat
        sigma2 = k.large if large or variance == "large" else k.small
        q = k.x0 * x_0 + k.xt * x_t, np.log(k.small)
        p = k.x0 * x0_hat + k.xt * x_t, np.log(sigma2)
        value = (q[0] - p[0]) ** 2 / (2 * sigma2) if square else kl(*p, *q) if swap else kl(*q, *p)
        return np.where(t == 1, right(model, x_0, x_t, t, variance=variance), mean(value) / LN2)

    return wrong


def first(sigma2, sign=1.0, density=False):
    """L₀ written out with a mistake; L_{t−1} is right."""

    def wrong(right, case, model, x_0, x_t, t, variance="small"):
        k = case.rows(t, x_t)
        mu = (x_t - k.beta / k.sqrt_one_minus_alpha_bar * model(x_t, t)) / k.sqrt_alpha
        sigma = np.sqrt(sigma2(k) + 0 * x_t)
        log_p = log_level(x_0, mu, sigma)
        if density:
            log_p = -0.5 * (math.log(2 * math.pi) + 2 * np.log(sigma) + ((x_0 - mu) / sigma) ** 2)
        return np.where(t == 1, -sign * mean(log_p) / LN2, right(model, x_0, x_t, t, variance=variance))

    return wrong


def total(steps=lambda T: range(T, 0, -1), prior=1, shift=0, share=lambda T: 1.0):
    """(5) as a loop over our own terms with a mistake."""

    def wrong(right, case, model, x_0, noises, variance="small"):
        target = Ours(case.betas)
        found = prior * target.prior_kl(x_0)
        for t in steps(case.T):
            at = np.full(len(x_0), t)
            x_t = target.q_sample(x_0, at, noises[t + shift])
            found = found + share(case.T) * target.vlb_term(model, x_0, x_t, at, variance=variance)
        return found

    return wrong


def nats(right, case, *a, **options):
    return right(*a, **options) * LN2


def summed(right, case, *a, **options):
    images = a[0] if isinstance(a[0], np.ndarray) else a[1]
    return right(*a, **options) * dims(images)


BOUND = [
    ("kl", "kl", lambda right, case, a, b, c, d: right(c, d, a, b), "the arguments swapped"),
    ("kl", "kl", lambda right, case, *a: 2 * right(*a), "no factor ½"),
    ("kl", "kl", lambda right, case, *a: right(*a) + 0.5, "the −1 missing"),
    ("kl", "kl", lambda right, case, a, b, c, d: right(a, 2 * b, c, 2 * d), "ln σ taken for ln σ²"),
    ("L_T", "prior_kl", nats, "'unit': 'nats'"),
    ("L_T", "prior_kl", summed, "'reduction': 'sum'"),
    ("L_T", "prior_kl", lambda right, case, x: mean(kl(0, 0, case.table.sqrt_alpha_bar[-1] * x, np.log(
        case.table.one_minus_alpha_bar[-1]))) / LN2, "the arguments swapped"),
    ("L_T", "prior_kl", lambda right, case, x: mean(kl(case.table.sqrt_alpha_bar[-2] * x, np.log(
        case.table.one_minus_alpha_bar[-2]), 0, 0)) / LN2, "t = T − 1"),
    ("8", "vlb_term", nats, "'unit': 'nats'"),
    ("8", "vlb_term", summed, "'reduction': 'sum'"),
    ("8", "vlb_term", term(clip=True), "x̂₀ clipped"),
    ("8", "vlb_term", term(swap=True), "the arguments swapped"),
    ("8", "vlb_term", term(large=True), "the other variance"),
    ("8", "vlb_term", term(square=True), "C missing"),
    ("L_0", "vlb_term", first(lambda k: k.beta), "σ₁² = β₁"),
    ("L_0", "vlb_term", first(lambda k: np.maximum(k.beta_tilde, 1e-20)), "σ₁² = 1e-20"),
    ("L_0", "vlb_term", first(lambda k: k.small**2), "a variance as the scale"),
    ("L_0", "vlb_term", first(lambda k: k.small, -1), "without the minus"),
    ("L_0", "vlb_term", first(lambda k: k.small, density=True), "without levels"),
    ("5", "vlb", nats, "'unit': 'nats'"),
    ("5", "vlb", total(prior=0), "L_T missing"),
    ("5", "vlb", total(prior=2), "L_T twice"),
    ("5", "vlb", total(lambda T: range(T - 1, 0, -1)), "a loop that skips T"),
    ("5", "vlb", total(lambda T: range(T, 1, -1)), "L₀ missing"),
    ("5", "vlb", total(share=lambda T: 1 / T), "the mean over t"),
    ("5", "vlb", total(shift=-1), "noises[t − 1]"),
    ("12", "eq12_weight", lambda right, case, t, variance="small": right(t, variance="large"), "the other variance"),
    ("12", "eq12_weight", lambda right, case, t, **o: right(t, **o) * 2, "no factor ½"),
    ("12", "eq12_weight", lambda right, case, t, **o: right(t, **o) / case.table.beta[t], "β_t for β_t²"),
    ("12", "eq12_weight", lambda right, case, t, **o: right(t, **o) * (case.table.alpha / case.table.alpha_bar)[t],
     "ᾱ_t for α_t"),
    ("14", "simple_loss", summed, "'reduction': 'sum'"),
    ("14", "simple_loss", lambda right, case, *a: np.full(len(a[1]), right(*a).mean()), "the mean over the batch"),
    ("14", "simple_loss", lambda right, case, *a: np.sqrt(right(*a)), "a missing square"),
    ("14", "simple_loss", lambda right, case, model, x, t, e: right(model, x, np.maximum(t - 1, 1), e), ""),
    ("14", "simple_loss", lambda right, case, model, x, t, e: right(lambda y, s: model(x, s), x, t, e),
     "ε_θ asked at x₀"),
]


# The decoder


def decoder(cdf=ndtr, half=1 / 255, edges=True, floor=0.0, mirror=True):
    """ln of a difference of two Φ with a mistake, taken on the side where both are small if `mirror`."""

    def wrong(right, case, x_0, mu, log_scale):
        a, b = (x_0 - half - mu) / np.exp(log_scale), (x_0 + half - mu) / np.exp(log_scale)
        if edges:
            a, b = np.where(x_0 < -0.999, -np.inf, a), np.where(x_0 > 0.999, np.inf, b)
        if mirror:
            flip = a + b > 0
            a, b = np.where(flip, -b, a), np.where(flip, -a, b)
        return np.log(np.maximum(cdf(b) - cdf(a), floor))

    return wrong


def by_tanh(z):
    z = np.clip(z, -40, 40)
    return 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def density(right, case, x_0, mu, log_scale):
    z = (x_0 - mu) / np.exp(log_scale)
    return -0.5 * (z**2 + math.log(2 * math.pi)) - log_scale + math.log(2 / 255)


DECODER = [
    (decoder(by_tanh, mirror=False), "the tanh approximation"),
    (decoder(by_tanh, mirror=False, floor=1e-12), "the authors' decoder"),
    (decoder(floor=1e-12), "a floor"),
    (decoder(mirror=False), "subtracts numbers near 1"),
    (decoder(half=2 / 255), "twice as wide"),
    (decoder(half=1 / 256), "1/256"),
    (decoder(edges=False), "the edges left out"),
    (density, "the density times"),
    (lambda right, case, x, mu, s: right(x, mu, s / 2), "ln σ taken for ln σ²"),
    (lambda right, case, *a: right(*a) / LN2, "nats"),
]


# The laws of t and noise


def of_noise(f):
    return {"draw_noise": lambda right, case, rng, shape: f(rng, shape)}


def of_t(f):
    return {"draw_t": lambda right, case, rng, n: f(rng, n, case.T)}


LAWS = [
    (of_noise(lambda r, s: r.random(s)), "uniform on 0..1"),
    (of_noise(lambda r, s: r.uniform(-1, 1, s)), "uniform on -1..1"),
    (of_noise(lambda r, s: (r.random(s) - 0.5)), "uniform on -0.5..0.5"),
    (of_noise(lambda r, s: r.laplace(0, math.sqrt(0.5), s)), "tails"),
    (of_noise(lambda r, s: np.clip(r.standard_normal(s), -4, 4)), "clipped to ±4"),
    (of_noise(lambda r, s: 1.01 * r.standard_normal(s)), ""),
    (of_noise(lambda r, s: 0.99 * r.standard_normal(s)), ""),
    (of_noise(lambda r, s: 0.01 + r.standard_normal(s)), ""),
    (of_noise(lambda r, s: np.tile(r.standard_normal((1, *s[1:])), (s[0], 1, 1, 1))), "repeated"),
    (of_noise(lambda r, s: np.repeat(r.standard_normal((*s[:-1], 1)), s[-1], -1)), "channels"),
    (of_noise(lambda r, s: np.random.default_rng(0).standard_normal(s)), "two calls"),
    (of_noise(lambda r, s: (r.standard_normal(s) + 0.1 * r.standard_normal((s[0], 1, 1, s[3]))) / math.sqrt(1.01)),
     "an image's channel"),
    (of_t(lambda r, n, T: r.integers(0, T, n)), "'index_base': 0"),
    (of_t(lambda r, n, T: r.integers(1, T, n)), "is never drawn"),
    (of_t(lambda r, n, T: r.integers(2, T + 1, n)), "t = 1 is never drawn"),
    (of_t(lambda r, n, T: np.full(n, r.integers(1, T + 1))), "one t for the whole batch"),
    (of_t(lambda r, n, T: np.clip(r.integers(0, T + 1, n), 1, T)), "t = 1 is drawn too often"),
    (of_t(lambda r, n, T: np.rint(1 + (T - 1) * r.random(n)).astype(int)), ""),
    (of_t(lambda r, n, T: np.repeat(r.integers(1, T + 1, n // 2), 2)), "depend on each other"),
    (of_t(lambda r, n, T: np.random.default_rng(0).integers(1, T + 1, n)), "seeded anew"),
]


# Schedules and the embedding


def of_schedule(name, f):
    return {"schedule": lambda right, case, asked, T: f(T) if asked == name else right(asked, T)}


def cosine(T, s=0.008, clip=0.999, power=2):
    f = np.cos((np.arange(T + 1) / T + s) / (1 + s) * math.pi / 2) ** power
    return np.minimum(1 - f[1:] / f[:-1], clip)


def embedding(order="sin_cos", last=-1, shift=0):
    def wrong(right, case, t, dim):
        half = dim // 2
        angles = (t + shift)[:, None] * 10_000.0 ** (-np.arange(half) / (half + last))
        if order == "interleaved":
            return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(len(t), dim)
        parts = [np.sin(angles), np.cos(angles)]
        return np.concatenate(parts[::-1] if order == "cos_sin" else parts, -1)

    return {"time_embedding": wrong}


TABLES = [
    ("linear-schedule", of_schedule("linear", lambda T: np.linspace(0.1 / T, 20 / T, T)), "1000/T times"),
    ("linear-schedule", of_schedule("linear", lambda T: np.linspace(0.01, math.sqrt(0.02), T) ** 2), "√β_t"),
    ("linear-schedule", of_schedule("linear", lambda T: np.linspace(1e-4, 0.02, T + 1)[:-1]), "the end left out"),
    ("linear-schedule", of_schedule("linear", lambda T: np.float64(np.linspace(1e-4, 0.02, T, dtype="f4"))), "float32"),
    ("cosine-schedule", of_schedule("cosine", lambda T: cosine(T, s=0)), "s = 0"),
    ("cosine-schedule", of_schedule("cosine", lambda T: cosine(T, clip=1)), "no clip"),
    ("cosine-schedule", of_schedule("cosine", lambda T: cosine(T, power=1)), "without its square"),
    ("time-embedding", embedding("cos_sin"), "{'embedding': 'cos_sin'}"),
    ("time-embedding", embedding(last=0), "{'embedding': 'sin_cos_half'}"),
    ("time-embedding", embedding("cos_sin", 0), "{'embedding': 'cos_sin_half'}"),
    ("time-embedding", embedding("interleaved", 0), "{'embedding': 'interleaved_half'}"),
    ("time-embedding", embedding("interleaved"), "alternating"),
    ("time-embedding", embedding(shift=-1), "t − 1"),
]
FOR_LARGE = [(equation, method, lambda right, case, *a, **o: right(*a, **o) * (2 if o["variance"] == "large" else 1))
             for equation, method in (("8", "vlb_term"), ("L_0", "vlb_term"), ("5", "vlb"), ("12", "eq12_weight"))]
MISTAKES = [*((equation, {method: f}, hint) for equation, method, f, hint in BOUND),
            *(("13", {"decoder_log_likelihood": f}, hint) for f, hint in DECODER),
            *((equation, {method: f}, "") for equation, method, f in FOR_LARGE),
            *(("algorithm-1", wrong, hint) for wrong, hint in LAWS), *TABLES]


@pytest.mark.parametrize(("equation", "wrong", "hint"), MISTAKES)
def test_a_planted_mistake_fails_its_equation_and_is_named_in_the_hint(equation, wrong, hint):
    result = verdict(equation, planted(**wrong))
    assert result.verdict == FAIL
    assert result.counterexample
    assert hint in result.hint
    assert result.seconds < 5


EQUATIONS = tuple(dict.fromkeys(equation for equation, _, _ in MISTAKES))


@pytest.mark.parametrize("seed", [0, 1])
def test_our_own_functions_pass(seed):
    report = run(Ours, equations=EQUATIONS, seed=seed, examples=8)
    assert [result.verdict for result in report.results] == [PASS] * len(EQUATIONS), report.results
    assert max(result.error for result in report.results) < 1e-11


def test_a_counterexample_can_be_checked_by_hand():
    """(7/16)²/(2·σ₂²·9/16·16/25) is 175/162 of σ₂² = β̃₂ = 63/256, and 175/288 of σ₂² = β₂ = 7/16."""
    result = verdict("12", planted(eq12_weight=lambda right, case, t, variance="small": right(t, variance="large")))
    assert result.counterexample == "T=2, β=(9/25, 7/16), t=2: the weight (small) got 175/288, expected 175/162"
    result = verdict("8", planted(vlb_term=nats))
    assert result.counterexample == ("T=2, β=(9/25, 7/16), t=2, x₀=1, x_t=0, ε_θ=1/4: L_(t−1) (small) got 175/162, "
                                     "expected 1.558466865")


@pytest.mark.parametrize(("wrong", "right"), [(term(swap=True), "L_0"), (first(lambda k: k.beta), "8")])
def test_a_mistake_at_other_steps_does_not_fail_this_equation(wrong, right):
    """(8) is checked for t ≥ 2, L₀ at t = 1."""
    assert verdict(right, planted(vlb_term=wrong)).verdict == PASS


def test_the_bound_is_checked_only_on_the_256_levels():
    """A target may refuse data between the 256 levels, so the checker shows it none."""

    def strict(right, case, *a, **options):
        x_0 = a[0] if isinstance(a[0], np.ndarray) else a[1]
        level = (x_0 + 1) / 2 * 255
        if np.abs(level - np.rint(level)).max() > 1e-9 or level.min() < 0 or level.max() > 255:
            raise ValueError("data between the levels")
        return right(*a, **options)

    for equation in ("L_T", "8", "L_0", "5"):
        assert verdict(equation, planted(**dict.fromkeys(BOUNDS, strict))).verdict == PASS


def test_a_decoder_of_another_data_range_is_a_declared_convention_or_fails():
    """A decoder for data in [0, 1]: undeclared, declared, and declared by a target that does not do it."""
    of_unit = {"decoder_log_likelihood": lambda right, case, x, mu, s: right(2 * x - 1, 2 * mu - 1, s + LN2)}
    assert "the other range" in verdict("13", planted(**of_unit)).hint
    assert verdict("13", planted({"range": (0, 1)}, **of_unit)).verdict == CONVENTION
    assert verdict("13", planted({"range": (0, 1)})).verdict == FAIL


def test_declared_units_and_sums_are_conventions():
    for equation in ("L_T", "8", "L_0", "5"):
        assert verdict(equation, planted({"unit": "nats"}, **dict.fromkeys(BOUNDS, nats))).verdict == CONVENTION
        assert verdict(equation, planted({"reduction": "sum"}, **dict.fromkeys(BOUNDS, summed))).verdict == CONVENTION
        assert "though nats are declared" in verdict(equation, planted({"unit": "nats"})).hint
        assert "though a sum is declared" in verdict(equation, planted({"reduction": "sum"})).hint
    assert verdict("14", planted({"reduction": "sum"}, simple_loss=summed)).verdict == CONVENTION


@pytest.mark.parametrize(("order", "last", "name"), [
    ("cos_sin", -1, "cos_sin"), ("sin_cos", 0, "sin_cos_half"), ("cos_sin", 0, "cos_sin_half"),
    ("interleaved", 0, "interleaved_half")])
def test_declared_embeddings_are_conventions(order, last, name):
    assert verdict("time-embedding", planted({"embedding": name}, **embedding(order, last))).verdict == CONVENTION
    assert verdict("time-embedding", planted({"embedding": name})).verdict == FAIL


def test_declared_first_variances_are_conventions():
    """β₁ at t = 1 is a convention; 0 leaves no decoder to compare."""
    of_beta = {"vlb_term": first(lambda k: k.beta)}
    assert verdict("L_0", planted({"first_variance": "beta"}, **of_beta)).verdict == CONVENTION
    assert verdict("L_0", planted({"first_variance": "posterior"})).verdict == UNVERIFIED


def test_equivalent_formulas_pass():
    """A KL that cancels, Φ on the side where it is small, all steps of (5) at once."""

    def at_once(right, case, model, x_0, noises, variance="small"):
        target, n = Ours(case.betas), len(x_0)
        t, data = np.repeat(np.arange(1, case.T + 1), n), np.concatenate([x_0] * case.T)
        x_t = target.q_sample(data, t, noises[1:].reshape(data.shape))
        return target.prior_kl(x_0) + target.vlb_term(model, data, x_t, t, variance=variance).reshape(case.T, n).sum(0)

    def plain_kl(right, case, a, b, c, d):
        return (d - b) / 2 + (np.exp(b) + (a - c) ** 2) / (2 * np.exp(d)) - 0.5

    def by_survival(right, case, x_0, mu, log_scale):
        a, b = (x_0 - 1 / 255 - mu) / np.exp(log_scale), (x_0 + 1 / 255 - mu) / np.exp(log_scale)
        inside = np.log(np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a)))
        return np.where(x_0 < -0.999, log_ndtr(b), np.where(x_0 > 0.999, log_ndtr(-a), inside))

    def weight(right, case, t, variance="small"):
        alpha_bar = np.cumprod(np.concatenate(([1.0], 1 - case.betas)))
        beta = case.betas[t - 1]
        sigma2 = beta * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) if variance == "small" else beta
        return beta**2 / (2 * sigma2 * (1 - beta) * (1 - alpha_bar[t]))

    right = planted(kl=plain_kl, vlb=at_once, decoder_log_likelihood=by_survival, eq12_weight=weight, vlb_term=term(),
                    **embedding(), **of_schedule("cosine", cosine),
                    **of_t(lambda r, n, T: 1 + np.int32(T * r.random(n))))
    for result in run(right, equations=EQUATIONS).results:
        assert (result.verdict, result.counterexample) == (PASS, ""), result.equation


def test_log_level_agrees_with_fifty_digits():
    """At the fixed points, the float64 reference for random draws equals 50 digits."""
    for points in (MIDDLE, EDGES, TAILS):
        for low in (-1, 0):
            x_0, mu, log_scale, want = fixed(points, low, 1)
            got = log_level(x_0, mu, np.exp(log_scale), low, 1)
            assert np.abs((got - want) / (1 + np.abs(want))).max() < 1e-12


@pytest.mark.parametrize("chance", [0.2, 0.05, 1e-3, 1e-9])
@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (20, 0.3), (400, 0.01)])
def test_binomial_thresholds_have_at_most_the_stated_false_alarm_rate(n, p, chance):
    """The probabilities of all counts that would be called wrong, summed exactly."""
    counts = np.arange(n + 1)
    two_sided = statistics.two_sided(*statistics.binomial(counts, n, p))
    assert binom.pmf(counts, n, p)[two_sided <= chance].sum() <= chance
    assert two_sided.max() > 0.5


def test_correct_draws_pass_for_any_seed(monkeypatch):
    """12 runs at a false alarm rate of 1e-4, where a wrong threshold shows sooner."""
    monkeypatch.setattr(statistics, "CHANCE", 1e-4)
    monkeypatch.setattr(statistics, "SHAPE", (20, 16, 16, 3))
    for seed in range(12):
        monkeypatch.setattr(statistics, "SEED", 1000 + seed)
        right = planted(**of_t(lambda r, n, T: r.integers(1, T + 1, n)), **of_noise(lambda r, s: r.standard_normal(s)))
        assert verdict("algorithm-1", right).verdict == PASS


def test_draws_on_a_device_are_those_of_the_step():
    """There the first step also calls its objective to measure the memory that an image needs."""
    with fake_cupy.installed():
        assert verdict("algorithm-1", partial(ddpm_np, backend="cupy")).verdict == PASS
