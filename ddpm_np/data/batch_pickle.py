"""CIFAR-10's pickles, read as data: nothing in them is executed, and no object is made but those defined here.

A batch is a dictionary with b"data", a uint8 array (N, 3072), and b"labels", a list of N ints. Its array is pickled as
calls of NumPy's constructors. Here those names stand for classes that only keep what they are given, because NumPy's
own would allocate whatever a damaged file asks for.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.errors import DataError, one_line
from ddpm_np.data.labels import whole_labels
from ddpm_np.data.reading import readable


class _Kept:
    """A pickled NumPy object: the arguments of its constructor, and its state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Kept):
    """An array: state (version, shape, dtype, whether in Fortran's order, bytes)."""


class _Dtype(_Kept):
    """A dtype: arguments (name, …)."""


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes, as Python 3 writes them in protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode(encoding)


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array, ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "dtype"): _Dtype, ("numpy", "ndarray"): _Kept, ("_codecs", "encode"): _encode,
}


class _DataOnly(pickle.Unpickler):
    """An unpickler for containers, numbers, strings, bytes and the stand-ins; it looks up nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise DataError(f"the pickle refers to {one_line(f'{module}.{name}')}, which is not data")
        return _STAND_INS[module, name]


def read_pickle(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch of CIFAR-10's Python version.

    Parameters
    ----------
    content : bytes
        The pickle.
    path : Path
        Its file, for messages.

    Returns
    -------
    pixels : uint8 array of shape (N, 3072)
        1,024 bytes each of red, green and blue.
    labels : int64 array of shape (N,)
        The labels.

    Raises
    ------
    DataError
        If it is damaged, of another kind, or refers to anything that is not data.
    """
    with readable(path, "is not CIFAR-10's Python version, or is damaged"):
        try:
            _check_memo(content)
            batch = _DataOnly(io.BytesIO(content), encoding="bytes").load()
        except DataError as error:
            raise DataError(f"{path}: {error}; it was not read") from error
        pixels = _pixels(batch[b"data"])
        return pixels, whole_labels(list(batch[b"labels"]), len(pixels), path)


def _check_memo(content: bytes) -> None:
    """Refuse a pickle whose table of objects would be larger than the pickle: unpicklers fill it with zeros first."""
    for opcode, number, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (number is None or not 0 <= number <= len(content)):
            raise ValueError(f"object number {number} in {len(content):,} bytes")


def _pixels(array: Any) -> np.ndarray:
    """Return the pixels of a pickled array, (N, 3072) uint8."""
    if not isinstance(array, _Array):
        raise ValueError(f"data of type {type(array).__name__}")
    _, shape, dtype, fortran, data = array.state  # type: ignore[misc]
    kind = dtype.arguments[0]
    kind = kind.decode("ascii") if isinstance(kind, bytes) else kind
    if kind != "u1" or len(shape) != 2 or shape[1] != 3072 or shape[0] < 1 or len(data) != shape[0] * shape[1]:
        raise ValueError(f"data of {kind} {shape} in {len(data):,} bytes, not of uint8 (N, 3072)")
    flat = np.frombuffer(data, np.uint8)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
