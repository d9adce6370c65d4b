"""Algorithm 2: one step, the order of a chain, its response to every noise, and a chain with a known end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import (
    FALSE_ALARM,
    any_schedule,
    assert_close,
    batches,
    case,
    mp50,
    pythagorean,
    rows,
    schedules,
)

from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    ancestral,
    draw,
    last,
    linear_schedule,
    p_mean_variance,
    p_sample,
    predict,
    predict_eps,
    predict_x0,
    sample_with,
)

LINEAR = linear_schedule(1000)


def affine(x, t):
    """A model that depends on x and t, with coefficients of no special value."""
    step = rows(t, x).astype(x.dtype)
    return (0.3 + 0.1 * step) * x - 0.2 + 0.05 * step


# One step.

@given(batches(), st.sampled_from(["small", "large", "table"]))
def test_p_sample_adds_sigma_times_noise_except_at_t_1(b, variance):
    """step(x, z) − step(x, 0) = σ_t·z for t ≥ 2 and 0 at t = 1; with z = 0 the step is the mean."""
    s, e = b.case.schedule, b.case.exact
    table = np.array([np.nan, *np.linspace(0.2, 2, e.T)])
    sigma2 = [table[t] if variance == "table" else float(e.sigma2(variance, t)) for t in b.t]
    sigma = rows([0 if t == 1 else math.sqrt(v) for t, v in zip(b.t, sigma2, strict=True)], b.x)
    choice = table if variance == "table" else variance
    reverse = Reverse(s, affine, variance=choice)
    still = p_sample(reverse, b.x, b.t, np.zeros_like(b.y))
    moved = p_sample(reverse, b.x, b.t, b.y)
    assert np.array_equal(still, p_mean_variance(Reverse(s, affine), b.x, b.t)[0])
    assert_close(moved - still, sigma * b.y, 1e-11, scale=1 + abs(still) + sigma)
    assert np.array_equal(moved[b.t == 1], still[b.t == 1])
    unused = np.where(rows(b.t, b.x) == 1, np.nan, b.y)
    assert np.array_equal(p_sample(reverse, b.x, b.t, unused), moved)
    one = np.ones_like(b.x)
    got = p_sample(Reverse(s, lambda x, t: 0 * x, variance=choice), 0 * b.x, b.t, one)  # σ_t and nothing else
    assert_close(got, sigma * one, 1e-12)


@given(batches())
def test_p_sample_clips_x0_hat_and_not_the_sample(b):
    """With the clip, a step is the clipped mean of `p_mean_variance` plus σ_t·z."""
    s = b.case.schedule

    def model(x, t):
        return predict_eps(s, x, t, np.full_like(x, 2.5))

    reverse = Reverse(s, model, variance="large", clip=True)
    mean, sigma2, _ = p_mean_variance(reverse, b.x, b.t)
    got = p_sample(reverse, b.x, b.t, b.y)
    sigma = np.sqrt(sigma2) * rows(b.t > 1, b.x)
    assert_close(got, mean + sigma * b.y, 1e-14, scale=1 + abs(mean))
    assert np.all(got[b.t == 1] == 1)


def test_p_sample_refuses_wrong_noise_and_variances():
    x, t = np.zeros((2, 3)), np.array([1, 2])
    with pytest.raises(ValueError, match=r"expected noise of shape \(2, 3\), got \(2, 1\)"):
        p_sample(Reverse(LINEAR, affine), x, t, np.zeros((2, 1)))
    with pytest.raises(ValueError, match="got 'tiny'"):
        p_sample(Reverse(LINEAR, affine, variance="tiny"), x, t, x)


# A chain.

@given(schedules())
def test_sampling_calls_the_model_once_per_step_from_T_to_1(c):
    """Noise is requested from T to 2, and x_{T−1}, …, x₀ are yielded."""
    T, asked, drawn = c.exact.T, [], []

    def model(x, t):
        assert t.shape == (3,)
        assert np.issubdtype(t.dtype, np.integer)
        asked.append((set(t.tolist()), x))
        return 0.1 * x

    def noise_at(t):
        drawn.append(t)
        return np.full((3, 2), 0.5)

    x_T = np.ones((3, 2))
    chain = list(ancestral(Reverse(c.schedule, model), x_T, noise_at))
    assert [t for t, _ in asked] == [{t} for t in range(T, 0, -1)]
    assert drawn == list(range(T, 1, -1))
    assert [t for t, _, _ in chain] == list(range(T - 1, -1, -1))
    assert all(x is seen for (_, x, _), (_, seen) in zip([(T, x_T, None), *chain], asked, strict=False))
    for (t, _, x0_hat), (_, x) in zip(chain, asked, strict=True):  # each x̂₀ is that of the x before it
        assert np.array_equal(x0_hat, predict_x0(c.schedule, x, np.full(3, t + 1), 0.1 * x))
    assert np.array_equal(chain[-1][1], chain[-1][2])


def response(c, sigma2):
    """Return x₀ of `affine` without noise, and the factors of x_T and z_T..z_2 in it."""
    e = c.exact
    offset, gains = 0, [1]
    for t in range(e.T, 0, -1):
        gain, drift = e.mean(t)
        a, b = 0.3 + 0.1 * mp50.mpf(t), 0.05 * mp50.mpf(t) - 0.2
        through = mp50.mpf(float(gain)) + drift * a if not isinstance(gain, mp50.mpf) else gain + drift * a
        offset = through * offset + drift * b
        gains = [g * through for g in gains]
        if t > 1:
            gains.append(mp50.sqrt(sigma2(t)))
    return np.array([offset, *gains], float)


@given(any_schedule(12, 1e-3) | pythagorean(max_T=5).map(lambda c: case(c.schedule.beta[1:])),
       st.sampled_from(["small", "large", "table"]))
def test_response_of_the_chain_to_every_noise(c, variance):
    """For an affine model x₀ is affine in (x_T, z_T, …, z_2): unit vectors give each coefficient.

    Rows 0 and 1 of the noises are nan: nothing may touch them.
    """
    T = c.exact.T
    table = np.array([np.nan, *np.linspace(0.2, 2, T)])
    want = response(c, lambda t: mp50.mpf(table[t]) if variance == "table" else c.exact.sigma2(variance, t))
    x_T, noises = np.zeros((T + 1, 1)), np.zeros((T + 1, T + 1, 1))  # image 0: nothing; 1: x_T; then z_T..z_2
    x_T[1] = 1
    for image, t in enumerate(range(T, 1, -1), start=2):
        noises[t, image] = 1
    noises[:2] = np.nan
    reverse = Reverse(c.schedule, affine, variance=table if variance == "table" else variance)
    got = sample_with(reverse, x_T, noises)[:, 0]
    got[1:] -= got[0]
    assert_close(got, want, 1e-9, scale=abs(want) + 1e-3 * abs(want).max())


@given(batches(pythagorean()), st.sampled_from(["small", "large"]), st.booleans())
def test_sample_with_is_p_sample_from_T_to_1(b, variance, clip):
    """Images of any rank: `sample_with` is p_sample from T to 1, with z = 0 in the last."""
    s, T, n = b.case.schedule, b.case.exact.T, len(b.x)
    noises = np.random.default_rng(0).standard_normal((T + 1, *b.x.shape))
    x, reverse = b.x, Reverse(s, affine, variance=variance, clip=clip)
    for before, _, x0_hat in ancestral(reverse, b.x, lambda t: noises[t]):
        t = np.full(n, before + 1)
        assert np.array_equal(x0_hat, predict(reverse, x, t).x0)
        x = p_sample(reverse, x, t, noises[before + 1] * (before > 0))
    assert np.array_equal(sample_with(reverse, b.x, noises), x)
    assert x.shape == b.x.shape
    assert not clip or abs(x).max() <= 1


def test_defaults_of_p_sample_sample_with_and_draw():
    """The noise, σ_t² = β̃_t and no clip, where noise is given and where it is drawn; images 0, 1, … of seed 0."""
    noises = np.random.default_rng(0).standard_normal((4, 2, 3))
    s, x, t = Schedule.from_betas([0.3, 0.4, 0.5]), noises[0], np.array([2, 3])
    default, spelt = Reverse(s, affine), Reverse(s, affine, predicts="eps", variance="small", clip=False)
    for got, want in ((sample_with(default, x, noises), sample_with(spelt, x, noises)),
                      (last(draw(default, 2, (3,))),
                       last(draw(spelt, 2, (3,), seed=0, first=0, dtype="float32", backend="numpy"))),
                      (p_sample(default, x, t, x), p_sample(spelt, x, t, x))):
        assert np.array_equal(got, want)


@pytest.mark.parametrize(("variance", "deviation"), [("large", 0.50075), ("small", 0.49611)])
def test_chain_of_gaussian_data_follows_its_recursion(variance, deviation):
    """x₀ ~ N(0.3, 0.5²), T = 1000 and ε*: the chain's mean and variance follow a recursion in two numbers.

    ε*(x, t) = √(1 − ᾱ)·(x − √ᾱ·m)/v with v = ᾱ·s² + 1 − ᾱ. The variance of x₀ is the sum of the squares of what x_T
    and every z are multiplied by; unit vectors give them, 1,001 images in one run.
    """
    m, s, T = 0.3, 0.5, 1000
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - LINEAR.beta[1:])])
    v = alpha_bar * s**2 + 1 - alpha_bar

    def oracle(x, t):
        a = alpha_bar[t][:, None]
        return np.sqrt(1 - a) * (x - np.sqrt(a) * m) / v[t][:, None]

    mean, square = 0.0, 1.0
    for t in range(T, 0, -1):
        c0 = math.sqrt(alpha_bar[t - 1]) * LINEAR.beta[t] / (1 - alpha_bar[t])
        ct = math.sqrt(1 - LINEAR.beta[t]) * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
        k = math.sqrt(alpha_bar[t]) * s**2 / v[t]
        tilde = LINEAR.beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
        sigma2 = 0 if t == 1 else LINEAR.beta[t] if variance == "large" else tilde
        mean, square = (c0 * k + ct) * mean + c0 * (m - k * math.sqrt(alpha_bar[t]) * m), (
            c0 * k + ct) ** 2 * square + sigma2
    assert round(math.sqrt(square), 5) == deviation

    x_T = np.eye(T + 1)[:, [1]]  # image 1 starts at 1; image 0 has no noise at all
    noises = np.eye(T + 1)[:, :, None].copy()  # image t has z_t = 1
    noises[:2] = np.nan
    got = sample_with(Reverse(LINEAR, oracle, variance=variance), x_T, noises)[:, 0]
    assert_close(got[0], np.float64(mean), 1e-10)
    assert_close(np.sum((got[1:] - got[0]) ** 2), np.float64(square), 1e-10)


# Drawing.

def still(x, t):
    """A model under which a chain only spreads: ε_θ = 0."""
    return 0 * x


SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def test_an_image_drawn_does_not_depend_on_its_batch():
    shape = (2, 3, 1)
    reverse = Reverse(SHORT, affine, variance="large", clip=True)
    whole = last(draw(reverse, 7, shape, seed=3))
    assert whole.shape == (7, *shape)
    assert whole.dtype == np.float32
    for first, n in ((0, 1), (2, 3), (6, 1), (0, 7)):
        assert np.array_equal(last(draw(reverse, n, shape, seed=3, first=first)), whole[first:first + n])
    assert np.array_equal(last(draw(reverse, 2, shape, seed=3, first=5)), whole[5:])
    assert len({image.tobytes() for image in last(draw(replace(reverse, clip=False), 7, shape, seed=3))}) == 7


def test_every_seed_and_step_has_its_own_noise():
    """z_T..z_2 are read off the chain of ε_θ = 0; they, x_T and those of another seed differ, and all are normal."""
    found, reverse = {}, Reverse(SHORT, still, variance="large")
    for seed in (0, 1):
        chain = [x for _, x, _ in draw(reverse, 20_000, (5,), seed=seed, dtype="float64")]
        assert np.array_equal(chain[-1], last(draw(reverse, 20_000, (5,), seed=seed, dtype="float64")))
        for before, after, t in zip(chain, chain[1:], range(SHORT.T - 1, 1, -1), strict=False):
            found[seed, t] = (after - before / SHORT.sqrt_alpha[t]) / SHORT.sqrt_beta[t]
        seen = []
        watched = Reverse(SHORT, lambda x, t, seen=seen: seen.append(x) or 0 * x)
        next(draw(watched, 20_000, (5,), seed=seed, dtype="float64"))
        found[seed, "x_T"] = seen[0]
        found[seed, SHORT.T] = (chain[0] - seen[0] / SHORT.sqrt_alpha[4]) / SHORT.sqrt_beta[4]
    assert len(found) == 8
    keys = list(found)
    for i, key in enumerate(keys):
        u = np.sort(found[key].ravel())
        n = u.size
        assert abs(u.mean()) * math.sqrt(n) < stats.norm.isf(FALSE_ALARM / 2)
        assert stats.chi2.isf(1 - FALSE_ALARM / 2, n) < u @ u < stats.chi2.isf(FALSE_ALARM / 2, n)
        cdf = stats.norm.cdf(u)
        distance = max((np.arange(1, n + 1) / n - cdf).max(), (cdf - np.arange(n) / n).max())
        assert distance < math.sqrt(math.log(2 / FALSE_ALARM) / (2 * n))
        for other in keys[i + 1:]:  # the inner product of independent normals, over |u|, is standard normal
            product = float(np.sum(found[key] * found[other])) / math.sqrt(float(u @ u))
            assert abs(product) < stats.norm.isf(FALSE_ALARM / 2), (key, other)


def test_draw_yields_every_step_with_its_prediction():
    chain = list(draw(Reverse(SHORT, affine, variance="large"), 2, (3,)))
    assert [t for t, _, _ in chain] == [3, 2, 1, 0]
    assert len({x.tobytes() for _, x, _ in chain}) == len({x0_hat.tobytes() for _, _, x0_hat in chain}) == 4
    far = Reverse(SHORT, lambda x, t: -5 + 0 * x, variance="large")
    assert abs(last(draw(far, 2, (3,)))).min() > 1
    for t, x, x0_hat in draw(replace(far, clip=True), 2, (3,)):  # the clip holds every x̂₀, and so x₀
        assert abs(x0_hat).max() <= 1
        assert t > 0 or np.array_equal(x, x0_hat)
