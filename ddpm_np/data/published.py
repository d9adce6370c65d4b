"""The published data sets: their files, the files' addresses, and their readers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ddpm_np.data.cifar import read_cifar
from ddpm_np.data.dataset import Dataset
from ddpm_np.data.download import OTHER_FOLDER, RemoteFile, fetch
from ddpm_np.data.errors import DataError
from ddpm_np.data.idx import read_idx
from ddpm_np.storage import cache_folder


@dataclass(frozen=True)
class PublishedDataset:
    """A published data set.

    Parameters
    ----------
    files : dict
        The files of each split.
    read : callable
        The reader, (name, folder, split) -> Dataset.
    """

    files: dict[str, tuple[RemoteFile, ...]]
    read: Callable[[str, Path, str], Dataset]


def _find(folder: Path, name: str) -> Path:
    """Return the path of an IDX file in the folder, gzipped or not.

    Kaggle's archive writes its name with a dot, train-images.idx3-ubyte, or puts it into a folder of its name.
    """
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    files = [f"{plain}.gz", plain, f"{dotted}.gz", dotted]
    for path in (folder / place / file for place in ("", plain, dotted) for file in files):
        if path.is_file():
            return path
    raise DataError(f"{folder} has no {name}, with or without .gz, nor {dotted}")


def _read_mnist(name: str, folder: Path, split: str) -> Dataset:
    prefix = "train" if split == "train" else "t10k"
    images_path = _find(folder, f"{prefix}-images-idx3-ubyte.gz")
    images = read_idx(images_path, 3)  # (N, H, W)
    labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte.gz")
    labels = read_idx(labels_path, 1)  # (N,)
    if len(images) != len(labels):
        raise DataError(f"{images_path} has {len(images):,} images, but there are {len(labels):,} labels")
    if labels.max() > 9:
        raise DataError(f"{labels_path} has the label {labels.max()}: the labels of {name} are 0 to 9")
    return Dataset(name, images[..., None], labels.astype("int64"))


def _read_cifar10(name: str, folder: Path, split: str) -> Dataset:
    return Dataset(name, *read_cifar(folder, split))


def _mnist_files(servers: tuple[str, ...], entries: dict[str, tuple[int, str]]) -> dict[str, tuple[RemoteFile, ...]]:
    files = {name: RemoteFile(name, tuple(f"{server}{name}" for server in servers), size, f"md5:{md5}")
             for name, (size, md5) in entries.items()}
    return {split: tuple(file for name, file in files.items() if name.startswith(prefix))
            for split, prefix in (("train", "train"), ("test", "t10k"))}


_CIFAR10 = RemoteFile("cifar-10-binary.tar.gz", ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                      170_052_171, "md5:c32a1d4ab5d03f1284b67883e8d87530")

PUBLISHED = {
    "mnist": PublishedDataset(_mnist_files(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {"train-images-idx3-ubyte.gz": (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
         "train-labels-idx1-ubyte.gz": (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
         "t10k-images-idx3-ubyte.gz": (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
         "t10k-labels-idx1-ubyte.gz": (4_542, "ec29112dd5afa0611ce80d1b7f02629c")}), _read_mnist),
    "fashion-mnist": PublishedDataset(_mnist_files(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {"train-images-idx3-ubyte.gz": (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
         "train-labels-idx1-ubyte.gz": (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
         "t10k-images-idx3-ubyte.gz": (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
         "t10k-labels-idx1-ubyte.gz": (5_148, "bb300cfdad3c16e7a12a480ee83cd310")}), _read_mnist),
    "cifar10": PublishedDataset({"train": (_CIFAR10,), "test": (_CIFAR10,)}, _read_cifar10),
}


def open_published(name: str, split: str, data_dir: Path | None) -> Dataset:
    """Open a published data set from a folder, or from the cache after downloading it there.

    Parameters
    ----------
    name : str
        Its name in `PUBLISHED`.
    split : str
        ``"train"`` or ``"test"``.
    data_dir : Path or None
        Folder with its files. None: the cache.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    DataError
        If the folder does not exist, a download fails, or a file is missing or damaged.
    """
    published = PUBLISHED[name]
    if data_dir is not None:
        if not data_dir.is_dir():
            raise DataError(f"there is no folder {data_dir}: --data-dir must name the folder with the files of {name}")
        return published.read(name, data_dir, split)
    folder = cache() / name
    for file in published.files[split]:
        fetch(file, folder)
    return published.read(name, folder, split)


def cache() -> Path:
    """Return the folder of downloads: $DDPM_NP_DATA, or ddpm_np in the user's cache folder ($XDG_CACHE_HOME, ~/.cache).

    An empty variable is none.

    Returns
    -------
    Path
        The folder; it may not exist yet.

    Raises
    ------
    DataError
        If neither variable is set and the user has no home folder.
    """
    if own := os.environ.get("DDPM_NP_DATA"):
        return Path(os.path.expanduser(own))
    if (folder := cache_folder()) is None:
        raise DataError(f"there is no home folder to keep files in: {OTHER_FOLDER}")
    return folder
