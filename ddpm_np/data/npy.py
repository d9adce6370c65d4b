"""NumPy's array format, read piece by piece: a damaged header costs neither memory nor a foreign error.

A file has a magic string, a version, the length of its header, the header (dtype, order and shape as a Python literal)
and the elements (numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ddpm_np.data.errors import DataError
from ddpm_np.data.reading import read_up_to

_MOST_BYTES = 1 << 34  # limit for one array: a header can claim anything
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(file: Any, name: str) -> np.ndarray:
    """Read the one array of a file in NumPy's format, up to the file's end.

    Parameters
    ----------
    file : binary file
        The file, open for reading. Reading to its end makes a compressed file check its checksum.
    name : str
        The file's name, for messages.

    Returns
    -------
    array
        The array.

    Raises
    ------
    DataError
        If it holds Python objects, is shorter or longer than its header says, or claims more than 16 GiB.
    Exception
        Whatever NumPy's parser raises over a damaged header; for `readable` to catch.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise DataError(f"{name} is in version {version[0]}.{version[1]} of NumPy's format: only 1.0 and 2.0 hold "
                        "plain arrays")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header by Python 2; escapes that Python will refuse one day
        shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise DataError(f"{name} holds Python objects, which are not read: save numbers")
    if any(length < 0 for length in shape) or not dtype.itemsize:
        raise DataError(f"{name} is damaged: its header states the shape {shape} of {dtype}")
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST_BYTES:
        raise DataError(f"{name} claims {size:,} bytes, more than the {_MOST_BYTES:,} that are read")
    content = read_up_to(file, size + 1)  # one more, to find the end
    if len(content) != size:
        than = "more" if len(content) > size else "fewer"
        raise DataError(f"{name} is damaged: it holds {than} than the {size:,} bytes that its header states")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
