"""The IDX format of MNIST and Fashion-MNIST, plain or gzipped.

Big-endian: two zero bytes, a byte for the type (8: unsigned bytes), a byte for the number of dimensions, a 4-byte
length for each dimension, then the elements in C order (Y. LeCun, yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

from ddpm_np.data.errors import DataError
from ddpm_np.data.reading import read_up_to, readable

_MOST_BYTES = 1 << 32  # limit for one array; the largest known file of this kind has 47 million


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read the array in an IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        The file, gzipped if its name ends in ``.gz``.
    dimensions : int
        Number of dimensions that the array must have: 3 for images, 1 for labels.

    Returns
    -------
    uint8 array
        The array.

    Raises
    ------
    DataError
        If the file is of another kind, truncated, or longer than its header says.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with readable(path, "is damaged or truncated", "download it again"), opened(path, "rb") as file:
        head = file.read(4 + 4 * dimensions)
        if len(head) < 4:
            raise DataError(f"{path} is empty or truncated: it has no IDX header")
        if head[:3] != b"\0\0\x08" or head[3] != dimensions:
            kind = {3: "images (magic 2051)", 1: "labels (magic 2049)"}.get(dimensions, f"{dimensions} dimensions")
            raise DataError(f"{path} does not hold {kind}: its magic number is {int.from_bytes(head[:4], 'big')}")
        if len(head) < 4 + 4 * dimensions:
            raise DataError(f"{path} is truncated inside its header: download it again")
        shape = tuple(int(n) for n in np.frombuffer(head, ">u4", offset=4))
        size = math.prod(shape)
        if size > _MOST_BYTES:
            raise DataError(f"{path} claims {size:,} bytes, more than any data set of this kind has")
        if not size:
            raise DataError(f"{path} is empty: its header states the shape {shape}")
        content = read_up_to(file, size + 1)  # one more, to find the end
    if len(content) != size:
        than = "more" if len(content) > size else "fewer"
        raise DataError(f"{path} holds {than} than the {size:,} bytes that its header states: download it again")
    return np.frombuffer(content, np.uint8).reshape(shape)
