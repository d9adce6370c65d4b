"""Training objectives: ε, x₀, mean and v targets, score matching, min-SNR weights, the hybrid and the bound."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, batches, from_ks, images, pythagorean, rows

from ddpm_np import Tensor
from ddpm_np.autograd.tensor import gradients
from ddpm_np.check.gradients.derivatives import STEP
from ddpm_np.diffusion import (
    PREDICTS,
    Reverse,
    bound_loss,
    eq12_weight,
    hybrid_loss,
    jsd_schedule,
    linear_schedule,
    min_snr_weight,
    posterior_mean,
    predict_eps,
    prior_kl,
    q_sample,
    score_matching_loss,
    simple_loss,
    target,
    velocity,
    vlb,
    vlb_term,
    weighted_noise_loss,
)

LINEAR = linear_schedule(1000)


def model(x, t):
    """A nonlinear, analytic model that differs for every t."""
    return 0.25 * x * x - x * rows(np.sqrt(t), x) / 4 + 0.01 * rows(t, x)


def mean_square(x):
    return np.array([float(np.mean(row**2)) for row in x])


def exactly(b):
    """Return √ᾱ_t, √(1 − ᾱ_t), c₀ and c_t of (7), each (N, 1, …), from the definitions."""
    e = b.case.exact
    table = [(*e.marginal(t), *e.posterior(t)[:2]) for t in b.t]
    return tuple(rows(column, b.x) for column in zip(*table, strict=True))


@given(batches())
def test_target_and_loss_of_every_prediction_type(b):
    """The loss of a net that predicts ε, x₀, μ̃ or v is the mean square of its error."""
    signal, noise, c0, ct = exactly(b)
    x_t = signal * b.x + noise * b.y
    wanted = {"eps": b.y, "x0": b.x, "mean": c0 * b.x + ct * x_t, "v": signal * b.y - noise * b.x}
    assert set(wanted) == set(PREDICTS)
    s = b.case.schedule
    for predicts, want in wanted.items():
        assert_close(target(s, b.x, x_t, b.t, b.y, predicts), want, 1e-11, scale=1 + np.abs(x_t))
        loss = mean_square(want - model(x_t, b.t))
        assert_close(simple_loss(s, model, b.x, b.t, b.y, predicts=predicts), loss, 1e-9, scale=loss + 1e-2)
    assert np.array_equal(simple_loss(s, model, b.x, b.t, b.y), simple_loss(s, model, b.x, b.t, b.y, predicts="eps"))


def test_the_targets_by_hand():
    """k = 1/3, 1/2 at t = 2, x₀ = 1, ε = −1: x_t = −1/5, v = −7/5, μ̃ = 35/64 − 27/320; the net predicts 0."""
    s, one, t = from_ks([Fraction(1, 3), Fraction(1, 2)]).schedule, np.ones((1, 1)), np.array([2])
    want = {"eps": 1, "x0": 1, "v": Fraction(-7, 5), "mean": Fraction(35, 64) - Fraction(27, 64) / 5}
    for predicts, value in want.items():
        got = simple_loss(s, lambda x, t: 0 * x, one, t, -one, predicts=predicts)
        assert_close(got, np.array([float(value**2)]), 1e-14)


def guises(s, x, t, x_0):
    """Return the outputs of the four nets that imply the same x̂₀ at x_t."""
    eps = predict_eps(s, x, t, x_0)
    return {"eps": eps, "x0": x_0, "mean": posterior_mean(s, x_0, x, t), "v": velocity(s, x_0, t, eps)}


def losses(b, says, loss=simple_loss):
    """Return the loss of each of the nets that imply the same x̂₀."""
    s = b.case.schedule
    return {p: loss(s, lambda x, t, p=p: guises(s, x, t, says)[p], b.x, b.t, b.y, predicts=p) for p in PREDICTS}


@given(batches(pythagorean()), st.data())
def test_the_losses_differ_by_powers_of_the_signal_to_noise_ratio(b, data):
    """‖ε − ε̂‖² = SNR·‖x₀ − x̂₀‖², ‖v − v̂‖² = (SNR + 1)·‖x₀ − x̂₀‖² and ‖μ̃ − μ̂‖² = c₀²·‖x₀ − x̂₀‖²."""
    says = data.draw(images(b.x.shape))
    signal, noise, c0, _ = (w.ravel() for w in exactly(b))
    snr, error = (signal / noise) ** 2, mean_square(b.x - says)
    got = losses(b, says)
    for predicts, factor in (("x0", 1), ("eps", snr), ("v", snr + 1), ("mean", c0**2)):
        assert_close(got[predicts], factor * error, 1e-11, scale=factor * (error + 1))


@given(batches(pythagorean()), st.data(), st.sampled_from([5.0, 1.0, 0.3]))
def test_the_three_min_snr_losses_are_equal(b, data, gamma):
    """Each is min(SNR, γ)·‖x₀ − x̂₀‖²; the weights are those of Hang et al."""
    says, s = data.draw(images(b.x.shape)), b.case.schedule
    signal, noise, *_ = (w.ravel() for w in exactly(b))
    snr = (signal / noise) ** 2
    held = np.minimum(snr, gamma)
    weights = {p: min_snr_weight(s, b.t, b.x, gamma, p) for p in ("eps", "x0", "v")}
    for predicts, want in (("eps", held / snr), ("x0", held), ("v", held / (snr + 1))):
        assert_close(weights[predicts], want, 1e-12)
    got, want = losses(b, says), held * mean_square(b.x - says)
    for predicts, weight in weights.items():
        assert_close(weight * got[predicts], want, 1e-11, scale=want + held)


def test_min_snr_weights_of_the_papers_schedule():
    t = np.array([1, 1000])
    snr = LINEAR.alpha_bar[t] / LINEAR.one_minus_alpha_bar[t]
    for dtype in ("float32", "float64"):
        x = np.zeros((2, 3, 1), dtype)
        got = min_snr_weight(LINEAR, t, x)  # γ = 5, of a loss in ε
        assert got.dtype == dtype
        assert_close(got, np.array([5 / snr[0], 1]), 1e-6)
        assert_close(min_snr_weight(LINEAR, t, x, predicts="x0"), np.array([5, snr[1]]), 1e-6)
        assert_close(min_snr_weight(LINEAR, t, x, predicts="v"), np.array([5, snr[1]]) / (snr + 1), 1e-6)
    assert round(5 / snr[0], 6) == 0.0005


def test_min_snr_weights_at_zero_snr_and_of_unsupported_predictions():
    s, t, x = jsd_schedule(4), np.array([4, 2]), np.zeros((2, 3))
    assert_close(min_snr_weight(s, t, x), np.ones(2), 1e-14)  # SNR = 0 and 1; an ε-net is trained at T too
    assert_close(min_snr_weight(s, t, x, predicts="x0"), np.array([0.0, 1.0]), 1e-14)
    assert_close(min_snr_weight(s, t, x, predicts="v"), np.array([0.0, 0.5]), 1e-14)
    for predicts in ("mean", "score"):
        with pytest.raises(ValueError, match=f"predicts must be one of 'eps', 'x0', 'v', got '{predicts}'"):
            min_snr_weight(s, t, x, predicts=predicts)


# The score


@given(batches(), st.data())
def test_score_matching_is_the_noise_loss_over_one_minus_alpha_bar(b, data):
    """For every prediction type; with the weight of (12) times 1 − ᾱ_t it is (12)."""
    s = b.case.schedule
    signal, noise, *_ = exactly(b)
    variance = (noise**2).ravel()
    got = score_matching_loss(s, model, b.x, b.t, b.y)
    want = simple_loss(s, model, b.x, b.t, b.y) / variance
    assert_close(got, want, 1e-9, scale=want + 1 / variance**2 * 1e-3)
    x_t = q_sample(s, b.x, b.t, b.y)
    direct = mean_square(-model(x_t, b.t) / noise + (x_t - signal * b.x) / noise**2)
    assert_close(got, direct, 1e-9, scale=direct + 1 / variance**2 * 1e-3)
    late = b.t >= 2
    for sigma2 in ("small", "large") if late.any() else ():
        t = b.t[late]
        twelve = weighted_noise_loss(Reverse(s, model, variance=sigma2), b.x[late], t, b.y[late])
        again = eq12_weight(s, t, sigma2) * variance[late] * got[late]
        assert_close(again, twelve, 1e-9, scale=again + eq12_weight(s, t, sigma2) / variance[late] * 1e-3)
    says = data.draw(images(b.x.shape))
    scores = losses(b, says, score_matching_loss)
    for predicts in PREDICTS:
        rounding = 1e-3 / (variance**2 * np.minimum(1, signal.ravel() ** 4))
        assert_close(scores[predicts], scores["x0"], 1e-9, scale=scores["x0"] + rounding)


# The bound


@given(batches(pythagorean()), st.data(), st.sampled_from(["small", "large"]))
def test_the_bound_loss_is_the_prior_and_t_times_one_term(b, data, variance):
    s = b.case.schedule
    x_0 = np.clip(b.x, -1, 1)
    for predicts in PREDICTS:
        got = bound_loss(s, model, x_0, b.t, b.y, predicts=predicts, variance=variance, levels=9)  # steps of ¼
        x_t = q_sample(s, x_0, b.t, b.y)
        term = vlb_term(Reverse(s, model, predicts, variance), x_0, x_t, b.t, levels=9)
        assert got.shape == (len(b.t),)
        assert_close(got, prior_kl(s, x_0) + b.case.exact.T * term, 1e-13)


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("levels", [256, None])
def test_the_mean_bound_loss_over_every_t_is_the_bound(predicts, levels):
    """Each t once, with the noise that the bound uses at that t."""
    s, rng = linear_schedule(7, 0.05, 0.4), np.random.default_rng(0)
    x_0, noises = rng.integers(0, 256, (3, 2, 2)) / 127.5 - 1, rng.standard_normal((8, 3, 2, 2))
    options = {"predicts": predicts, "variance": "large"}
    parts = [bound_loss(s, model, x_0, np.full(3, t), noises[t], levels=levels, **options) for t in range(1, 8)]
    assert_close(np.mean(parts, axis=0), vlb(Reverse(s, model, **options), x_0, noises, levels=levels), 1e-13)


def test_the_defaults_of_the_bound_loss():
    x_0, t = np.array([[1.0, -1 / 255]]), np.array([1])
    got = bound_loss(LINEAR, model, x_0, t, x_0)
    assert np.array_equal(got, bound_loss(LINEAR, model, x_0, t, x_0, predicts="eps", variance="small", levels=256))


# The hybrid


def two_outputs(w, v):
    """A net with two outputs per element: one depends on w and the other on v, both on x_t and t."""
    def net(x, t):
        first, second = model(x, t) * w, v * (0.5 * x + rows(t, x) / 1000)
        if isinstance(first, Tensor) or isinstance(second, Tensor):
            return Tensor(np.zeros(1)).__array_namespace__().concat((first, second), axis=x.ndim - 1)
        return np.concatenate((first, second), axis=-1)
    return net


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("variance", ["learned_range", "learned"])
def test_the_hybrid_teaches_the_mean_by_the_noise_and_the_variance_by_the_bound(predicts, variance):
    """∂/∂w is that of L_simple alone, bit for bit; ∂/∂v is λ·T times that of the bound's term, by the complex step."""
    s, rng = linear_schedule(50, 1e-3, 0.2), np.random.default_rng(5)
    x_0, noise = rng.standard_normal((2, 4, 2, 3))
    t, g = np.array([1, 2, 30, 50]), rng.standard_normal(4)
    w, v = Tensor(np.array(0.7), requires_grad=True), Tensor(np.array(0.4), requires_grad=True)
    loss = hybrid_loss(s, two_outputs(w, v), x_0, t, noise, weight=0.25, predicts=predicts, variance=variance,
                       levels=None)
    by_w, by_v = gradients(loss, [w, v], g)

    w_alone = Tensor(np.array(0.7), requires_grad=True)
    simple = simple_loss(s, lambda x, t: model(x, t) * w_alone, x_0, t, noise, predicts=predicts)
    assert np.array_equal(by_w, gradients(simple, [w_alone], g)[0])
    assert by_w != 0

    x_t = q_sample(s, x_0, t, noise)
    reverse = Reverse(s, two_outputs(0.7, 0.4 + 1j * STEP), predicts, variance)
    term = vlb_term(reverse, x_0, x_t, t, levels=None)
    assert_close(by_v, 0.25 * 50 * g @ (term.imag / STEP), 1e-12)
    assert_close(loss.data, simple.data + 0.25 * 50 * term.real, 1e-13)


def test_no_gradient_of_the_bound_reaches_the_first_output():
    """At the minimum of L_simple, where its gradient is 0, nothing is left for any λ."""
    x_0, noise = np.random.default_rng(6).standard_normal((2, 3, 2))
    t = np.array([1, 500, 1000])
    for levels in (256, None):
        output = Tensor(np.concatenate((noise, 0 * noise), axis=-1), requires_grad=True)
        loss = hybrid_loss(LINEAR, lambda x, t, o=output: o, np.clip(x_0, -1, 1), t, noise, weight=7.0, levels=levels)
        loss.backward(np.ones(3))
        assert not output.grad[:, :2].any()
        assert output.grad[:, 2:].all()
    x_t, mean = q_sample(LINEAR, x_0, t, noise), Tensor(noise, requires_grad=True)  # not so for the term itself
    vlb_term(Reverse(LINEAR, lambda x, t: mean * 1.1), x_0, x_t, t, levels=None).backward(np.ones(3))
    assert mean.grad.all()


def test_the_gradient_of_the_hybrid_with_a_decoder_of_256_levels():
    """At t = 1 the term is (13): ∂/∂v against finite differences."""
    rng = np.random.default_rng(7)
    x_0, noise = rng.integers(0, 256, (3, 4)) / 127.5 - 1, rng.standard_normal((3, 4))
    x_0[0, :2] = -1, 1
    t, g, v = np.array([1, 1, 2]), rng.standard_normal(3), Tensor(np.array(0.4), requires_grad=True)
    hybrid_loss(LINEAR, two_outputs(0.7, v), x_0, t, noise).backward(g)

    def value(v):
        return g @ hybrid_loss(LINEAR, two_outputs(0.7, v), x_0, t, noise)

    h = 1e-3
    f = [value(0.4 + k * h) for k in (-2, -1, 1, 2)]
    assert_close(v.grad, np.array((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)), 1e-8)


def test_the_weight_of_the_hybrid_is_a_thousandth_of_the_whole_bound():
    """λ·T·term with λ = 0.001: at T = 1000 the term itself, in bits, with "learned_range" and 256 levels."""
    x_0, noise = np.array([[1.0, 1 / 255]] * 3), np.full((3, 2), 0.5)
    t, net = np.array([1, 2, 900]), two_outputs(0.7, 0.4)
    for s in (LINEAR, linear_schedule(900)):
        got = hybrid_loss(s, net, x_0, t, noise)
        simple = simple_loss(s, lambda x, t: 0.7 * model(x, t), x_0, t, noise)
        term = vlb_term(Reverse(s, net, variance="learned_range"), x_0, q_sample(s, x_0, t, noise), t)
        assert_close(got - simple, s.T / 1000 * term, 1e-12, scale=got)
        assert (term > 1e-4 * simple).all()
    second = net(q_sample(LINEAR, x_0, t, noise), t)[:, 2:]  # KL of two Gaussians at t = 2, by hand
    table = {name: getattr(LINEAR, name)[2] for name in ("beta_tilde", "beta", "posterior_x0")}
    w = (second[1] + 1) / 2
    sigma2 = table["beta"] ** w * table["beta_tilde"] ** (1 - w)
    x_t = q_sample(LINEAR, x_0, t, noise)
    off = (noise - 0.7 * model(x_t, t)) * np.sqrt(1 / LINEAR.alpha_bar[t] - 1)[:, None]  # x₀ − x̂₀, but for the sign
    square = (table["posterior_x0"] * off[1]) ** 2
    kl = 0.5 * (np.log(sigma2 / table["beta_tilde"]) + (table["beta_tilde"] + square) / sigma2 - 1)
    want = np.mean((noise[1] - 0.7 * model(x_t, t)[1]) ** 2) + kl.mean() / math.log(2)
    assert_close(hybrid_loss(LINEAR, net, x_0, t, noise)[1], want, 1e-10)


def test_the_hybrid_needs_two_outputs():
    x, t = np.zeros((2, 4, 4, 3)), np.array([1, 2])
    with pytest.raises(ValueError, match=r"two outputs per element, \(N, …, 6\), got \(2, 4, 4, 3\): set out_channels"):
        hybrid_loss(LINEAR, lambda x, t: x, x, t, x)
    with pytest.raises(ValueError, match=r"expected a prediction of shape \(2, 4, 4, 3\), got \(2, 4, 4, 7\)"):
        hybrid_loss(LINEAR, lambda x, t: np.zeros((2, 4, 4, 7)), x, t, x)


@pytest.mark.parametrize("loss", [simple_loss, bound_loss, hybrid_loss, score_matching_loss])
def test_every_objective_keeps_the_dtype_and_takes_images_with_a_gradient(loss):
    x_0, noise = np.random.default_rng(8).uniform(-1, 1, (2, 3, 2))
    t = np.array([1, 900, 3])
    for dtype in ("float32", "float64"):
        x, z = x_0.astype(dtype), noise.astype(dtype)
        for predicts in PREDICTS:
            def net(x_t, t, dtype=dtype):  # arrays, whatever the images are
                x_t = x_t.data if isinstance(x_t, Tensor) else x_t
                output = two_outputs(0.7, 0.4)(x_t, t).astype(dtype)
                return output[:, :2] if loss is simple_loss else output

            got = loss(LINEAR, net, x, t, z, predicts=predicts)
            assert got.shape == (3,)
            assert got.dtype == dtype
            leaf = Tensor(x, requires_grad=True)
            again = loss(LINEAR, net, leaf, t, z, predicts=predicts)
            if isinstance(again, Tensor):
                assert_close(again.data, got, 1e-6)
                again.backward(np.ones(3, dtype))
                assert leaf.grad.dtype == dtype
            else:  # the noise itself, asked of a net that gives arrays
                assert (loss, predicts) == (simple_loss, "eps")
    with pytest.raises(ValueError, match="predicts must be one of 'eps', 'x0', 'mean', 'v', got 'score'"):
        loss(LINEAR, net, x, t, z, predicts="score")
