"""An image's prediction is the same bits in any batch, at any place in it, and with any number of workers."""

from __future__ import annotations

import contextlib

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
@pytest.mark.parametrize("together", [False, True])
def test_a_fixed_predictor_gives_the_same_bits(whole, workers, together):
    """Each call, with what kernels computed of the weights at the first one; for few images and for many."""
    net, x, t, _ = whole
    x, t = np.concatenate([x] * 8), np.concatenate([t] * 8)  # together, few images get kernels that keep nothing
    eps = predictor(net, workers=workers, together=together)
    fixed = predictor(net, workers=workers, fixed=True, together=together)
    for part in (slice(None), slice(None), slice(2, 3), slice(None, None, -1)):
        assert fixed(x[part], t[part]).tobytes() == eps(x[part], t[part]).tobytes()
    assert fixed.kept.arrays
    assert eps.kept is None
    ids = {id(p.data) for p in fixed.net.parameters()}
    assert {key for key, _ in fixed.kept.arrays} <= ids


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
    found = [predictor(net, workers=workers, fixed=fixed, together=True)(x, t) for workers, fixed in
             ((1, False), (2, False), (2, True))]
    assert found[1].tobytes() == found[2].tobytes() != np.concatenate([y] * 4).tobytes()
    for each in found:
        assert np.abs(each - np.concatenate([y] * 4)).max() <= 1e-5 * np.abs(y).max()
    assert predictor(net, workers=1)(x[:N], t[:N]).tobytes() == y.tobytes()
