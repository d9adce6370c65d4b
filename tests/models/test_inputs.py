"""What nets are called with: floating-point images, and ints for t and the labels; all else is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from ddpm_np import Tensor
from ddpm_np.models import MLP, Classifier, ClassifierConfig, MLPConfig, UNet, UNetConfig
from ddpm_np.models.classifier import cross_entropy
from ddpm_np.sampling import predictor

N = 4
IMAGES = np.linspace(-1, 1, N * 64, dtype=np.float32).reshape(N, 8, 8, 1)
T = np.array([1, 2, 3, 4])
UNET, POINTS = UNet(UNetConfig(8, 1, 8, (1,), 1, (), groups=4)), MLP(MLPConfig(width=8, depth=1))
LABELLED = UNet(UNetConfig(8, 1, 8, (1,), 1, (), groups=4, num_classes=3))
CLASSIFIER = Classifier(ClassifierConfig(8, 1, 10))
WITH_T = {
    "U-Net": lambda t: UNET(IMAGES, t).data,
    "MLP": lambda t: POINTS(IMAGES[:, 0, :2, 0], t).data,
    "predictor": lambda t: predictor(UNET)(IMAGES, t),
}
WITH_X = {"U-Net": lambda x: UNET(x, T), "classifier": CLASSIFIER, "predictor": lambda x: predictor(UNET)(x, T)}
WRONG_T = {  # value -> error, words
    "a float": (5.0, TypeError, r"t must be an int or an int array of shape \(4,\), got 5.0"),
    "a bool": (True, TypeError, "got True"),
    "a list": ([1, 2, 3, 4], TypeError, r"got \[1, 2, 3, 4\]"),
    "None": (None, TypeError, "got None"),
    "floats": (T * 1.0, TypeError, r"got an array of shape \(4,\) and dtype float64"),
    "bools": (T > 2, TypeError, "dtype bool"),
    "objects": (T.astype(object), TypeError, "dtype object"),
    "a Tensor": (Tensor(T), TypeError, "got a Tensor: pass its array"),
    "one t for four": (np.array([5]), ValueError, r"expected one t for each \w+, shape \(4,\), got \(1,\)"),
    "a column": (T[:, None], ValueError, r"got \(4, 1\)"),
    "zeros": (T * 0, ValueError, "t must be at least 1, got 0 to 0"),
    "zero": (0, ValueError, "t must be at least 1, got 0"),
    "below zero": (T - 3, ValueError, "t must be at least 1, got -2 to 1"),
}
WRONG_X = {
    "bytes": (np.zeros((N, 8, 8, 1), np.uint8), TypeError, "images must be floating-point numbers, got dtype uint8"),
    "ints": (np.zeros((N, 8, 8, 1), int), TypeError, "got dtype int64"),
    "bools": (IMAGES > 0, TypeError, "got dtype bool"),
    "objects": (IMAGES.astype(object), TypeError, "got dtype object"),
    "no channels": (IMAGES[..., 0], ValueError, r"expected images of shape \(N, 8, 8, 1\), got"),
    "three channels": (np.repeat(IMAGES, 3, axis=3), ValueError, r"got \(\d, 8, 8, 3\)"),
    "another size": (IMAGES[:, :7], ValueError, r"got \(\d, 7, 8, 1\)"),
    "channels first": (IMAGES.transpose(0, 3, 1, 2), ValueError, r"got \(\d, 1, 8, 8\)"),
    "a number": (np.array(1.0), (TypeError, ValueError), r"got (\(\)|an array of shape \(\))"),
    "None": (None, TypeError, "got None"),
    "text": ("x", TypeError, "got "),
}


def refused(call, value, error, words):
    with pytest.raises(error, match=words) as caught:
        call(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("net", WITH_T)
@pytest.mark.parametrize("t", [3, np.int64(3), np.uint8(3), np.array(3), np.full(N, 3, np.uint8), np.full(N, 3)])
def test_one_t_is_the_t_of_every_image(net, t):
    assert WITH_T[net](t).tobytes() == WITH_T[net](np.full(N, 3)).tobytes()


@pytest.mark.parametrize("net", WITH_T)
@pytest.mark.parametrize("wrong", WRONG_T)
def test_any_other_t_is_refused_in_one_line(net, wrong):
    refused(WITH_T[net], *WRONG_T[wrong])


@pytest.mark.parametrize("net", WITH_X)
@pytest.mark.parametrize("wrong", WRONG_X)
def test_images_of_another_kind_are_refused_in_one_line(net, wrong):
    refused(WITH_X[net], *WRONG_X[wrong])


def test_an_empty_batch_gives_an_empty_batch():
    none = np.zeros(0, int)
    assert UNET(IMAGES[:0], none).shape == (0, 8, 8, 1)
    assert UNET(IMAGES[:0], 5).shape == (0, 8, 8, 1)
    assert predictor(UNET)(IMAGES[:0], none).shape == (0, 8, 8, 1)
    assert LABELLED(IMAGES[:0], none, none).shape == (0, 8, 8, 1)
    assert CLASSIFIER(IMAGES[:0]).shape == (0, 10)
    assert POINTS(np.zeros((0, 2), np.float32), none).shape == (0, 2)


def test_labels_are_checked_like_t():
    expected = LABELLED(IMAGES, T, np.full(N, 2)).data
    assert LABELLED(IMAGES, T, 2).data.tobytes() == expected.tobytes()
    for y, error, words in [
        (np.array([1]), ValueError, r"expected one y for each image, shape \(4,\), got \(1,\)"),
        (np.zeros((N, 1), int), ValueError, r"got \(4, 1\)"),
        (np.array([0.5, 1, 2, 0]), TypeError, "y must be an int or an int array"),
        (T > 2, TypeError, "dtype bool"),
        ([0, 1, 2, 0], TypeError, r"got \[0, 1, 2, 0\]"),
        (T, ValueError, "y must be from 0 to 2, got 1 to 4"),
        (3, ValueError, "y must be from 0 to 2, got 3"),
    ]:
        refused(lambda y: LABELLED(IMAGES, T, y), y, error, words)
        refused(lambda y: cross_entropy(np.zeros((N, 3)), y), y, (TypeError, ValueError), "label")


def test_cross_entropy_of_a_label_beside_a_class_of_probability_zero_is_finite():
    logits = Tensor(np.array([[0.0, 0.0, -np.inf]]), requires_grad=True)
    loss = cross_entropy(logits, np.array([0]))
    np.testing.assert_allclose(loss.data, np.log([2.0]))
    loss.sum().backward()
    np.testing.assert_allclose(logits.grad, [[-0.5, 0.5, 0.0]])
