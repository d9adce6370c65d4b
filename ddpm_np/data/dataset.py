"""A set of images, and the order in which training sees them: a function of the seed and the step alone."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ddpm_np.backend import get_backend


class DataError(ValueError):
    """Data that is missing, damaged, or of another kind than was asked for."""


class Images(Protocol):
    """What training asks of a data set, whether it is in memory or read as it is needed."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def labels(self) -> np.ndarray | None:
        """(N,) int64, or None."""

    @property
    def levels(self) -> int:
        """How many values an element can take."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""

    def __len__(self) -> int: ...

    def scaled(self, index: Any) -> np.ndarray:
        """The images at `index` in [−1, 1], (n, H, W, C) float32."""


@dataclass(frozen=True)
class Dataset:
    """Images of one size with their labels, in memory.

    Attributes
    ----------
    name : str
    images : uint8 array (N, H, W, C)
        Levels 0 .. levels − 1.
    labels : int64 array (N,) or None
    levels : int
        How many values an element can take: 256 for bytes, 17 for the digits.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    levels: int = 256

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.images.shape[1:]

    def scaled(self, index: Any) -> np.ndarray:
        """The images at `index` in [−1, 1]: 2·level/(levels − 1) − 1, float32."""
        return scale(self.images[index], self.levels)


def scale(images: np.ndarray, levels: int) -> np.ndarray:
    """Levels 0 .. levels − 1 on [−1, 1]: 2·level/(levels − 1) − 1, float32."""
    return images.astype(np.float32) * np.float32(2 / (levels - 1)) - np.float32(1)


def to_levels(images: Any, levels: int = 256) -> np.ndarray:
    """The nearest level of images in [−1, 1], as uint8 0 .. levels − 1; values outside are clipped first."""
    x = np.clip(np.asarray(images, dtype=np.float64), -1, 1)
    return np.rint((x + 1) * ((levels - 1) / 2)).astype(np.uint8)


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of 0..n − 1 in which an epoch sees the images: the order of n random words."""
    return np.argsort(get_backend().random(seed, "order", epoch, 0, n, ()), kind="stable")


class Batches:
    """The batches of a run: batch k holds the places k·B .. (k+1)·B − 1 of all epochs' orders laid end to end.

    ``batches[k]`` is computed from (seed, k) alone, so a run can go on anywhere.

    Parameters
    ----------
    dataset
        Where the images are.
    size
        B, images a batch.
    seed
        Of the order and the flips.
    flip
        Whether each image is mirrored left to right with probability ½, anew in every epoch.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> x_0, labels = Batches(open_dataset("digits"), size=4, seed=0)[10]
    >>> x_0.shape, x_0.dtype, labels.shape
    ((4, 8, 8, 1), dtype('float32'), (4,))
    """

    def __init__(self, dataset: Images, size: int, seed: int = 0, flip: bool = False):
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, got {size}")
        if len(dataset) == 0:
            raise ValueError(f"the data set {dataset.name!r} has no images")
        self.dataset, self.size, self.seed, self.flip = dataset, size, seed, flip
        self._orders: dict[int, np.ndarray] = {}

    def indices(self, k: int) -> np.ndarray:
        """Which images batch k holds, (B,) int64."""
        n = len(self.dataset)
        places = np.arange(k * self.size, (k + 1) * self.size)  # (B,)
        return np.array([self._order(int(epoch))[place] for epoch, place in zip(places // n, places % n, strict=True)])

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(images (B, H, W, C) float32 in [−1, 1], labels (B,) or None) of batch k."""
        index = self.indices(k)
        x_0 = self.dataset.scaled(index)
        if self.flip:
            mirrored = get_backend().random(self.seed, "flip", k, 0, self.size, ()) >> 63 == 1  # (B,)
            x_0[mirrored] = x_0[mirrored, :, ::-1]
        return x_0, None if self.dataset.labels is None else self.dataset.labels[index]

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}  # a batch may span two
            self._orders[epoch] = epoch_order(len(self.dataset), self.seed, epoch)
        return self._orders[epoch]


class Ahead:
    """Batches of which the next one is read in a thread of its own while this one is used.

    ``Ahead(batches)[k]`` is ``batches[k]``; a batch that cannot be read raises when it is asked for.
    """

    def __init__(self, batches: Any):
        self.batches = batches
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: tuple[int, Future] | None = None

    def __getitem__(self, k: int) -> Any:
        """Batch k."""
        number, future = self._next or (-1, None)
        batch = future.result() if future is not None and number == k else self.batches[k]
        self._next = k + 1, self._reader.submit(self.batches.__getitem__, k + 1)
        return batch
