"""Features to compare images by, each with a name that states everything their values depend on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from ddpm_np.autograd.ops.attention import softmax_of
from ddpm_np.autograd.tensor import Tensor, no_grad
from ddpm_np.backend import Array
from ddpm_np.models import Classifier
from ddpm_np.nn import host_state
from ddpm_np.parallel.threads import default_workers, map_in_order
from ddpm_np.storage import digest

VERSION = 1  # of the classifier's architecture and training: numbers of different versions are not comparable
_BATCH = 250  # images in a forward pass


class Features(Protocol):
    """A function from images to feature vectors, used to compare two sets of images."""

    @property
    def name(self) -> str:
        """Kind, version, training data and training of the features: what a reported figure has to state.

        Returns
        -------
        str
            The name.
        """

    def __call__(self, images: Array) -> np.ndarray:
        """Compute the features of images.

        Parameters
        ----------
        images : array of shape (N, H, W, C)
            Images in [−1, 1].

        Returns
        -------
        float64 array of shape (N, F)
            One feature vector for each image.
        """


@runtime_checkable
class Classifies(Protocol):
    """Features that also give class probabilities."""

    def probabilities(self, images: Array) -> np.ndarray:
        """Compute p(y|x) of images.

        Parameters
        ----------
        images : array of shape (N, H, W, C)
            Images in [−1, 1].

        Returns
        -------
        float64 array of shape (N, K)
            The probability of each class, a row for each image.
        """


def checked_images(images: Array) -> np.ndarray:
    """Check images and return them in single precision.

    Parameters
    ----------
    images : array of shape (N, H, W, C)
        Images in [−1, 1].

    Returns
    -------
    float32 array of shape (N, H, W, C)
        The images.

    Raises
    ------
    ValueError
        If the shape is wrong, or a number is not finite or lies outside [−1, 1] by more than rounding.

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
    """Raw pixels as features: they need no training and compare images only position by position.

    Examples
    --------
    >>> Pixels()(np.zeros((2, 8, 8, 1))).shape
    (2, 64)
    """

    name = "pixels"

    def __call__(self, images: Array) -> np.ndarray:
        """Flatten images into vectors.

        Parameters
        ----------
        images : array of shape (N, H, W, C)
            Images in [−1, 1].

        Returns
        -------
        float64 array of shape (N, H·W·C)
            The pixels of each image.
        """
        images = checked_images(images)
        return images.reshape(len(images), -1).astype(np.float64)


@dataclass(frozen=True)
class Training:
    """A record of a classifier's training and accuracy, kept in its name and its file.

    Attributes
    ----------
    dataset : str
        Name of the data set.
    data : str
        First digits of a SHA-256 over its images and labels (`fingerprint`).
    images : int
        Number of training images.
    steps : int
        Number of updates.
    batch_size : int
        Images in a batch.
    learning_rate : float
        Learning rate at the first update.
    seed : int
        Seed of the training.
    held_out : int
        Number of labelled images that were not trained on.
    accuracy : float
        Share of the held-out images classified correctly.
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
    """The features and class probabilities of a trained classifier.

    Parameters
    ----------
    net : Classifier
        The trained classifier.
    training : Training
        The record of its training.
    """

    def __init__(self, net: Classifier, training: Training):
        self.net, self.training = net, training

    @cached_property
    def name(self) -> str:
        """Version, data set, training, held-out accuracy, and the start of `sha256`.

        Returns
        -------
        str
            The name that figures state.
        """
        t = self.training
        return (f"classifier {VERSION} of {t.dataset} (data {t.data}, {t.images:,} images, {t.steps:,} steps of "
                f"{t.batch_size}, seed {t.seed}, {t.accuracy:.2%} right of {t.held_out:,} held out, weights "
                f"{self.sha256[:12]})")

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the weights, the net's configuration and the training record.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return digest(self.metadata(), host_state(self.net))

    def metadata(self) -> dict[str, str]:
        """Return the metadata that the classifier's file holds beside the weights.

        Returns
        -------
        dict
            Version, model configuration and training record, the last two as JSON.
        """
        return {"version": str(VERSION), "model": json.dumps(asdict(self.net.config), sort_keys=True),
                "training": json.dumps(asdict(self.training), sort_keys=True)}

    def __call__(self, images: Array) -> np.ndarray:
        """Compute the last block's channels, averaged over positions.

        Parameters
        ----------
        images : array of shape (N, H, W, C)
            Images in [−1, 1].

        Returns
        -------
        float64 array of shape (N, F)
            One feature vector for each image.
        """
        return self._run(self.net.features, images)

    def probabilities(self, images: Array) -> np.ndarray:
        """Compute the class probabilities p(y|x).

        Parameters
        ----------
        images : array of shape (N, H, W, C)
            Images in [−1, 1].

        Returns
        -------
        float64 array of shape (N, K)
            The probability of each class, a row for each image.
        """
        return softmax_of(self._run(self.net, images))

    def _run(self, part: Callable[[Tensor], Tensor], images: Array) -> np.ndarray:
        """Apply `part` of the net to batches of images, without gradients; (N, …) float64."""
        images = checked_images(images)

        def batch(start: int) -> np.ndarray:
            with no_grad():
                return part(Tensor(images[start : start + _BATCH])).data

        batches = map_in_order(batch, range(0, len(images), _BATCH), default_workers())
        return np.concatenate(list(batches)).astype(np.float64)
