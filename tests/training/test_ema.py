"""The moving average of the weights, against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.nn import Linear
from ddpm_np.training.ema import EMA


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.9999, 1.0])
def test_the_average_equals_its_closed_form(decay):
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
def test_invalid_decays_are_refused(decay):
    with pytest.raises(ValueError, match="decay must be from 0 to 1, got"):
        EMA(Linear(1, 1).initialise(), decay)
