"""The coefficients of a step by name: rows of the schedule's tables, their dtypes and copies, and every message."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, images, shapes, steps

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import get_backend, to_host
from ddpm_np.diffusion import (
    Schedule,
    linear_schedule,
)
from ddpm_np.diffusion.schedule import TABLES

LINEAR = linear_schedule(1000)
X = np.zeros((2, 3))
FROM_ONE = {"posterior_x0", "posterior_xt", "posterior_log_variance_clipped", "log_beta", "log_beta_clipped"}


@given(st.data(), shapes(), st.sampled_from(["float32", "float64", "complex64", "complex128"]))
def test_every_coefficient_is_the_rows_of_its_table(data, shape, dtype):
    """`k.name` and `k.rows(table)`, to the last bit: table[t] in the images' real dtype, shaped (N, 1, …)."""
    t = data.draw(steps(1000, shape[0]))
    x = data.draw(images(shape)).astype(dtype)
    for like in (x, Tensor(x)):
        k = LINEAR.at(t, like=like)
        assert k.schedule is LINEAR
        assert k.t is t
        for name in TABLES:
            table = getattr(LINEAR, name)
            want = table[t].astype(x.real.dtype).reshape(shape[:1] + (1,) * (len(shape) - 1))
            for got in (getattr(k, name), k.rows(table)):
                assert isinstance(got, np.ndarray)
                assert got.dtype == want.dtype
                assert got.shape == want.shape
                assert np.array_equal(got, want)


def test_an_unknown_coefficient_is_an_attribute_error():
    """As for any object, so that `hasattr` and `getattr` with a default work; nothing else of a schedule is one."""
    k = LINEAR.at(np.array([1, 2]), like=X)
    with pytest.raises(AttributeError, match="no coefficient is called 'sqrt_alphabar': there are beta, alpha, ") as e:
        _ = k.sqrt_alphabar
    assert e.type is AttributeError
    assert "\n" not in str(e.value)
    assert all(name in str(e.value) for name in TABLES)
    for name in ("T", "at", "copies", "from_betas", "posterior_mean_x0", "", "__len__"):
        assert not hasattr(k, name)
    assert getattr(k, "gamma", None) is None
    with pytest.raises(AttributeError):
        k.gamma = 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_coefficients_in_another_dtype(dtype):
    """Of single-precision images in double precision, (N, 1, …); of t alone, (N,)."""
    t = np.array([1, 500, 1000])
    for like in (np.zeros((3, 2, 2, 1), np.float32), np.zeros((3, 2, 2, 1)), np.zeros((3, 2, 2, 1), np.uint8)):
        for name in TABLES:
            got = getattr(LINEAR.at(t, like=like, dtype=dtype), name)
            assert got.shape == (3, 1, 1, 1)
            assert got.dtype == dtype
            assert got.ravel().tolist() == getattr(LINEAR, name)[t].astype(dtype).tolist()
    alone = LINEAR.at(t, like=t, dtype=dtype).alpha_bar
    assert alone.shape == (3,)
    assert alone.dtype == dtype
    assert alone.tolist() == LINEAR.alpha_bar[t].astype(dtype).tolist()
    assert LINEAR.at(t, like=t, dtype=np.float64).beta.dtype == np.float64  # a dtype object


@pytest.mark.parametrize("t", [[0, 3], [0, 0]])
def test_a_coefficient_that_begins_at_1_is_refused_at_t_0(t):
    """Not the whole step: the others have a row for the data, and the error comes with the look-up."""
    assert {name for name in TABLES if np.isnan(getattr(LINEAR, name)[0])} == FROM_ONE
    words = f"^t counts from 1 to T = 1000, got values from 0 to {t[1]}$"
    for like in (X, X.astype(np.float32), Tensor(X)):
        k = LINEAR.at(np.array(t), like=like)
        for name in TABLES:
            if name in FROM_ONE:
                with pytest.raises(ValueError, match=words):
                    getattr(k, name)
            else:
                assert getattr(k, name).ravel().tolist() == getattr(LINEAR, name)[t].astype(like.dtype).tolist()
        with pytest.raises(ValueError, match=words):  # so for a caller's table whose entry 0 is nan
            k.rows(np.array([np.nan, *LINEAR.beta[1:]]))
        assert k.rows(LINEAR.beta + 7)[0, 0] == 7


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda t: LINEAR.at(t, like=np.zeros((2, 3), np.int64)), TypeError,
     r"^images must be floating numbers, got dtype int64: scale them to \[-1, 1\] first$"),
    (lambda t: LINEAR.at(t, like=np.zeros((2, 3), bool)), TypeError, "images must be floating numbers, got dtype bool"),
    (lambda t: LINEAR.at([1, 2], like=X), TypeError, r"^t must be an int array of shape \(2,\), got \[1, 2\]$"),
    (lambda t: LINEAR.at(1.0 * t, like=X), TypeError,
     r"^t must be an int array of shape \(2,\), got an array of shape \(2,\) and dtype float64$"),
    (lambda t: LINEAR.at(t, like=np.zeros((3, 2))), ValueError,
     r"^expected one t for each image, shape \(3,\), got \(2,\)$"),
    (lambda t: LINEAR.at(t - 2, like=X), ValueError, "^t counts from 1 to T = 1000, got values from -1 to 0$"),
    (lambda t: LINEAR.at(t + 999, like=X), ValueError, "^t counts from 1 to T = 1000, got values from 1000 to 1001$"),
    (lambda t: LINEAR.at(t, like=X).rows(LINEAR.beta[1:]), ValueError,
     r"^expected a table of T \+ 1 = 1001 numbers, got shape \(1000,\)$"),
    (lambda t: LINEAR.at(t, like=X).rows(0.5), ValueError, r"^expected a table of T \+ 1 = 1001 numbers, got 0.5$"),
    (lambda t: LINEAR.at(t, like=X).rows([1.0, 2.0]), ValueError, r"numbers, got \[1.0, 2.0\]$"),
    (lambda t: LINEAR.at(t, like=X).rows(None), ValueError, r"numbers, got None$"),
])
def test_errors_of_at_and_rows_name_what_was_expected(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call(np.array([1, 2]))
    assert "\n" not in str(caught.value)


def test_coefficients_of_no_images():
    t, x = np.zeros(0, int), np.zeros((0, 2, 2, 1), np.float32)
    for name in TABLES:
        assert getattr(LINEAR.at(t, like=x), name).shape == (0, 1, 1, 1)


def test_a_read_only_table_is_copied_once_for_each_dtype():
    """On the host and (a strict stand-in for) the device, which nothing waits for; one that can change, each time."""
    schedule = linear_schedule(5)
    mine, fixed = schedule.beta + 1, schedule.beta + 2
    fixed.setflags(write=False)
    with fake_cupy.installed():
        for device in (get_backend("numpy"), get_backend("cupy")):
            t = device.to_device(np.array([1, 5, 3]))
            for dtype in ("float32", "float64"):
                x, before = device.to_device(np.ones((3, 2)), dtype=dtype), len(schedule.copies)
                for uploads in (len(TABLES) + 2, 1):  # the second time of `mine` alone
                    fake_cupy.counts.reset()
                    k = schedule.at(t, like=x)
                    got = [(table, k.rows(table)) for table in (mine, fixed)]
                    got += [(getattr(schedule, name), getattr(k, name)) for name in TABLES]
                    assert fake_cupy.counts.uploads == (uploads if device.name == "cupy" else 0)
                    assert fake_cupy.counts.transfers == 0
                    assert len(schedule.copies) == before + len(TABLES) + 1
                    for table, rows in got:
                        assert to_host(rows).ravel().tolist() == table[[1, 5, 3]].astype(dtype).tolist()


def test_coefficients_of_a_learned_schedule_are_tensors():
    """For arrays and for Tensors; ∂/∂w of a coefficient reaches the logits, and t = 0 is refused as on the host."""
    w = Tensor(np.array([-2.0, -1.0, 0.5]), requires_grad=True)
    schedule, t = Schedule.learned(w), np.array([3, 1, 3])
    for like in (np.zeros((3, 2), np.float32), np.zeros((3, 2)), Tensor(np.zeros((3, 2)))):
        k = schedule.at(t, like=like)
        for name in TABLES:
            got = getattr(k, name)
            assert isinstance(got, Tensor)
            assert got.shape == (3, 1)
            assert got.dtype == like.dtype
            assert got.data.ravel().tolist() == getattr(schedule, name).data[t].astype(like.dtype).tolist()
    schedule.at(t, like=np.zeros((3, 2))).beta.backward(np.array([[1.0], [2.0], [4.0]]))
    beta = schedule.beta.data[1:]
    assert_close(w.grad, np.array([2.0, 0.0, 5.0]) * beta * (1 - beta), 1e-15)
    from_zero = schedule.at(t - 1, like=np.zeros((3, 2)))
    assert from_zero.alpha_bar.data[1, 0] == 1
    with pytest.raises(ValueError, match="t counts from 1 to T = 3, got values from 0 to 2"):
        _ = from_zero.posterior_x0
