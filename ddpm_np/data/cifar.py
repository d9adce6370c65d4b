"""CIFAR-10 in its binary version (plain, xz or inside its tar.gz) and its Python version.

A binary row has 3,073 bytes: the label, then 1,024 bytes each of red, green and blue (A. Krizhevsky,
cs.toronto.edu/~kriz/cifar.html). The Python version's pickles are read as data: nothing in them is executed.
"""

from __future__ import annotations

import io
import lzma
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.dataset import DataError

TRAIN, TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
_ROW = 3073
_MOST_BYTES = 1 << 28  # limit for one unpacked file; a real one has 31 million


def read_cifar(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a split of CIFAR-10 in whichever version the folder holds.

    Parameters
    ----------
    folder : Path
        The folder with the files or the archive.
    split : str
        ``"train"`` or ``"test"``.

    Returns
    -------
    images : uint8 array of shape (N, 32, 32, 3)
        The images.
    labels : int64 array of shape (N,)
        The labels 0..9.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    names = TRAIN if split == "train" else TEST
    with ThreadPoolExecutor(2) as unpackers:  # xz takes seconds for each file and releases the GIL
        parts = list(unpackers.map(lambda name: _read_batch(folder, name), names))
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _read_batch(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    inside = [folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"]
    for place in inside:
        if (place / f"{name}.bin").is_file():
            return _from_rows((place / f"{name}.bin").read_bytes(), place / f"{name}.bin")
        if (place / f"{name}.bin.xz").is_file():
            return _from_rows(_unpack_xz(place / f"{name}.bin.xz"), place / f"{name}.bin.xz")
        if (place / name).is_file():
            return _from_pickle((place / name).read_bytes(), place / name)
    for archive, suffix in (("cifar-10-binary.tar.gz", ".bin"), ("cifar-10-python.tar.gz", "")):
        if (folder / archive).is_file():
            content = _member(folder / archive, name + suffix)
            return _from_rows(content, folder / archive) if suffix else _from_pickle(content, folder / archive)
    raise DataError(f"{folder} has no {name}.bin, {name}.bin.xz, {name} or cifar-10-*.tar.gz")


def _unpack_xz(path: Path) -> bytes:
    try:
        with lzma.open(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path} is damaged or truncated ({error}): download it again") from error
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes, so it is not a CIFAR-10 batch")
    return content


def _member(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isfile() and member.name.rpartition("/")[2] == name and member.size <= _MOST_BYTES:
                    file = tar.extractfile(member)
                    return file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} is damaged or truncated ({error}): download it again") from error
    raise DataError(f"{archive} does not contain {name}")


def _from_rows(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not content or len(content) % _ROW:
        raise DataError(f"{path} is not CIFAR-10's binary version, or is truncated: its {len(content):,} bytes are not "
                        f"a whole number of rows of {_ROW:,}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW)
    return _checked(rows[:, 1:], rows[:, 0].astype(np.int64), path)


def _checked(pixels: np.ndarray, labels: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    strange = labels[(labels < 0) | (labels > 9)]
    if strange.size:
        raise DataError(f"{path} has the label {strange[0]}: CIFAR-10's labels are 0 to 9")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


class _DataOnly(pickle.Unpickler):
    """An unpickler for arrays, bytes, strings, numbers and containers; it looks up and executes nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return super().find_class("numpy._core.multiarray", name)  # older files use the older module name
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            return super().find_class(module, name)
        raise DataError(f"the pickle refers to {module}.{name}, which is not data")


def _from_pickle(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _DataOnly(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"], dtype=np.int64)
        if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape != (len(labels), 3072):
            raise ValueError(f"data of {pixels.dtype} {pixels.shape} with {len(labels)} labels")
    except DataError as error:
        raise DataError(f"{path}: {error}; it was not read") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} is not CIFAR-10's Python version, or is damaged ({error})") from error
    return _checked(pixels, labels, path)
