"""Labels are whole numbers from 0, wherever they come from, before a run starts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ddpm_np.config import Config
from ddpm_np.data import Batches, DataError, Dataset, open_dataset
from ddpm_np.data.labels import whole_labels
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs.checks import check_data, empty_classes
from ddpm_np.training.trainer import Trainer

IMAGES = np.zeros((3, 8, 8, 1), np.uint8)
WRONG = [  # three labels, what is said
    ([0.1, 0.9, 1.9], "has the label 0.1 (of image 0)"),
    ([0, 1, np.nan], "has the label nan (of image 2)"),
    ([0, 1, np.inf], "has the label inf (of image 2)"),
    ([0, 2.0**63, 1], "has the label 9.223372036854776e+18 (of image 1)"),
    (np.array([0, 2**63, 1], np.uint64), "has the label 9223372036854775808 (of image 1)"),
    ([0, -1, 1], "has the label -1 (of image 1)"),
    (np.array([0, -1, 1], np.int8), "has the label -1 (of image 1)"),
    (["cat", "dog", "cat"], "labels of dtype <U3, such as 'cat'"),
    (np.array([0, None, 1], object), "labels of dtype object, such as 0"),
    ([True, False, True], "labels of dtype bool, such as True"),
    ([1j, 0, 0], "labels of dtype complex128"),
    (np.zeros(3, "datetime64[s]"), "labels of dtype datetime64"),
    ([0, 1], "3 images and labels of shape (2,)"),
    (np.zeros((3, 1), int), "3 images and labels of shape (3, 1)"),
    (0, "3 images and labels of shape ()"),
    ([[0], [0, 1], 2], "has labels that are no array"),
]


@pytest.mark.parametrize(("labels", "said"), WRONG)
def test_labels_that_are_not_whole_numbers_are_refused(tmp_path, labels, said):
    """By hand, in a file, and in a data set of another class."""
    @dataclasses.dataclass
    class Other:
        name = "other"
        levels, shape = 256, (8, 8, 1)
        labels: object

        def __len__(self):
            return 3

    for make in (lambda: Dataset("mine", IMAGES, labels), lambda: Batches(Other(labels), 2)):
        with pytest.raises(DataError) as error:
            make()
        assert said in str(error.value)
        assert "\n" not in str(error.value)
    if "no array" in said:
        return
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels)
    with pytest.raises(DataError, match=r"a\.npz") as error:
        open_dataset(str(tmp_path / "a.npz"))
    assert said in str(error.value) or "holds Python objects" in str(error.value)


@pytest.mark.parametrize("dtype", ["int8", "uint8", ">i2", "int64", "uint64", "float16", "float32", "float64"])
def test_whole_labels_of_any_number_type_are_kept(tmp_path, dtype):
    labels = np.array([2, 0, 100], dtype)
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels)
    for found in (Dataset("mine", IMAGES, labels).labels, open_dataset(str(tmp_path / "a.npz")).labels,
                  Dataset("mine", IMAGES, labels.tolist()).labels):
        assert found.dtype == np.int64
        assert found.tolist() == [2, 0, 100]
    assert whole_labels([], 0, "x").shape == (0,)


@pytest.mark.parametrize(("images", "levels", "said"), [
    (np.zeros((3, 8, 8, 1)), 256, r"must be a uint8 array .* got float64 of shape \(3, 8, 8, 1\)"),
    (np.zeros((3, 8, 8), np.uint8), 256, "must be a uint8 array"),
    ([[0]], 256, "got list"),
    (np.full((3, 8, 8, 1), 17, np.uint8), 17, "values up to 17: levels must be above that, got 17"),
])
def test_images_that_would_be_scaled_wrongly_are_refused(images, levels, said):
    with pytest.raises(DataError, match=said):
        Dataset("mine", images, None, levels)


def with_classes(n):
    config = Config.preset("digits")
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=n))


def test_a_net_has_a_class_for_each_label():
    check_data(Dataset("mine", IMAGES, [0, 1, 2]), with_classes(4))
    with pytest.raises(ValueError, match=r"labels up to 5, so 6 classes, .* --set model\.num_classes=7"):
        check_data(Dataset("mine", IMAGES, [0, 5, 0]), with_classes(4))
    with pytest.raises(ValueError, match=r"has the label 1,099,511,627,776, .*at most 100,000: number the labels anew"):
        check_data(Dataset("mine", IMAGES, [0, 2**40, 0]), with_classes(4))


def test_classes_without_an_image_are_a_warning():
    assert empty_classes(Dataset("mine", IMAGES, [0, 1, 2]), with_classes(4)) is None
    assert empty_classes(Dataset("mine", IMAGES, None), with_classes(None)) is None
    assert empty_classes(Dataset("mine", IMAGES, [0, 5, 2]), with_classes(7)) == (
        "'mine' has no image of 3 of 6 classes, the first of which is 1: the net will not learn them")


def test_a_step_refuses_labels_that_are_dropped_too():
    """With label_dropout=1 no label reaches the net, which would refuse it."""
    net = UNet(UNetConfig(8, 1, 4, (1,), 1, (), groups=2, num_classes=3))
    trainer = Trainer(net, linear_schedule(10), no_label=2, label_dropout=1.0, workers=1)
    x_0 = np.zeros((2, 8, 8, 1), np.float32)
    for labels, said in (([0, -1], "labels must be ints from 0, got -1"), ([0.0, 1.0], "ints from 0, got float64"),
                         ([True, False], "ints from 0, got bool"), (None, "one label for each image"),
                         (np.array([0, 2**63], np.uint64), "ints from 0, got -9223372036854775808"),
                         ([0], "one label for each image")):
        with pytest.raises(ValueError, match=said):
            trainer.step(x_0, labels if labels is None else np.asarray(labels))
    assert trainer.steps == 0
    trainer.step(x_0, [0, 1])
    assert trainer.steps == 1
