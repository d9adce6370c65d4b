"""Whole chains with an exact ε*: Algorithm 2 and DDIM end where closed forms say; what is given, asked and drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gaussians import gaussians, tables
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, batches, few, pythagorean, rows, schedules

from ddpm_np.backend import get_backend
from ddpm_np.data import digits
from ddpm_np.diffusion import (
    SPACINGS,
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
    predict_x0,
    progressive,
    respace,
    step_noise,
    timesteps,
)
from ddpm_np.diffusion.oracle import Gaussian
from ddpm_np.diffusion.oracle_mixture import atoms

LINEAR = linear_schedule(1000)
SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])


def affine(x, t):
    """A model that depends on x and on t; numbers of no special value."""
    step = rows(t, x).astype(x.dtype)
    return (0.3 + 0.1 * step) * x - 0.2 + 0.05 * step


def end(run, T, dims=()):
    """Mean and variance of the x₀ of a chain that is affine in its noises: the answers to none, and to a unit of each.

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

@few
@given(st.data(), st.sampled_from(["small", "large", "table"]))
def test_ancestral_chain_of_gaussian_data_ends_at_the_closed_form(drawn, variance):
    data = drawn.draw(gaussians())
    s, choice = data.schedule, variance
    if variance == "table":
        choice = drawn.draw(tables(s.T, 1e-4, 2))
    sigma2 = {"small": s.beta_tilde, "large": s.beta, "table": choice}[variance]
    got = end(lambda x, z: last(ancestral(s, data.eps, x, z, variance=choice)), s.T, data.mean.shape)
    assert_ends(got, data.ancestral_end(sigma2))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("variance", ["small", "large"])
def test_respaced_ancestral_chain_ends_at_the_closed_form(spacing, variance):
    """Respaced, the chain is Algorithm 2 of the shorter schedule, for which the same closed form holds."""
    for whole in (LINEAR, cosine_schedule(1000)):  # the cosine's ᾱ falls so far that β' is next to 1 in a step or two
        data = Gaussian(whole, 0.3, 0.25)
        for n in (1, 2, 7, 50):
            s, eps = respace(whole, data.eps, timesteps(1000, n, spacing))
            want = Gaussian(s, 0.3, 0.25).ancestral_end(s.beta if variance == "large" else s.beta_tilde)
            assert_ends(end(lambda x, z, s=s, eps=eps: last(ancestral(s, eps, x, z, variance=variance)), n), want)


def test_chains_of_correlated_pixels_end_at_the_closed_form():
    """x₀ ~ N(m, Σ) as 2×1×1 images: the end's covariance along the eigenvectors of Σ is what each has on its own."""
    data = Gaussian.full(SHORT, [0.5, -1.0], [[1.0, 0.6], [0.6, 0.5]])
    x_T, noises = np.zeros((9, 2, 1, 1)), np.zeros((5, 9, 2, 1, 1))
    x_T[1, 0] = x_T[2, 1] = 1
    for t in (2, 3, 4):
        noises[t, 2 * t - 1, 0] = noises[t, 2 * t, 1] = 1
    for run, (mean, variance) in (
            (lambda: ancestral(SHORT, data.eps, x_T, lambda t: noises[t], variance="large"),
             data.ancestral_end(SHORT.beta)),
            (lambda: ddim(SHORT, data.eps, x_T, [4, 3, 2, 1], lambda t: noises[t], eta=0.5), data.ddim_end(0.5))):
        x = last(run())[:, :, 0, 0]
        u = (x[1:] - x[0]).T
        assert_close(x[0], data.basis @ mean, 1e-12)
        assert_close(u @ u.T, data.basis @ np.diag(variance) @ data.basis.T, 1e-12)


# DDIM.

@few
@given(st.data(), st.sampled_from([0.0, 0.5, 1.0]))
def test_ddim_of_gaussian_data_ends_at_the_closed_form(drawn, eta):
    """Any subsequence of the steps; the oracle's recursion, and without noise its product of cosines."""
    data = drawn.draw(gaussians())
    s = data.schedule
    steps = sorted(drawn.draw(st.sets(st.integers(1, s.T), min_size=1)), reverse=True)
    got = end(lambda x, z: last(ddim(s, data.eps, x, steps, z, eta=eta)), s.T, data.mean.shape)
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
            x = last(ddim(s, data.eps, x_T, steps, lambda t, p=place, n=n: np.eye(n + 2)[p[t]], eta=eta))
            assert_ends((x[0], np.sum((x[1:] - x[0])**2)), data.ddim_end(eta, steps))


def test_standard_deviation_after_fifty_ddim_steps():
    """x₀ ~ N(0.3, 0.5²), the paper's schedule, η = 0: s²/v_T·Π cos² written out here, not the package's."""
    steps = timesteps(1000, 50)
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - LINEAR.beta[1:])])
    phi = np.arctan2(np.sqrt(1 - alpha_bar), 0.5 * np.sqrt(alpha_bar))
    start = alpha_bar[1000] * 0.25 + 1 - alpha_bar[1000]
    ratio = 0.5 / math.sqrt(start) * np.prod([math.cos(phi[t] - phi[s]) for t, s in zip(steps, [*steps[1:], 0],
                                                                                       strict=True)])
    x = last(ddim(LINEAR, Gaussian(LINEAR, 0.3, 0.25).eps, np.array([0.0, 1.0]), steps))
    assert_close(x, np.array([0, ratio]) + 0.3 - 0.3 * math.sqrt(alpha_bar[1000]) * ratio, 1e-10)


@few
@given(batches(schedules()), st.booleans())
def test_a_ddim_step_with_eta_1_is_a_step_of_algorithm_2(b, clip):
    """η = 1 and t' = t − 1 is the step with σ² = β̃_t, for any model; at t = 1 it is x̂₀."""
    got = ddim_step(b.case.schedule, affine, b.x, b.t, b.t - 1, 1.0, b.y, clip=clip)
    want = p_sample(b.case.schedule, affine, b.x, b.t, b.y, variance="small", clip=clip)
    gain = rows([float(b.case.exact.mean(t)[0]) for t in b.t], b.x)
    assert_close(got, want, 1e-11, scale=1 + gain * (abs(b.x) + abs(affine(b.x, b.t))) + abs(b.y))


@few
@given(pythagorean(), st.booleans())
def test_a_ddim_chain_with_eta_1_is_the_ancestral_chain(c, clip):
    s, T = c.schedule, c.exact.T
    noises = np.random.default_rng(T).standard_normal((T + 1, 3, 2))
    got = [x for _, x in ddim(s, affine, noises[0], range(T, 0, -1), lambda t: noises[t], eta=1.0, clip=clip)]
    want = [x for _, x in ancestral(s, affine, noises[0], lambda t: noises[t], variance="small", clip=clip)]
    assert_close(np.array(got), np.array(want), 1e-9, scale=1 + abs(np.array(want)))


# A small set of images that ε* remembers.

@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "respaced"])
def test_chains_with_the_exact_eps_of_twenty_digits_end_on_them(sampler):
    """Every chain ends on one of the images, and not always on the same."""
    images = digits().images[:20] / 8.0 - 1
    data = atoms(LINEAR, images)
    backend = get_backend("numpy")
    x_T = first_noise(backend, 0, LINEAR, 0, 12, (8, 8, 1), "float64")
    noise_at = step_noise(backend, 0, 0, 12, (8, 8, 1), "float64")
    if sampler == "ancestral":
        end = last(ancestral(LINEAR, data.eps, x_T, noise_at, variance="large"))
    elif sampler == "ddim":
        end = last(ddim(LINEAR, data.eps, x_T, timesteps(1000, 50)))
    else:
        s, eps = respace(LINEAR, data.eps, timesteps(1000, 100, "leading"))
        end = last(ancestral(s, eps, x_T, noise_at))
    distance = abs(end[:, None] - images[None]).max(axis=(2, 3, 4))  # (12, 20)
    assert distance.min(axis=1).max() < 1e-6
    assert len(set(distance.argmin(axis=1).tolist())) >= 4


# What a chain gives on its way.

@few
@given(schedules(), st.data(), st.sampled_from(["small", "large"]), st.booleans())
def test_progressive_yields_x_and_x0_hat_of_every_step(c, drawn, variance, clip):
    """From any start: x_{t−1} and x̂₀(x_t) of each t, the model asked once for each, no noise at t = 1; 0 is no step."""
    s, start = c.schedule, drawn.draw(st.integers(0, c.exact.T))
    asked, wanted = [], []

    def model(x, t):
        asked.append((x, t))
        return affine(x, t)

    def noise_at(t):
        wanted.append(t)
        return np.full((2, 3), 0.25 * t)

    x = np.linspace(-1, 1, 6).reshape(2, 3)
    options = {"variance": variance, "clip": clip}
    chain = list(progressive(s, model, x, noise_at, start=start, **options))
    assert [t for t, _, _ in chain] == list(range(start - 1, -1, -1))
    assert wanted == list(range(start, 1, -1))
    assert len(asked) == start
    for (seen, steps), (t, after, x0_hat) in zip(asked, chain, strict=True):
        assert seen is x
        assert steps.tolist() == [t + 1] * 2
        mean, _, want = p_mean_variance(s, affine, x, steps, **options)
        assert np.array_equal(x0_hat, want)
        assert np.array_equal(after, p_sample(s, affine, x, steps, np.full((2, 3), 0.25 * (t + 1)), **options))
        assert t > 0 or np.array_equal(after, mean)
        if not clip:
            assert np.array_equal(want, predict_x0(s, x, steps, affine(x, steps)))
        x = after
    asked.clear()
    pairs = list(ancestral(s, model, np.linspace(-1, 1, 6).reshape(2, 3), noise_at, start=start, **options))
    assert [t for t, _ in pairs] == [t for t, _, _ in chain]
    assert all(np.array_equal(x, y) for (_, x), (_, y, _) in zip(pairs, chain, strict=True))
    if start == c.exact.T:
        whole = list(progressive(s, affine, np.linspace(-1, 1, 6).reshape(2, 3), noise_at, **options))
        assert np.array_equal(whole[-1][1], chain[-1][1])


@pytest.mark.parametrize("start", [-1, 5])
def test_a_start_outside_the_schedule_is_refused(start):
    for sampler in (progressive, ancestral):
        with pytest.raises(ValueError, match=f"start must be from 0 to T = 4, got {start}"):
            next(sampler(SHORT, affine, np.zeros((1, 2)), None, start=start))


# Noise that depends on the image alone.

def run_of(sampler, first, n, seed=3, dtype="float32"):
    """x₀ of the images first..first + n − 1 of a seed."""
    backend, shape = get_backend("numpy"), (2, 3, 1)
    x_T = first_noise(backend, seed, SHORT, first, n, shape, dtype)
    noise_at = step_noise(backend, seed, first, n, shape, dtype)
    if sampler == "ddim":
        return last(ddim(SHORT, affine, x_T, [4, 3, 1], noise_at, eta=0.5))
    if sampler == "langevin":
        def each(t, k):
            return step_noise(backend, seed, first, n, shape, dtype, purpose=f"sample/langevin/{k}")(t)

        return last(annealed_langevin(SHORT, affine, x_T, [4, 3, 1], each, per_level=2))
    return last(draw(SHORT, affine, n, shape, seed=seed, first=first, dtype=dtype))


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
    """x_T and z_t are `first_noise` and `step_noise`: what another sampler is given is what `draw` draws."""
    backend = get_backend("numpy")
    x_T = first_noise(backend, 5, SHORT, 2, 3, (4,), "float64")
    noise_at = step_noise(backend, 5, 2, 3, (4,), "float64")
    want = last(ancestral(SHORT, affine, x_T, noise_at, variance="large", clip=True))
    assert np.array_equal(last(draw(SHORT, affine, 3, (4,), seed=5, first=2, dtype="float64")), want)
    seen = [x_T, *map(noise_at, (1, 2, 3, 4)), step_noise(backend, 5, 2, 3, (4,), "float64", purpose="other")(4)]
    assert len({x.tobytes() for x in seen}) == 6
