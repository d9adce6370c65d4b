"""The one error of all readers, and the guard that turns whatever a decoder raises into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 200  # characters of another library's message


class DataError(ValueError):
    """Data that is missing, damaged or of the wrong kind."""


def one_line(error: Any) -> str:
    """Return an error's message in one line of at most 200 characters, for use in a message of our own.

    Parameters
    ----------
    error : object
        The error.

    Returns
    -------
    str
        Its message, or the name of its type if it has none.

    Examples
    --------
    >>> one_line(ValueError("first\\n  second"))
    'first second'
    >>> one_line(EOFError())
    'EOFError'
    """
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…") or type(error).__name__


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
