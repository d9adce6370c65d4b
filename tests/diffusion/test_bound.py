"""The variational bound: KL divergences, L_T, the terms of (5) and their sum, and (8) = (9) = (10) = (12)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gaussians import expect
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import any_schedule, assert_close, batches, mp50, pythagorean, rows

from ddpm_np import Tensor
from ddpm_np.diffusion import (
    PREDICTS,
    Reverse,
    Schedule,
    decoder_log_likelihood,
    eq12_weight,
    jsd_schedule,
    kl,
    linear_schedule,
    mean_mismatch,
    mean_mismatch_from_noise,
    mean_mismatch_simplified,
    mismatch_constant,
    posterior_mean,
    predict,
    predict_x0,
    prior_kl,
    q_sample,
    velocity,
    vlb,
    vlb_term,
    vlb_terms,
    weighted_noise_loss,
)

LINEAR = linear_schedule(1000)
SHORT = Schedule.from_betas([0.02, 0.1, 0.3, 0.5])
BITS = 1 / math.log(2)
ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # of N(0, 1): 1.4189 nats


def model(x, t, scale=1.0):
    """A nonlinear, analytic model that differs for every t."""
    return scale * (0.2 * x * x - 0.4 * x) + 0.05 * rows(np.sqrt(t), x).astype(x.dtype)


def a(*numbers, dtype=np.float64):
    return np.array(numbers, dtype)


# KL between two normals.

numbers = st.floats(-3, 3)


@given(numbers, numbers, numbers, numbers)
def test_kl_is_the_integral_of_the_log_ratio(mean1, logvar1, mean2, logvar2):
    """∫ p·(ln p − ln q), exact by Gauss–Hermite, for ln p − ln q is a quadratic."""
    deviation = math.exp(logvar1 / 2)

    def ratio(z):
        x = mean1 + deviation * z
        return stats.norm.logpdf(x, mean1, deviation) - stats.norm.logpdf(x, mean2, math.exp(logvar2 / 2))

    want = expect(ratio, 1)
    got = kl(a(mean1), a(logvar1), a(mean2), a(logvar2))
    assert_close(got, a(want), 1e-12, scale=1 + math.exp(logvar1 - logvar2) + (mean1 - mean2)**2 * math.exp(-logvar2))
    assert got[0] >= 0
    assert kl(a(mean1), a(logvar1), a(mean1), a(logvar1)) == 0


def test_kl_by_hand_and_its_direction():
    """KL(N(1, 1) ‖ N(0, 4)) = (ln 4 − ½)/2; the other way round (4 + 1 − 1 − ln 4)/2."""
    one, zero, four = a(1.0), a(0.0), np.log(a(4.0))
    assert_close(kl(one, zero, zero, four), a(math.log(2) - 0.25), 1e-15)
    assert_close(kl(zero, four, one, zero), a(2 - math.log(2)), 1e-15)


@given(st.floats(-16, 0.7), st.booleans())
def test_kl_of_nearly_equal_variances_keeps_its_digits(exponent, negative):
    """β_T and β̃_T differ by 8e-7: KL ≈ d²/4 is far below the rounding error of e^d."""
    d = (-1 if negative else 1) * 10**exponent
    want = (mp50.expm1(mp50.mpf(d)) - mp50.mpf(d)) / 2
    assert_close(kl(a(0.0), a(d), a(0.0), a(0.0)), a(float(want)), 3e-14)
    single = kl(*(a(v, dtype=np.float32) for v in (0, d, 0, 0)))
    d = mp50.mpf(float(np.float32(d)))
    assert single.dtype == np.float32
    assert_close(single.astype(float), a(float((mp50.expm1(d) - d) / 2)), 5e-5)


def test_gradient_of_kl_against_its_formulas():
    """Against the formulas, where the variances are equal, nearly equal, and far apart."""
    d = a(0.0, 1e-12, -1e-6, 0.0099, -0.0101, 2.0, -3.0)
    mean1, mean2, logvar2 = np.linspace(-1, 2, 7), np.linspace(1, 0, 7), np.full(7, -0.5)
    tensors = [Tensor(v, requires_grad=True) for v in (mean1, logvar2 + d, mean2, logvar2)]
    kl(*tensors).backward(np.ones(7))
    d = tensors[1].data - logvar2
    pull, square = (mean1 - mean2) * math.exp(0.5), (mean1 - mean2)**2 * math.exp(0.5)
    want = [pull, 0.5 * np.expm1(d), -pull, -0.5 * np.expm1(d) - 0.5 * square]
    for tensor, gradient in zip(tensors, want, strict=True):
        assert_close(tensor.grad, gradient, 1e-13, scale=abs(gradient) + 1e-30)


# L_T.

@given(batches(any_schedule()))
def test_prior_term_against_its_formula(b):
    """½·mean(ᾱ_T·x₀² − ᾱ_T − ln(1 − ᾱ_T)) nats, in bits, one number per image."""
    alpha_bar = b.case.exact.alpha_bar[b.case.exact.T]
    each = [[(alpha_bar * mp50.mpf(v)**2 - alpha_bar - mp50.log1p(-alpha_bar)) / 2 for v in image.ravel()]
            for image in b.x]
    want = a(*(float(sum(image) / len(image) / mp50.log(2)) for image in each))
    got = prior_kl(b.case.schedule, b.x)
    assert got.shape == (len(b.x),)
    assert_close(got, want, 1e-10, scale=want + 1e-5 * float(alpha_bar))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_prior_term_of_the_papers_schedule(dtype):
    """2.018e-5 nats per dimension for x₀² = 1, and a positive number for x₀ = 0; float32 keeps its digits."""
    at_one, at_zero = prior_kl(LINEAR, np.array([[1, -1, 1], [0, 0, 0]], dtype)).astype(float) / BITS
    assert f"{at_one:.3e}" == "2.018e-05"
    assert_close(a(at_one, at_zero), a(2.0179556035892e-05, 4.0720897e-10), 1e-6)
    assert prior_kl(LINEAR, np.ones((1, 1), dtype)).dtype == dtype


def test_prior_term_is_zero_where_alpha_bar_T_is_zero():
    """β_T = 1: ᾱ_T = 0, and x_T is exactly N(0, I)."""
    assert not prior_kl(jsd_schedule(5), np.random.default_rng(0).standard_normal((3, 2))).any()
    assert not prior_kl(jsd_schedule(1), np.ones((3, 2), np.float32)).any()


# The terms of (5).

def plain_term(c, predict, x_0, x_t, t, sigma2, levels, clip):
    """Return one image's term by the paper's formulas, in bits per dimension, and the scale of its rounding errors."""
    e = c.exact
    to_x, to_eps = map(float, e.x0_hat(t))
    on_x0, on_xt, tilde = map(float, e.posterior(t))
    x0_hat = to_x * x_t + to_eps * predict
    if clip:
        x0_hat = np.minimum(np.maximum(x0_hat, -1), 1)
    mean = on_x0 * x0_hat + on_xt * x_t
    if t == 1:
        deviation = np.sqrt(sigma2)
        if levels is None:
            value = -stats.norm.logpdf(x_0, mean, deviation)
        else:
            value = -decoder_log_likelihood(x_0, mean, np.log(deviation), levels)
    else:
        value = 0.5 * (np.log(sigma2 / tilde) + (tilde + (on_x0 * x_0 + on_xt * x_t - mean)**2) / sigma2 - 1)
    reach = abs(x_0) + abs(x_t) + abs(on_x0) * (abs(to_x * x_t) + abs(to_eps * predict))
    return value.mean() * BITS, 1 + (reach**2 / sigma2 + tilde / sigma2 + abs(np.log(sigma2))).mean()


@given(batches(), st.sampled_from(["small", "large", "table"]), st.sampled_from([None, 9, 17]), st.booleans())
def test_vlb_term_is_the_kl_or_the_decoder_of_each_image(b, variance, levels, clip):
    """KL(q(x_{t−1} | x_t, x₀) ‖ p_θ) at t ≥ 2 and the decoder at t = 1, both in the same batch."""
    x_0, x_t, e = np.clip(b.x, -1, 1), b.y, b.case.exact
    table = np.array([np.nan, *np.linspace(0.2, 2, e.T)])
    t = b.t.copy()
    t[0] = 1
    predict = model(x_t, t)
    found = [plain_term(b.case, predict[i], x_0[i], x_t[i], t[i],
                        table[t[i]] if variance == "table" else float(e.sigma2(variance, t[i])), levels, clip)
             for i in range(len(t))]
    want, scale = np.array(found).T
    choice = table if variance == "table" else variance
    got = vlb_term(Reverse(b.case.schedule, model, variance=choice, clip=clip), x_0, x_t, t, levels=levels)
    assert got.shape == (len(t),)
    assert_close(got, want, 1e-11, scale=scale)


@given(batches(pythagorean()), st.sampled_from(["learned", "learned_range"]), st.sampled_from([None, 9]))
def test_vlb_term_with_a_learned_variance(b, variance, levels):
    """σ² is the net's second output: its logarithm, or a place between β̃_t (−1, β̃₂ at t = 1) and β_t (1)."""
    e, x_0 = b.case.exact, np.clip(b.x, -1, 1)[..., None]
    x_t, said = b.y[..., None], np.cos(b.x)[..., None]
    found = []
    for i, t in enumerate(b.t):
        low, high = math.log(e.sigma2("small", t)), math.log(e.beta[t])
        logvar = said[i] if variance == "learned" else (1 + said[i]) / 2 * high + (1 - said[i]) / 2 * low
        predict = model(x_t, b.t)[i]
        found.append(plain_term(b.case, predict, x_0[i], x_t[i], t, np.exp(logvar), levels, False))

    def net(x, t):
        return np.concatenate((model(x, t), said), axis=-1)

    want, scale = np.array(found).T
    got = vlb_term(Reverse(b.case.schedule, net, variance=variance), x_0, x_t, b.t, levels=levels)
    assert_close(got, want, 1e-11, scale=scale)


def test_vlb_term_does_not_clip_by_default():
    """The other defaults are 256 levels and the small variance."""
    x_0, x_t, t = np.full((2, 3), 0.5), np.full((2, 3), 0.25), a(1, 3, dtype=int)
    free, held = (vlb_term(Reverse(SHORT, lambda x, t: -9 + 0 * x, variance="small", clip=clip), x_0, x_t, t,
                           levels=256) for clip in (False, True))
    assert (held < free).all()
    assert np.array_equal(vlb_term(Reverse(SHORT, lambda x, t: -9 + 0 * x), x_0, x_t, t), free)


def test_vlb_term_refuses_x_t_of_another_shape():
    with pytest.raises(ValueError, match=r"expected x_t of shape \(2, 3\), got \(2, 1\)"):
        vlb_term(Reverse(SHORT, model), np.zeros((2, 3)), np.zeros((2, 1)), a(1, 2, dtype=int))


# Their sum.

@given(batches(pythagorean(min_T=1)), st.sampled_from(["small", "large"]), st.booleans(), st.booleans())
def test_bound_is_the_sum_of_its_terms_in_order(b, variance, clip, continuous):
    """L_T, L_{T−1}, …, L₀ once each, in that order; noise is asked once for each t; row 0 of the noises is not used."""
    s, T, drawn, levels = b.case.schedule, b.case.exact.T, [], None if continuous else 9
    reverse = Reverse(s, model, variance=variance, clip=clip)
    noises = np.random.default_rng(T).standard_normal((T + 1, *b.x.shape))
    noises[0] = np.nan
    terms = list(vlb_terms(reverse, b.x, lambda t: drawn.append(t) or noises[t], levels=levels))
    assert [t for t, _ in terms] == list(range(T + 1, 0, -1))
    assert drawn == list(range(T, 0, -1))
    assert np.array_equal(terms[0][1], prior_kl(s, b.x))
    for t, term in terms[1:]:
        now = np.full(len(b.x), t)
        assert np.array_equal(term, vlb_term(reverse, b.x, q_sample(s, b.x, now, noises[t]), now, levels=levels))
    total = vlb(reverse, b.x, noises, levels=levels)
    assert_close(total, np.sum([term for _, term in terms], axis=0), 1e-13, scale=1 + abs(total))


def test_defaults_of_vlb():
    """Small variance, 256 levels, no clip, an ε-predicting net; float32 stays float32."""
    rng = np.random.default_rng(3)
    x = np.linspace(-1, 1, 256)[rng.integers(0, 256, (2, 3))].astype(np.float32)
    noises = rng.standard_normal((5, 2, 3)).astype(np.float32)
    reverse = Reverse(SHORT, model)
    got = vlb(reverse, x, noises)
    assert got.dtype == np.float32
    told = Reverse(SHORT, model, predicts="eps", variance="small", clip=False)
    assert np.array_equal(got, vlb(told, x, noises, levels=256))
    assert_close(got.astype(float), vlb(reverse, x.astype(float), noises.astype(float)), 1e-5)
    other = vlb(Reverse(SHORT, model, predicts="x0"), x, noises)
    assert abs(other - got).min() > 0.01


@pytest.mark.parametrize("levels", [None, 17])
@pytest.mark.parametrize("learned", [False, True])
def test_gradient_of_vlb_against_the_complex_step(levels, learned):
    """By a parameter of the net, with a weight for every image."""
    rng = np.random.default_rng(4)
    x = np.linspace(-1, 1, 17)[rng.integers(0, 17, (3, 2, 1))]
    noises, weights, h = rng.standard_normal((5, 3, 2, 1)), rng.standard_normal(3), 1e-30

    def bound(scale, join):
        def net(x_t, t):
            eps = model(x_t, t, scale)
            return join([eps, scale * np.cos(x_t)]) if learned else eps

        return vlb(Reverse(SHORT, net, variance="learned_range" if learned else "large"), x, noises, levels=levels)

    scale = Tensor(a(0.7), requires_grad=True)
    tensor = bound(scale, lambda parts: parts[0].__array_namespace__().concat(parts, axis=-1))
    tensor.backward(weights)
    stepped = bound(0.7 + 1j * h, lambda parts: np.concatenate(parts, axis=-1))
    assert_close(tensor.data, stepped.real, 1e-12)
    assert_close(scale.grad, a(weights @ stepped.imag / h), 1e-11)


# Equations (8) to (12).

@given(batches(first=2), st.sampled_from(["small", "large", "table"]))
def test_equation_8_and_its_constant_equal_the_term(b, variance):
    """For unrelated x₀ and x_t and for every σ²."""
    s, choice = b.case.schedule, variance
    if variance == "table":
        choice = np.array([np.nan, *np.linspace(0.2, 2, b.case.exact.T)])
    sigma2 = a(*(choice[t] if variance == "table" else float(b.case.exact.sigma2(variance, t)) for t in b.t))
    tilde = a(*(float(b.case.exact.posterior(t)[2]) for t in b.t))
    reverse = Reverse(s, model, variance=choice)
    mismatch, constant = mean_mismatch(reverse, b.x, b.y, b.t), mismatch_constant(s, b.t, b.x, choice)
    assert constant.shape == (len(b.t),) + (1,) * (b.x.ndim - 1)
    constant = constant.reshape(-1)
    assert_close(constant, 0.5 * (np.log(sigma2 / tilde) + tilde / sigma2 - 1), 1e-11, scale=1 + tilde / sigma2)
    want = vlb_term(reverse, b.x, b.y, b.t)
    assert_close((mismatch + constant) * BITS, want, 1e-11, scale=1 + abs(want))


@given(batches(), st.sampled_from(["small", "large", "table"]))
def test_equations_8_9_10_and_12_are_equal(b, variance):
    """For any x₀ and ε, t = 1 included; the residual of (10) is that of (12) times its weight, which is the paper's."""
    s, e, choice = b.case.schedule, b.case.exact, variance
    if variance == "table":
        choice = np.array([np.nan, *np.linspace(0.2, 2, e.T)])
    x_t = q_sample(s, b.x, b.t, b.y)
    reverse = Reverse(s, model, variance=choice)
    eight = mean_mismatch(reverse, b.x, x_t, b.t)
    nine = mean_mismatch_from_noise(reverse, b.x, b.t, b.y)
    ten = mean_mismatch_simplified(reverse, b.x, b.t, b.y)
    twelve = weighted_noise_loss(reverse, b.x, b.t, b.y)
    weight = eq12_weight(s, b.t, choice)
    sigma2 = [choice[t] if variance == "table" else float(e.sigma2(variance, t)) for t in b.t]
    parts = a(*(float(e.beta[t]**2 / (2 * e.alpha[t] * (1 - e.alpha_bar[t]))) for t in b.t))
    want = parts / sigma2
    assert_close(weight, want, 1e-11)
    axes = tuple(range(1, b.x.ndim))
    assert_close(twelve, want * np.mean((b.y - model(x_t, b.t))**2, axis=axes), 1e-10, scale=want * 1e-3 + twelve)
    gain = a(*(float(e.mean(t)[0]) for t in b.t))  # rounding errors of x_t and ε as μ sees them
    reach = np.mean((abs(b.x) + abs(x_t) + abs(b.y) + abs(model(x_t, b.t)))**2, axis=axes) * (1 + gain**2)
    scale = reach / np.array(sigma2) * (1 + a(*(1 / float(1 - e.alpha_bar[t]) for t in b.t)))
    for other in (eight, nine, ten):
        assert other.shape == (len(b.t),)
        assert_close(other, twelve, 1e-11, scale=scale + twelve)


@given(batches(any_schedule(12, 1e-3)), st.booleans())
def test_equation_12_is_equation_8_for_every_prediction(b, clip):
    """Also of a net that predicts x₀, μ̃ or v, and of a clipped x̂₀: ε̂ is then the noise that goes with it."""
    s, x_t = b.case.schedule, q_sample(b.case.schedule, b.x, b.t, b.y)

    def x0(x, t):
        return predict_x0(s, x, t, model(x, t))

    nets = {"eps": model, "x0": x0, "mean": lambda x, t: posterior_mean(s, x0(x, t), x, t),
            "v": lambda x, t: velocity(s, x0(x, t), t, model(x, t))}
    assert set(nets) == set(PREDICTS)
    plainly = weighted_noise_loss(Reverse(s, model, clip=clip), b.x, b.t, b.y)
    for predicts, net in nets.items():
        reverse = Reverse(s, net, predicts, clip=clip)
        twelve, eps = weighted_noise_loss(reverse, b.x, b.t, b.y), predict(reverse, x_t, b.t).eps
        weight = eq12_weight(s, b.t)
        want = weight * np.mean((b.y - eps)**2, axis=tuple(range(1, b.x.ndim)))
        assert np.array_equal(twelve, want)
        scale = weight * np.mean((1 + abs(b.x) + abs(b.y) + abs(eps) + abs(x_t))**2, axis=tuple(range(1, b.x.ndim)))
        assert_close(mean_mismatch(reverse, b.x, x_t, b.t), twelve, 1e-8, scale=scale)
        assert_close(twelve, plainly, 1e-8, scale=scale)


# One number.

@pytest.mark.parametrize("T", [1, 2, 10, 100, 1000])
def test_bound_of_standard_normal_data_is_their_entropy(T):
    """x₀ ~ N(0, 1), ε* = √(1 − ᾱ_t)·x, σ_t² = β_t at every t and a continuous decoder: L = ½·ln 2πe exactly.

    Every reverse step is then the exact one, and p_θ the data's own law. A term is a quadratic in x₀ and ε, so its
    expectation is the mean over x₀ = ±1 and ε = ±1.
    """
    s = linear_schedule(T)
    x_0, noise = (np.tile(v, T)[:, None] for v in ([1.0, 1, -1, -1], [1.0, -1, 1, -1]))
    t = np.repeat(np.arange(1, T + 1), 4)

    def oracle(x, t):
        return rows(np.sqrt(1 - s.alpha_bar[t]), x) * x

    def bound(variance):
        terms = vlb_term(Reverse(s, oracle, variance=variance), x_0, q_sample(s, x_0, t, noise), t, levels=None)
        return (prior_kl(s, x_0[:4]).mean() + terms.reshape(T, 4).mean(axis=1).sum()) / BITS

    assert abs(bound(s.beta) - ENTROPY) < 1e-12
    if T == 1000:
        assert round(bound("large") - ENTROPY, 4) == 0.1137  # β̃₂ for β₁ at t = 1


def test_vlb_is_in_bits_per_dimension():
    """N(0, 1) data through `vlb` itself at T = 2: 2.047 bits per dimension for any number of dimensions."""
    s = Schedule.from_betas([0.3, 0.6])
    nodes = a(1.0, -1.0)
    x_0, first, second = (v.reshape(-1, 1) * np.ones((1, 5)) for v in np.meshgrid(nodes, nodes, nodes, indexing="ij"))
    noises = np.stack([np.full((8, 5), np.nan), first, second])
    reverse = Reverse(s, lambda x, t: rows(np.sqrt(1 - s.alpha_bar[t]), x) * x, variance=s.beta)
    got = vlb(reverse, x_0, noises, levels=None)
    assert_close(got.mean(keepdims=True), a(2.0470955851), 1e-10)
