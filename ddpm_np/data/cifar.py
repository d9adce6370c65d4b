"""CIFAR-10 in its binary form (plain, xz, or inside its tar.gz) and its python form, whose pickles are read as data.

Binary rows are 3,073 bytes: a label, then 1,024 red, green and blue each (A. Krizhevsky,
cs.toronto.edu/~kriz/cifar.html).
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
_MOST_BYTES = 1 << 28  # of one file, unpacked; a real one has 31 million


def read_cifar(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(images (N, 32, 32, 3) uint8, labels (N,) int64) of ``"train"`` or ``"test"``, whichever form is there."""
    names = TRAIN if split == "train" else TEST
    with ThreadPoolExecutor(2) as unpackers:  # xz takes seconds a file, and lets other threads run
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
        raise DataError(f"{path} is damaged or cut ({error}): fetch it again") from error
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes, which no CIFAR-10 batch does")
    return content


def _member(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isfile() and member.name.rpartition("/")[2] == name and member.size <= _MOST_BYTES:
                    file = tar.extractfile(member)
                    return file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} is damaged or cut ({error}): fetch it again") from error
    raise DataError(f"{archive} holds no {name}")


def _from_rows(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not content or len(content) % _ROW:
        raise DataError(f"{path} is not CIFAR-10's binary form, or cut: {len(content):,} bytes are no whole number of "
                        f"rows of {_ROW:,}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW)
    return _checked(rows[:, 1:], rows[:, 0].astype(np.int64), path)


def _checked(pixels: np.ndarray, labels: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    strange = labels[(labels < 0) | (labels > 9)]
    if strange.size:
        raise DataError(f"{path} has the label {strange[0]}: CIFAR-10's are 0 to 9")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


class _DataOnly(pickle.Unpickler):
    """Arrays, bytes, strings, numbers and containers of them: nothing else is looked up, so nothing is executed."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return super().find_class("numpy._core.multiarray", name)  # older files know it by its older home
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            return super().find_class(module, name)
        raise DataError(f"the pickle asks for {module}.{name}, which is no data")


def _from_pickle(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _DataOnly(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"], dtype=np.int64)
        if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape != (len(labels), 3072):
            raise ValueError(f"data of {pixels.dtype} {pixels.shape} with {len(labels)} labels")
    except DataError as error:
        raise DataError(f"{path}: {error}; it was not read") from error
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise DataError(f"{path} is not CIFAR-10's python form, or damaged ({error})") from error
    return _checked(pixels, labels, path)
