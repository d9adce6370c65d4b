"""Bound and likelihood of affine models on Gaussian data: every term by quadrature, (5) = (16), known numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gaussians import chain, expect, gaussians, tables
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import assert_close, rows

from ddpm_np.diffusion import Schedule, linear_schedule, mean_from_eps, q_posterior, q_sample, q_step
from ddpm_np.diffusion.oracle import Gaussian, affine_bound_16, affine_nll, affine_vlb

SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])
UNIT = 0.5 * math.log(2 * math.pi * math.e)  # H of N(0, 1)


@st.composite
def affine_models(draw):
    """Draw scalar data, a model ε_θ = a_t·x + b_t, and a table of σ²."""
    data = draw(gaussians(least=1e-3, scalar=True))
    T = data.schedule.T
    return data, draw(tables(T, -2, 2)), draw(tables(T, -2, 2)), draw(tables(T, 1e-2, 3))


@given(affine_models())
def test_terms_of_equation_5_by_quadrature(problem):
    """Each term is by definition an expectation of differences of log densities, exact by quadrature."""
    data, a, b, sigma2 = problem
    s, m, deviation = data.schedule, float(data.mean), math.sqrt(data.variance)
    got = affine_vlb(s, m, data.variance, a, b, sigma2)
    assert got.shape == (s.T + 1,)

    def term(t, z, e, u):
        steps, x0 = np.full(z.shape, t), m + deviation * z
        x_t = q_sample(s, x0, steps, e)
        guess = mean_from_eps(s, x_t, steps, a[t] * x_t + b[t])
        if t == 1:
            return -stats.norm.logpdf(x0, guess, math.sqrt(sigma2[1]))
        mean, variance = q_posterior(s, x0, x_t, steps)
        x = mean + np.sqrt(variance) * u
        return stats.norm.logpdf(x, mean, np.sqrt(variance)) - stats.norm.logpdf(x, guess, math.sqrt(sigma2[t]))

    def prior(z, e):
        x0 = m + deviation * z
        x_T = q_sample(s, x0, np.full(z.shape, s.T), e)
        mean = s.sqrt_alpha_bar[s.T] * x0
        return stats.norm.logpdf(x_T, mean, s.sqrt_one_minus_alpha_bar[s.T]) - stats.norm.logpdf(x_T)

    want = [expect(lambda *zs, t=t: term(t, *zs), 3) for t in range(1, s.T + 1)] + [expect(prior, 2)]
    assert_close(got, np.array(want), 1e-9, scale=1 + abs(np.array(want)))


@given(affine_models())
def test_terms_of_equation_16_by_quadrature(problem):
    """As for equation (5), with q(x_{t−1} | x_t) by Bayes' rule from the marginals."""
    data, a, b, sigma2 = problem
    s = data.schedule
    got = affine_bound_16(s, data.mean, data.variance, a, b, sigma2)
    assert got.shape == (s.T + 2,)

    def marginal(t, z):
        return s.sqrt_alpha_bar[t] * data.mean + math.sqrt(s.alpha_bar[t] * data.variance + 1 - s.alpha_bar[t]) * z

    def log_q(x, t):
        return data.log_q(x, np.full(x.shape, t))

    def step(t, z, e):
        before = marginal(t - 1, z)
        x = q_step(s, before, np.full(z.shape, t), e)
        forward = stats.norm.logpdf(x, s.sqrt_alpha[t] * before, s.sqrt_beta[t])
        guess = mean_from_eps(s, x, np.full(z.shape, t), a[t] * x + b[t])
        back = stats.norm.logpdf(before, guess, math.sqrt(sigma2[t]))
        return forward + log_q(before, t - 1) - log_q(x, t) - back

    want = [expect(lambda z: -log_q(marginal(0, z), 0), 1)]
    want += [expect(lambda z, e, t=t: step(t, z, e), 2) for t in range(1, s.T + 1)]
    want += [expect(lambda z: log_q(marginal(s.T, z), s.T) - stats.norm.logpdf(marginal(s.T, z)), 1)]
    assert_close(got, np.array(want), 1e-9, scale=1 + abs(np.array(want)))


@given(affine_models())
def test_equations_5_and_16_are_equal_and_bound_the_likelihood(problem):
    """For any affine model and any σ²: two sums of different terms give one number."""
    data, a, b, sigma2 = problem
    arguments = (data.schedule, data.mean, data.variance, a, b, sigma2)
    five, sixteen = affine_vlb(*arguments), affine_bound_16(*arguments)
    scale = max(abs(five).sum(), abs(sixteen).sum())
    assert_close(five.sum(), sixteen.sum(), 1e-12, scale=scale)
    assert np.all(five[1:] >= -1e-12 * scale)
    assert np.all(sixteen[1:] >= -1e-12 * scale)
    assert affine_nll(*arguments) <= five.sum() + 1e-12 * scale


@given(affine_models())
def test_affine_nll_is_that_of_the_end_of_the_chain(problem):
    """The distribution at the end of the sampler's chain, plus the decoder's noise."""
    data, a, b, sigma2 = problem
    mean, variance = chain(data, lambda x, t: rows(a[t], x) * x + rows(b[t], x), sigma2)
    deviation = math.sqrt(variance + sigma2[1])

    def surprise(z):
        return -stats.norm.logpdf(data.mean + math.sqrt(data.variance) * z, mean, deviation)

    got = affine_nll(data.schedule, data.mean, data.variance, a, b, sigma2)
    assert_close(got, expect(surprise, 1), 1e-8, scale=1 + abs(got))


@given(st.data(), gaussians(least=1e-3))
def test_vlb_and_nll_are_the_affine_ones_at_the_best_model(draw, data):
    """In every dimension; with σ² = r, only the mismatch of x_T is lost."""
    s, (a, b) = data.schedule, data.affine_eps
    sigma2 = draw.draw(tables(s.T, 1e-2, 3))
    arguments = (s, data.mean, data.variance, a, b, sigma2)
    for got, want in ((data.vlb(sigma2), affine_vlb(*arguments)), (data.nll(sigma2), affine_nll(*arguments))):
        assert_close(got, want, 1e-9, scale=1 + abs(want))
        assert got.shape[got.ndim - data.mean.ndim:] == data.mean.shape
    signal, v = s.sqrt_alpha_bar[-1], s.alpha_bar[-1] * data.variance + s.one_minus_alpha_bar[-1]
    prior = 0.5 * (v + (signal * data.mean) ** 2 - 1 - np.log(v))  # KL(q(x_T) ‖ N(0, 1))
    entropy = stats.norm.entropy(scale=np.sqrt(data.variance))
    assert_close(data.entropy(), entropy, 1e-12, scale=1)
    assert_close(data.vlb(data.reverse_variance).sum(axis=0), entropy + prior, 1e-12, scale=s.T + abs(entropy))
    assert np.all(data.vlb(sigma2).sum(axis=0) >= data.vlb(data.reverse_variance).sum(axis=0) - 1e-11)


@pytest.mark.parametrize("T", [10, 100, 1000])
def test_bound_of_standard_normal_data_is_their_entropy(T):
    """Data N(0, 1) and σ_t² = β_t at every t, also at 1: the bound is ½·ln 2πe.

    With β̃₂ at t = 1, as the authors have it, the bound is larger.
    """
    s = linear_schedule(T)
    data = Gaussian(s, 0.0, 1.0)
    assert_close(data.vlb(s.beta).sum(), UNIT, 1e-12)
    assert_close(data.nll(s.beta), UNIT, 1e-12)
    clipped = np.exp(s.log_beta_clipped)
    assert data.vlb(clipped).sum() > UNIT + 1e-4
    if T == 1000:
        assert round(data.vlb(clipped).sum() - UNIT, 4) == 0.1137


def test_gap_between_the_bound_and_the_likelihood():
    s = linear_schedule(1000)
    data, small = Gaussian(s, 0.3, 0.25), np.exp(s.posterior_log_variance_clipped)
    assert round(data.vlb(s.beta).sum() - data.nll(s.beta), 4) == 0.0011
    assert round(data.vlb(small).sum() - data.nll(small), 2) == 0.57


def test_bound_of_a_single_point():
    """Without variance, ε* with σ² = β̃ loses only L_T and the decoder."""
    data, sigma2 = Gaussian(SHORT, 0.4, 0.0), SHORT.beta_tilde.copy()
    sigma2[1] = 0.01
    prior = 0.5 * (SHORT.alpha_bar[-1] * 0.4**2 - SHORT.alpha_bar[-1] - math.log(1 - SHORT.alpha_bar[-1]))
    want = [0.5 * math.log(2 * math.pi * 0.01), 0, 0, 0, prior]
    assert_close(data.vlb(sigma2), np.array(want), 1e-14, scale=1)


ONE = Gaussian(SHORT, 0.3, 0.25)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Gaussian(SHORT, 0.0, 0.0).entropy(), "where s² = 0 the entropy is −∞"),
    (lambda: affine_bound_16(SHORT, 0.0, 0.0, SHORT.beta, SHORT.beta, SHORT.beta), "where s² = 0 the entropy is −∞"),
    (lambda: ONE.vlb(SHORT.beta[1:]), r"a table of σ² of T \+ 1 = 5 rows, index 0 unused, got shape \(4,\)"),
    (lambda: ONE.vlb(SHORT.beta_tilde), "every σ² must be positive, got 0.0 at t = 1"),
    (lambda: Gaussian(SHORT, [0.0] * 3, 1.0).nll(np.outer([1, 1, 1, 0, 1], [1, 1, 1])),
     "every σ² must be positive, got 0.0 at t = 3"),
    (lambda: ONE.nll([0, 1, 1, np.inf, 1]), "σ² must be finite numbers, got inf"),
    (lambda: affine_nll(SHORT, 0.0, 1.0, [0, 1, 1, 1, 1], [0, 1, 1, 1], SHORT.beta), r"table of b .* got shape \(4,\)"),
])
def test_invalid_variances_and_tables_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
