"""Adam, warm-up, clip and average, against their equations written out plainly, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.check.gradients.training import adam_by_hand
from ddpm_np.nn import Linear
from ddpm_np.training.adam import Adam
from ddpm_np.training.clip import clip_flat, clip_grad_norm, clip_scale
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Flat, global_norm, squares

SHAPES = [(3, 4), (5,), (), (2, 1, 3)]


def leaves(dtype="float64", shapes=SHAPES):
    return [Tensor(generator("leaf", i).standard_normal(shape).astype(dtype), requires_grad=True)
            for i, shape in enumerate(shapes)]


def random_gradients(k, shapes=SHAPES, size=1.0):
    rng = generator("gradients", k)
    return [np.asarray(rng.standard_normal(shape) * size * 10.0 ** rng.integers(-3, 3)) for shape in shapes]


def state(adam):
    """All that an update may change, as bytes."""
    return [array.tobytes() for array in (adam.flat.data, adam.m, adam.v, np.asarray(adam.updates))]


# Adam


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


def test_more_numbers_than_a_pass_takes_at_a_time():
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


def test_a_parameter_without_a_gradient_is_as_one_whose_gradient_is_0():
    with_zero, without = leaves(), leaves()
    first, second = Adam(with_zero, lr=0.1), Adam(without, lr=0.1)
    for k in range(3):
        for p, q, g in zip(with_zero, without, random_gradients(k), strict=True):
            p.grad, q.grad = g, g.copy()
        if k > 0:
            with_zero[1].grad, without[1].grad = np.zeros(5), None
        first.step()
        second.step()
    assert state(first) == state(second)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad):
    parameters = leaves()
    adam = Adam(parameters, lr=0.1, warmup=2)
    for k in range(4):
        for p, g in zip(parameters, random_gradients(k), strict=True):
            p.grad = g
        if k == 2:
            before = state(adam)
            parameters[1].grad[3] = bad
            adam.step()
            assert state(adam) == before
        else:
            adam.step()
    assert np.isfinite(adam.flat.data).all()
    assert adam.updates == 3


def test_assigning_data_after_adam_is_made():
    """The parameters are views of one array then; assigning copies into it."""
    parameters = leaves()
    adam = Adam(parameters, lr=0.1)
    parameters[1].data = np.arange(5.0)
    assert np.shares_memory(parameters[1].data, adam.flat.data)
    np.testing.assert_array_equal(adam.flat.data[12:17], np.arange(5.0))


@pytest.mark.parametrize(("options", "words"), [
    ({"betas": (1.0, 0.9)}, r"betas must both be in \[0, 1\), got \(1.0, 0.9\)"),
    ({"betas": (0.9, -0.1)}, r"betas must both be in \[0, 1\)"),
    ({"lr": -1.0}, "must not be negative, got -1.0"),
    ({"eps": -1e-8}, "must not be negative"),
    ({"warmup": -1}, "must not be negative"),
])
def test_settings_that_make_no_sense(options, words):
    with pytest.raises(ValueError, match=words):
        Adam(leaves(), **options)


def test_parameters_that_make_no_sense():
    with pytest.raises(ValueError, match="there are no parameters to optimise"):
        Adam([])
    mixed = [*leaves("float64", [(2,)]), *leaves("float32", [(2,)])]
    with pytest.raises(TypeError, match="several dtypes: build the net in one"):
        Adam(mixed)


def test_one_flat_for_the_same_parameters():
    parameters = leaves()
    flat = Flat.of(parameters)
    assert Adam(parameters).flat is flat
    with pytest.raises(ValueError, match="optimised together with others already"):
        Adam(parameters[:2])
    with pytest.raises(ValueError, match="in the same order"):
        Adam(parameters[::-1])


# The clip


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_clip_by_the_norm_of_all_together(size, dtype, tolerance):
    parameters = leaves(dtype)
    for p, g in zip(parameters, random_gradients(3, size=size), strict=True):
        p.grad = g.astype(dtype)
    parameters[3].grad = None
    before = [None if p.grad is None else p.grad.astype(np.float64) for p in parameters]
    buffers = [p.grad for p in parameters]
    norm = math.sqrt(math.fsum(float(x) ** 2 for g in before if g is not None for x in g.ravel()))
    found = clip_grad_norm(parameters, 0.5)
    assert found.shape == ()
    assert math.isclose(float(found), norm, rel_tol=tolerance)
    for p, g, buffer in zip(parameters, before, buffers, strict=True):
        assert p.grad is buffer
        if g is not None:
            np.testing.assert_allclose(p.grad, g * min(1.0, 0.5 / (norm + 1e-6)), rtol=4 * tolerance)


def test_a_norm_over_many_blocks():
    x = generator("norm").standard_normal(100_003).astype(np.float32)
    exact = math.sqrt(math.fsum(float(v) ** 2 for v in x))
    assert math.isclose(float(global_norm(squares(x))), exact, rel_tol=1e-6)


@pytest.mark.parametrize("spans", [[None], [(0, 5), (5, 13)], [(0, 1), (1, 12), (12, 13)]], ids=len)
def test_one_pass_for_norm_adam_and_average_is_the_passes_one_by_one(spans):
    """In any spans of blocks."""
    size = 400_003
    first, second = (generator("fused").standard_normal(size).astype(np.float32) for _ in range(2))
    layers = [Linear(1, size) for _ in range(2)]
    for layer in layers:
        layer.weight, layer.bias = (Tensor(np.full(n, 0.5, np.float32), requires_grad=True) for n in (size - 1, 1))
    (one, other), averages = [Adam(layer.parameters(), lr=0.1) for layer in layers], [EMA(x, 0.9) for x in layers]
    def update(ok):
        other.update(ok, scale, averages[1], lambda new: [other.apply(new, averages[1], span) for span in spans])

    for k in range(3):
        one.flat.grad[...] = first + second
        norm = global_norm(squares(one.flat.grad))
        scale = clip_scale(norm, 0.5, np.float32)[0]
        one.flat.grad *= scale
        one.update(np.asarray(True))
        averages[0].update()
        other.flat.grad[...] = first
        assert global_norm([x for span in spans for x in squares(other.flat.grad, [second], span)]) == norm
        update(np.asarray(True))
        assert state(one) == state(other), k
        assert averages[0].data.tobytes() == averages[1].data.tobytes()
    before = state(other)
    other.flat.grad[size // 2] = np.nan
    update(np.asarray(False))
    assert state(other) == before
    assert averages[0].data.tobytes() == averages[1].data.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_clip_of_what_is_not_finite(bad):
    flat = generator("bad").standard_normal(50_000)
    flat[40_000] = bad
    norm, ok = clip_flat(flat, 1.0)
    assert not ok
    assert not np.isfinite(norm)
    assert not flat.any()
    p = Tensor(np.zeros(3), requires_grad=True)
    p.grad = np.array([1.0, bad, 2.0])
    assert not np.isfinite(clip_grad_norm([p], 1.0))
    np.testing.assert_array_equal(p.grad, np.zeros(3))


def test_no_clip():
    flat = np.array([30.0, 40.0])
    norm, ok = clip_flat(flat, None)
    assert (float(norm), bool(ok)) == (50.0, True)
    np.testing.assert_array_equal(flat, [30, 40])


def test_clips_that_make_no_sense():
    p = Tensor(np.zeros(3), requires_grad=True)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="max_norm must be positive, got"):
            clip_grad_norm([p], wrong)
    with pytest.raises(ValueError, match="no parameter has a gradient"):
        clip_grad_norm([p], 1.0)


# The average


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.9999, 1.0])
def test_the_average_of_weights(decay):
    """θ̄_k = dᵏ·θ₀ + (1 − d)·Σ dᵏ⁻ʲ·θ_j: no debias."""
    layer = Linear(3, 2).initialise(dtype="float64")
    ema = EMA(layer, decay)
    history = [ema.source.data.copy()]
    for k in range(1, 30):
        layer.weight.data = generator("ema", k).standard_normal((3, 2))
        layer.bias.data = generator("ema", -k).standard_normal(2)
        history.append(ema.source.data.copy())
        ema.update()
        expected = decay**k * history[0] + (1 - decay) * sum(
            decay ** (k - j) * history[j] for j in range(1, k + 1))
        np.testing.assert_allclose(ema.data, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(ema.model.weight.data.ravel(), ema.data[:6])


def test_the_average_is_a_net_of_its_own():
    layer = Linear(3, 2).initialise()
    ema = EMA(layer, 0.5)
    assert not np.shares_memory(ema.data, layer.weight.data)
    assert not ema.model.training
    assert layer.training
    assert [name for name, _ in ema.model.named_parameters()] == ["weight", "bias"]
    assert ema.model.weight.data.dtype == np.float32
    assert not ema.model.weight.requires_grad
    before = ema.data.tobytes()
    layer.weight.data = layer.weight.data + 1
    ema.update(ok=np.asarray(False))
    ema.update(ok=False)
    assert ema.data.tobytes() == before
    ema.update(ok=np.asarray(True))
    np.testing.assert_allclose(ema.model.weight.data, layer.weight.data - 0.5, rtol=1e-6)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(ema.model(x).data, x @ ema.model.weight.data + ema.model.bias.data)


@pytest.mark.parametrize("decay", [-0.1, 1.1, math.nan])
def test_decays_that_make_no_sense(decay):
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\], got"):
        EMA(Linear(1, 1).initialise(), decay)
