"""Which CPU this process runs on, so that a process and its workers do not share one while others are idle (Linux).

A process that is woken through a pipe starts on the CPU of the one that wrote to it, which is right where that one goes
to sleep. Here both go on computing, for milliseconds: the tasks are over before the system has moved one of them.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import Any


@functools.cache
def _getcpu() -> Any:
    """Return the C library's sched_getcpu, or None."""
    try:
        import ctypes

        return ctypes.CDLL(None).sched_getcpu
    except (AttributeError, ImportError, OSError, TypeError):
        return None


def current() -> int:
    """Return the number of the CPU that this thread runs on.

    Returns
    -------
    int
        -1 where the system does not tell.
    """
    getcpu = _getcpu()
    return -1 if getcpu is None else getcpu()


def keep_off(number: int, processes: int) -> None:
    """Let this thread run on any CPU that it may use but the given one, where the others suffice for all workers.

    Parameters
    ----------
    number : int
        The CPU to keep off, until the next call; -1: none.
    processes : int
        How many worker processes share the others.
    """
    if number < 0:
        return
    others = _allowed() - {number}
    if len(others) >= processes:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, others)


@functools.cache
def _allowed() -> set[int]:
    """Return the CPUs that this process may use, as they were at the first call."""
    return os.sched_getaffinity(0)
