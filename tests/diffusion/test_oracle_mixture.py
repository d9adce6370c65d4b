"""Mixtures and finite sets of images: against 50 digits, quadrature, the complex step and simulated chains."""

from __future__ import annotations

import math

import array_api_strict
import fake_cupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats
from strategies import FALSE_ALARM, any_schedule, assert_close, mp50, rows

from ddpm_np import Tensor
from ddpm_np.backend import get_backend, to_host
from ddpm_np.data import digits
from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    linear_schedule,
    p_mean_variance,
    predict_x0,
    q_posterior,
    q_sample,
    sample_with,
)
from ddpm_np.diffusion.oracle import Gaussian, Mixture, atoms

SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])
LINEAR = linear_schedule(1000)
IMAGES = digits().scaled(np.arange(50)).astype(np.float64)  # (50, 8, 8, 1)
NAMES = ["eps", "x0", "score", "log_q", "responsibilities"]


def drawn(elements, shape):
    return hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing())


@st.composite
def mixtures(draw, least=0.0):
    """Draw components with one variance each, or with one per dimension."""
    schedule, K = draw(any_schedule(12, 1e-6)).schedule, draw(st.integers(1, 4))
    shape = draw(st.sampled_from([(), (2,), (2, 1, 3)]))
    weights = draw(drawn(st.integers(1, 9).map(float), K))
    means = draw(drawn(st.integers(-8, 8).map(lambda i: i / 4), (K, *shape)))
    spread = st.floats(max(least, 1e-4), 4) | st.sampled_from([1.0, least])
    each = draw(st.booleans())
    return Mixture(schedule, weights / weights.sum(), means, draw(drawn(spread, (K, *shape) if each else (K,))))


def everywhere(data, first=1):
    """Return images at every t from `first`, where q(x_t) has mass and somewhat outside."""
    t = np.arange(first, data.schedule.T + 1)
    return 2 * np.random.default_rng(0).standard_normal((len(t), *data.means.shape[1:])), t


def by_50_digits(data, x, t):
    """Return ln q, responsibilities and score of one image from the definition, to 50 digits."""
    variances = np.broadcast_to(data.variances.reshape(*data.variances.shape, *[1] * (
        data.means.ndim - data.variances.ndim)), data.means.shape)
    alpha_bar = mp50.fprod(1 - mp50.mpf(float(b)) for b in data.schedule.beta[1:t + 1])
    noise, parts, slopes = 1 - alpha_bar, [], []
    for weight, mean, variance in zip(data.weights, data.means, variances, strict=True):
        log, slope = mp50.log(mp50.mpf(float(weight))), []
        for value, m, s2 in zip(x.ravel(), mean.ravel(), variance.ravel(), strict=True):
            C, difference = alpha_bar * float(s2) + noise, float(value) - mp50.sqrt(alpha_bar) * float(m)
            log -= difference**2 / (2 * C) + mp50.log(2 * mp50.pi * C) / 2
            slope.append(-difference / C)
        parts.append(log)
        slopes.append(slope)
    most = max(parts)
    powers = [mp50.exp(p - most) for p in parts]
    total = mp50.fsum(powers)
    r = [p / total for p in powers]
    score = [mp50.fsum(c * s[d] for c, s in zip(r, slopes, strict=True)) for d in range(x.size)]
    return float(most + mp50.log(total)), np.array(r, float), np.array(score, float).reshape(x.shape)


# Against the definition.

@given(mixtures(least=1e-4))
def test_mixture_against_fifty_digits(data):
    x, t = everywhere(data, first=0)
    log_q, r, score = data.log_q(x, t), data.responsibilities(x, t), data.score(x, t)
    for i in sorted({0, 1, len(t) - 1}):
        want = by_50_digits(data, x[i], int(t[i]))
        size = 1 + np.sum((abs(x[i]) + 2) ** 2) / (data.variances.min() * data.schedule.alpha_bar[t[i]]
                                                   + data.schedule.one_minus_alpha_bar[t[i]])
        assert_close(log_q[i], np.float64(want[0]), 1e-14, scale=size)
        assert_close(r[i], want[1], 1e-13, scale=size)
        assert_close(score[i], want[2], 1e-13, scale=size * (1 + abs(want[2]).max()))


@given(mixtures(least=1e-4))
def test_the_score_is_the_derivative_of_the_density(data):
    x, t = everywhere(data, first=0)
    score = data.score(x, t)
    for place in np.ndindex(x.shape[1:]):
        step = np.zeros(x.shape, complex)
        step[(slice(None), *place)] = 1e-20j
        assert_close(data.log_q(x + step, t).imag / 1e-20, score[(slice(None), *place)], 1e-10,
                     scale=1 + abs(score).max())


@given(mixtures())
def test_score_eps_and_x0_are_consistent(data):
    """ε* = −√(1 − ᾱ)·score, and E[x₀ | x_t] is (15) of it (Tweedie's formula)."""
    x, t = everywhere(data)
    s, eps, score = data.schedule, data.eps(x, t), data.score(x, t)
    noise = np.sqrt(rows(s.one_minus_alpha_bar[1:], x))
    assert_close(eps, -noise * score, 1e-13)
    scale = (abs(x) + noise * abs(eps)) / rows(s.sqrt_alpha_bar[1:], x)
    assert_close(data.x0(x, t), predict_x0(s, x, t, eps), 1e-12, scale=scale + 2)
    assert_close(data.responsibilities(x, t).sum(axis=1), np.ones(len(x)), 1e-14)


@given(mixtures(), st.data())
def test_one_component_is_a_gaussian(data, draw):
    k = draw.draw(st.integers(0, len(data.weights) - 1))
    variance = data.variances[k]
    one, gaussian = (Mixture(data.schedule, [1.0], data.means[k:k + 1], data.variances[k:k + 1]),
                     Gaussian(data.schedule, data.means[k], variance))
    x, t = everywhere(data)
    for name in NAMES[:-1]:
        want = getattr(gaussian, name)(x, t)
        assert_close(getattr(one, name)(x, t), want, 1e-11, scale=1 + abs(want).max())


@given(mixtures())
def test_isotropic_and_diagonal_variances_agree(data):
    """Matrix products for one variance per component, differences for one per dimension."""
    if data.variances.ndim != 1:
        return
    spread = np.broadcast_to(data.variances.reshape(-1, *[1] * (data.means.ndim - 1)), data.means.shape)
    twice = np.concatenate([data.means[..., None]] * 2, axis=-1)
    other = Mixture(data.schedule, data.weights, twice, np.stack([spread, spread], axis=-1))
    same = Mixture(data.schedule, data.weights, twice, data.variances)
    x, t = everywhere(same)
    for name in NAMES:
        want = getattr(other, name)(x, t)
        assert_close(getattr(same, name)(x, t), want, 1e-10, scale=1 + abs(want).max())


# By quadrature in one dimension. Trapezoids converge exponentially there.

ONE_D = Mixture(Schedule.from_betas([0.3, 0.5, 0.7]), [0.3, 0.7], [-1.0, 0.8], [0.16, 0.36])
GRID = np.linspace(-8, 8, 257)
WIDTH = GRID[1] - GRID[0]


def at(x, t):
    return np.full(x.shape, t)


def log_data(x):
    return special.logsumexp([math.log(w) + stats.norm.logpdf(x, m, math.sqrt(v)) for w, m, v in zip(
        ONE_D.weights, ONE_D.means, ONE_D.variances, strict=True)], axis=0)


def test_eps_and_x0_are_conditional_expectations():
    """E[ε | x_t] and E[x₀ | x_t] as integrals over x₀."""
    s, density = ONE_D.schedule, np.exp(log_data(GRID))
    assert_close(ONE_D.log_q(GRID, at(GRID, 0).astype(int)), log_data(GRID), 1e-13)
    x = np.linspace(-4, 4, 9)
    for t in range(1, s.T + 1):
        signal, noise = s.sqrt_alpha_bar[t], s.sqrt_one_minus_alpha_bar[t]
        joint = density * stats.norm.pdf(x[:, None], signal * GRID, noise)  # (9, grid)
        eps = np.sum(joint * (x[:, None] - signal * GRID) / noise, axis=1) / joint.sum(axis=1)
        assert_close(ONE_D.eps(x, at(x, t).astype(int)), eps, 1e-11, scale=1)
        assert_close(ONE_D.x0(x, at(x, t).astype(int)), joint @ GRID / joint.sum(axis=1), 1e-11, scale=1)
        assert_close(ONE_D.log_q(x, at(x, t).astype(int)), np.log(joint.sum(axis=1) * WIDTH), 1e-11, scale=1)


@pytest.mark.parametrize("shift", [np.cos, lambda x: x, lambda x: 0 * x + 1, np.tanh])
def test_eps_star_minimises_the_simple_loss(shift):
    """E (ε − ε* − δφ(x_t))² = E (ε − ε*)² + δ²·E φ², for any φ."""
    s = ONE_D.schedule
    x0, e = (a.ravel() for a in np.meshgrid(GRID, GRID))
    weight = np.exp(log_data(x0) + stats.norm.logpdf(e)) * WIDTH**2
    for t in range(1, s.T + 1):
        x = q_sample(s, x0, at(x0, t), e)
        eps, phi = ONE_D.eps(x, at(x, t)), shift(x)
        least = np.sum(weight * (e - eps) ** 2)
        for delta in (0.1, -0.2):
            assert_close(np.sum(weight * (e - eps - delta * phi) ** 2), least + delta**2 * np.sum(weight * phi**2),
                         1e-11)


def test_equations_5_and_16_are_equal_and_bound_the_likelihood():
    """(5) and (16) are one number, and the exact likelihood by the Chapman–Kolmogorov integral is not above it."""
    s, sigma2 = ONE_D.schedule, np.array([np.nan, 0.3, 0.4, 0.6])

    def guess(x, t):
        return p_mean_variance(Reverse(s, ONE_D.eps), x, at(x, t))[0]

    def normal(x, mean, variance):
        return stats.norm.logpdf(x, mean, np.sqrt(variance))

    one, other = (a.ravel() for a in np.meshgrid(GRID, GRID))
    five = sixteen = 0.0
    for t in range(1, s.T + 1):
        x0, x = one, q_sample(s, one, at(one, t), other)
        weight = np.exp(log_data(x0) + normal(other, 0, 1)) * WIDTH**2
        if t == 1:
            five += np.sum(weight * -normal(x0, guess(x, 1), sigma2[1]))
        else:
            mean, variance = q_posterior(s, x0, x, at(x, t))
            five += np.sum(weight * 0.5 * (np.log(sigma2[t] / variance) + (
                variance + (mean - guess(x, t)) ** 2) / sigma2[t] - 1))
        before, x = one, s.sqrt_alpha[t] * one + s.sqrt_beta[t] * other
        weight = np.exp(ONE_D.log_q(before, at(before, t - 1)) + normal(other, 0, 1)) * WIDTH**2
        back = normal(x, s.sqrt_alpha[t] * before, s.beta[t]) + ONE_D.log_q(before, at(before, t - 1)) - ONE_D.log_q(
            x, at(x, t))
        sixteen += np.sum(weight * (back - normal(before, guess(x, t), sigma2[t])))
    last = np.exp(log_data(GRID))
    five += np.sum(last * 0.5 * (s.alpha_bar[-1] * GRID**2 - s.alpha_bar[-1] - math.log(
        s.one_minus_alpha_bar[-1]))) * WIDTH
    log_end = ONE_D.log_q(GRID, at(GRID, s.T).astype(int))
    sixteen += np.sum(np.exp(log_end) * (log_end - normal(GRID, 0, 1))) * WIDTH - np.sum(last * log_data(GRID)) * WIDTH
    assert_close(five, sixteen, 1e-10)
    p = stats.norm.pdf(GRID)
    for t in range(s.T, 0, -1):
        p = np.exp(normal(GRID[:, None], guess(GRID, t), sigma2[t])) @ p * WIDTH
    assert_close(p.sum() * WIDTH, np.float64(1), 1e-10)
    nll = -np.sum(last * np.log(p)) * WIDTH
    assert -np.sum(last * log_data(GRID)) * WIDTH < nll < five


# Real images.

def test_atoms_against_fifty_digits():
    """The softmax at t = 1, where 1 − ᾱ is 1e-4: near images, midway between two, and far from all."""
    data, rng = atoms(LINEAR, IMAGES[:16]), np.random.default_rng(0)
    for t in (1, 1000):
        signal, noise = LINEAR.sqrt_alpha_bar[t], LINEAR.sqrt_one_minus_alpha_bar[t]
        x = np.stack([signal * IMAGES[7] + noise * rng.standard_normal((8, 8, 1)),
                      signal * (IMAGES[3] + IMAGES[4]) / 2, 100 * rng.standard_normal((8, 8, 1))])
        got = [getattr(data, name)(x, np.full(3, t)) for name in ("log_q", "responsibilities", "score")]
        for i in range(3):
            want = by_50_digits(data, x[i], t)
            assert_close(got[0][i], np.float64(want[0]), 1e-11, scale=1 + abs(want[0]))
            assert_close(got[1][i], want[1], 1e-10, scale=1)
            assert_close(got[2][i], want[2], 1e-10, scale=abs(want[2]).max() + 1 / LINEAR.one_minus_alpha_bar[t])


def test_atoms_recover_the_image_and_the_noise_at_t_1():
    """At t = 1, E[x₀ | x_t] is the image that noise was added to; ε* is that noise."""
    data, rng = atoms(LINEAR, IMAGES), np.random.default_rng(0)
    noise, t = rng.standard_normal(IMAGES.shape), np.ones(50, int)
    x = q_sample(LINEAR, IMAGES, t, noise)
    for dtype, tolerance in (("float64", 1e-14), ("float32", 1e-6)):
        got = data.x0(x.astype(dtype), t)
        assert got.dtype == dtype
        assert_close(got, IMAGES, tolerance, scale=1)
    assert_close(data.eps(x, t), noise, 1e-12, scale=1)
    assert np.array_equal(data.responsibilities(x, t).argmax(axis=1), np.arange(50))
    late = data.x0(x, np.full(50, 1000))  # by then nearly the mean of all
    assert abs(late - IMAGES.mean(axis=0)).max() < 0.1


def test_atoms_keep_their_digits_in_float32():
    """Only x_t is rounded: midway between two images at t = 1, a float32 softmax would not find the nearer one."""
    data, t = atoms(LINEAR, IMAGES), np.array([1])
    x = (LINEAR.sqrt_alpha_bar[1] * (0.50001 * IMAGES[3:4] + 0.49999 * IMAGES[4:5])).astype(np.float32)
    for name in ("responsibilities", "x0", "log_q"):
        got, want = getattr(data, name)(x, t), getattr(data, name)(x.astype(np.float64), t)
        assert got.dtype == np.float32
        assert_close(got, want, 1e-7, scale=1 + abs(want))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_algorithm_2_with_atoms_ends_on_real_images(variance):
    """Perfect memory: Algorithm 2 with ε* ends on several of the images and on nothing else."""
    s = Schedule.from_betas(np.geomspace(1e-4, 0.5, 60))
    noises = np.random.default_rng(0).standard_normal((61, 40, 8, 8, 1))
    x0 = sample_with(Reverse(s, atoms(s, IMAGES).eps, variance=variance), noises[0], noises)
    distance = abs(x0[:, None] - IMAGES).max(axis=(2, 3, 4))  # (40, 50)
    assert distance.min(axis=1).max() < 1e-6
    assert len(set(distance.argmin(axis=1))) > 10


def test_responsibilities_without_signal_are_the_weights():
    """Where ᾱ_t is nearly 0."""
    s = Schedule.from_betas([0.9] * 40)
    got = atoms(s, IMAGES[:2], [0.25, 0.75]).responsibilities(0.1 * IMAGES[:1], np.array([40]))
    assert_close(got, np.array([[0.25, 0.75]]), 1e-12)
    assert np.all(atoms(s, IMAGES[:4]).weights == 0.25)


# Samples.

@pytest.mark.parametrize("variances", [[0.04, 0.25], [[0.04, 0.09], [0.25, 0.01]]])
def test_samples_follow_the_weights_and_the_components(variances):
    """Normal within each component; an image depends on the seed and its number alone."""
    means = np.array([[-10.0, 0.0], [10.0, 5.0]])
    data, n = Mixture(SHORT, [0.3, 0.7], means, variances), 20_000
    x = data.sample(n, seed=3, dtype="float64")
    right = x[:, 0] > 0
    assert stats.binomtest(int(right.sum()), n, 0.7).pvalue > FALSE_ALARM
    for k in (0, 1):
        z = (x[right == k] - means[k]) / np.sqrt(np.broadcast_to(np.reshape(variances, (2, -1)), (2, 2))[k])
        for column in z.T:
            assert stats.kstest(column, "norm").pvalue > FALSE_ALARM
        assert abs(np.corrcoef(z.T)[0, 1]) < stats.norm.isf(FALSE_ALARM / 2) / math.sqrt(len(z))
    assert np.array_equal(data.sample(3, seed=3, first=7, dtype="float64"), x[7:10])
    assert not np.any(data.sample(9, seed=4, dtype="float64") == x[:9])
    assert data.sample(2).dtype == np.float32
    assert np.array_equal(data.sample(2), data.sample(2, seed=0, first=0, dtype="float32", backend="numpy"))


def test_samples_of_atoms_follow_their_weights():
    x = atoms(SHORT, IMAGES[:5], [0.1, 0.1, 0.2, 0.2, 0.4]).sample(1000, dtype="float64")
    same = (x[:, None] == IMAGES[:5]).all(axis=(2, 3, 4))  # (1000, 5)
    assert np.all(same.sum(axis=1) == 1)
    assert stats.chisquare(same.sum(axis=0), [100, 100, 200, 200, 400]).pvalue > FALSE_ALARM


# Kinds of array.

KINDS = [
    Mixture(SHORT, [0.2, 0.8], [[[0.1, 0.2, -0.3]], [[1.0, 0.0, 0.5]]], [0.5, 0.3]),
    Mixture(SHORT, [0.2, 0.8], [[[0.1, 0.2, -0.3]], [[1.0, 0.0, 0.5]]], [[[0.5, 0.1, 1.0]], [[0.2, 0.3, 0.4]]]),
    atoms(SHORT, np.array([[[0.1, 0.2, -0.3]], [[1.0, 0.0, 0.5]]])),
]


@pytest.mark.parametrize("data", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_oracle_functions_agree_on_every_kind_of_array(data, name):
    """float32 stays float32; NumPy, array-api-strict, the strict fake of CuPy, and Tensors agree."""
    f, t = getattr(data, name), np.array([1, 2, 4, 3])
    x = np.random.default_rng(0).standard_normal((4, 1, 3)).astype(np.float32).astype(np.float64)
    want = f(x, t)
    single = f(x.astype(np.float32), t)
    assert single.dtype == np.float32
    assert_close(single, want.astype(np.float32), 1e-6, scale=1 + abs(want))
    strict = f(array_api_strict.asarray(x), array_api_strict.asarray(t))
    assert_close(np.asarray(strict), want, 1e-14, scale=1 + abs(want))
    with fake_cupy.installed():
        device = get_backend("cupy")
        f(device.to_device(x), device.to_device(t))
        fake_cupy.counts.reset()
        got = f(device.to_device(x), device.to_device(t))
        assert (fake_cupy.counts.uploads, fake_cupy.counts.transfers) == (2, 0)  # the parameters are there already
        assert_close(to_host(got), want, 1e-13, scale=1 + abs(want))
        sampled = data.sample(4, seed=1, dtype="float64", backend="cupy")
        assert_close(to_host(sampled), data.sample(4, seed=1, dtype="float64"), 1e-14, scale=1)
    for dtype in (np.float32, np.float64):
        tensor = f(Tensor(x.astype(dtype)), t)
        assert isinstance(tensor, Tensor)
        assert tensor.dtype == dtype
        assert_close(tensor.data, f(x.astype(dtype), t), 1e-14, scale=1 + abs(want))
    x = Tensor(x, requires_grad=True)
    data.log_q(x, t).backward(np.ones(4))
    assert_close(x.grad, data.score(x.data, t), 1e-12, scale=1 + abs(x.grad).max())


@pytest.mark.parametrize("data", KINDS)
def test_oracle_functions_are_finite_far_from_the_data(data):
    for far in (1e6, -1e100):
        x, t = np.full((4, 1, 3), far), np.arange(1, 5)
        for name in NAMES:
            assert np.isfinite(getattr(data, name)(x, t)).all()
    assert np.isfinite(data.eps(np.full((4, 1, 3), 1e6, np.float32), t)).all()


def test_log_q_of_data_far_from_zero_keeps_its_digits():
    """An offset common to all components costs no digits: the same data moved by 1,000."""
    x, t = np.random.default_rng(0).standard_normal((4, 1, 3)), np.arange(1, 5)
    for data in KINDS:
        moved = Mixture(SHORT, data.weights, data.means + 1000, data.variances)
        there = x + 1000 * SHORT.sqrt_alpha_bar[t][:, None, None]
        assert_close(moved.log_q(there, t), data.log_q(x, t), 1e-10, scale=1 + abs(data.log_q(x, t)))


# What does not fit.

def mixture(weights=(0.5, 0.5), means=((0.0, 1.0), (2.0, 3.0)), variances=(1.0, 1.0)):
    return Mixture(SHORT, weights, means, variances)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: mixture(weights=[0.5, 0.5 + 1e-8]), ValueError, "the weights must sum to 1, got 1.00000001: divide them"),
    (lambda: mixture(weights=[1.5, -0.5]), ValueError, "every weight must be positive, got -0.5: leave that component"),
    (lambda: mixture(weights=[1.0, 0.0]), ValueError, "every weight must be positive, got 0.0: leave that component"),
    (lambda: mixture(weights=[1.0]), ValueError, r"one weight per component, shape \(2,\), got \(1,\)"),
    (lambda: mixture(variances=[1.0, -0.1]), ValueError, "a variance must be at least 0, got -0.1"),
    (lambda: mixture(variances=[[1.0], [1.0]]), ValueError, r"shape \(2,\) or \(2, 2\), got \(2, 1\)"),
    (lambda: mixture(variances=1.0), ValueError, r"shape \(2,\) or \(2, 2\), got \(\)"),
    (lambda: mixture(means=np.zeros((0, 2))), ValueError, r"at least one component, got shape \(0, 2\)"),
    (lambda: mixture(means=0.0), ValueError, r"at least one component, got shape \(\)"),
    (lambda: mixture(means=[[0.0, np.inf], [0, 0]]), ValueError, "the means must be finite numbers, got inf"),
    (lambda: atoms(SHORT, digits().images[:3]), TypeError, "must be floating numbers, got dtype uint8: scale them"),
    (lambda: atoms(SHORT, np.zeros((0, 2))), ValueError, r"at least one component, got shape \(0, 2\)"),
    (lambda: KINDS[0].eps(np.zeros((2, 3)), np.array([1, 1])), ValueError, r"images of shape \(1, 3\), got \(3,\)"),
    (lambda: KINDS[2].log_q(np.zeros((2, 1, 3)), np.array([0, 1])), ValueError, "t counts from 1 to T = 4"),
])
def test_invalid_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_weights_that_sum_to_1_within_rounding_are_normalised():
    data = mixture(weights=[0.5, 0.5 + 1e-10])
    assert_close(data.weights.sum(), np.float64(1), 1e-15)
