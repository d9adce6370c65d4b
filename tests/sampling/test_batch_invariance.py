"""An image's prediction is the same bits in any batch, at any place in it, and with any number of workers."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd.ops import REGISTRY, images_together
from ddpm_np.autograd.tensor import Tensor, no_grad
from ddpm_np.kernels.numpy_winograd import winograd
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.parallel.threads import single_threaded_blas
from ddpm_np.sampling.predictor import predictor

NETS = {
    "digits": UNetConfig.preset("digits"),
    "16 by 16": UNetConfig(16, 3, 32, (1, 2), 1, (8,), groups=8, heads=2, dropout=0.1),
}
N = 7


@pytest.fixture(params=NETS, scope="module")
def whole(request):
    """(net with random weights, x, t, the prediction for the whole batch)."""
    config, rng = NETS[request.param], generator("batches", request.param)
    net = UNet(config).eval()
    for name, p in net.named_parameters():
        if p.ndim > 1:
            p.data = rng.standard_normal(p.shape) * (p.size / p.shape[-1]) ** -0.5
        elif "norm" in name:
            p.data = p.data + 0.3 * rng.standard_normal(p.shape)
    x = rng.standard_normal((N, *config.size, config.in_channels)).astype(np.float32)
    t = rng.integers(1, 1001, N)
    y = predictor(net, workers=1)(x, t)
    assert np.abs(y).max() > 0.1
    return net, x, t, y


def test_the_prediction_does_not_depend_on_batch_size_or_position(whole):
    """Of the net itself with all BLAS threads, and with one, as the predictor uses."""
    net, x, t, y = whole
    order = generator("order").permutation(N)
    for context in (contextlib.nullcontext(), single_threaded_blas()):
        with no_grad(), context:
            y = net(x, t).data
            for part in (slice(0, 1), slice(3, 4), slice(0, 2), slice(2, 7), slice(5, 7), slice(None, None, 3), order):
                assert net(x[part], t[part]).data.tobytes() == y[part].tobytes(), str(part)
    with single_threaded_blas():
        taped = net(Tensor(x[1:4], requires_grad=True), t[1:4])  # and with a tape
    assert y.tobytes() == whole[3].tobytes()
    assert taped.data.tobytes() == y[1:4].tobytes()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_prediction_does_not_depend_on_the_number_of_workers(whole, workers):
    net, x, t, y = whole
    eps = predictor(net, workers=workers)
    for part in (slice(None), slice(2, 5), slice(6, 7), slice(0, 0)):
        found = eps(x[part], t[part])
        assert type(found) is np.ndarray
        assert found.tobytes() == y[part].tobytes(), str(part)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("together", [False, True, 4])
def test_a_fixed_predictor_keeps_what_it_computed_of_the_weights(whole, workers, together):
    """At the first call; the next ones find it. Up to rounding it is the predictor that keeps nothing."""
    net, x, t, _ = whole
    x, t = np.concatenate([x] * 8), np.concatenate([t] * 8)
    eps = predictor(net, workers=workers, together=together)
    fixed = predictor(net, workers=workers, fixed=True, together=together)
    first = fixed(x, t)
    for part in (slice(None), slice(2, 3), slice(None, None, -1)):
        assert np.abs(fixed(x[part], t[part]) - eps(x[part], t[part])).max() <= 4e-6 * np.abs(first).max()
    assert fixed(x, t).tobytes() == first.tobytes()
    assert fixed.kept.arrays
    assert eps.kept is None
    assert fixed.kept.arrays.keys() <= {id(p.data) for p in fixed.net.parameters()}


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("lot", [2, 4, 5])
def test_in_lots_the_bits_depend_on_the_place_alone(whole, lot, workers):
    """For any part of the images, whose first one stands at its place, whatever is beside it, by any workers."""
    net, x, t, y = whole
    x, t = np.concatenate([x] * 3), np.concatenate([t] * 3)
    eps = predictor(net, workers=workers, fixed=True, together=lot)
    every = predictor(net, workers=1, fixed=True, together=lot)(x, t)
    assert np.abs(every[:N] - y).max() <= 4e-6 * np.abs(y).max()
    for part in (slice(0, 21), slice(0, 1), slice(3, 4), slice(4, 9), slice(5, 17), slice(20, 21), slice(7, 7)):
        found = eps(x[part], t[part], place=part.start)
        assert found.tobytes() == every[part].tobytes(), str(part)
    others = x.copy()
    others[lot:] = 7.0
    assert eps(others, t)[:lot].tobytes() == every[:lot].tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fixed_predictor_has_the_same_bits_in_every_call_and_any_batch(whole, workers):
    """With what kernels keep of the weights, for which they are chosen; beside one that is not fixed, to rounding."""
    net, x, t, y = whole
    fixed = predictor(net, workers=workers, fixed=True)
    first = fixed(x, t)
    assert fixed.kept.arrays.keys() <= {id(p.data) for p in fixed.net.parameters()}
    assert fixed.kept.arrays
    assert np.abs(first - y).max() <= 4e-6 * np.abs(y).max()
    for part in (slice(None), slice(2, 3), slice(2, 7), slice(None, None, -1)):
        assert fixed(x[part], t[part]).tobytes() == first[part].tobytes()
    assert predictor(net, workers=3 - workers, fixed=True)(x, t).tobytes() == first.tobytes()
    assert predictor(net, workers=workers).kept is None


def test_a_fixed_predictor_forks_no_more_once_it_may_not(whole, monkeypatch):
    """As after a GPU was used: its images are then computed by threads, to the same bits."""
    net, x, t, _ = whole
    eps = predictor(net, workers=2, fixed=True)
    before = eps(x, t)
    assert eps.pool.size == 1
    eps.pool.close()
    monkeypatch.setattr(sys.modules["ddpm_np.sampling.predictor"], "can_fork", lambda: False)
    assert eps(x, t).tobytes() == before.tobytes()
    assert eps.pool.size == 0


@pytest.mark.parametrize("together", [0, -2, 1.5, "all"])
def test_a_lot_is_a_positive_number_of_images(whole, together):
    with pytest.raises((TypeError, ValueError), match="together"):
        predictor(whole[0], together=together)


def test_a_predictor_leaves_the_mode_and_weights_of_the_net(whole):
    """It computes in evaluation mode and leaves the net in the mode it was in."""
    net, x, t, y = whole
    net.train()
    try:
        before = [p.data.tobytes() for p in net.parameters()]
        assert predictor(net, workers=2)(x, t).tobytes() == y.tobytes()
        assert net.training
        assert all(p.grad is None for p in net.parameters())
        assert [p.data.tobytes() for p in net.parameters()] == before
    finally:
        net.eval()


def test_a_predictor_uses_the_current_weights(whole):
    net, x, t, y = whole
    eps = predictor(net, workers=1)
    bias = net.conv_out.bias
    kept = bias.data.copy()
    bias.data = kept + 1
    np.testing.assert_allclose(eps(x[:2], t[:2]), y[:2] + 1, rtol=1e-4, atol=1e-4)
    bias.data = kept
    assert eps(x[:2], t[:2]).tobytes() == y[:2].tobytes()


def test_the_predictor_takes_the_weights_of_the_model_or_the_average(whole):
    class Holder:
        model, ema = whole[0], type("EMA", (), {"model": UNet(whole[0].config, seed=1).eval()})

    _, x, t, y = whole
    assert predictor(Holder, "model", workers=1)(x, t).tobytes() == y.tobytes()
    with no_grad(), single_threaded_blas():
        expected = Holder.ema.model(x, t).data
    assert predictor(Holder, workers=1)(x, t).tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match="weights must be one of 'ema', 'model', got 'best'"):
        predictor(Holder, "best")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_convolution_by_winograd_is_the_same_bits_alone(dtype):
    """For images in one chunk and alone; taken together they agree to rounding."""
    rng = generator("winograd", dtype)
    x = rng.standard_normal((5, 16, 18, 64)).astype(dtype)
    w = rng.standard_normal((3, 3, 64, 64)).astype(dtype)
    static = {"padding": ((1, 1), (1, 1))}
    assert REGISTRY["conv2d"].choose([x, w], static) is winograd
    y = winograd(x, w, **static)[0]
    for i in range(5):
        np.testing.assert_array_equal(winograd(x[i : i + 1], w, **static)[0][0], y[i])
    with images_together():
        together = winograd(x, w, **static)[0]
    np.testing.assert_allclose(together, y, rtol=0, atol=np.abs(y).max() * (5e-6 if dtype == "float32" else 5e-14))


def test_images_together_change_only_rounding_and_only_on_request(whole):
    """By threads and by processes; later calls are not affected."""
    net, x, t, y = whole
    x, t = np.concatenate([x] * 4), np.concatenate([t] * 4)
    for workers, fixed in ((1, False), (2, False), (1, True), (2, True)):
        each = predictor(net, workers=workers, fixed=fixed, together=True)(x, t)
        assert each.tobytes() != np.concatenate([y] * 4).tobytes()
        assert np.abs(each - np.concatenate([y] * 4)).max() <= 4e-6 * np.abs(y).max()
    assert predictor(net, workers=1)(x[:N], t[:N]).tobytes() == y.tobytes()
