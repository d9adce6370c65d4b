"""Adam, its definition and its warm-up, against the equations written out plainly and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator
from small_run import bits_of, leaves, random_gradients

from ddpm_np.autograd.op import kernels
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.check.gradients.training import adam_by_hand
from ddpm_np.training.adam import Adam, adam_step


@pytest.mark.parametrize("g", [2.0, -0.03, 1e-5])
def test_the_first_step_in_closed_form(g):
    """m̂ = g and v̂ = g² whatever the betas: θ moves by η·g/(|g| + ε)."""
    for betas in [(0.9, 0.999), (0.5, 0.25), (0.0, 0.0)]:
        p = Tensor(np.array([1.0]), requires_grad=True)
        adam = Adam([p], lr=0.1, betas=betas, eps=1e-3)
        p.grad = np.array([g])
        adam.step()
        assert math.isclose(p.data[0], 1 - 0.1 * g / (abs(g) + 1e-3), rel_tol=1e-14)


def test_a_constant_gradient_moves_by_the_rate():
    """With g the same each time, m̂ = g and v̂ = g² at every step."""
    p = Tensor(np.array([0.0, 0.0]), requires_grad=True)
    adam = Adam([p], lr=0.01, eps=0.0)
    for k in range(1, 30):
        p.grad = np.array([3.0, -0.2])
        adam.step()
        np.testing.assert_allclose(p.data, [-0.01 * k, 0.01 * k], rtol=1e-12)


@pytest.mark.parametrize(("lr", "betas", "eps", "warmup"), [
    (2e-4, (0.9, 0.999), 1e-8, 0), (1e-2, (0.9, 0.999), 1e-8, 20), (0.3, (0.5, 0.9), 1e-2, 80), (1e-3, (0, 0.99), 1, 1),
])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_fifty_adam_steps_equal_the_equations(lr, betas, eps, warmup, dtype, tolerance):
    parameters = leaves(dtype)
    start = np.concatenate([p.data.ravel() for p in parameters])
    adam, seen = Adam(parameters, lr, betas, eps, warmup), []
    for k in range(50):
        for p, g in zip(parameters, random_gradients(k), strict=True):
            p.grad = g.astype(dtype)
        seen.append(np.concatenate([p.grad.ravel() for p in parameters]).astype(np.float64))
        assert math.isclose(adam.rate(), lr if warmup == 0 else lr * min(k / warmup, 1.0), rel_tol=1e-15)
        adam.step()
    *_, (theta, m, v) = adam_by_hand(start.astype(np.float64), seen, lr, betas, eps, warmup)
    for found, expected in ((adam.flat.data, theta), (adam.m, m), (adam.v, v)):
        assert found.dtype == dtype
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    for p, part in zip(parameters, adam.flat.views(theta), strict=True):
        np.testing.assert_allclose(p.data, part, rtol=tolerance, atol=tolerance)
    assert adam.updates == 50


def test_parameters_longer_than_one_block_are_updated():
    shapes = [(70_001,), (3,)]
    parameters = leaves(shapes=shapes)
    before = np.concatenate([p.data for p in parameters])
    adam = Adam(parameters, lr=0.1, eps=1e-3)
    for p, g in zip(parameters, random_gradients(0, shapes), strict=True):
        p.grad = g
    g = np.concatenate([p.grad for p in parameters])
    adam.step()
    np.testing.assert_allclose(adam.flat.data, before - 0.1 * g / (np.abs(g) + 1e-3), rtol=1e-12, atol=1e-15)


def test_the_first_update_of_a_warm_up_has_rate_0():
    parameters = leaves()
    adam = Adam(parameters, lr=0.1, warmup=4)
    before = [p.data.copy() for p in parameters]
    for p, g in zip(parameters, random_gradients(1), strict=True):
        p.grad = g
    adam.step()
    for p, b in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.data, b)
    assert adam.m.any()  # but it counts
    assert adam.updates == 1
    assert float(adam.rate()) == 0.1 / 4


@pytest.mark.parametrize("choice", ["fast", "reference"])
def test_a_parameter_without_a_gradient_is_left_alone(choice):
    """With its moments and the count of its bias correction, by either way of saying so; the others as if alone."""
    parameters, others = leaves(), leaves()
    adam, alone = Adam(parameters, lr=0.1), Adam([p for i, p in enumerate(others) if i != 1], lr=0.1)
    once = Adam([leaves()[1]], lr=0.1)  # with the gradients that parameter 1 has
    with kernels(choice):
        for k in range(8):
            for p, q, g in zip(parameters, others, random_gradients(k), strict=True):
                p.grad, q.grad = g, g.copy()
            parameters[1].requires_grad = k not in (3, 4)
            if k in (1, 6):
                parameters[1].grad = None
            before = [part.copy() for array in (adam.flat.data, adam.m, adam.v)
                      for part in list(adam.flat.views(array))[1:2]]
            adam.step()
            alone.step()
            after = [list(adam.flat.views(array))[1] for array in (adam.flat.data, adam.m, adam.v)]
            if k in (1, 3, 4, 6):
                assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), k
            else:
                once.flat.parameters[0].grad = parameters[1].grad
                once.step()
        for i in (0, 2, 3):
            np.testing.assert_array_equal(parameters[i].data, others[i].data)
    np.testing.assert_array_equal(parameters[1].data, once.flat.parameters[0].data)
    assert adam.updates == 8
    assert [int(count) for count in adam.counts_by_parameter()] == [8, 4, 8, 8]


def test_without_any_gradient_there_is_no_update():
    parameters = leaves()
    adam = Adam(parameters, lr=0.1)
    before = bits_of(adam)
    adam.step()
    assert bits_of(adam) == before
    assert adam.updates == 0


def test_a_parameter_that_comes_twice_is_optimised_once():
    (one,), (two,) = leaves(shapes=[(5,)]), leaves(shapes=[(5,)])
    first, second = Adam([one], lr=0.1), Adam([two, two], lr=0.1)
    one.grad, two.grad = np.arange(5.0), np.arange(5.0)
    first.step()
    second.step()
    assert bits_of(first) == bits_of(second)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_gradient_changes_nothing(bad):
    parameters = leaves()
    adam = Adam(parameters, lr=0.1, warmup=2)
    for k in range(4):
        for p, g in zip(parameters, random_gradients(k), strict=True):
            p.grad = g
        if k == 2:
            before = bits_of(adam)
            parameters[1].grad[3] = bad
            adam.step()
            assert bits_of(adam) == before
        else:
            adam.step()
    assert np.isfinite(adam.flat.data).all()
    assert adam.updates == 3


@pytest.mark.parametrize(("options", "words"), [
    ({"betas": (1.0, 0.9)}, "β₁ must be at least 0 and below 1, got 1.0"),
    ({"betas": (0.9, -0.1)}, "β₂ must be at least 0 and below 1, got -0.1"),
    ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
    ({"eps": -1e-8}, "eps must be at least 0, got -1e-08"),
    ({"warmup": -1}, "warmup must be at least 0, got -1"),
])
def test_invalid_settings_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Adam(leaves(), **options)




# By the definition


@pytest.mark.parametrize("g", [2.0, -0.03, 1e-5])
def test_the_first_step_of_the_definition_in_closed_form(g):
    for b1, b2 in [(0.9, 0.999), (0.5, 0.25), (0.0, 0.0)]:
        for k in (1, np.asarray(1.0)):  # a number, or one on a device
            theta, m, v = adam_step(np.array([1.0]), np.array([g]), np.zeros(1), np.zeros(1), k, 0.1, (b1, b2), 1e-3)
            assert math.isclose(theta[0], 1 - 0.1 * g / (abs(g) + 1e-3), rel_tol=1e-14)
            assert math.isclose(m[0], (1 - b1) * g, rel_tol=1e-14)
            assert math.isclose(v[0], (1 - b2) * g * g, rel_tol=1e-14)


def test_the_definition_changes_none_of_its_inputs_and_keeps_their_dtype():
    for dtype in (np.float32, np.float64):
        arrays = [generator("step", i).uniform(0.1, 1, (2, 3)).astype(dtype) for i in range(4)]
        before = [a.copy() for a in arrays]
        for k in (3, np.asarray(3.0)):
            for new in adam_step(*arrays, k, np.asarray(0.1)):
                assert new.dtype == dtype
                assert new.shape == (2, 3)
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_adam_equals_a_loop_over_its_definition():
    """To the bit: with warm-up and with the third gradient not finite."""
    parameters = leaves()
    adam = Adam(parameters, lr=0.1, betas=(0.8, 0.95), eps=1e-3, warmup=3)
    theta, m, v, k = adam.flat.data.copy(), adam.m.copy(), adam.v.copy(), 0
    with kernels("reference"):
        for step in range(8):
            for p, g in zip(parameters, random_gradients(step), strict=True):
                p.grad = g
            if step == 2:
                parameters[0].grad[1, 1] = np.nan
            else:
                flat = np.concatenate([p.grad.ravel() for p in parameters])
                theta, m, v = adam_step(theta, flat, m, v, k + 1, adam.rate(), (0.8, 0.95), 1e-3)
                k += 1
            adam.step()
            for found, expected in ((adam.flat.data, theta), (adam.m, m), (adam.v, v)):
                np.testing.assert_array_equal(found, expected)
    assert adam.updates == k == 7
