"""The clip of the gradient's global norm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator
from small_run import leaves, random_gradients

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.training.clip import clip_grad_norm, clip_scale, global_norm
from ddpm_np.training.flat import norm_by_blocks


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_clip_scales_by_the_global_norm(size, dtype, tolerance):
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


@pytest.mark.parametrize("size", [1, 7, 32_768, 100_003])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_the_norm_by_blocks_is_the_norm(size, dtype, tolerance):
    x = generator("norm", size).standard_normal(size).astype(dtype)
    for found in (global_norm(x), norm_by_blocks(x)):
        assert found.shape == ()
        assert found.dtype == np.float64
        assert math.isclose(found, math.sqrt(math.fsum(float(v) ** 2 for v in x)), rel_tol=tolerance)


def test_the_norm_of_many_blocks_keeps_its_digits():
    x = generator("norm").standard_normal(100_003).astype(np.float32)
    exact = math.sqrt(math.fsum(float(v) ** 2 for v in x))
    assert math.isclose(float(norm_by_blocks(x)), exact, rel_tol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_gradient_is_clipped_to_zero(bad):
    flat = generator("bad").standard_normal(50_000)
    flat[40_000] = bad
    p = Tensor(np.zeros(50_000), requires_grad=True)
    p.grad = flat
    assert not np.isfinite(clip_grad_norm([p], 1.0))
    np.testing.assert_array_equal(p.grad, np.zeros(50_000))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("norm", "max_norm", "scale", "finite"), [
    (50.0, 1.0, 1 / (50 + 1e-6), True), (0.5, 1.0, 1.0, True), (50.0, None, 1.0, True), (0.0, 1.0, 1.0, True),
    (math.inf, 1.0, 1.0, False), (math.nan, 1.0, 1.0, False), (math.nan, None, 1.0, False),
])
def test_the_factor_of_a_clip(norm, max_norm, scale, finite, dtype):
    found, ok = clip_scale(np.asarray(norm), max_norm, dtype)
    assert found.dtype == dtype
    assert found == dtype(scale)
    assert bool(ok) == finite


def test_invalid_clips_are_refused():
    p = Tensor(np.zeros(3), requires_grad=True)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="max_norm must be positive, got"):
            clip_grad_norm([p], wrong)
    with pytest.raises(ValueError, match="no parameter has a gradient"):
        clip_grad_norm([p], 1.0)
