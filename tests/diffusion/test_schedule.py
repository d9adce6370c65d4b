"""The tables of a schedule against 50 digits, and `Schedule.at`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, assert_close, betas, case, error, images, mp50, pythagorean, shapes, steps

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    draw,
    linear_schedule,
    log_variance,
    mean_from_eps,
    p_mean_variance,
    p_sample,
    posterior_mean,
    predict_eps,
    predict_x0,
    q_posterior,
    q_sample,
    q_step,
    sample_with,
    simple_loss,
)
from ddpm_np.diffusion.schedule import TABLES

LINEAR = linear_schedule(1000)


def exact_tables(c: Case) -> dict[str, list]:
    """Return the exact entries of each table of a schedule, from index 1 on."""
    e, ts = c.exact, range(1, c.exact.T + 1)
    posterior = [e.posterior(t) for t in ts]
    return {
        "beta": e.beta[1:],
        "alpha": e.alpha[1:],
        "alpha_bar": e.alpha_bar[1:],
        "one_minus_alpha_bar": [1 - a for a in e.alpha_bar[1:]],
        "sqrt_alpha": [mp50.sqrt(e.alpha[t]) for t in ts],
        "sqrt_beta": [mp50.sqrt(e.beta[t]) for t in ts],
        "sqrt_alpha_bar": [mp50.sqrt(e.alpha_bar[t]) for t in ts],
        "sqrt_one_minus_alpha_bar": [mp50.sqrt(1 - e.alpha_bar[t]) for t in ts],
        "posterior_x0": [p[0] for p in posterior],
        "posterior_xt": [p[1] for p in posterior],
        "beta_tilde": [p[2] for p in posterior],
        "posterior_log_variance_clipped": [mp50.log(e.sigma2("small", t)) for t in ts],
        "log_beta": [mp50.log(b) for b in e.beta[1:]],
        "log_beta_clipped": [mp50.log(e.sigma2("large", t)) for t in ts],
    }


def table_errors(c: Case) -> dict[str, float]:
    """Return the largest relative error of each table; for logarithms, the largest absolute one."""
    wanted = exact_tables(c)
    assert set(wanted) == set(TABLES)
    for name, value in vars(c.schedule).items():
        if isinstance(value, np.ndarray):
            assert name in wanted, f"this test does not know the table {name!r}"
            assert value.shape == (c.exact.T + 1,)
            assert value.dtype == np.float64
    return {name: error(getattr(c.schedule, name)[1:], np.array([float(v) for v in values]),
                        1.0 if "log" in name else None) for name, values in wanted.items()}


def test_every_table_of_the_linear_schedule_to_the_last_digits():
    errors = table_errors(case(LINEAR.beta[1:]))
    assert max(errors.values()) < 1e-14, errors
    for name in ("one_minus_alpha_bar", "sqrt_one_minus_alpha_bar", "beta_tilde", "posterior_log_variance_clipped"):
        assert errors[name] < 2e-15, errors  # 1 − ᾱ as a difference would be 3e-13 off


@given(betas().map(case))
def test_every_table_of_any_schedule(c):
    # A logarithm of size L has a rounding error of about L·1e-16, which is the relative error of its exponential.
    tolerance = 1e-13 * (1 - float(mp50.log(c.exact.alpha_bar[-1])))
    if float(c.exact.alpha_bar[-1]) > 1e-290:  # below, a float64 has fewer digits
        errors = table_errors(c)
        assert max(errors.values()) < tolerance, errors
    assert all(np.isfinite(table[1:]).all() for table in vars(c.schedule).values() if isinstance(table, np.ndarray))
    a = c.schedule.alpha_bar
    assert_close(a[1:], a[:-1] * (1 - c.schedule.beta[1:]), 1e-11, a[1:] + 1e-290)  # the recursion
    assert np.all(a[1:] <= a[:-1])


@given(pythagorean(min_T=1))
def test_every_table_against_fractions(c):
    errors = table_errors(c)
    assert max(errors.values()) < 1e-14, errors


def test_index_0_of_every_table_is_the_data():
    for schedule in (LINEAR, linear_schedule(1), Schedule.from_betas([0.3, 0.999])):
        assert [schedule.beta[0], schedule.alpha[0], schedule.alpha_bar[0]] == [0, 1, 1]
        assert [schedule.one_minus_alpha_bar[0], schedule.sqrt_alpha_bar[0], schedule.sqrt_alpha[0]] == [0, 1, 1]
        assert [schedule.sqrt_one_minus_alpha_bar[0], schedule.sqrt_beta[0], schedule.beta_tilde[0]] == [0, 0, 0]
        for name in ("posterior_x0", "posterior_xt", "posterior_log_variance_clipped", "log_beta_clipped"):
            assert np.isnan(getattr(schedule, name)[0])


def test_numbers_of_the_papers_schedule():
    assert LINEAR.T == 1000
    assert LINEAR.beta[1] == 1e-4
    assert LINEAR.beta[1000] == 0.02
    assert_close(LINEAR.beta[1:], [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)], 1e-15)
    assert float(f"{LINEAR.alpha_bar[1000]:.5g}") == 4.0358e-5
    assert LINEAR.beta_tilde[1] == 0
    assert float(f"{LINEAR.beta_tilde[2]:.5g}") == 5.4532e-5
    assert (LINEAR.beta_tilde[2:4] / LINEAR.beta[2:4]).round(4).tolist() == [0.4547, 0.6113]
    assert LINEAR.posterior_log_variance_clipped[1] == LINEAR.log_beta_clipped[1] == np.log(LINEAR.beta_tilde[2])


@pytest.mark.parametrize("T", [1, 2, 3, 10, 1000])
def test_linear_schedule_of_any_length(T):
    beta = linear_schedule(T).beta
    assert beta.shape == (T + 1,)
    assert beta[1] == 1e-4  # whatever T
    assert T == 1 or beta[T] == 0.02
    assert np.abs(np.diff(beta[1:], n=2)).max(initial=0) < 1e-17
    other = linear_schedule(T, start=0.1, end=0.3)
    assert other.beta[1] == 0.1
    assert T == 1 or other.beta[T] == 0.3


def test_schedule_of_a_single_step():
    schedule = Schedule.from_betas([0.36])
    assert schedule.T == 1
    assert schedule.beta_tilde.tolist() == [0, 0]
    assert schedule.posterior_log_variance_clipped[1] == schedule.log_beta_clipped[1] == np.log(0.36)


@pytest.mark.parametrize(("bad", "words"), [
    ([0.1, 0.0], r"strictly between 0 and 1 \(the last may be 1\), got beta_2 = 0.0"),
    ([1.0, 0.5], "got beta_1 = 1.0"),
    ([0.1, 0.2, 1.5], "got beta_3 = 1.5"),
    ([0.1, -0.2], "got beta_2 = -0.2"),
    ([float("nan"), 0.1], "got beta_1 = nan"),
    ([], r"at least one number, got shape \(0,\)"),
    ([[0.1, 0.2]], r"at least one number, got shape \(1, 2\)"),
    (0.1, r"at least one number, got shape \(\)"),
])
def test_invalid_betas_are_refused(bad, words):
    for value in (bad, np.array(bad)):
        with pytest.raises(ValueError, match=words) as caught:
            Schedule.from_betas(value)
        assert "\n" not in str(caught.value)


def test_a_schedule_has_at_least_one_step():
    with pytest.raises(ValueError, match="T must be from 1 to 1,000,000, got 0"):
        linear_schedule(0)


def test_tables_are_read_only():
    mine = np.array([0.1, 0.2])
    schedule = Schedule.from_betas(mine)
    mine[0] = 0.5
    assert schedule.beta.tolist() == [0, 0.1, 0.2]
    for value in vars(schedule).values():
        if isinstance(value, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                value[0] = 7
    for dtype in ("float32", "float64"):
        x, t = np.ones((1, 2), dtype), np.array([1])
        table = np.array([0.0, 1.0, 2.0])  # one that can change is not remembered
        assert schedule.at(t, like=x).rows(table)[0, 0] == 1
        table[1] = 5
        assert schedule.at(t, like=x).rows(table)[0, 0] == 5


@given(st.data(), shapes(), st.sampled_from(["float32", "float64", "complex64", "complex128"]))
def test_at_returns_rows_shaped_like_the_images(data, shape, dtype):
    t = data.draw(steps(1000, shape[0], first=0))
    x = data.draw(images(shape)).astype(dtype)
    for images_ in (x, Tensor(x)):
        got = LINEAR.at(t, like=images_).alpha_bar
        assert isinstance(got, np.ndarray)
        assert got.shape == (shape[0],) + (1,) * (len(shape) - 1)
        assert got.dtype == ("float32" if dtype in ("float32", "complex64") else "float64")
        assert got.ravel().tolist() == LINEAR.alpha_bar[t].astype(got.dtype).tolist()


X = np.zeros((2, 3))


@pytest.mark.parametrize(("t", "words"), [
    ([-1, 3], "t counts from 1 to T = 1000, got values from -1 to 3"),
    ([3, 1001], "t counts from 1 to T = 1000, got values from 3 to 1001"),
    ([1, 2, 3], r"one t for each image, shape \(2,\), got \(3,\)"),
    ([[1], [2]], r"one t for each image, shape \(2,\), got \(2, 1\)"),
    (1, r"one t for each image, shape \(2,\), got \(\)"),
])
def test_t_out_of_range_is_refused(t, words):
    for function in (q_step, q_sample, mean_from_eps, predict_x0, predict_eps):
        with pytest.raises(ValueError, match=words):
            function(LINEAR, X, np.array(t), X)


def test_t_of_another_type_or_shape_is_refused():
    for t in ([1, 2], np.array([1.0, 2.0]), np.array([True, False]), 1, None):
        with pytest.raises(TypeError, match=r"t must be an int array of shape \(2,\), got"):
            LINEAR.at(t, like=X)


def test_t_0_is_refused_where_an_equation_begins_at_1():
    t = np.array([3, 0])
    for call in (lambda: q_posterior(LINEAR, X, X, t), lambda: log_variance(LINEAR, "large", t, X),
                 lambda: p_mean_variance(Reverse(LINEAR, lambda x, t: x), X, t)):
        with pytest.raises(ValueError, match="t counts from 1 to T = 1000, got values from 0 to 3"):
            call()


def test_integer_images_are_refused():
    with pytest.raises(TypeError, match=r"images must be floating numbers, got dtype uint8: scale them to \[-1, 1\]"):
        q_sample(LINEAR, np.full((1, 2), 200, np.uint8), np.array([5]), np.zeros((1, 2)))


@pytest.mark.parametrize("table", [np.zeros(1000), np.zeros((1001, 1)), np.float64(3.0)])
def test_a_table_of_another_length_is_refused(table):
    with pytest.raises(ValueError, match=r"table of T \+ 1 = 1001 numbers, got shape"):
        LINEAR.at(np.array([1, 2]), like=X).rows(table)


def model(x, t):
    return 0.5 * x


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(3,), (3, 3), (3, 2, 2, 1)])
def test_every_function_returns_the_dtype_and_shape_it_was_given(dtype, shape):
    s, t = linear_schedule(5), np.array([1, 3, 5])
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape).astype(dtype)
    results = {
        "q_step": q_step(s, x, t, x), "q_sample": q_sample(s, x, t, x), "posterior_mean": posterior_mean(s, x, x, t),
        "q_posterior": q_posterior(s, x, x, t), "predict_x0": predict_x0(s, x, t, x),
        "predict_eps": predict_eps(s, x, t, x), "mean_from_eps": mean_from_eps(s, x, t, x),
    }
    for variance in ("small", "large", s.beta):
        for clip in (False, True) if dtype != "complex128" else (False,):
            reverse, key = Reverse(s, model, variance=variance, clip=clip), (str(variance), clip)
            results["p_mean_variance", key] = p_mean_variance(reverse, x, t)
            results["p_sample", key] = p_sample(reverse, x, t, x)
            results["sample_with", key] = sample_with(reverse, x, np.stack([x] * 6))
    for name, result in results.items():
        for array in result if isinstance(result, tuple) else (result,):
            assert array.shape == shape, name
            assert array.dtype == dtype, name
    loss = simple_loss(s, model, x, t, x)
    assert loss.shape == (3,)
    assert loss.dtype == dtype
    if dtype != "complex128":
        for _, *arrays in draw(Reverse(s, model, variance="large", clip=True), 2, shape[1:], dtype=dtype):
            for array in arrays:  # x_t and x̂₀
                assert array.shape == (2, *shape[1:])
                assert array.dtype == dtype
