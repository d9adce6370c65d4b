"""The classifier: its shape, its loss, and their gradients against the complex step."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator
from scipy import special

from ddpm_np.autograd.ops import kernels
from ddpm_np.autograd.tensor import Tensor, gradients, no_grad
from ddpm_np.check.gradients.derivatives import STEP, inner, magnitude
from ddpm_np.models import Classifier, ClassifierConfig
from ddpm_np.models.classifier import cross_entropy, log_softmax

SMALL = {
    "8 by 8, grey": ClassifierConfig(8, 1, 3, channels=4, features=8, groups=2),
    "9 by 12, colour": ClassifierConfig((9, 12), 3, 2, channels=4, features=6, groups=2, norm_eps=1e-3),
}


@pytest.fixture(params=SMALL, scope="module")
def case(request):
    """A net with random weights in float64, images and labels."""
    config = SMALL[request.param]
    rng = generator(request.param)
    net = Classifier(config, dtype="float64")
    for name, p in net.named_parameters():
        p.data = ("norm.weight" in name) + 0.3 * rng.standard_normal(p.shape)
    x = rng.uniform(-1, 1, (3, *config.size, config.in_channels))
    return net, x, rng.integers(config.classes, size=3)


# Its shape.

@pytest.mark.parametrize(("size", "channels", "widths", "last"), [
    (8, 1, (16, 32, 64), (4, 4)), (9, 3, (16, 32, 64, 64), (3, 3)), (16, 1, (16, 32, 64, 64), (4, 4)),
    (28, 1, (16, 32, 64, 64, 64), (4, 4)), (32, 3, (16, 32, 64, 64, 64), (4, 4)),
    (33, 3, (16, 32, 64, 64, 64, 64), (3, 3)), ((8, 20), 1, (16, 32, 64, 64, 64), (1, 3))])
def test_any_size_ends_with_sides_of_at_most_four(size, channels, widths, last):
    config = ClassifierConfig(size, channels, 10)
    assert config.widths == widths
    model = Classifier(config)
    x = generator(size).uniform(-1, 1, (2, *config.size, channels)).astype(np.float32)
    h = Tensor(x)
    for block in model.blocks:
        h = block(h)
    assert h.shape == (2, *last, 64)
    features = model.features(x)
    assert (features.shape, features.dtype, model(x).shape) == ((2, 64), np.float32, (2, 10))
    assert np.abs(features.data - h.data.mean(axis=(1, 2))).max() < 1e-6  # the mean over positions


def test_the_logits_are_affine_in_the_features(case):
    net, x, _ = case
    expected = net.features(x).data @ net.classify.weight.data + net.classify.bias.data
    assert np.abs(net(x).data - expected).max() < 1e-13


def test_an_image_gets_the_same_bits_in_any_batch():
    model = Classifier(ClassifierConfig(12, 1, 10))
    x = generator("batch").uniform(-1, 1, (7, 12, 12, 1)).astype(np.float32)
    with no_grad():
        whole = model(x).data
        assert whole[4:6].tobytes() == model(x[4:6]).data.tobytes()
        assert whole[6:].tobytes() == model(x[6:]).data.tobytes()


@pytest.mark.parametrize(("change", "message"), [
    ({"image_size": 7}, "image_size must be at least 8, got 7"),
    ({"image_size": (8, 4)}, "the width in image_size must be at least 8, got 4"),
    ({"image_size": (8, 8, 1)}, "one side or"), ({"classes": 1}, "classes must be at least 2, got 1"),
    ({"in_channels": 0}, "in_channels must be at least 1"), ({"channels": 12}, "12 channels do not divide into 8"),
    ({"features": 60}, "60 channels do not divide into 8 groups: change"), ({"groups": 0}, "groups must be")])
def test_invalid_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**{"image_size": 8, "in_channels": 1, "classes": 10, **change})


def test_images_of_another_shape_are_refused():
    model = Classifier(ClassifierConfig(8, 1, 10))
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 8, 8, 1\), got \(2, 8, 8, 3\): use a classif"):
        model(np.zeros((2, 8, 8, 3), np.float32))


# Its loss.

@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_log_softmax_is_scipys(shift):
    x = 5 * generator("log_softmax").standard_normal((20, 6)) + shift
    x[0] = [0, 1000, -1000, 3, 3, 3]
    expected = special.log_softmax(x, axis=-1)
    assert np.abs(log_softmax(x) - expected).max() < 1e-11
    assert np.abs(log_softmax(Tensor(x)).data - expected).max() < 1e-11
    assert log_softmax(x.astype(np.float32)).dtype == np.float32


def test_cross_entropy_is_the_log_probability_of_the_label():
    x, labels = generator("cross").standard_normal((9, 4)), np.array([0, 1, 2, 3, 0, 1, 2, 3, 3])
    expected = [-np.log(np.exp(row[label]) / np.exp(row).sum()) for row, label in zip(x, labels, strict=True)]
    for got in (cross_entropy(x, labels), cross_entropy(Tensor(x), labels).data):
        assert got.shape == (9,)
        assert np.abs(got - expected).max() < 1e-14
    sure = np.array([[1e5, 0.0, 0.0]], np.float32)  # e^x overflows: the loss does not
    assert cross_entropy(sure, np.array([0])) == 0
    assert cross_entropy(sure, np.array([1])) == 1e5
    assert cross_entropy(sure, np.array([1])).dtype == np.float32


def test_the_gradient_of_the_loss_is_p_minus_one_hot():
    x = generator("gradient").standard_normal((5, 4)) + 300
    labels = np.array([3, 0, 0, 2, 1])
    leaf = Tensor(x, requires_grad=True)
    (found,) = gradients(cross_entropy(leaf, labels).sum(), [leaf])
    assert np.abs(found - (special.softmax(x, axis=1) - np.eye(4)[labels])).max() < 1e-13


def test_invalid_labels_are_refused():
    with pytest.raises(ValueError, match="labels must be from 0 to 3 for logits of 4 classes"):
        cross_entropy(np.zeros((2, 4)), np.array([0, 4]))
    with pytest.raises(ValueError, match="labels must be from 0 to 3"):
        cross_entropy(np.zeros((2, 4)), np.array([-1, 0]))
    with pytest.raises(ValueError, match=r"one label for each image, shape \(2,\), got \(1,\)"):
        cross_entropy(np.zeros((2, 4)), np.array([1]))


# The gradient of the whole.

@pytest.mark.parametrize("choice", ["reference", "fast"])
def test_the_gradient_of_every_parameter_and_of_the_image(case, choice):
    """⟨∇loss, v⟩ by the tape against one complex forward, along each parameter alone and all together."""
    net, x, labels = case
    rng = generator("directions")
    leaf = Tensor(x, requires_grad=True)
    with kernels(choice):
        grads = gradients(cross_entropy(net(leaf), labels).sum(), [*net.parameters(), leaf])
    names = [*(name for name, _ in net.named_parameters()), "x"]
    shapes = [g.shape for g in grads]
    # a bias that the normalisation takes out again has a gradient of 0 but for rounding
    floor = 0.01 * np.mean([np.abs(g).sum() for g in grads])
    for i in [*range(len(names)), None]:
        v = [rng.standard_normal(shape) if i in (j, None) else np.zeros(shape) for j, shape in enumerate(shapes)]
        order = iter(v)
        moved = net.clone(lambda p, order=order: Tensor(p.data + 1j * STEP * next(order)))
        loss = cross_entropy(moved(x + 1j * STEP * v[-1]), labels)
        assert loss.dtype == np.complex128
        forward = float(loss.data.imag.sum()) / STEP
        back = sum(inner(g, w) for g, w in zip(grads, v, strict=True))
        scale = sum(magnitude(g, w) for g, w in zip(grads, v, strict=True))
        assert abs(forward - back) <= 1e-12 * max(scale, floor), "all" if i is None else names[i]
