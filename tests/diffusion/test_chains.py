"""Chains with an exact ε*: Algorithm 2 and DDIM end at their closed forms; calls, noise and order."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gaussians import gaussians, tables
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, batches, pythagorean, rows, schedules

from ddpm_np import Tensor
from ddpm_np.backend import get_backend
from ddpm_np.data import digits
from ddpm_np.diffusion import (
    SPACINGS,
    Reverse,
    Schedule,
    ancestral,
    annealed_langevin,
    cosine_schedule,
    ddim,
    ddim_step,
    draw,
    first_noise,
    last,
    linear_schedule,
    p_mean_variance,
    p_sample,
    predict,
    predict_x0,
    respace,
    step_noise,
    timesteps,
)
from ddpm_np.diffusion.oracle import Gaussian, atoms

LINEAR = linear_schedule(1000)
SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def affine(x, t):
    """A model that depends on x and t, with coefficients of no special value."""
    step = rows(t, x).astype(x.dtype)
    return (0.3 + 0.1 * step) * x - 0.2 + 0.05 * step


def end(run, T, dims=()):
    """Mean and variance of x₀ of a chain that is affine in its noises, by its responses to no noise and to units of it.

    run(x_T, noise_at) gives x₀. Image 0 has no noise at all, image 1 x_T = 1, image t z_t = 1, as in `gaussians.chain`.
    Where noise is asked for at t = 1 it is nan.
    """
    x_T, noises = np.zeros((T + 1, *dims)), np.zeros((T + 1, T + 1, *dims))
    x_T[1] = 1
    for t in range(2, T + 1):
        noises[t, t] = 1
    noises[:2] = np.nan
    x = run(x_T, lambda t: noises[t])
    return x[0], np.sum((x[1:] - x[0])**2, axis=0)


def assert_ends(got, want, tolerance=1e-9):
    for found, expected in zip(got, want, strict=True):
        assert_close(found, np.broadcast_to(expected, np.shape(found)), tolerance, scale=1e-3 + abs(expected))


# Algorithm 2.

@given(st.data(), st.sampled_from(["small", "large", "table"]))
def test_ancestral_chain_of_gaussian_data_ends_at_the_closed_form(drawn, variance):
    data = drawn.draw(gaussians())
    s, choice = data.schedule, variance
    if variance == "table":
        choice = drawn.draw(tables(s.T, 1e-4, 2))
    sigma2 = {"small": s.beta_tilde, "large": s.beta, "table": choice}[variance]
    reverse = Reverse(s, data.eps, variance=choice)
    got = end(lambda x, z: last(ancestral(reverse, x, z)), s.T, data.mean.shape)
    assert_ends(got, data.ancestral_end(sigma2))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("variance", ["small", "large"])
def test_respaced_ancestral_chain_ends_at_the_closed_form(spacing, variance):
    """A respaced chain is Algorithm 2 of the shorter schedule, so the same closed form holds."""
    for whole in (LINEAR, cosine_schedule(1000)):  # the cosine's ᾱ falls so far that β' is next to 1 in a step or two
        data = Gaussian(whole, 0.3, 0.25)
        for n in (1, 2, 7, 50):
            fewer = respace(Reverse(whole, data.eps, variance=variance), timesteps(1000, n, spacing))
            s = fewer.schedule
            want = Gaussian(s, 0.3, 0.25).ancestral_end(s.beta if variance == "large" else s.beta_tilde)
            assert_ends(end(lambda x, z, fewer=fewer: last(ancestral(fewer, x, z)), n), want)


def test_respacing_keeps_the_options_and_refuses_a_table():
    """A table has a σ² for each of the T steps, but none for the longer steps; one for those can be put in after."""
    reverse = Reverse(SHORT, affine, predicts="v", variance="learned", clip=True)
    fewer = respace(reverse, [4, 2])
    assert (fewer.predicts, fewer.variance, fewer.clip, fewer.schedule.T) == ("v", "learned", True, 2)
    for table in (SHORT.beta, Tensor(SHORT.beta)):
        with pytest.raises(ValueError, match=r"a table of T \+ 1 = 5 numbers cannot be respaced: respace with "
                                             "variance='small' or 'large'"):
            respace(replace(reverse, variance=table), [4, 2])
    sigma2, x, t = np.array([np.nan, 0.3, 0.9]), np.ones((2, 3)), np.array([1, 2])
    _, variance, _ = p_mean_variance(replace(respace(Reverse(SHORT, affine), [4, 2]), variance=sigma2), x, t)
    assert_close(variance, sigma2[t][:, None] * np.ones((2, 3)), 1e-15)


def test_chains_of_correlated_pixels_end_at_the_closed_form():
    """x₀ ~ N(m, Σ) as 2×1×1 images: along the eigenvectors of Σ the end's covariance is that of independent pixels."""
    data = Gaussian.full(SHORT, [0.5, -1.0], [[1.0, 0.6], [0.6, 0.5]])
    x_T, noises = np.zeros((9, 2, 1, 1)), np.zeros((5, 9, 2, 1, 1))
    x_T[1, 0] = x_T[2, 1] = 1
    for t in (2, 3, 4):
        noises[t, 2 * t - 1, 0] = noises[t, 2 * t, 1] = 1
    for run, (mean, variance) in (
            (lambda: ancestral(Reverse(SHORT, data.eps, variance="large"), x_T, lambda t: noises[t]),
             data.ancestral_end(SHORT.beta)),
            (lambda: ddim(Reverse(SHORT, data.eps), x_T, [4, 3, 2, 1], lambda t: noises[t], eta=0.5),
             data.ddim_end(0.5))):
        x = last(run())[:, :, 0, 0]
        u = (x[1:] - x[0]).T
        assert_close(x[0], data.basis @ mean, 1e-12)
        assert_close(u @ u.T, data.basis @ np.diag(variance) @ data.basis.T, 1e-12)


# DDIM.

@given(st.data(), st.sampled_from([0.0, 0.5, 1.0]))
def test_ddim_of_gaussian_data_ends_at_the_closed_form(drawn, eta):
    """For any subsequence of the steps: the oracle's recursion, and with η = 0 its product of cosines."""
    data = drawn.draw(gaussians())
    s = data.schedule
    steps = sorted(drawn.draw(st.sets(st.integers(1, s.T), min_size=1)), reverse=True)
    got = end(lambda x, z: last(ddim(Reverse(s, data.eps), x, steps, z, eta=eta)), s.T, data.mean.shape)
    assert_ends(got, data.ddim_end(eta, steps))
    if eta == 0:
        assert_ends(got, data.ddim_closed_form(steps))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_with_every_spacing_ends_at_the_closed_form(spacing, eta):
    for s in (LINEAR, cosine_schedule(1000)):
        data = Gaussian(s, 0.3, 0.25)
        for n in (1, 2, 10, 50):
            steps = timesteps(1000, n, spacing)
            place = {t: i + 2 for i, t in enumerate(steps)}  # image i + 2 has z = 1 at the i-th step
            x_T = np.eye(n + 2)[:, 1]
            noises = {t: np.eye(n + 2)[i] for t, i in place.items()}
            x = last(ddim(Reverse(s, data.eps), x_T, steps, noises.__getitem__, eta=eta))
            assert_ends((x[0], np.sum((x[1:] - x[0])**2)), data.ddim_end(eta, steps))


def test_standard_deviation_after_fifty_ddim_steps():
    """x₀ ~ N(0.3, 0.5²), the paper's schedule, η = 0: s²/v_T·Π cos² is written out here, without the package."""
    steps = timesteps(1000, 50)
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - LINEAR.beta[1:])])
    phi = np.arctan2(np.sqrt(1 - alpha_bar), 0.5 * np.sqrt(alpha_bar))
    start = alpha_bar[1000] * 0.25 + 1 - alpha_bar[1000]
    ratio = 0.5 / math.sqrt(start) * np.prod([math.cos(phi[t] - phi[s]) for t, s in zip(steps, [*steps[1:], 0],
                                                                                       strict=True)])
    x = last(ddim(Reverse(LINEAR, Gaussian(LINEAR, 0.3, 0.25).eps), np.array([0.0, 1.0]), steps))
    assert_close(x, np.array([0, ratio]) + 0.3 - 0.3 * math.sqrt(alpha_bar[1000]) * ratio, 1e-10)


@given(batches(schedules()), st.booleans())
def test_a_ddim_step_with_eta_1_is_a_step_of_algorithm_2(b, clip):
    """η = 1 and t' = t − 1 is the step with σ² = β̃_t, for any model; at t = 1 it is x̂₀."""
    reverse = Reverse(b.case.schedule, affine, variance="small", clip=clip)
    got = ddim_step(reverse, b.x, b.t, b.t - 1, 1.0, b.y)
    want = p_sample(reverse, b.x, b.t, b.y)
    gain = rows([float(b.case.exact.mean(t)[0]) for t in b.t], b.x)
    assert_close(got, want, 1e-11, scale=1 + gain * (abs(b.x) + abs(affine(b.x, b.t))) + abs(b.y))


@given(pythagorean(), st.booleans())
def test_a_ddim_chain_with_eta_1_is_the_ancestral_chain(c, clip):
    reverse, T = Reverse(c.schedule, affine, variance="small", clip=clip), c.exact.T
    noises = np.random.default_rng(T).standard_normal((T + 1, 3, 2))
    got = [(x, x0_hat) for _, x, x0_hat in ddim(reverse, noises[0], range(T, 0, -1), lambda t: noises[t], eta=1.0)]
    want = [(x, x0_hat) for _, x, x0_hat in ancestral(reverse, noises[0], lambda t: noises[t])]
    assert_close(np.array(got), np.array(want), 1e-9, scale=1 + abs(np.array(want)))


# A small set of images that ε* remembers.

@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "respaced"])
def test_chains_with_the_exact_eps_of_twenty_digits_end_on_them(sampler):
    """Every chain ends on one of the images, and the chains end on different ones."""
    images = digits().images[:20] / 8.0 - 1
    data = atoms(LINEAR, images)
    backend = get_backend("numpy")
    x_T = first_noise(backend, 0, LINEAR, 0, 12, (8, 8, 1), "float64")
    noise_at = step_noise(backend, 0, 0, 12, (8, 8, 1), "float64")
    if sampler == "ancestral":
        end = last(ancestral(Reverse(LINEAR, data.eps, variance="large"), x_T, noise_at))
    elif sampler == "ddim":
        end = last(ddim(Reverse(LINEAR, data.eps), x_T, timesteps(1000, 50)))
    else:
        fewer = respace(Reverse(LINEAR, data.eps), timesteps(1000, 100, "leading"))
        end = last(ancestral(fewer, x_T, noise_at))
    distance = abs(end[:, None] - images[None]).max(axis=(2, 3, 4))  # (12, 20)
    assert distance.min(axis=1).max() < 1e-6
    assert len(set(distance.argmin(axis=1).tolist())) >= 4


# What a chain gives on its way.

@given(schedules(), st.data(), st.sampled_from(["small", "large"]), st.booleans())
def test_progressive_yields_x_and_x0_hat_of_every_step(c, drawn, variance, clip):
    """From any start: x_{t−1} and x̂₀(x_t) for each t, one call each, no noise at t = 1; start 0 yields nothing."""
    s, start = c.schedule, drawn.draw(st.integers(0, c.exact.T))
    asked, wanted = [], []

    def model(x, t):
        asked.append((x, t))
        return affine(x, t)

    def noise_at(t):
        wanted.append(t)
        return np.full((2, 3), 0.25 * t)

    x = x_start = np.linspace(-1, 1, 6).reshape(2, 3)
    watched, reverse = (Reverse(s, net, variance=variance, clip=clip) for net in (model, affine))
    chain = list(ancestral(watched, x, noise_at, start=start))
    assert [t for t, _, _ in chain] == list(range(start - 1, -1, -1))
    assert wanted == list(range(start, 1, -1))
    assert len(asked) == start
    for (seen, steps), (t, after, x0_hat) in zip(asked, chain, strict=True):
        assert seen is x
        assert steps.tolist() == [t + 1] * 2
        mean, _, want = p_mean_variance(reverse, x, steps)
        assert np.array_equal(x0_hat, want)
        assert np.array_equal(x0_hat, predict(reverse, x, steps).x0)
        assert np.array_equal(after, p_sample(reverse, x, steps, np.full((2, 3), 0.25 * (t + 1))))
        assert t > 0 or np.array_equal(after, mean)
        if not clip:
            assert np.array_equal(want, predict_x0(s, x, steps, affine(x, steps)))
        x = after
    if start == c.exact.T:
        whole = list(ancestral(reverse, x_start, noise_at))
        assert [t for t, _, _ in whole] == [t for t, _, _ in chain]
        assert all(np.array_equal(x, y) for (_, x, _), (_, y, _) in zip(whole, chain, strict=True))


@pytest.mark.parametrize("start", [-1, 5])
def test_a_start_outside_the_schedule_is_refused(start):
    with pytest.raises(ValueError, match=f"start must be from 0 to 4, got {start}"):
        next(ancestral(Reverse(SHORT, affine), np.zeros((1, 2)), None, start=start))


# Noise that depends on the image alone.

def run_of(sampler, first, n, seed=3, dtype="float32"):
    """x₀ of the images first..first + n − 1 of a seed."""
    backend, shape, reverse = get_backend("numpy"), (2, 3, 1), Reverse(SHORT, affine)
    x_T = first_noise(backend, seed, SHORT, first, n, shape, dtype)
    noise_at = step_noise(backend, seed, first, n, shape, dtype)
    if sampler == "ddim":
        return last(ddim(reverse, x_T, [4, 3, 1], noise_at, eta=0.5))
    if sampler == "langevin":
        def each(t, k):
            return step_noise(backend, seed, first, n, shape, dtype, purpose=f"sample/langevin/{k}")(t)

        return last(annealed_langevin(reverse, x_T, [4, 3, 1], each, per_level=2))
    reverse = Reverse(SHORT, affine, variance="large", clip=True)
    return last(draw(reverse, n, shape, seed=seed, first=first, dtype=dtype))


@pytest.mark.parametrize("sampler", ["draw", "ddim", "langevin"])
def test_an_image_is_the_same_in_any_batch(sampler):
    whole = run_of(sampler, 0, 7)
    assert whole.shape == (7, 2, 3, 1)
    assert whole.dtype == np.float32
    for first, n in ((0, 1), (2, 3), (6, 1), (5, 2)):
        assert np.array_equal(run_of(sampler, first, n), whole[first:first + n])
    assert not np.array_equal(run_of(sampler, 0, 7, seed=4), whole)
    assert run_of(sampler, 0, 1, dtype="float64").dtype == np.float64


def test_draw_is_algorithm_2_with_first_noise_and_step_noise():
    """Another sampler given `first_noise` and `step_noise` as x_T and z_t gives what `draw` draws."""
    backend = get_backend("numpy")
    x_T = first_noise(backend, 5, SHORT, 2, 3, (4,), "float64")
    noise_at = step_noise(backend, 5, 2, 3, (4,), "float64")
    for reverse in (Reverse(SHORT, affine), Reverse(SHORT, affine, variance="large", clip=True)):
        want = list(ancestral(reverse, x_T, noise_at))
        got = list(draw(reverse, 3, (4,), seed=5, first=2, dtype="float64"))
        for (s, x, x0_hat), (t, y, y0_hat) in zip(got, want, strict=True):
            assert s == t
            assert np.array_equal(x, y)
            assert np.array_equal(x0_hat, y0_hat)
    seen = [x_T, *map(noise_at, (1, 2, 3, 4)), step_noise(backend, 5, 2, 3, (4,), "float64", purpose="other")(4)]
    assert len({x.tobytes() for x in seen}) == 6
