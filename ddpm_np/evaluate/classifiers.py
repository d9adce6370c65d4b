"""Classifiers for evaluation: trained once for a data set, kept as one file, found again by the data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import gradients, no_grad
from ddpm_np.data.dataset import DataError, Images, epoch_order
from ddpm_np.data.known import cache
from ddpm_np.evaluate.features import VERSION, ClassifierFeatures, Training
from ddpm_np.models import Classifier, ClassifierConfig
from ddpm_np.models.classifier import cross_entropy
from ddpm_np.nn import host_state
from ddpm_np.parallel.threads import contiguous_spans, default_workers, map_in_order
from ddpm_np.runs.checkpoint import CheckpointError
from ddpm_np.storage import digest, safetensors_pieces, write_atomically
from ddpm_np.training.adam import Adam
from ddpm_np.training.flat import norm_by_blocks
from ddpm_np.training.trainer import TrainingDiverged

FORMAT = "ddpm_np classifier 1"
SHARDS = 4  # parts of a batch, whose gradients are added in order


def train_classifier(dataset: Images, held_out: Images | None = None, *, steps: int | None = None,
                     batch_size: int = 128, learning_rate: float = 2e-3, seed: int = 0,
                     workers: int | None = None) -> ClassifierFeatures:
    """Train a `Classifier` on labelled images: Adam down the mean of −ln p(y|x), at a rate that falls to 0 in a line.

    Parameters
    ----------
    dataset
        Images with labels 0..K − 1.
    held_out
        Images to find its accuracy by, of the same kind (a test split); None: a fifth of `dataset`, chosen by the seed,
        is not trained on.
    steps
        None for three epochs, and for 200 at least.
    batch_size, learning_rate, seed
        Of the training; the result is a function of the data and these.
    workers
        Threads, None for one a CPU: any number gives the same bits.

    Returns
    -------
    ClassifierFeatures

    Raises
    ------
    DataError
        If there are no labels, too few images, or the two sets are of different kinds.
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
    if min(1 if steps is None else steps, batch_size) < 1 or not learning_rate > 0:
        raise ValueError("steps, batch_size and learning_rate must be positive, got "
                         f"{steps}, {batch_size} and {learning_rate}")
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
    """The labels of a data set that has some."""
    labels = dataset.labels
    if labels is None:
        raise DataError(f"the data set {dataset.name!r} has no labels: a classifier learns from labels; compare by "
                        "pixels, or by a classifier of another data set with images of that shape")
    if len(labels) < 10 or labels.min() < 0:
        raise DataError(f"a classifier needs at least 10 images with labels from 0, {dataset.name!r} has {len(labels)} "
                        f"and labels from {labels.min(initial=0)}")
    return labels


def _batches(index: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of places without end: every epoch in a new order, what does not fill a batch left out."""
    size, epoch = min(size, len(index)), 0
    while True:
        epoch += 1  # order 0 chose what is held out
        order = index[epoch_order(len(index), seed, epoch)]
        yield from order[: len(order) // size * size].reshape(-1, size)


def _step(net: Classifier, adam: Adam, x: np.ndarray, labels: np.ndarray, workers: int) -> None:
    """One update: gradients of the shards' losses, added in order."""
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
    """The share of images whose label is the most probable class."""
    def right(start: int) -> int:
        place = index[start : start + 1000]
        with no_grad():
            best = np.argmax(net(dataset.scaled(place)).data, axis=1)  # (1000,)
        return int(np.sum(best == _labels(dataset)[place]))

    return sum(map_in_order(right, range(0, len(index), 1000), default_workers())) / len(index)


def fingerprint(dataset: Images) -> str:
    """The first 8 hexadecimal digits of a SHA-256 over a data set's images and labels."""
    found = hashlib.sha256(f"{len(dataset)} {dataset.shape}".encode())
    for start in range(0, len(dataset), 1000):
        found.update(np.ascontiguousarray(dataset.scaled(slice(start, start + 1000))).data)
    if dataset.labels is not None:
        found.update(np.ascontiguousarray(dataset.labels).data)
    return found.hexdigest()[:8]


def save_classifier(path: str | Path, features: ClassifierFeatures) -> None:
    """Write a classifier to one safetensors file, whole or not at all; the same classifier gives the same bytes."""
    metadata = {"format": FORMAT, **features.metadata(), "sha256": features.sha256}
    write_atomically(Path(path), safetensors_pieces(host_state(features.net), metadata))


def load_classifier(path: str | Path) -> ClassifierFeatures:
    """The classifier in a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged, holds something else, or was written by another version.
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
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): {again}") from error
    if metadata.pop("format", None) != FORMAT or metadata.get("version") != str(VERSION):
        raise CheckpointError(f"{path} holds no classifier of version {VERSION}: {again}")
    if metadata.pop("sha256", None) != digest(metadata, tensors):
        raise CheckpointError(f"{path} has changed since it was written (its SHA-256 differs): {again}")
    try:
        net = Classifier(ClassifierConfig(**json.loads(metadata["model"])))
        net.load_state_dict(tensors)
        return ClassifierFeatures(net, Training(**json.loads(metadata["training"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was written by hand ({error}): {again}") from error


def classifier_features(dataset: Images, held_out: Images | None = None, *, folder: str | Path | None = None,
                        workers: int | None = None) -> ClassifierFeatures:
    """The classifier of a data set: from its file, or else trained by `train_classifier` and kept.

    Parameters
    ----------
    dataset, held_out, workers
        As in `train_classifier`.
    folder
        Where files are kept; None for ``classifiers`` beside the downloaded data sets.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", dataset.name).strip("-")
    data = "-".join(fingerprint(images) for images in (dataset, held_out) if images is not None)
    path = Path(folder or cache() / "classifiers") / f"{name}-{data}-v{VERSION}.safetensors"
    if not path.exists():
        save_classifier(path, train_classifier(dataset, held_out, workers=workers))
    return load_classifier(path)
