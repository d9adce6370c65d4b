"""An error as one plain line."""

from __future__ import annotations

import re

from ddpm_np import cuda

_SMALLER = ("make it smaller: -n, --batch-size, --images, --steps, or --set model.image_size, model.channels, "
            "batch_size or T")
_TOO_LARGE = ("Maximum allowed dimension exceeded", "array is too big", "Maximum allowed size exceeded")


def line_of(error: BaseException) -> str:
    """Return an error's message as one line.

    >>> line_of(FileNotFoundError(2, "No such file or directory", "a\\nb"))
    "'a\\\\nb': No such file or directory"
    >>> line_of(ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger"))
    'an array would be larger than this machine can address: make it smaller: ...'
    """
    of_gpu = cuda.explain(error)
    if of_gpu is not None:
        return of_gpu
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{_shown(error.filename)}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, MemoryError) and (not text or text.startswith("Unable to allocate")):
        return f"out of memory{_wanted(text)}: {_SMALLER}"
    if isinstance(error, OverflowError) or (isinstance(error, ValueError) and text.startswith(_TOO_LARGE)):
        return f"an array would be larger than this machine can address: {_SMALLER}"
    if isinstance(error, UnicodeError):
        return _of_unicode(error)
    if isinstance(error, RecursionError):
        return "the input is nested too deeply: expected a few levels of brackets"
    if isinstance(error, ImportError):
        return f"{text}: install the package that is missing, or install ddpm_np again"
    return text


def _wanted(text: str) -> str:
    """Return what NumPy could not allocate: "12.3 TiB for an array of shape (…)"."""
    found = re.match(r"Unable to allocate (.+) for an array with shape (\(.*\)) and data type (.+)", text)
    return f" for an array of {found[1]}, {found[2]} of {found[3]}" if found else ""


def _of_unicode(error: UnicodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return (f"{error.object[max(0, error.start - 40):error.end + 20]!a} is no text that {error.encoding} can "
                "encode: rename the file or folder")
    if isinstance(error, UnicodeDecodeError):
        return (f"a text file is not in {error.encoding}: byte {error.object[error.start]:#04x} at position "
                f"{error.start}: save it in that encoding")
    return " ".join(str(error).split())


def _shown(name: object) -> str:
    """Return the name of a file; in quotes, with escapes, if it cannot be printed as it is."""
    text = str(name)
    return text if text.isprintable() else ascii(text)
