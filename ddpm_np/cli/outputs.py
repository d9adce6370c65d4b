"""Whether what a command is going to write can be written: checked before the work, so that none is lost."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path

_FOLDERS = ("train", "toy", "export", "import")  # whose --out is a folder


def check_outputs(args: argparse.Namespace) -> None:
    """Check the paths that the arguments of a command name for its results.

    Raises
    ------
    OSError
        If one cannot be written: a folder in place of a file, a file in place of a folder, or no permission.
    """
    for option in ("out", "json", "junit", "badge", "plot"):
        if given := getattr(args, option, None):
            check_output(Path(given), folder=option == "out" and args.command in _FOLDERS)


def check_output(path: Path, folder: bool) -> None:
    """Check that a file, or files in a folder, can be written.

    >>> check_output(Path(__file__) / "samples.png", folder=False)
    Traceback (most recent call last):
    NotADirectoryError: [Errno 20] Not a directory: '.../outputs.py'
    """
    if path.is_dir() and not folder:
        raise _error(errno.EISDIR, path)
    place = path if folder else path.absolute().parent
    while not place.exists() and place != place.parent:
        place = place.absolute().parent
    if not place.is_dir():
        raise _error(errno.ENOTDIR, place)
    if not os.access(place, os.W_OK | os.X_OK):
        raise _error(errno.EACCES, place)


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
