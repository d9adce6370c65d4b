"""Files written whole or not at all, safetensors piece by piece, and digests of tensors."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.backend import to_host


def safetensors_pieces(tensors: dict[str, Any], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """The pieces of a safetensors file, tensor by tensor: header length, JSON header, bytes.

    Arrays of any layout and backend: each is laid out on the host when its turn comes.

    By hand because the library's own writer orders the metadata anew in each process.
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
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of their size
    yield len(text).to_bytes(8, "little")
    yield text
    for array in tensors.values():
        yield np.ascontiguousarray(to_host(array)).reshape(-1).view(np.uint8).data


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Make `path` hold the pieces, all of them, or what it held before, whatever happens on the way.

    To a temporary file beside it, flushed to the disk, then renamed over it; then the folder is flushed.
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
            os.fsync(folder)  # the rename itself is on the disk only now
        finally:
            os.close(folder)


def digest(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over the metadata and over each tensor's name, dtype, shape and bytes."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array: Any = tensors[name]
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
