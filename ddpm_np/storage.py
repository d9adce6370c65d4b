"""Atomic file writes, safetensors files written tensor by tensor, and digests of tensors."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.backend import Array, to_host


def safetensors_pieces(tensors: Mapping[str, Array], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """Yield a safetensors file in pieces: the header's length, the JSON header, then each tensor's bytes.

    A tensor is copied to the host, in C order, only when its piece is due, so memory holds one of them at a time.

    Parameters
    ----------
    tensors : mapping of str to array of float32 or float64
        Arrays of any backend and memory layout, in the order in which they are written.
    metadata : dict of str to str
        The header's ``__metadata__``, in the order in which it is written.

    Yields
    ------
    bytes or memoryview
        The pieces, to be written one after another.

    Raises
    ------
    TypeError
        If a tensor has another dtype.

    Notes
    -----
    The safetensors library's own writer is not used: it orders the metadata differently in each process, and the same
    run should write the same bytes.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        kind = {"float32": "F32", "float64": "F64"}.get(str(array.dtype))
        if kind is None:
            raise TypeError(f"{name} is of dtype {array.dtype}: only float32 and float64 are saved")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the numbers to 8 bytes
    yield len(text).to_bytes(8, "little")
    yield text
    for array in tensors.values():
        yield np.ascontiguousarray(to_host(array)).reshape(-1).view(np.uint8).data


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file that holds either all the pieces or, if anything fails on the way, what it held before.

    The pieces go to a temporary file in the same folder, which is flushed to disk and renamed; then the folder is
    flushed.

    Parameters
    ----------
    path : Path
        The file; its folder is made if it does not exist.
    pieces : iterable of bytes-like
        The content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)  # only now is the rename itself on disk
        finally:
            os.close(folder)


def digest(metadata: dict[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of the metadata and of each tensor's name, dtype, shape and bytes.

    Parameters
    ----------
    metadata : dict of str to str
        In any order.
    tensors : mapping of str to array
        In any order.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array: Any = tensors[name]
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
