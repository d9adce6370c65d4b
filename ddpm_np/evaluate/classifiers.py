"""Classifiers for evaluation: trained once for a data set and cached in one file, keyed by a hash of the data."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import arguments
from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import gradients, no_grad
from ddpm_np.data.dataset import Images, epoch_order
from ddpm_np.data.errors import DataError
from ddpm_np.data.labels import whole_labels
from ddpm_np.data.published import cache
from ddpm_np.evaluate.features import VERSION, ClassifierFeatures, Training
from ddpm_np.models import Classifier, ClassifierConfig
from ddpm_np.models.classifier import cross_entropy
from ddpm_np.nn import host_state
from ddpm_np.parallel.threads import contiguous_spans, default_workers, map_in_order
from ddpm_np.runs.checkpoint import CheckpointError, printable
from ddpm_np.storage import digest, safetensors_pieces, write_atomically
from ddpm_np.training.adam import Adam
from ddpm_np.training.flat import norm_by_blocks
from ddpm_np.training.trainer import TrainingDiverged

FORMAT = "ddpm_np classifier 1"
SHARDS = 4  # parts of a batch, whose gradients are added in order


def train_classifier(dataset: Images, held_out: Images | None = None, *, steps: int | None = None,
                     batch_size: int = 128, learning_rate: float = 2e-3, seed: int = 0,
                     workers: int | None = None) -> ClassifierFeatures:
    """Train a `Classifier` on labelled images.

    Adam minimises the mean of −ln p(y|x); its learning rate falls linearly to 0. The result is a function of the data,
    `steps`, `batch_size`, `learning_rate` and `seed` alone.

    Parameters
    ----------
    dataset : Images
        Training images with labels 0..K − 1.
    held_out : Images or None
        Images and labels of the same kind (a test split) to measure the accuracy on. None: a fifth of `dataset`,
        chosen by the seed, is held out.
    steps : int or None
        Updates. None: three epochs, and at least 200 updates.
    batch_size : int
        Images in a batch.
    learning_rate : float
        Adam's learning rate at the first update.
    seed : int
        Seed of the weights, the batches and the choice of held-out images.
    workers : int or None
        Threads; None: one for each CPU. Any number gives the same bits.

    Returns
    -------
    ClassifierFeatures
        The trained classifier with a record of its training.

    Raises
    ------
    DataError
        If there are no labels, too few images, or if `held_out` has images of another shape or unknown labels.
    ValueError
        If `steps`, `batch_size` or `learning_rate` is not positive.
    TrainingDiverged
        If a gradient is not finite.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> features = train_classifier(open_dataset("digits"), steps=5)
    >>> features.training.held_out, features(np.zeros((2, 8, 8, 1))).shape
    (359, (2, 64))
    """
    labels = _labels(dataset)
    classes = int(labels.max()) + 1
    if held_out is None:
        order = epoch_order(len(dataset), seed, 0)
        tried, index = np.split(order, [len(order) // 5])
        held_out = dataset
    else:
        index, tried = np.arange(len(dataset)), np.arange(len(held_out))
    if held_out.shape != dataset.shape or _labels(held_out).max() >= classes:
        raise DataError(f"{held_out.name!r} is held out for {dataset.name!r}, but its images or labels are of another "
                        "kind: give a split of the same data set")
    if steps is not None:
        arguments.count("steps", steps)
    arguments.count("batch_size", batch_size)
    if workers is not None:
        arguments.count("workers", workers)
    arguments.number("learning_rate", learning_rate, above=0)
    steps = steps or max(200, 3 * len(index) // batch_size)

    height, width, channels = dataset.shape
    net = Classifier(ClassifierConfig((height, width), channels, max(classes, 2)), seed)
    adam = Adam(net.parameters(), learning_rate)
    batches = _batches(index, batch_size, seed)
    for k in range(steps):
        adam.lr = learning_rate * (1 - k / steps)
        place = next(batches)
        _step(net, adam, dataset.scaled(place), labels[place], workers or default_workers())
    accuracy = _accuracy(net, held_out, tried)
    return ClassifierFeatures(net, Training(dataset.name, fingerprint(dataset), len(index), steps, batch_size,
                                            learning_rate, seed, len(tried), accuracy))


def _labels(dataset: Images) -> np.ndarray:
    """Return the labels of a data set; raise `DataError` if it has none that a classifier can learn."""
    labels = dataset.labels
    if labels is None:
        raise DataError(f"the data set {dataset.name!r} has no labels: a classifier learns from labels; compare by "
                        "pixels, or by a classifier of another data set with images of that shape")
    labels = whole_labels(labels, len(dataset), repr(dataset.name))
    if len(labels) < 10:
        raise DataError(f"a classifier needs at least 10 images with labels from 0, {dataset.name!r} has "
                        f"{len(labels)}")
    return labels


def _batches(index: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of indices without end: a new order for each epoch, an incomplete last batch dropped."""
    size, epoch = min(size, len(index)), 0
    while True:
        epoch += 1  # order 0 chose the held-out images
        order = index[epoch_order(len(index), seed, epoch)]
        yield from order[: len(order) // size * size].reshape(-1, size)


def _step(net: Classifier, adam: Adam, x: np.ndarray, labels: np.ndarray, workers: int) -> None:
    """Make one update from the gradients of the shards' losses, added in shard order."""
    def shard(piece: tuple[int, int]) -> list[Any]:
        part = slice(*piece)
        loss = ops.sum_(cross_entropy(net(x[part]), labels[part])) / len(x)
        return gradients(loss, adam.flat.parameters)

    for i, grads in enumerate(map_in_order(shard, contiguous_spans(len(x), SHARDS), workers)):
        adam.flat.add(grads, first=i == 0)
    norm = norm_by_blocks(adam.flat.grad)
    if not np.isfinite(norm):
        raise TrainingDiverged(f"a gradient of the classifier was not finite (norm {norm}): take a smaller "
                               "learning_rate")
    adam.update(np.asarray(True))


def _accuracy(net: Classifier, dataset: Images, index: np.ndarray) -> float:
    """Return the share of images whose label is the most probable class."""
    def right(start: int) -> int:
        place = index[start : start + 1000]
        with no_grad():
            best = np.argmax(net(dataset.scaled(place)).data, axis=1)  # (1000,)
        return int(np.sum(best == _labels(dataset)[place]))

    return sum(map_in_order(right, range(0, len(index), 1000), default_workers())) / len(index)


def fingerprint(dataset: Images) -> str:
    """Return the first 8 hexadecimal digits of a SHA-256 over a data set's images and labels.

    Parameters
    ----------
    dataset : Images
        The data set.

    Returns
    -------
    str
        Eight hexadecimal digits.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> len(fingerprint(open_dataset("digits")))
    8
    """
    found = hashlib.sha256(f"{len(dataset)} {dataset.shape}".encode())
    for start in range(0, len(dataset), 1000):
        found.update(np.ascontiguousarray(dataset.scaled(slice(start, start + 1000))).data)
    if dataset.labels is not None:
        found.update(np.ascontiguousarray(dataset.labels).data)
    return found.hexdigest()[:8]


def save_classifier(path: str | Path, features: ClassifierFeatures) -> None:
    """Write a classifier to one safetensors file, atomically; the same classifier gives the same bytes.

    Parameters
    ----------
    path : str or Path
        The file to write.
    features : ClassifierFeatures
        The classifier.
    """
    metadata = {"format": FORMAT, **features.metadata(), "sha256": features.sha256}
    write_atomically(Path(path), safetensors_pieces(host_state(features.net), metadata))


def load_classifier(path: str | Path) -> ClassifierFeatures:
    """Load a classifier from the file that `save_classifier` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    ClassifierFeatures
        The classifier.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, holds something else, or was written by another version.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"no classifier at {path}: save_classifier writes one")
    again = "delete it, and it is trained again"
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({printable(error)}): {again}") from error
    if metadata.pop("format", None) != FORMAT or metadata.get("version") != str(VERSION):
        raise CheckpointError(f"{path} holds no classifier of version {VERSION}: {again}")
    if metadata.pop("sha256", None) != digest(metadata, tensors):
        raise CheckpointError(f"{path} has changed since it was written (its SHA-256 differs): {again}")
    try:
        net = Classifier(ClassifierConfig(**json.loads(metadata["model"])))
        net.load_state_dict(tensors)
        return ClassifierFeatures(net, Training(**json.loads(metadata["training"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was not written by save_classifier ({printable(error)}): {again}") from error


def classifier_features(dataset: Images, held_out: Images | None = None, *, folder: str | Path | None = None,
                        workers: int | None = None, say: Callable[[str], Any] = warnings.warn) -> ClassifierFeatures:
    """Return the classifier of a data set, loading it from the cache or training and caching it.

    Parameters
    ----------
    dataset : Images
        Training images with labels, as in `train_classifier`.
    held_out : Images or None
        Images to measure the accuracy on, as in `train_classifier`.
    folder : str, Path or None
        Folder of the cached files. None: ``classifiers`` beside the downloaded data sets.
    workers : int or None
        Threads for the training, as in `train_classifier`.
    say : callable
        Called with a line if the classifier cannot be cached.

    Returns
    -------
    ClassifierFeatures
        The classifier.

    Raises
    ------
    DataError
        If a classifier has to be trained and the data set has no labels.
    CheckpointError
        If the cached file is damaged.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", dataset.name).strip("-")
    data = "-".join(fingerprint(images) for images in (dataset, held_out) if images is not None)
    try:
        place = Path(folder or cache() / "classifiers")
    except DataError as error:
        say(f"the classifier cannot be kept for the next time: {error}")
        return train_classifier(dataset, held_out, workers=workers)
    path = place / f"{name}-{data}-v{VERSION}.safetensors"
    if path.exists():
        return load_classifier(path)
    trained = train_classifier(dataset, held_out, workers=workers)
    try:
        save_classifier(path, trained)
    except OSError as error:
        say(f"the classifier cannot be kept for the next time ({path}: {error.strerror or error})")
    return trained
