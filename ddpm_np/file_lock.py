"""Locks of the operating system on open files, which end with the process that holds them, however it ends."""

from __future__ import annotations

import errno
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FAR = 2**30  # on Windows the locked byte cannot be read by others: one that lies behind the content


def acquire(file: int) -> bool:
    """Lock an open file, unless another open file holds the lock.

    The lock ends when the file is closed. A forked process shares it until both have closed the file.

    Parameters
    ----------
    file : int
        The file's descriptor.

    Returns
    -------
    bool
        Whether the file is locked now; False if it is locked by someone else.

    Raises
    ------
    OSError
        If the file's system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _lock_a_byte(file)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def _lock_a_byte(file: int) -> None:
    """Lock a byte of a file on Windows."""
    import msvcrt

    os.lseek(file, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    finally:
        os.lseek(file, 0, os.SEEK_SET)


def is_at(file: int, path: str | os.PathLike[str]) -> bool:
    """Return whether an open file is still the one at a path: another may have been put there, or none be left.

    Parameters
    ----------
    file : int
        The file's descriptor.
    path : path-like
        The path.

    Returns
    -------
    bool
        True if both are the same file.
    """
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
