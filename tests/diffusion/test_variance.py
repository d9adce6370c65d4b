"""A learned variance: ln σ² itself or a place between β̃_t and β_t, and the objectives that train it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, batches, from_ks, images, pythagorean, rows, shapes

from ddpm_np import Tensor
from ddpm_np.check.gradients.derivatives import STEP
from ddpm_np.diffusion import (
    Reverse,
    jsd_schedule,
    learned_range_log_variance,
    learned_range_variance,
    linear_schedule,
    log_variance,
    p_mean_log_variance,
    p_mean_variance,
    p_sample,
    vlb_term,
)
from ddpm_np.diffusion.variance import split_output

LINEAR = linear_schedule(1000)


def ends(b):
    """Return β̃_t (β̃₂ at t = 1) and β_t, each (N, 1, …)."""
    return rows([b.case.exact.sigma2("small", t) for t in b.t], b.x), rows([b.case.exact.beta[t] for t in b.t], b.x)


@given(batches())
def test_the_learned_range_interpolates_log_variances(b):
    low, high = ends(b)
    for v, want in ((1.0, high), (-1.0, low), (0.0, np.sqrt(low * high)), (0.4, high**0.7 * low**0.3)):
        got = learned_range_variance(b.case.schedule, np.full(b.x.shape, v), b.t)
        assert_close(got, want * np.ones_like(b.x), 1e-12)
    w = (b.y + 1) / 2  # any number, outside the range too
    got = learned_range_log_variance(b.case.schedule, b.y, b.t)
    assert_close(got, w * np.log(high) + (1 - w) * np.log(low), 1e-11, scale=1.0)
    assert np.array_equal(learned_range_variance(b.case.schedule, b.y, b.t), np.exp(got))


@given(pythagorean())
def test_ends_of_the_learned_range_against_fractions(c):
    t = np.arange(1, c.exact.T + 1)
    small, beta = [c.exact.sigma2("small", i) for i in t], c.exact.beta[1:]
    for v, want in ((-1.0, small), (1.0, beta)):
        got = learned_range_variance(c.schedule, np.full((len(t), 1), v), t)
        assert_close(got, np.array(want, float)[:, None], 1e-14)


def test_the_learned_range_by_hand():
    """k = 1/3, 1/2: β = (9/25, 7/16), β̃₂ = 63/256; halfway from β̃₂ to β₂ is √(7/16·63/256) = 21/64."""
    s = from_ks([Fraction(1, 3), Fraction(1, 2)]).schedule
    got = learned_range_variance(s, np.array([[1.0, -1.0, 0.0]] * 2), np.array([2, 1]))
    first = [9 / 25, 63 / 256, np.sqrt(9 / 25 * 63 / 256)]
    assert_close(got, np.array([[7 / 16, 63 / 256, 21 / 64], first]), 1e-14)


@given(batches(), st.data())
def test_the_gradient_is_half_the_log_ratio_of_the_ends(b, data):
    """∂ ln σ²/∂v = ½·ln(β_t/β̃_t), by the tape with random cotangents and by the complex step."""
    low, high = ends(b)
    slope = np.broadcast_to(0.5 * np.log(high / low), b.x.shape)
    v, g = Tensor(b.x, requires_grad=True), data.draw(images(b.x.shape))
    got = learned_range_log_variance(b.case.schedule, v, b.t)
    assert np.array_equal(got.data, learned_range_log_variance(b.case.schedule, b.x, b.t))
    got.backward(g)
    assert_close(v.grad, g * slope, 1e-12, scale=3.0)
    moved = learned_range_log_variance(b.case.schedule, b.x + 1j * STEP, b.t)
    assert_close(moved.imag / STEP, slope, 1e-12, scale=1.0)


def test_ends_of_the_learned_range_at_t_1():
    """At t = 1, v = −1 gives β̃₂ and v = 1 gives β₁, as in Nichol & Dhariwal's code, whose "large" is β̃₂ there."""
    v, t = np.array([[-1.0], [1.0]]), np.array([1, 1])
    assert_close(learned_range_variance(LINEAR, v, t), np.array([[LINEAR.beta_tilde[2]], [1e-4]]), 1e-14)
    alone = learned_range_variance(linear_schedule(1), v, t)  # T = 1: there is no β̃₂
    assert_close(alone, np.full((2, 1), 1e-4), 1e-14)
    assert_close(learned_range_variance(jsd_schedule(4), v, np.array([4, 4])), np.array([[0.75], [1.0]]), 1e-14)


@given(batches(), st.data())
def test_the_learned_variance_is_the_second_output(b, data):
    """The net's first C channels are the prediction, its last C the logarithm of σ² or the place in the range."""
    if b.x.ndim == 1:
        return
    s, second = b.case.schedule, data.draw(images(b.x.shape))
    calls = []

    def model(x, t):
        calls.append(t)
        return np.concatenate((b.y, second), axis=-1)

    plain = p_mean_variance(Reverse(s, lambda x, t: b.y), b.x, b.t)
    for variance, want in (("learned", second), ("learned_range", learned_range_log_variance(s, second, b.t))):
        assert np.array_equal(log_variance(s, variance, b.t, b.x, second), want)
        reverse = Reverse(s, model, variance=variance)
        mean, sigma2, x0 = p_mean_variance(reverse, b.x, b.t)
        assert np.array_equal(mean, plain[0])
        assert np.array_equal(x0, plain[2])
        assert np.array_equal(sigma2, np.exp(want))
        assert np.array_equal(p_mean_log_variance(reverse, b.x, b.t)[1], want)
        z = np.ones_like(b.x)
        noise = rows(b.t > 1, b.x) * np.exp(0.5 * want)
        got = p_sample(reverse, b.x, b.t, z)
        assert_close(got, mean + noise, 1e-12, scale=np.abs(mean) + np.exp(0.5 * want))
    assert len(calls) == 6  # once each time
    small = p_mean_variance(Reverse(s, model), b.x, b.t)  # nobody asks for the second output
    assert all(np.array_equal(a, b) for a, b in zip(small, plain, strict=True))


def test_a_net_without_a_second_output_is_refused():
    x, t = np.zeros((2, 3)), np.array([1, 2])
    for variance in ("learned", "learned_range"):
        words = rf"'{variance}' needs a net with two outputs per element, \(N, …, 2C\).* choose 'small' or 'large'"
        reverse = Reverse(LINEAR, lambda x, t: x, variance=variance)
        for call in (lambda r=reverse: p_mean_variance(r, x, t),
                     lambda r=reverse: vlb_term(r, x, x, t),
                     lambda v=variance: log_variance(LINEAR, v, t, x)):
            with pytest.raises(ValueError, match=words) as caught:
                call()
            assert "\n" not in str(caught.value)


@given(st.data(), shapes())
def test_an_output_is_split_along_its_last_axis_alone(data, shape):
    first, second = data.draw(images(shape)), data.draw(images(shape))
    x_t = np.zeros(shape)
    for wrap in (np.asarray, Tensor):
        output = wrap(first)
        prediction, nothing = split_output(output, x_t)
        assert prediction is output
        assert nothing is None
        if len(shape) > 1:
            got = split_output(wrap(np.concatenate((first, second), axis=-1)), x_t)
            for part, want in zip(got, (first, second), strict=True):
                assert np.array_equal(part.data if wrap is Tensor else part, want)
        for axis in range(len(shape) - 1 if len(shape) > 1 else 1):  # of a rank-1 batch the only axis is the batch
            with pytest.raises(ValueError, match="expected a prediction of shape"):
                split_output(wrap(np.concatenate((first, second), axis=axis)), x_t)
        with pytest.raises(ValueError, match="expected a prediction of shape"):
            split_output(wrap(np.concatenate((first, second, second), axis=-1)), x_t)


def test_gradients_reach_each_half_of_the_output():
    both = Tensor(np.arange(12.0).reshape(2, 6), requires_grad=True)
    first, second = split_output(both, np.zeros((2, 3)))
    (first * 2.0 + second * 3.0).sum().backward()
    assert both.grad.tolist() == [[2, 2, 2, 3, 3, 3]] * 2


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_the_learned_variance_keeps_the_dtype_of_the_net(dtype):
    x = np.full((2, 3), 0.5, dtype)
    t = np.array([1, 1000])
    assert learned_range_log_variance(LINEAR, x, t).dtype == dtype
    assert learned_range_variance(LINEAR, x, t).dtype == dtype
    for variance in ("learned", "learned_range"):
        reverse = Reverse(LINEAR, lambda x, t: np.concatenate((x, x), -1), variance=variance)
        for array in p_mean_variance(reverse, x, t):
            assert array.dtype == dtype
    exact = learned_range_log_variance(LINEAR, x.astype("complex128").real, t)
    assert_close(learned_range_log_variance(LINEAR, x, t).real, exact, 1e-6)
