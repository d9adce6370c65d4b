"""Appendix A: every line of both derivations on the same trajectories, and their expectations in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gaussians import expect, gaussians, tables, variances
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import any_schedule, assert_close, pythagorean, rows, shapes

from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    Trajectory,
    decoder_log_likelihood,
    linear_schedule,
    prior_kl,
    q_trajectory,
    vlb_term,
)
from ddpm_np.diffusion import appendix_a as lines
from ddpm_np.diffusion.oracle import Gaussian, Mixture, affine_bound_16, affine_nll, affine_vlb

SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def model(x, t):
    """A nonlinear model that differs for every t."""
    return np.tanh(x) * (0.3 + 0.1 * rows(t, x)) - 0.05 * rows(t, x)


@st.composite
def trajectories(draw, least_rank=1):
    """Draw any x₀..x_T (not only likely ones), a model's σ², and a decoder or a density."""
    c = draw(pythagorean(min_T=1) | any_schedule(6, 1e-4))
    shape = draw(shapes().filter(lambda s: len(s) >= least_rank))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((c.exact.T + 1, *shape))
    x[0] = np.linspace(-1, 1, 9)[rng.integers(0, 9, shape)]
    variance = draw(st.sampled_from(["small", "large", "table"]))
    if variance == "table":
        variance = np.array([np.nan, *rng.uniform(0.2, 2, c.exact.T)])
    reverse = Reverse(c.schedule, model, variance=variance)
    return c, Trajectory(reverse, x, levels=draw(st.sampled_from([None, 9])))


def total(x):
    return x.reshape(len(x), -1).sum(axis=1)


def magnitude(tr):
    """Return Σ |log density|, the scale of the rounding errors of a derivation's lines."""
    parts = [tr.log_prior(), *(tr.log_p(t) for t in tr.steps), *(tr.log_q_step(t) for t in tr.steps),
             *(tr.log_q_given_x0(t) for t in tr.steps), *(tr.log_q_posterior(t) for t in tr.steps[1:])]
    return 1 + sum(map(abs, parts))


# A trajectory, and the densities along it.

@given(trajectories())
def test_a_trajectory_is_a_chain_of_q_steps(drawn):
    """x_t = √α_t·x_{t−1} + √β_t·z_t from x₀ on; row 0 of the noises is unused."""
    c, tr = drawn
    noises = np.random.default_rng(1).standard_normal(tr.x.shape)
    noises[0] = np.nan
    x = q_trajectory(c.schedule, tr.x[0], noises)
    assert x.shape == tr.x.shape
    assert np.array_equal(x[0], tr.x[0])
    for t in tr.steps:
        signal, noise = math.sqrt(c.exact.alpha[t]), math.sqrt(c.exact.beta[t])
        assert_close(x[t], signal * x[t - 1] + noise * noises[t], 1e-13, scale=1 + abs(x[t - 1]) + abs(noises[t]))


@given(trajectories())
def test_log_densities_equal_scipys(drawn):
    """Each log density along a trajectory, summed over an image's dimensions; (1) and (2) are their sums."""
    c, tr = drawn
    e, x = c.exact, tr.x

    def normal(x, mean, variance):
        return total(stats.norm.logpdf(x, mean, math.sqrt(variance)))

    p, q = [normal(x[e.T], 0 * x[0], 1)], []
    for t in tr.steps:
        here, before, now = x[t], x[t - 1], np.full(len(x[0]), t)
        gain, drift = map(float, e.mean(t))
        mean = gain * here + drift * model(here, now)
        variance = tr.reverse.variance
        sigma2 = float(e.sigma2(variance, t)) if isinstance(variance, str) else variance[t]
        if t == 1 and tr.levels:
            p.append(total(decoder_log_likelihood(before, mean, 0.5 * math.log(sigma2), 9)))
        else:
            p.append(normal(before, mean, sigma2))
        q.append(normal(here, math.sqrt(e.alpha[t]) * before, float(e.beta[t])))
        given_x0 = normal(here, float(e.marginal(t)[0]) * x[0], float(e.marginal(t)[1])**2)
        found = [(tr.log_p(t), p[-1]), (tr.log_q_step(t), q[-1]), (tr.log_q_given_x0(t), given_x0)]
        if t > 1:
            on_x0, on_xt, tilde = map(float, e.posterior(t))
            found.append((tr.log_q_posterior(t), normal(before, on_x0 * x[0] + on_xt * here, tilde)))
        for got, want in found:
            assert got.shape == (len(x[0]),)
            assert_close(got, want, 1e-9, scale=1 + abs(want))
    assert_close(tr.log_prior(), p[0], 1e-12)
    assert_close(lines.log_p_joint(tr), sum(p), 1e-9, scale=1 + sum(map(abs, p)))
    assert_close(lines.log_q_joint(tr), sum(q), 1e-9, scale=1 + sum(map(abs, q)))


def test_the_decoder_is_used_only_at_t_1_and_with_levels():
    x = np.zeros((5, 2, 3))
    tight, density = (Trajectory(Reverse(SHORT, model), x, levels=levels) for levels in (9, None))
    assert (tight.log_p(1) < density.log_p(1)).all()
    assert np.array_equal(tight.log_p(2), density.log_p(2))
    assert np.array_equal(Trajectory(Reverse(SHORT, model), x).log_p(1), density.log_p(1))


# (3) = (17) = … = (21), at every trajectory.

@given(trajectories())
def test_equations_17_to_21_equal_equation_3_on_every_trajectory(drawn):
    _, tr = drawn
    want, scale = lines.equation_3(tr), magnitude(tr)
    by_hand = -tr.log_prior() - sum(tr.log_p(t) for t in tr.steps) + sum(tr.log_q_step(t) for t in tr.steps)
    assert_close(want, by_hand, 1e-10, scale=scale)
    for line in (lines.equation_17, lines.equation_18, lines.equation_19, lines.equation_20, lines.equation_21):
        assert line(tr).shape == (tr.x.shape[1],)
        assert_close(line(tr), want, 1e-10, scale=scale)


@given(trajectories(least_rank=2), st.sampled_from(["learned", "learned_range"]))
def test_equations_17_to_21_hold_for_learned_variances_and_every_prediction_type(drawn, variance):
    """log p_θ at T is that of the net's own mean and variance."""
    _, tr = drawn

    def net(x, t):
        return np.concatenate((model(x, t), np.cos(x)), axis=-1)

    tr = Trajectory(Reverse(tr.schedule, net, "x0", variance), tr.x, levels=tr.levels)
    assert_close(lines.equation_21(tr), lines.equation_3(tr), 1e-10, scale=magnitude(tr))
    s, T, n = tr.schedule, tr.schedule.T, tr.x.shape[1]
    if T > 1:
        x_T, last = tr.x[T], np.full(n, T)
        mean = s.posterior_x0[T] * model(x_T, last) + s.posterior_xt[T] * x_T
        logvar = np.cos(x_T)
        if variance == "learned_range":
            logvar = (1 + logvar) / 2 * np.log(s.beta[T]) + (1 - logvar) / 2 * np.log(s.beta_tilde[T])
        want = total(stats.norm.logpdf(tr.x[T - 1], mean, np.exp(logvar / 2)))
        assert_close(tr.log_p(T), want, 1e-9, scale=1 + abs(want))


# (22), and the expectations of all lines.

@st.composite
def affine_problems(draw, max_T=3):
    """Draw one dimension of Gaussian data, two or three steps, a model a_t·x + b_t and any σ²."""
    schedule = draw(any_schedule(max_T, 1e-3)).schedule
    schedule = Schedule.from_betas(schedule.beta[1:max_T + 1])
    T = schedule.T
    data = Gaussian(schedule, draw(st.floats(-2, 2)), draw(variances(1e-2)))
    return data, draw(tables(T, -2, 2)), draw(tables(T, -2, 2)), draw(tables(T, 1e-2, 3))


def affine_model(a, b):
    return lambda x, t: rows(a[t], x) * x + rows(b[t], x)


@given(affine_problems())
def test_equation_22_equals_equation_21_in_expectation(problem):
    """E over x₀ and z₁..z_T by Gauss–Hermite, exact for quadratics: (3), (21), (22) and the closed form of (5)."""
    data, a, b, sigma2 = problem
    s, dims = data.schedule, data.schedule.T + 1

    def expectation(line):
        def of_noise(*z):
            x_0 = float(data.mean) + math.sqrt(data.variance) * z[0]
            noises = np.stack(z)
            noises[0] = np.nan
            x = q_trajectory(s, x_0[:, None], noises[..., None])
            return line(Trajectory(Reverse(s, affine_model(a, b), variance=sigma2), x))

        return expect(of_noise, dims)

    terms = affine_vlb(s, data.mean, data.variance, a, b, sigma2)
    scale = 1 + abs(terms).sum() + abs(np.log(s.beta[1:])).sum()
    for line in (lines.equation_3, lines.equation_21, lines.equation_22):
        assert abs(expectation(line) - terms.sum()) < 1e-9 * scale
    again = affine_bound_16(s, data.mean, data.variance, a, b, sigma2)
    for line in (lines.equation_24, lines.equation_25):
        assert abs(expectation(lambda tr, line=line: line(tr, data.log_q)) - again.sum()) < 1e-9 * scale
    assert terms.sum() - affine_nll(s, data.mean, data.variance, a, b, sigma2) > -1e-9 * scale  # (3): a bound
    for t in range(1, dims):  # and (26) term by term
        def step(tr, t=t):
            return lines.log_q_reverse(tr, lines.log_marginals(tr, data.log_q), t) - tr.log_p(t)

        assert abs(expectation(step) - again[t]) < 1e-9 * scale


@given(trajectories())
def test_equation_22_equals_equation_5_on_every_trajectory(drawn):
    """`vlb_term` at each x_t, in nats and summed over an image: KL divergences and the decoder.

    With σ² = β̃ and a model that knows x₀ only L_T and L₀ are left.
    """
    _, tr = drawn
    s, x_0, T, n = tr.schedule, tr.x[0], tr.schedule.T, tr.x.shape[1]
    terms = [vlb_term(tr.reverse, x_0, tr.x[t], np.full(n, t), levels=tr.levels) for t in tr.steps]
    want = (prior_kl(s, x_0) + sum(terms)) * math.log(2) * x_0[0].size
    assert_close(lines.equation_22(tr), want, 1e-11, scale=1 + sum(map(abs, terms)) * x_0[0].size)
    knows = Trajectory(Reverse(s, lambda x, t: x_0, "x0"), tr.x, levels=tr.levels)
    alpha_bar = s.alpha_bar[T]
    prior = total(0.5 * (alpha_bar * x_0**2 - alpha_bar - np.log(s.one_minus_alpha_bar[T])))
    want = prior - knows.log_p(1)
    assert_close(lines.equation_22(knows), want, 1e-9, scale=1 + abs(want))


def test_the_bound_equals_the_likelihood_only_for_the_exact_reverse_process():
    """N(0, 1), ε* and σ² = β: L = −ln p_θ = the entropy; for data of another variance, L is larger."""
    for T in (3, 50):
        s = linear_schedule(T)
        for variance, touches in ((1.0, True), (0.3, False)):
            data = Gaussian(s, 0.0, variance)
            a, b = data.affine_eps
            gap = affine_vlb(s, 0.0, variance, a, b, s.beta).sum() - affine_nll(s, 0.0, variance, a, b, s.beta)
            assert (abs(gap) < 1e-12) if touches else (gap > 1e-6)


# (23) = (24) = (25).

@given(st.data(), st.booleans())
def test_equations_23_to_25_hold_on_every_trajectory(drawn, mixture):
    """With the exact log q of Gaussian data and of a mixture; ln q(x_{t−1} | x_t) is the density of the exact step."""
    data = drawn.draw(gaussians(least=1e-2))
    s, dims = data.schedule, data.mean.shape
    n, rng = 3, np.random.default_rng(drawn.draw(st.integers(0, 2**32 - 1)))
    x = q_trajectory(s, data.sample(n, shape=dims, dtype="float64"), rng.standard_normal((s.T + 1, n, *dims)))
    tr = Trajectory(Reverse(s, model, variance="large"), x)
    scale, gain, shift, r = magnitude(tr), *data.reverse_mean, data.reverse_variance
    log_q = data.log_q
    if mixture:
        means = np.stack([data.mean, data.mean + 1])
        log_q = Mixture(s, [0.25, 0.75], means, np.stack([data.variance, 2 * data.variance])).log_q
    else:
        marginals = lines.log_marginals(tr, log_q)
        for t in tr.steps:
            want = total(stats.norm.logpdf(x[t - 1], gain[t] * x[t] + shift[t], np.sqrt(r[t])))
            assert_close(lines.log_q_reverse(tr, marginals, t), want, 1e-9, scale=scale)
    scale = scale + sum(abs(m) for m in lines.log_marginals(tr, log_q))
    want = lines.equation_23(tr)
    assert_close(want, lines.equation_3(tr), 1e-15)
    assert_close(lines.equation_24(tr, log_q), want, 1e-10, scale=scale)
    assert_close(lines.equation_25(tr, log_q), want, 1e-10, scale=scale)


@pytest.mark.parametrize("t", [1, 2, 4])
def test_the_exact_reverse_step_of_a_mixture_is_a_density(t):
    """∫ q(x_{t−1} | x_t) dx_{t−1} = 1 by the trapezoid rule, which converges fast for such tails."""
    data = Mixture(SHORT, [0.3, 0.7], [[-0.5], [0.8]], [0.1, 0.2])
    grid = np.linspace(-6, 6, 4001)
    x = np.zeros((5, len(grid), 1))
    x[t], x[t - 1, :, 0] = 0.4, grid
    tr = Trajectory(Reverse(SHORT, model), x)
    q = np.exp(lines.log_q_reverse(tr, lines.log_marginals(tr, data.log_q), t))
    assert abs(np.trapezoid(q, grid) - 1) < 1e-12
