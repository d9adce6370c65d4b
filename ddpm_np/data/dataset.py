"""A data set of images and the order in which training sees them, which depends on the seed and the step alone."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ddpm_np import arguments
from ddpm_np.backend import get_backend
from ddpm_np.data.errors import DataError
from ddpm_np.data.labels import whole_labels


class Images(Protocol):
    """The interface of a data set, whether it is held in memory or read on demand."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def labels(self) -> np.ndarray | None:
        """Labels (N,) int64, or None."""

    @property
    def levels(self) -> int:
        """Number of values that an element can take."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of one image."""

    def __len__(self) -> int: ...

    def scaled(self, index: Any) -> np.ndarray:
        """Return the images at `index` in [−1, 1], (n, H, W, C) float32."""


@dataclass(frozen=True)
class Dataset:
    """Images of one size with their labels, in memory.

    Parameters
    ----------
    name : str
        Name of the data set.
    images : uint8 array of shape (N, H, W, C)
        Values 0 .. levels − 1.
    labels : int array of shape (N,) or None
        The class of each image, a whole number from 0; kept as int64.
    levels : int
        Number of values that an element can take: 256 for bytes, 17 for the digits.

    Raises
    ------
    DataError
        If the images have another dtype, shape or range, or the labels are not whole numbers from 0, one for each.

    Examples
    --------
    >>> Dataset("two", np.zeros((2, 8, 8, 1), np.uint8), [0, -1])
    Traceback (most recent call last):
    ddpm_np.data.errors.DataError: 'two' has the label -1 (of image 1): labels are whole numbers from 0; ...
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    levels: int = 256

    def __post_init__(self) -> None:
        arguments.count("levels", self.levels, 2, 256)
        images = self.images
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
            array = isinstance(images, np.ndarray)
            given = f"{images.dtype} of shape {images.shape}" if array else type(images).__name__
            raise DataError(f"the images of {self.name!r} must be a uint8 array of shape (N, H, W, C), got {given}: "
                            "to_levels rounds images in [−1, 1]")
        if self.levels < 256 and images.max(initial=1) >= self.levels:
            raise DataError(f"the images of {self.name!r} have values up to {images.max(initial=1)}: levels must be "
                            f"above that, got {self.levels}")
        if self.labels is not None:
            object.__setattr__(self, "labels", whole_labels(self.labels, len(images), repr(self.name)))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of one image."""
        return self.images.shape[1:]

    def scaled(self, index: Any) -> np.ndarray:
        """Return the images at `index` in [−1, 1] by `scale`, (n, H, W, C) float32."""
        return scale(self.images[index], self.levels)


def scale(images: np.ndarray, levels: int) -> np.ndarray:
    """Map the values 0 .. levels − 1 linearly onto [−1, 1]: 2·value/(levels − 1) − 1.

    Parameters
    ----------
    images : uint8 array
        Values 0 .. levels − 1.
    levels : int
        Number of values that an element can take.

    Returns
    -------
    float32 array
        The images in [−1, 1], of the same shape.
    """
    return images.astype(np.float32) * np.float32(2 / (levels - 1)) - np.float32(1)


def to_levels(images: Any, levels: int = 256) -> np.ndarray:
    """Round images in [−1, 1] to the nearest of the values 0 .. levels − 1; the inverse of `scale`.

    Parameters
    ----------
    images : array
        Images in [−1, 1]; numbers outside are clipped.
    levels : int
        Number of values that an element can take.

    Returns
    -------
    uint8 array
        Values 0 .. levels − 1, of the same shape.

    Raises
    ------
    ValueError
        If a number is nan, or `levels` is not from 2 to 256, as bytes can have.

    Examples
    --------
    >>> to_levels([-1.0, 0.1, 2.0])
    array([  0, 140, 255], dtype=uint8)
    """
    arguments.count("levels", levels, 2, 256)
    x = np.asarray(images, dtype=np.float64)
    if np.isnan(x).any():
        raise ValueError("the images are not finite numbers: check the net that they come from")
    x = np.clip(x, -1, 1)
    return np.rint((x + 1) * ((levels - 1) / 2)).astype(np.uint8)


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the permutation of 0..n − 1 in which an epoch sees the images: the sorting order of n random words.

    Parameters
    ----------
    n : int
        Number of images.
    seed : int
        The seed.
    epoch : int
        Number of the epoch.

    Returns
    -------
    int64 array of shape (n,)
        The permutation.
    """
    return np.argsort(get_backend().random(seed, "order", epoch, 0, n, ()), kind="stable")


class Batches:
    """The batches of a run: batch k holds the places k·B .. (k+1)·B − 1 of all epochs' orders laid end to end.

    ``batches[k]`` depends on (seed, k) alone, so a run can resume at any step.

    Parameters
    ----------
    dataset : Images
        The data set.
    size : int
        Images in a batch, B.
    seed : int
        Seed of the order and the flips.
    flip : bool
        Mirror each image left to right with probability ½, drawn anew in every epoch.

    Raises
    ------
    ValueError
        If `size` is below 1, the data set is empty, or its labels are not whole numbers from 0.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> x_0, labels = Batches(open_dataset("digits"), size=4, seed=0)[10]
    >>> x_0.shape, x_0.dtype, labels.shape
    ((4, 8, 8, 1), dtype('float32'), (4,))
    """

    def __init__(self, dataset: Images, size: int, seed: int = 0, flip: bool = False):
        arguments.count("batch_size", size)
        arguments.seed(seed)
        if len(dataset) == 0:
            raise ValueError(f"the data set {dataset.name!r} has no images")
        labels = dataset.labels
        self._labels = None if labels is None else whole_labels(labels, len(dataset), repr(dataset.name))
        self.dataset, self.size, self.seed, self.flip = dataset, size, seed, flip
        self._orders: dict[int, np.ndarray] = {}

    def indices(self, k: int) -> np.ndarray:
        """Return the indices of the images in batch k, (B,) int64."""
        n = len(self.dataset)
        places = np.arange(k * self.size, (k + 1) * self.size)  # (B,)
        return np.array([self._order(int(epoch))[place] for epoch, place in zip(places // n, places % n, strict=True)])

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return images (B, H, W, C), float32 in [−1, 1], and labels (B,) or None of batch k."""
        index = self.indices(k)
        x_0 = self.dataset.scaled(index)
        if self.flip:
            mirrored = get_backend().random(self.seed, "flip", k, 0, self.size, ()) >> 63 == 1  # (B,)
            x_0[mirrored] = x_0[mirrored, :, ::-1]
        return x_0, None if self._labels is None else self._labels[index]

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}  # a batch may span two
            self._orders[epoch] = epoch_order(len(self.dataset), self.seed, epoch)
        return self._orders[epoch]


class Prefetched:
    """Batches read one ahead: a thread reads the next batch while the current one is in use.

    ``Prefetched(batches)[k]`` is ``batches[k]``. A batch that cannot be read raises when it is indexed, not before.

    Parameters
    ----------
    batches : Batches
        The batches, or anything else indexed by batch number.
    """

    def __init__(self, batches: Any):
        self.batches = batches
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next: tuple[int, Future] | None = None

    def __getitem__(self, k: int) -> Any:
        """Return batch k and start reading batch k + 1."""
        number, future = self._next or (-1, None)
        batch = future.result() if future is not None and number == k else self.batches[k]
        self._next = k + 1, self._reader.submit(self.batches.__getitem__, k + 1)
        return batch
