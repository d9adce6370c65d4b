"""scripts/ddpm_in_one_file.py, function by function, equal to the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd.tensor import gradients
from ddpm_np.diffusion import Reverse, linear_schedule, p_sample, q_sample, simple_loss
from ddpm_np.models import MLP, MLPConfig
from ddpm_np.models.unet import time_embedding
from ddpm_np.training.adam import adam_step

SCRIPT = Path(__file__).parents[2] / "scripts" / "ddpm_in_one_file.py"
T = 1000


@pytest.fixture(scope="module")
def page():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("ddpm_in_one_file", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def weights(page):
    """Weights of ordinary size everywhere: the last layer's first ones are almost 0."""
    rng = generator("one file")
    return [w + 0.1 * rng.standard_normal(w.shape) for w in page.first_weights(rng, width=7, depth=3)]


@pytest.fixture
def net(weights):
    """The package's net with the same weights; its second bias of a layer is 0."""
    model = MLP(MLPConfig(dim=2, width=7, depth=3), dtype="float64")
    for i, layer in enumerate(model.layers):
        w, v, b = weights[3 * i : 3 * i + 3]
        layer.linear.weight.data, layer.linear.bias.data = w, b
        layer.time_emb_proj.weight.data, layer.time_emb_proj.bias.data = v, 0 * b
    model.out.weight.data, model.out.bias.data = weights[-2:]
    return model


@pytest.fixture
def batch():
    """x₀, t with both ends among them, and ε."""
    rng = generator("one file, batch")
    return rng.standard_normal((5, 2)), np.array([1, 2, 77, 500, T]), rng.standard_normal((5, 2))


def test_the_schedule_is_the_papers(page):
    beta, alpha, alpha_bar, beta_tilde = page.schedule(T)
    schedule = linear_schedule(T)
    for found, table in ((beta, schedule.beta), (alpha, schedule.alpha), (alpha_bar, schedule.alpha_bar),
                         (beta_tilde, schedule.beta_tilde)):
        np.testing.assert_allclose(found, table, rtol=1e-11, atol=1e-15)


def test_noised_and_embedding(page, batch):
    x_0, t, noise = batch
    x_t = page.noised(x_0, t, noise, page.schedule(T)[2])
    np.testing.assert_allclose(x_t, q_sample(linear_schedule(T), x_0, t, noise), rtol=1e-12)
    np.testing.assert_allclose(page.embedding(t), time_embedding(t - 1, 32), rtol=1e-12, atol=1e-15)


def test_loss_and_gradients(page, weights, net, batch):
    x_0, t, noise = batch
    loss, found = page.loss_and_gradients(weights, x_0, t, noise, page.schedule(T)[2])
    losses = simple_loss(linear_schedule(T), net, x_0, t, noise)
    assert loss == pytest.approx(float(losses.data.mean()), rel=1e-12)
    leaves = [p for layer in net.layers for p in (layer.linear.weight, layer.time_emb_proj.weight, layer.linear.bias)]
    expected = gradients(losses.mean(), [*leaves, net.out.weight, net.out.bias])
    for g, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, other, rtol=1e-9, atol=1e-12)


def test_adam(page):
    rng = generator("one file, adam")
    theta, m, v = rng.standard_normal(6), np.zeros(6), np.zeros(6)
    expected, first, second = theta.copy(), m.copy(), v.copy()
    for k in range(1, 4):
        g = rng.standard_normal(6)
        expected, first, second = adam_step(expected, g, first, second, k, 0.01)
        page.adam([theta], [g], [m], [v], k, 0.01)
        np.testing.assert_allclose(theta, expected, rtol=1e-12)


@pytest.mark.parametrize("t", [1, 2, 500, T])
def test_a_reverse_step(page, weights, net, batch, t):
    x_t, _, z = batch
    reverse = Reverse(linear_schedule(T), lambda x, t: net(x, t).data, variance="small", clip=False)
    expected = p_sample(reverse, x_t, np.full(5, t), z)
    np.testing.assert_allclose(page.reverse_step(weights, x_t, t, z, T), expected, rtol=1e-10)


def test_it_learns(page, capsys):
    """A few steps on two far points: samples come near one of them."""
    points = np.repeat([[1.0, 1.0], [-1.0, -1.0]], 50, axis=0)
    x = page.sample(page.train(points, 1000, batch=64), 40)
    distance = np.minimum(*(np.linalg.norm(x - p, axis=1) for p in points[[0, -1]]))
    assert np.median(distance) < 0.25
    assert "step 1000" in capsys.readouterr().out
