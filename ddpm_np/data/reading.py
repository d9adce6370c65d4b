"""What all readers share: a guard against the errors of decoders, and reads whose memory grows with the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ddpm_np.data.errors import DataError, one_line

_PIECE = 1 << 22  # bytes


@contextmanager
def readable(path: Any, problem: str, advice: str = "") -> Iterator[None]:
    """Turn any error of a decoder into a `DataError` that names the file.

    The decoders below (zipfile, zlib, lzma, tarfile, pickle, Pillow) raise errors of many types over damaged bytes, and
    none of them promises a list. A `DataError` passes unchanged.

    Parameters
    ----------
    path : str or Path
        The file.
    problem : str
        What is then wrong with it: "is not a readable image".
    advice : str
        What to do.

    Yields
    ------
    None
        To the code that reads.

    Raises
    ------
    DataError
        "PATH PROBLEM (why): ADVICE".

    Examples
    --------
    >>> with readable("a.png", "is not a readable image"):
    ...     raise IndexError("no such byte")
    Traceback (most recent call last):
    ddpm_np.data.errors.DataError: a.png is not a readable image (no such byte)
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        ending = f": {advice}" if advice else ""
        raise DataError(f"{path} {problem} ({one_line(error)}){ending}") from error


def read_up_to(file: Any, most: int) -> bytearray:
    """Read a file to its end, but no more than a number of bytes.

    ``file.read(most)`` would reserve all of it, and a header can claim anything. At the end of a compressed file its
    checksum is compared.

    Parameters
    ----------
    file : binary file
        The file.
    most : int
        The largest number of bytes.

    Returns
    -------
    bytearray
        What was read.

    Examples
    --------
    >>> import io
    >>> bytes(read_up_to(io.BytesIO(b"abc"), 10**12))
    b'abc'
    """
    content = bytearray()
    while len(content) < most and (piece := file.read(min(_PIECE, most - len(content)))):
        content += piece
    return content
