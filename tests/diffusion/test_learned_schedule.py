"""A schedule with learned β: its tables, their rows, and the gradients of the logits."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import assert_close, images, shapes, steps

from ddpm_np import Tensor
from ddpm_np.autograd import ops
from ddpm_np.backend import get_backend
from ddpm_np.check.gradients.derivatives import STEP
from ddpm_np.diffusion import Reverse, Schedule, bound_loss, jsd_schedule, log_variance, q_sample, respace, vlb
from ddpm_np.diffusion.schedule import TABLES as COEFFICIENTS

TABLES = (
    "beta", "alpha", "alpha_bar", "one_minus_alpha_bar", "sqrt_alpha", "sqrt_beta", "sqrt_alpha_bar",
    "sqrt_one_minus_alpha_bar", "beta_tilde", "posterior_x0", "posterior_xt",
    "posterior_log_variance_clipped", "log_beta_clipped", "log_beta",
)
FROM_ONE = TABLES[9:]  # those whose entry 0 is nan


def logits(max_T=6):
    return hnp.arrays(np.float64, st.integers(1, max_T), elements=st.integers(-16, 8).map(lambda i: i / 4 + 0.1))


def sigmoid(w):
    return 1 / (1 + np.exp(-w))


def by_definition(w):
    """Return every table from index 1 on, for real or complex logits."""
    beta = sigmoid(w)
    bar = np.cumprod(1 - beta)
    before = np.concatenate(([1.0], bar[:-1]))
    tilde = beta * (1 - before) / (1 - bar)
    first = tilde[1:2] if len(w) > 1 else beta[:1]
    values = (beta, 1 - beta, bar, 1 - bar, np.sqrt(1 - beta), np.sqrt(beta), np.sqrt(bar), np.sqrt(1 - bar), tilde,
              np.sqrt(before) * beta / (1 - bar), np.sqrt(1 - beta) * (1 - before) / (1 - bar),
              np.log(np.concatenate((first, tilde[1:]))), np.log(np.concatenate((first, beta[1:]))), np.log(beta))
    return dict(zip(TABLES, values, strict=True))


@given(logits())
def test_learned_tables_equal_those_of_the_same_betas(w):
    got, want = Schedule.learned(Tensor(w, requires_grad=True)), Schedule.from_betas(sigmoid(w))
    assert got.T == want.T == len(w)
    assert set(TABLES) == {name for name, value in vars(want).items() if isinstance(value, np.ndarray)}
    assert set(TABLES) == set(COEFFICIENTS)
    for name in TABLES:
        table = getattr(got, name)
        assert isinstance(table, Tensor)
        assert table.dtype == np.float64
        scale = 1.0 if "log" in name else np.abs(getattr(want, name)[1:])
        assert_close(table.data[1:], getattr(want, name)[1:], 1e-14, scale)
        assert np.array_equal(table.data[:1], getattr(want, name)[:1], equal_nan=True)


@given(logits(5), st.integers(0, 2**32 - 1))
def test_the_gradient_of_every_table_against_the_complex_step(w, seed):
    moved = w + 1j * STEP * np.eye(len(w))  # (T, T): row s has logit s moved
    slopes = [by_definition(row) for row in moved]
    rng = np.random.default_rng(seed)
    for name in TABLES:
        leaf = Tensor(w, requires_grad=True)
        g = rng.standard_normal(len(w) + 1)
        getattr(Schedule.learned(leaf), name).backward(g)
        products = np.array([g[1:] * slope[name].imag / STEP for slope in slopes])  # (T, T)
        assert_close(leaf.grad, products.sum(1), 1e-12, scale=np.abs(products).sum() + 0.1)


@given(st.data(), logits(), shapes())
def test_the_gradient_of_a_sample_of_the_marginal(data, w, shape):
    """∂√ᾱ_t/∂w_s = −½·√ᾱ_t·β_s and ∂√(1 − ᾱ_t)/∂w_s = ½·ᾱ_t/√(1 − ᾱ_t)·β_s for s ≤ t; t = 0 and t = T too."""
    t = data.draw(steps(len(w), shape[0], first=0))
    x_0, noise, g = (data.draw(images(shape)) for _ in range(3))
    leaf = Tensor(w, requires_grad=True)
    x_t = q_sample(Schedule.learned(leaf), x_0, t, noise)
    s = Schedule.from_betas(sigmoid(w))
    assert_close(x_t.data, q_sample(s, x_0, t, noise), 1e-13, scale=2.0)
    x_t.backward(g)
    axes = tuple(range(1, len(shape)))
    want = np.zeros(len(w))
    for i, step in enumerate(t):
        if step:
            signal = -0.5 * s.sqrt_alpha_bar[step] * (g * x_0).sum(axis=axes)[i]
            spread = 0.5 * s.alpha_bar[step] / s.sqrt_one_minus_alpha_bar[step] * (g * noise).sum(axis=axes)[i]
            want[:step] += (signal + spread) * s.beta[1 : step + 1]
    assert_close(leaf.grad, want, 1e-12, scale=20 * len(w) * np.prod(shape))


@given(st.data(), logits(), shapes(), st.sampled_from(["float32", "float64", "complex128"]))
def test_rows_of_a_tensor_table_and_their_gradients(data, w, shape, dtype):
    """Rows are the table's entries shaped for the images, in their real dtype; each entry gets its gradient."""
    s = Schedule.learned(Tensor(w, requires_grad=True))
    name = data.draw(st.sampled_from(TABLES))
    t = data.draw(steps(s.T, shape[0], first=1 if name in FROM_ONE else 0))
    table = Tensor(getattr(s, name).data, requires_grad=True)
    x = np.zeros(shape, dtype)
    for like in (x, Tensor(x)):
        k = s.at(t, like=like)
        got = k.rows(table)
        assert isinstance(got, Tensor)
        assert got.shape == (shape[0],) + (1,) * (len(shape) - 1)
        assert got.dtype == ("float32" if dtype == "float32" else "float64")
        assert np.array_equal(got.data.ravel(), table.data[t].astype(got.dtype))
        assert np.array_equal(getattr(k, name).data, got.data)
    g = np.arange(1.0, shape[0] + 1).reshape(got.shape)
    got.backward(g)
    assert np.array_equal(table.grad, [g.ravel()[t == i].sum() for i in range(s.T + 1)])


def test_t_out_of_range_of_a_tensor_table_is_refused():
    s, x = Schedule.learned(Tensor(np.zeros(3))), np.zeros((2, 2))
    for name in FROM_ONE:
        with pytest.raises(ValueError, match="t counts from 1 to T = 3, got values from 0 to 2"):
            getattr(s.at(np.array([2, 0]), like=x), name)
    for t in ([2, 4], [-1, 2]):
        with pytest.raises(ValueError, match="t counts from 1 to T = 3"):
            s.at(np.array(t), like=x)
    with pytest.raises(ValueError, match=r"table of T \+ 1 = 4 numbers, got shape \(3,\)"):
        s.at(np.array([1, 1]), like=x).rows(Tensor(np.zeros(3)))


def test_the_variance_may_be_a_tensor():
    """A learned σ_t² for every step; index 0 is unused."""
    s, x, t = jsd_schedule(3), np.zeros((3, 2)), np.array([3, 1, 3])
    sigma2 = Tensor(np.array([np.nan, 0.5, 1.0, 2.0]), requires_grad=True)
    got = log_variance(s, sigma2, t, x)
    assert_close(got.data, np.log([[2.0], [0.5], [2.0]]), 1e-15)
    got.backward(np.array([[1.0], [10.0], [100.0]]))
    assert sigma2.grad.tolist() == [0, 20, 0, 50.5]
    with pytest.raises(ValueError, match=r"every σ² must be positive, got 0\.0 at t = 2"):
        log_variance(s, Tensor(np.array([1.0, 1.0, 0.0, 1.0])), t, x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_keep_their_dtype_and_the_logits_theirs(dtype):
    """Tables are float64 for any dtype of the logits; rows have the dtype of the images."""
    for of_w in ("float32", "float64"):
        w = Tensor(np.array([-2.0, -1.0, 0.5], of_w), requires_grad=True)
        s = Schedule.learned(w)
        x, noise = np.random.default_rng(0).standard_normal((2, 2, 2)).astype(dtype)
        loss = bound_loss(s, lambda x, t: 0.5 * x, x, np.array([1, 3]), noise, levels=None)
        assert (s.alpha_bar.dtype, loss.dtype) == ("float64", dtype)
        loss.backward(np.ones(2))
        assert w.grad.dtype == of_w
        same = Tensor(w.data.astype("float64"), requires_grad=True)
        exact = bound_loss(Schedule.learned(same), lambda x, t: 0.5 * x, x.astype("float64"), np.array([1, 3]),
                           noise.astype("float64"), levels=None)
        exact.backward(np.ones(2))
        assert_close(loss.data, exact.data, 1e-5)
        assert_close(w.grad, same.grad, 1e-4 if "float32" in (dtype, of_w) else 0, scale=np.abs(same.grad).max())


@pytest.mark.parametrize("T", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [256, None])
def test_the_gradient_of_the_bound_against_finite_differences(T, levels):
    """With fixed noise, of one term (random cotangents, every t) and of the whole bound, L_T included."""
    rng = np.random.default_rng(T)
    w, n = rng.uniform(-2, 1, T), 2 * T
    x_0 = rng.integers(0, 256, (n, 3)) / 127.5 - 1
    noise, noises, g = rng.standard_normal((n, 3)), rng.standard_normal((T + 1, n, 3)), rng.standard_normal(n)
    t = np.arange(n) % T + 1

    def loss(schedule):
        return (bound_loss(schedule, model, x_0, t, noise, variance="large", levels=levels),
                vlb(Reverse(schedule, model), x_0, noises, levels=levels))

    def model(x, t):
        return 0.6 * x + 0.05 * t[:, None]

    for which in (0, 1):
        leaf = Tensor(w, requires_grad=True)
        loss(Schedule.learned(leaf))[which].backward(g)

        def value(moved, which=which):
            return g @ loss(Schedule.from_betas(sigmoid(moved)))[which]

        h, want = 1e-3, []
        for row in np.eye(T):
            f = [value(w + k * h * row) for k in (-2, -1, 1, 2)]
            want.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h))
        assert_close(leaf.grad, np.array(want), 1e-9, scale=np.abs(want).max() + 1)


def test_the_gradient_of_the_prior_reaches_every_logit():
    """L_T = ½·(ᾱ_T·x₀² − ᾱ_T − ln(1 − ᾱ_T)); a model that is always right leaves no other term at t > 1."""
    w, x_0, noise = Tensor(np.array([-1.0, 0.0, 1.0]), requires_grad=True), np.array([[0.5]]), np.array([[2.0]])
    loss = bound_loss(Schedule.learned(w), lambda x, t: x_0, x_0, np.array([2]), noise, predicts="x0")
    s = Schedule.from_betas(sigmoid(w.data))
    a = s.alpha_bar[3]
    assert_close(loss.data, np.array([0.5 * (a * 0.25 - a - np.log1p(-a)) / np.log(2)]), 1e-14)
    loss.backward(np.ones(1))
    assert_close(w.grad, 0.5 * (0.25 - 1 + 1 / (1 - a)) * -a * s.beta[1:] / np.log(2), 1e-13)


def test_invalid_logits_are_refused():
    with pytest.raises(TypeError, match=r"logits must be a Tensor of shape \(T,\), got ndarray"):
        Schedule.learned(np.zeros(3))
    for shape in ((0,), (2, 2), ()):
        with pytest.raises(ValueError, match="logits must be a Tensor of at least one number, got shape"):
            Schedule.learned(Tensor(np.zeros(shape)))
    for bad, words in ((40.0, r"beta_2 = 1.0 of the logit 40\.0"), (-800.0, r"beta_2 = 0.0 of the logit -800\.0"),
                       (np.nan, "beta_2 = nan of the logit nan")):
        with pytest.raises(ValueError, match=f"strictly between 0 and 1, got {words}: keep the logits from -700 to 36"):
            Schedule.learned(Tensor(np.array([0.0, bad])))


def test_sampling_and_respacing_take_the_numbers_of_a_learned_schedule():
    s = Schedule.learned(Tensor(np.array([-2.0, -1.0, 0.0]), requires_grad=True))
    assert_close(Schedule.from_betas(s.beta[1:]).alpha_bar, s.alpha_bar.data, 1e-15)
    assert_close(respace(Reverse(s, None), [3, 1]).schedule.alpha_bar, s.alpha_bar.data[[0, 1, 3]], 1e-14)


def test_gradients_of_a_learned_schedule_on_a_gpu_equal_the_host():
    """The tables are made and read on the device, without a transfer."""
    w, x = np.array([-2.0, -1.0, 0.5]), np.random.default_rng(1).standard_normal((2, 3))
    t = np.array([1, 3])
    here = Tensor(w, requires_grad=True)
    bound_loss(Schedule.learned(here), lambda x, t: 0.5 * x, x, t, x).backward(np.array([1.0, -2.0]))
    with fake_cupy.installed(), ops.kernels("reference"):
        xp = get_backend("cupy").xp
        there, images, t = Tensor(xp.asarray(w), requires_grad=True), xp.asarray(x), xp.asarray(t)
        g = xp.asarray(np.array([1.0, -2.0]))
        fake_cupy.counts.reset()
        loss = bound_loss(Schedule.learned(there), lambda x, t: 0.5 * x, images, t, images)
        loss.backward(g)
        assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (0, 0)
        assert_close(xp.asnumpy(there.grad), here.grad, 1e-13, scale=np.abs(here.grad).max())
