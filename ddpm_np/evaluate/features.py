"""What images are compared by: features, each with a name that says all that their numbers depend on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ddpm_np.autograd.ops.attention import softmax_of
from ddpm_np.autograd.tensor import Tensor, no_grad
from ddpm_np.models import Classifier
from ddpm_np.nn import host_state
from ddpm_np.parallel.threads import default_workers, map_in_order
from ddpm_np.storage import digest

VERSION = 1  # of the classifier's shape and training: another one gives other numbers
_BATCH = 250  # images at a time


class Features(Protocol):
    """A function from images to vectors, by which two sets of images are compared."""

    @property
    def name(self) -> str:
        """What it is, its version, the data it was trained on and how: all that a figure must stand with."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The features (N, F) float64 of images (N, H, W, C) in [−1, 1]."""


@runtime_checkable
class Classifies(Protocol):
    """Features that also say of which class an image is."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """p(y|x), (N, K) float64, of images (N, H, W, C) in [−1, 1]."""


def checked_images(images: Any) -> np.ndarray:
    """Images as (N, H, W, C) float32 in [−1, 1].

    Raises
    ------
    ValueError
        For another shape, numbers outside [−1, 1] by more than rounding, or not finite.

    Examples
    --------
    >>> checked_images(np.full((1, 8, 8, 1), 255))
    Traceback (most recent call last):
    ValueError: expected images in [-1, 1], got numbers from 255 to 255: use a data set's scaled(...)
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"expected images of shape (N, H, W, C), got {images.shape}: add the axes that are missing")
    low, high = images.min(), images.max()
    if not (low >= -1.00001 and high <= 1.00001):  # NaN is neither
        raise ValueError(f"expected images in [-1, 1], got numbers from {low:.4g} to {high:.4g}: use a data set's "
                         "scaled(...)")
    return images.astype(np.float32)


class Pixels:
    """The pixels themselves: features that need no training, and see no likeness but that of place.

    Examples
    --------
    >>> Pixels()(np.zeros((2, 8, 8, 1))).shape
    (2, 64)
    """

    name = "pixels"

    def __call__(self, images: Any) -> np.ndarray:
        """(N, H·W·C) float64."""
        images = checked_images(images)
        return images.reshape(len(images), -1).astype(np.float64)


@dataclass(frozen=True)
class Training:
    """How a classifier was trained and how well it does: what its name says and its file keeps.

    Attributes
    ----------
    dataset, data
        The data set's name, and the first digits of a SHA-256 over its images and labels.
    images, steps, batch_size, learning_rate, seed
        Of the training.
    held_out, accuracy
        How many images of known label it was tried on, none of them trained on, and the share it got right.
    """

    dataset: str
    data: str
    images: int
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    held_out: int
    accuracy: float


class ClassifierFeatures:
    """The features of a trained classifier, and its probabilities.

    Parameters
    ----------
    net
        The trained classifier.
    training
        How it was trained.
    """

    def __init__(self, net: Classifier, training: Training):
        self.net, self.training = net, training

    @cached_property
    def name(self) -> str:
        """Version, data set, training, held-out accuracy, and the start of the `sha256` of it all."""
        t = self.training
        return (f"classifier {VERSION} of {t.dataset} (data {t.data}, {t.images:,} images, {t.steps:,} steps of "
                f"{t.batch_size}, seed {t.seed}, {t.accuracy:.2%} right of {t.held_out:,} held out, weights "
                f"{self.sha256[:12]})")

    @cached_property
    def sha256(self) -> str:
        """Over the weights, the net's configuration and the training."""
        return digest(self.metadata(), host_state(self.net))

    def metadata(self) -> dict[str, str]:
        """What its file holds beside the weights."""
        return {"version": str(VERSION), "model": json.dumps(asdict(self.net.config), sort_keys=True),
                "training": json.dumps(asdict(self.training), sort_keys=True)}

    def __call__(self, images: Any) -> np.ndarray:
        """The last block's channels, averaged over positions: (N, F) float64."""
        return self._run(self.net.features, images)

    def probabilities(self, images: Any) -> np.ndarray:
        """p(y|x): (N, K) float64."""
        return softmax_of(self._run(self.net, images))

    def _run(self, part: Any, images: Any) -> np.ndarray:
        images = checked_images(images)

        def batch(start: int) -> np.ndarray:
            with no_grad():
                return part(Tensor(images[start : start + _BATCH])).data

        batches = map_in_order(batch, range(0, len(images), _BATCH), default_workers())
        return np.concatenate(list(batches)).astype(np.float64)
