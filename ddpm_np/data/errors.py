"""The one error of all readers, and other libraries' messages in one line."""

from __future__ import annotations

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
