"""Data sets: readers, and the order in which training sees the images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.arguments import closest
from ddpm_np.data.dataset import Batches, Dataset, Images, Prefetched, to_levels
from ddpm_np.data.digits import digits
from ddpm_np.data.errors import DataError
from ddpm_np.data.files import read_file
from ddpm_np.data.folder import ImageFolder
from ddpm_np.data.identity import FILES, FOLDER, identity, located
from ddpm_np.data.published import PUBLISHED, open_published

__all__ = [
    "Batches", "DataError", "Dataset", "ImageFolder", "Images", "Prefetched", "digits", "identity", "located", "names",
    "open_dataset", "to_levels",
]


def names() -> list[str]:
    """Return the names of the data sets that `open_dataset` opens by name.

    Returns
    -------
    list of str
        The names.
    """
    return ["digits", *PUBLISHED]


def open_dataset(name: str, *, split: str = "train", data_dir: str | Path | None = None,
                 shape: tuple[int, int, int] | None = None, say: Callable[[str], Any] = warnings.warn) -> Images:
    """Open a data set.

    Parameters
    ----------
    name : str
        ``"digits"`` (inside the package); ``"mnist"``, ``"fashion-mnist"`` or ``"cifar10"``; ``"folder:PATH"`` for a
        folder of images; or the path of a ``.npz``, ``.npy`` or ``.npy.gz`` file. ``~`` is the home folder.
    split : str
        ``"train"`` or ``"test"``; ignored by data sets without a split.
    data_dir : str, Path or None
        Folder with the files of a published data set. None: they are downloaded once and cached.
    shape : tuple of int or None
        (H, W, C) that the images of a folder are resized and cropped to.
    say : callable
        Called with each warning, a line of text: what a folder holds that is not used.

    Returns
    -------
    Images
        The data set.

    Raises
    ------
    DataError
        If the name is unknown or the data cannot be read.

    Examples
    --------
    >>> len(open_dataset("digits"))
    1797
    """
    if split not in ("train", "test"):
        raise DataError(f"split must be 'train' or 'test', got {split!r}")
    if name == "digits":
        return digits()
    if name in PUBLISHED:
        if data_dir is not None and not str(data_dir):
            raise DataError(f"data_dir is empty: name the folder with the files of {name}, or leave it out")
        return open_published(name, split, None if data_dir is None else Path(os.path.expanduser(data_dir)))
    if name.startswith(FOLDER):
        if shape is None:
            raise DataError("a folder of images needs the shape (H, W, C) to fit them to")
        return ImageFolder(name.removeprefix(FOLDER), shape, say=say)
    if name.lower().endswith(FILES):
        return read_file(name)
    hint = closest(name, names(), "and folder:PATH, FILE.npz, FILE.npy or FILE.npy.gz")
    raise DataError(f"no data set is called {name!r}: {hint}")
