"""CIFAR-10 in its binary version (plain, xz or inside its tar.gz) and its Python version.

A binary row has 3,073 bytes: the label, then 1,024 bytes each of red, green and blue (A. Krizhevsky,
cs.toronto.edu/~kriz/cifar.html). The Python version's pickles are read as data, and nothing in them
is executed (`batch_pickle`).
"""

from __future__ import annotations

import gzip
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.batch_pickle import read_pickle
from ddpm_np.data.errors import DataError
from ddpm_np.data.reading import read_up_to, readable

TRAIN, TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
_ROW = 3073
_MOST_BYTES = 1 << 28  # limit for one unpacked file or archive; real ones have 31 and 184 million
_DAMAGED = "is damaged or truncated", "download it again"


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
    archive = _archive(folder, names[0])
    if archive is not None:
        parts = [_batch(archive, content) for content in _members(archive, names)]
    else:
        with ThreadPoolExecutor(2) as unpackers:  # xz takes seconds for each file and releases the GIL
            parts = list(unpackers.map(lambda name: _read_batch(folder, name), names))
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _places(folder: Path, name: str) -> list[Path]:
    """Return the paths that a batch may have outside an archive, in the order in which they are tried."""
    inside = [folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"]
    return [place / f"{name}{suffix}" for place in inside for suffix in (".bin", ".bin.xz", "")]


def _archive(folder: Path, name: str) -> Path | None:
    """Return the path of the archive to read from; None if the batches lie beside it, or there is none."""
    if any(path.is_file() for path in _places(folder, name)):
        return None
    archives = [folder / "cifar-10-binary.tar.gz", folder / "cifar-10-python.tar.gz"]
    return next((path for path in archives if path.is_file()), None)


def _read_batch(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    for path in _places(folder, name):
        if path.is_file():
            with readable(path, *_DAMAGED), path.open("rb") as file:
                content = _limited(path, file)
                content = _unpack_xz(path, content) if path.suffix == ".xz" else content
            return _batch(path, content)
    raise DataError(f"{folder} has no {name}.bin, {name}.bin.xz, {name} or cifar-10-*.tar.gz")


def _batch(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 32, 32, 3) and labels (N,) of a batch in the version that its file's name tells."""
    if path.suffix in (".bin", ".xz") or "binary" in path.name:
        if not content or len(content) % _ROW:
            raise DataError(f"{path} is not CIFAR-10's binary version, or is truncated: its {len(content):,} bytes are "
                            f"not a whole number of rows of {_ROW:,}")
        rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW)
        pixels, labels = rows[:, 1:], rows[:, 0].astype(np.int64)
    else:
        pixels, labels = read_pickle(content, path)
    strange = labels[(labels < 0) | (labels > 9)]
    if strange.size:
        raise DataError(f"{path} has the label {strange[0]}: CIFAR-10's labels are 0 to 9")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _limited(path: Path, file: Any) -> bytes:
    """Return what a file holds."""
    content = bytes(read_up_to(file, _MOST_BYTES + 1))
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} holds more than {_MOST_BYTES:,} bytes: it is no file of CIFAR-10")
    return content


def _unpack_xz(path: Path, packed: bytes) -> bytes:
    """Return what an xz file holds; its header can ask for 4 GB of memory, which is refused."""
    import lzma  # some Pythons come without it, Pyodide's among them

    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_BYTES)
    content = stream.decompress(packed, _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes, so it is not a CIFAR-10 batch")
    if not stream.eof or stream.unused_data:
        raise EOFError("it goes on after its end marker" if stream.eof else "it has no end marker")
    return content


def _members(path: Path, names: list[str]) -> list[bytes]:
    """Return the contents of the batches in an archive, in the order of their names."""
    wanted = [f"{name}.bin" if "binary" in path.name else name for name in names]
    found = {}
    with readable(path, *_DAMAGED):
        with gzip.open(path, "rb") as file:
            unpacked = io.BytesIO(_limited(path, file))
        with tarfile.open(fileobj=unpacked, mode="r:") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                batch = tar.extractfile(member) if name in wanted and member.isreg() else None
                if batch is not None:
                    found[name] = bytes(read_up_to(batch, _MOST_BYTES))
    for name in wanted:
        if name not in found:
            raise DataError(f"{path} does not contain {name}")
    return [found[name] for name in wanted]
