"""Gaussian data: formulas against SciPy's densities, quadrature, the complex step and simulated chains."""

from __future__ import annotations

import math
from itertools import pairwise

import array_api_strict
import fake_cupy
import numpy as np
import pytest
from gaussians import chain, everywhere, expect, gaussians, tables, variances
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import FALSE_ALARM, any_schedule, assert_close, rows

from ddpm_np import Tensor
from ddpm_np.backend import get_backend, to_host
from ddpm_np.diffusion import Schedule, linear_schedule, mean_from_eps, posterior_mean, predict_x0, simple_loss
from ddpm_np.diffusion.oracle import Gaussian

SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


# The marginal, its score, and the two predictions.

@given(gaussians(least=1e-4))
def test_log_q_is_scipys_normal_density(data):
    """At every t; at t = 0 it is the data's own density."""
    x, t = everywhere(data, first=0)
    schedule = data.schedule
    signal, noise = rows(np.sqrt(schedule.alpha_bar), x), rows(1 - schedule.alpha_bar, x)
    each = stats.norm.logpdf(x, signal * data.mean, np.sqrt(signal**2 * data.variance + noise))
    assert_close(data.log_q(x, t), each.reshape(len(x), -1).sum(axis=1), 1e-10, scale=1 + abs(each).reshape(
        len(x), -1).sum(axis=1))


@given(gaussians(least=1e-4))
def test_the_score_is_the_derivative_of_the_density(data):
    x, t = everywhere(data, first=0)
    score = data.score(x, t)
    for place in np.ndindex(data.mean.shape):
        step = np.zeros(x.shape, complex)
        step[(slice(None), *place)] = 1e-20j
        assert_close(data.log_q(x + step, t).imag / 1e-20, score[(slice(None), *place)], 1e-12)


@given(gaussians())
def test_score_eps_and_x0_are_consistent(data):
    """ε* = −√(1 − ᾱ)·score, and E[x₀ | x_t] is (15) of it (Tweedie's formula); without variance it is m."""
    x, t = everywhere(data)
    s, eps, x0 = data.schedule, data.eps(x, t), data.x0(x, t)
    noise = rows(1 - s.alpha_bar[1:], x)
    assert_close(eps, -np.sqrt(noise) * data.score(x, t), 1e-9)
    scale = (abs(x) + np.sqrt(noise) * abs(eps)) / rows(s.sqrt_alpha_bar[1:], x)
    assert_close(x0, predict_x0(s, x, t, eps), 1e-13, scale=scale + abs(data.mean))
    point = np.broadcast_to(data.variance == 0, x.shape)
    assert np.array_equal(x0[point], np.broadcast_to(data.mean, x.shape)[point])


def test_full_covariance_against_scipy():
    """`Gaussian.full` against SciPy and formulas with matrices, for vectors and images."""
    rng = np.random.default_rng(0)
    root, mean = rng.standard_normal((6, 6)), rng.standard_normal(6)
    covariance = root @ root.T
    data = Gaussian.full(SHORT, mean, covariance)
    for t in range(SHORT.T + 1):
        x = rng.standard_normal((5, 6))
        steps = np.full(5, t)
        signal, noise = math.sqrt(SHORT.alpha_bar[t]), SHORT.one_minus_alpha_bar[t]
        marginal = signal**2 * covariance + noise * np.eye(6)
        assert_close(data.log_q(x, steps), stats.multivariate_normal(signal * mean, marginal).logpdf(x), 1e-11)
        inverse = np.linalg.inv(marginal)
        score = -(x - signal * mean) @ inverse
        assert_close(data.score(x, steps), score, 1e-10, scale=1)
        assert_close(data.eps(x, steps), -math.sqrt(noise) * score, 1e-10, scale=1)
        x0 = mean + signal * (x - signal * mean) @ inverse @ covariance
        assert_close(data.x0(x, steps), x0, 1e-10, scale=1)
        image = x.reshape(5, 3, 2, 1)
        for name in ("score", "eps", "x0", "log_q"):
            got = getattr(data, name)(image, steps)
            assert got.shape == ((5,) if name == "log_q" else image.shape)
            assert np.array_equal(got.ravel(), getattr(data, name)(x, steps).ravel())
            assert np.array_equal(getattr(data, name)(image[2:3], steps[2:3]), got[2:3])  # the same bits in any batch
    assert_close(data.basis * data.variance @ data.basis.T, covariance, 1e-12, scale=1)
    assert_close(data.basis @ data.mean, mean, 1e-12, scale=1)
    assert_close(data.entropy().sum(), np.float64(stats.multivariate_normal(mean, covariance).entropy()), 1e-12)
    flat = Gaussian.full(SHORT, mean[:2], np.ones((2, 2)))  # singular: an eigenvalue is 0 but for rounding
    assert flat.variance.min() >= 0


@given(gaussians(scalar=True), st.floats(-1, 1), st.floats(-1, 1))
def test_eps_star_minimises_the_simple_loss(data, slope, offset):
    """L_simple of ε* is `eps_variance`; of ε* + φ it is larger by E φ² for every φ, here p·x + q, by quadrature."""
    s, floors = data.schedule, []

    def loss(t, model):
        """Return L_simple at step t."""
        return expect(lambda z, e: simple_loss(s, model, (data.mean + np.sqrt(data.variance) * z)[:, None],
                                               np.full(z.shape, t), e[:, None]), 2)

    for t in range(1, s.T + 1):
        floors.append(loss(t, data.eps))
        more = loss(t, lambda x, t: data.eps(x, t) + slope * x + offset)
        v = s.alpha_bar[t] * data.variance + 1 - s.alpha_bar[t]
        square = slope**2 * v + (slope * math.sqrt(s.alpha_bar[t]) * data.mean + offset) ** 2
        assert_close(more, floors[-1] + square, 1e-12, scale=1 + square)
    assert_close(data.eps_variance, np.array([1, *floors]), 1e-12, scale=1)
    assert_close(data.simple_loss_floor(), np.mean(floors), 1e-12, scale=1)


def test_simple_loss_floor_of_the_papers_schedule():
    assert round(Gaussian(linear_schedule(1000), 0.3, 0.25).simple_loss_floor(), 5) == 0.17305
    two = Gaussian(SHORT, 0.0, [0.25, 1.0])
    each = [Gaussian(SHORT, 0.0, v).simple_loss_floor() for v in (0.25, 1.0)]
    assert_close(two.simple_loss_floor(), np.mean(each))


# The exact reverse step.

@given(gaussians())
def test_reverse_mean_and_variance_are_those_of_the_exact_step(data):
    """The posterior mean at E[x₀ | x_t], and β̃ + c²·Var[x₀ | x_t]; β for s = 1 and β̃ for s = 0."""
    s, (gain, shift), r = data.schedule, data.reverse_mean, data.reverse_variance
    x, t = everywhere(data)
    mean = gain[1:] * x + shift[1:]
    assert_close(mean, posterior_mean(s, data.x0(x, t), x, t), 1e-12, scale=1 + abs(x))
    scale = (1 + abs(x)) / rows(s.sqrt_alpha[1:], x)
    assert_close(mean, mean_from_eps(s, x, t, data.eps(x, t)), 1e-12, scale=scale)
    a, b = data.affine_eps
    assert_close(a[1:] * x + b[1:], data.eps(x, t), 1e-12, scale=1 + abs(a[1:] * x))
    assert np.all(a[0] == 0)
    assert np.all(b[0] == 0)
    c = rows(s.posterior_x0[1:], x)
    assert_close(r[1:], rows(s.beta_tilde[1:], x) + c**2 * data.x0_variance[1:], 1e-12)
    noise = rows(1 - s.alpha_bar[1:], x)
    want = 1 / (1 / np.maximum(data.variance, 1e-300) + (1 - noise) / noise)  # precisions add
    assert_close(data.x0_variance, np.concatenate([np.zeros((1, *data.mean.shape)), want]), 1e-10, scale=1)
    assert_close(data.marginal_variance[1:], (1 - noise) * data.variance + noise, 1e-12)


@given(any_schedule(50))
def test_beta_and_beta_tilde_are_optimal_as_section_3_2_says(c):
    """"The first choice is optimal for x₀ ~ N(0, I), and the second is optimal for x₀ set to one point"."""
    s = c.schedule
    assert_close(Gaussian(s, 0.0, 1.0).reverse_variance[1:], s.beta[1:], 1e-13)
    assert_close(Gaussian(s, 0.7, 0.0).reverse_variance[1:], s.beta_tilde[1:], 1e-14)


# Chains.

@given(st.data(), gaussians())
def test_ancestral_end_is_the_end_of_the_chain(draw, data):
    """The recursion against the sampler itself, for any table of σ²."""
    sigma2 = draw.draw(tables(data.schedule.T, 1e-3, 3))
    mean, variance = chain(data, data.eps, sigma2)
    sigma2[:2] = -1  # not used
    got = data.ancestral_end(sigma2)
    assert_close(got[0], mean, 1e-9, scale=1)
    assert_close(got[1], variance, 1e-9, scale=1e-3 + variance)
    assert_close(np.array(data.ancestral_end(sigma2[(slice(None), *[None] * data.mean.ndim)] + 0 * data.mean)),
                 np.array(got), 0)


@pytest.mark.parametrize(("variance", "deviation"), [("beta", 0.50075), ("beta_tilde", 0.49611)])
def test_ancestral_end_of_the_papers_schedule(variance, deviation):
    s = linear_schedule(1000)
    mean, square = Gaussian(s, 0.3, 0.25).ancestral_end(getattr(s, variance))
    assert round(math.sqrt(square), 5) == deviation
    assert abs(mean - 0.3) < 0.005


@st.composite
def subsequences(draw, T):
    return sorted(draw(st.sets(st.integers(1, T), min_size=1)), reverse=True)


@given(st.data(), gaussians(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_ddim_end_is_the_end_of_the_chain(draw, data, eta):
    """The recursion against the steps of Song et al.'s equation (12), run without noise and with each unit of it."""
    s, steps = data.schedule, draw.draw(subsequences(data.schedule.T))
    x = np.zeros((len(steps) + 2, *data.mean.shape))
    x[1] = 1
    for i, (t, to) in enumerate(pairwise([*steps, 0])):
        n, here, there = np.full(len(x), t), s.alpha_bar[t], s.alpha_bar[to]
        eps = data.eps(x, n)
        sigma = eta * math.sqrt((1 - there) / (1 - here)) * math.sqrt(1 - here / there)
        x = math.sqrt(there) * predict_x0(s, x, n, eps) + math.sqrt(max(1 - there - sigma**2, 0)) * eps
        x[i + 2] += sigma
    mean, variance = data.ddim_end(eta, steps)
    assert_close(mean, x[0], 1e-9, scale=1)
    assert_close(variance, np.sum((x[1:] - x[0]) ** 2, axis=0), 1e-9, scale=1)


@given(st.data(), st.sampled_from([10, 100, 1000]), variances(0.0), st.floats(-2, 2))
def test_ddim_end_with_eta_0_is_a_product_of_cosines(draw, T, variance, mean):
    data = Gaussian(linear_schedule(T), mean, variance)
    steps = draw.draw(st.none() | subsequences(T) | st.integers(1, T).map(lambda n: list(range(T, 0, -n))))
    for got, want in zip(data.ddim_end(0.0, steps), data.ddim_closed_form(steps), strict=True):
        assert_close(got, want, 1e-12, scale=1)
    assert data.ddim_end(timesteps=steps) == data.ddim_end(0.0, steps)


@given(gaussians())
def test_ddim_end_with_eta_1_is_the_ancestral_end(data):
    """η = 1 over all steps is σ² = β̃."""
    for got, want in zip(data.ddim_end(1.0), data.ancestral_end(data.schedule.beta_tilde), strict=True):
        assert_close(got, want, 1e-11, scale=1)


# Samples.

def test_samples_are_normal_and_depend_only_on_seed_and_number():
    """m + s·z, normal in every dimension."""
    for data, shape, whiten in (
            (Gaussian(SHORT, 0.3, 0.25), (5,), lambda x: (x - 0.3) / 0.5),
            (Gaussian(SHORT, [1.0, -1.0, 0.0], [0.25, 4.0, 1.0]), None,
             lambda x: (x - [1.0, -1.0, 0.0]) / [0.5, 2.0, 1.0]),
            (Gaussian.full(SHORT, [1.0, -1.0], [[2.0, 0.9], [0.9, 0.5]]), None,
             lambda x: np.linalg.solve(np.linalg.cholesky([[2.0, 0.9], [0.9, 0.5]]), (x - [1.0, -1.0]).T).T)):
        x = data.sample(20_000, shape, seed=3, dtype="float64")
        z = whiten(x)
        for column in z.T:
            assert stats.kstest(column, "norm").pvalue > FALSE_ALARM
        off = np.corrcoef(z.T)[np.triu_indices(z.shape[1], 1)]
        assert np.all(abs(off) < stats.norm.isf(FALSE_ALARM / 20) / math.sqrt(len(z)))
        assert np.array_equal(data.sample(2, shape, seed=3, first=7, dtype="float64"), x[7:9])
        assert not np.any(data.sample(9, shape, seed=4, dtype="float64") == x[:9])
        assert data.sample(2, shape).dtype == np.float32
        assert np.array_equal(data.sample(2, shape), data.sample(2, shape, seed=0, first=0, dtype="float32"))
    image = Gaussian.full(SHORT, np.zeros(4), np.eye(4)).sample(3, (2, 2, 1))
    assert image.shape == (3, 2, 2, 1)
    assert np.all(Gaussian(SHORT, 0.4, 0.0).sample(3, (2,), dtype="float64") == 0.4)


# Kinds of array.

COVARIANCE = np.array([[1.0, 0.5, 0.1], [0.5, 2.0, 0.3], [0.1, 0.3, 0.4]])
KINDS = [Gaussian(SHORT, 0.3, 0.25), Gaussian(SHORT, [0.1, 0.2, -0.3], [1.0, 0.5, 0.1]),
         Gaussian.full(SHORT, [0.1, 0.2, -0.3], COVARIANCE)]


@pytest.mark.parametrize("data", KINDS)
@pytest.mark.parametrize("name", ["eps", "x0", "score", "log_q"])
def test_oracle_functions_agree_on_every_kind_of_array(data, name):
    """float32 stays float32; NumPy, array-api-strict, the strict fake of CuPy, and Tensors agree."""
    f, t = getattr(data, name), np.array([1, 2, 4, 3])
    for shape in ((4, 3), (4, 1, 3)):
        x = np.random.default_rng(0).standard_normal(shape)
        want = f(x, t)
        single = f(x.astype(np.float32), t)
        assert single.dtype == np.float32
        assert_close(single, want, 1e-5, scale=1 + abs(want))
        strict = f(array_api_strict.asarray(x), array_api_strict.asarray(t))
        assert_close(np.asarray(strict), want, 1e-14, scale=1 + abs(want))
        with fake_cupy.installed():
            device = get_backend("cupy")
            got = f(device.to_device(x), device.to_device(t))
            fake_cupy.counts.reset()
            assert_close(to_host(f(device.to_device(x), device.to_device(t))), to_host(got), 0)
            assert fake_cupy.counts.uploads == 2  # the parameters are there already
            assert_close(to_host(got), want, 1e-14, scale=1 + abs(want))
        tensor = f(Tensor(x), t)
        assert isinstance(tensor, Tensor)
        assert_close(tensor.data, want, 1e-14, scale=1 + abs(want))
    x = Tensor(np.array([[0.1, 0.2, 0.3]]), requires_grad=True)
    data.log_q(x, t[:1]).backward(np.ones(1))
    assert_close(x.grad, data.score(x.data, t[:1]), 1e-13)


def test_samples_on_a_gpu_equal_the_host():
    with fake_cupy.installed():
        for data in KINDS[1:]:
            got = data.sample(4, seed=1, dtype="float64", backend="cupy")
            assert_close(to_host(got), data.sample(4, seed=1, dtype="float64"), 1e-14, scale=1)


@pytest.mark.parametrize("data", KINDS)
def test_oracle_functions_are_finite_far_from_the_data(data):
    for far in (1e6, -1e100):
        x, t = np.full((4, 3), far), np.arange(1, 5)
        for name in ("eps", "x0", "score", "log_q"):
            assert np.isfinite(getattr(data, name)(x, t)).all()


# What does not fit.

@pytest.mark.parametrize(("make", "message"), [
    (lambda: Gaussian(SHORT, 0.0, -0.5), "a variance must be at least 0, got -0.5: give the square of the deviation"),
    (lambda: Gaussian(SHORT, [0.0, np.nan], 1.0), "the mean must be finite numbers, got nan"),
    (lambda: Gaussian(SHORT, [0.0, 1.0], [1.0, 1.0, 1.0]), r"same dimensions, got shapes \(2,\) and \(3,\)"),
    (lambda: Gaussian.full(SHORT, [0.0], np.eye(2)), r"mean \(d,\) and a covariance \(d, d\), got \(1,\) and \(2, 2\)"),
    (lambda: Gaussian.full(SHORT, [0.0, 0.0], [[1, 0.5], [0.4, 1]]), r"symmetric, got one whose Σ − Σᵀ reaches 0.1"),
    (lambda: Gaussian.full(SHORT, [0.0, 0.0], [[1, 2], [2, 1]]), "no negative eigenvalue, got -1"),
    (lambda: KINDS[1].eps(np.zeros((2, 4)), np.array([1, 1])), r"shape \(3,\), got images of shape \(4,\)"),
    (lambda: KINDS[1].eps(np.zeros(3), np.array([1, 1, 1])), r"shape \(3,\), got images of shape \(\)"),
    (lambda: KINDS[2].eps(np.zeros((2, 4)), np.array([1, 1])), r"shape \(3,\), got images of shape \(4,\)"),
    (lambda: KINDS[2].sample(2, (4,)), r"shape \(3,\), got images of shape \(4,\)"),
    (lambda: KINDS[0].eps(np.zeros((2, 3)), np.array([1, 5])), "t counts from 1 to T = 4, got values from 1 to 5"),
    (lambda: Gaussian(SHORT, 0.0, 0.0).log_q(np.zeros((1, 3)), np.array([0])), "t counts from 1 to T = 4"),
    (lambda: KINDS[0].ancestral_end([0, 0, 1, -2, 1]), "a variance must be at least 0, got -2.0"),
    (lambda: KINDS[0].ddim_end(1.5), r"eta must be from 0 to 1, got 1.5"),
    (lambda: KINDS[0].ddim_end(0.0, []), r"timesteps must be ints that descend within 4..1, got \[\]"),
    (lambda: KINDS[0].ddim_end(0.0, [5, 1]), r"timesteps must be ints that descend within 4..1, got \[5, 1\]"),
    (lambda: KINDS[0].ddim_closed_form([2, 2]), r"timesteps must be ints that descend within 4..1, got \[2, 2\]"),
    (lambda: KINDS[0].ddim_end(0.0, [3.5, 1]), r"ints that descend within 4..1, got \[3.5, 1\]"),
    (lambda: KINDS[0].ddim_end(0.0, [2, 0]), r"timesteps must be ints that descend within 4..1, got \[2, 0\]"),
])
def test_invalid_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
