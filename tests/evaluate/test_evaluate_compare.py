"""Comparison of two sets of images: figures, the floor, and the settings that a figure states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ddpm_np import evaluate
from ddpm_np.data import Dataset, digits
from ddpm_np.evaluate import ClassifierFeatures, Figure, Pixels, Training, compare, floor
from ddpm_np.models import Classifier, ClassifierConfig


def untrained():
    """Features of an untrained net."""
    return ClassifierFeatures(Classifier(ClassifierConfig(8, 1, 4)), Training("toy", "0", 30, 7, 5, 1e-3, 4, 10, 0.9))


def toy(n, name, seed=0):
    return Dataset(name, np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1), dtype=np.uint8), np.arange(n) % 3)


def test_a_figure_states_everything_it_depends_on():
    figure = Figure("KID", 0.00123456, 0.000234, "9 disjoint subsets of 10", "pixels", 12345, "digits train", 90, "ema")
    assert str(figure) == ("KID 0.00123 ± 0.00023 (standard error: 9 disjoint subsets of 10); features: pixels; "
                           "12,345 samples against 90 of digits train; EMA weights")
    assert str(dataclasses.replace(figure, value=123.4, error=12.3)).startswith("KID 123 ± 12 ")
    assert str(dataclasses.replace(figure, value=1.0, error=0.0)).startswith("KID 1.000000 ± 0.000000 ")
    assert str(dataclasses.replace(figure, weights="model")).endswith("; last weights, not averaged")
    for changed, message in [
        ({"features": ""}, "a figure's features is empty"), ({"reference": " "}, "a figure's reference is empty"),
        ({"method": ""}, "a figure's method is empty"), ({"weights": "average"}, "weights must be one of"),
        ({"value": np.nan}, "KID is nan"), ({"error": np.inf}, "with error inf"), ({"error": -1.0}, "with error -1.0")]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(figure, **changed)


def test_compare_computes_the_distances_of_the_features():
    made, data = untrained(), digits().scaled(slice(None))
    x, y = data[:300], data[300:700]
    figures = compare(x, y, made, reference_name="digits 300 to 699", weights="model", seed=3)
    a, b = made(x), made(y)

    def rng():
        return np.random.default_rng(3)

    precision, recall = evaluate.precision_recall(a, b)
    expected = {"FID": evaluate.fid(a, b, rng()), "KID": evaluate.kid(a, b, rng(), 30), "precision": precision,
                "recall": recall, "IS": evaluate.inception_score(made.probabilities(x), rng())}
    assert figures == [Figure(name, *estimate, made.name, 300, "digits 300 to 699", 400, "model")
                       for name, estimate in expected.items()]
    assert figures == compare(x, y, made, reference_name="digits 300 to 699", weights="model", seed=3)


def test_incomparable_image_sets_are_refused():
    x = np.zeros((25, 8, 8, 1))

    class Broken:
        name = "broken"

        def __call__(self, images):
            return np.where(np.arange(len(images)) == 4, np.nan, 1.0)[:, None]

    for call, message in [
        (lambda: compare(x[:19], x, Pixels(), reference_name="r", weights="ema"), "at least 20 .* got 19 and 25: draw"),
        (lambda: compare(x, x[:, :4], Pixels(), reference_name="r", weights="ema"), r"samples are \(8, 8, 1\) images"),
        (lambda: compare(x, x + 2, Pixels(), reference_name="r", weights="ema"), "expected images in"),
        (lambda: compare(x, x, Broken(), reference_name="r", weights="ema"), "row 4 of x is not finite: look at image"),
        (lambda: compare(x, x, Pixels(), reference_name="", weights="ema"), "reference is empty"),
        (lambda: compare(x, x, Pixels(), reference_name="r", weights="best"), "weights must be one of 'ema', 'model'"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_the_floor_is_real_images_against_real_images():
    seen = []

    class Watching(Pixels):
        def __call__(self, images):
            seen.append(images)
            return super().__call__(images)

    train, test = toy(60, "mnist"), toy(50, "mnist", seed=1)
    figures = floor(train, test, Watching(), images=40, seed=5)
    assert [len(np.unique(x.reshape(len(x), -1), axis=0)) for x in seen] == [40, 40]  # none twice
    for x, data in zip(seen, (train, test), strict=True):
        own = {image.tobytes() for image in data.scaled(slice(None))}
        assert {image.tobytes() for image in x} <= own
    assert {(f.samples, f.references, f.reference, f.weights) for f in figures} == {
        (40, 40, "mnist test (samples: mnist train)", "none")}
    assert floor(train, test, Pixels())[0].references == 50  # as many as both have
    assert figures == floor(train, test, Pixels(), images=40, seed=5)
    assert figures != floor(train, test, Pixels(), images=40, seed=6)
