"""Work cut into a fixed number of pieces, done by any number of threads, with the same bits.

The pieces come from the caller (a configuration), never from the machine. BLAS runs on one thread inside, with
any number of workers: its results may depend on its number of threads, and threads that each start more threads
only stand in each other's way.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def default_workers() -> int:
    """The number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def cut(n: int, pieces: int) -> list[tuple[int, int]]:
    """(first, end) of each of so many contiguous pieces of n things, as equal as can be; none is empty.

    >>> cut(5, 2)
    [(0, 2), (2, 5)]
    """
    pieces = max(1, min(pieces, n))
    return list(pairwise(n * i // pieces for i in range(pieces + 1)))


_lock = threading.Lock()
_limits: list[Any] = []  # what the first to ask changed, for the last to restore
_holders = 0


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """A context in which BLAS uses one thread: until the last of those who are in it, in any thread, has left."""
    global _holders
    with _lock:
        if _holders == 0:
            _limits.append(_blas().limit(limits=1, user_api="blas"))
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _let_any_thread_set_limits()
                _limits.pop().restore_original_limits()
                _let_any_thread_set_limits()


def forget_threads() -> None:
    """In a process that was forked: let go of what threads of its parent may have been holding."""
    global _lock
    _lock = threading.Lock()
    _executor.cache_clear()
    _in_a_worker.set(True)  # what is cut in there stays in its one thread


def _let_any_thread_set_limits() -> None:
    """Undo what newer versions of threadpoolctl do: they listen to the first thread that set OpenBLAS's limit."""
    for library in _blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@functools.cache
def _executor(workers: int) -> ThreadPoolExecutor:
    def limit() -> None:
        _blas().limit(limits=1, user_api="blas")  # for a BLAS with a limit for each thread, which is not inherited

    return ThreadPoolExecutor(workers, thread_name_prefix="ddpm_np", initializer=limit)


_MALLOPT = ((-8, 1), (-3, 1 << 25), (-1, -1), (-2, 1 << 26))  # of glibc's malloc.h; in the order of `keep_memory`


@functools.cache
def keep_memory() -> bool:
    """Have the C library keep the memory of freed arrays for the next ones; whether it can be told so.

    A step makes and frees the same hundreds of arrays each time. glibc gives large ones back to the system at once, and
    the system hands out zeroed pages one by one: that was a fifth of a step's time. So: one heap for all threads (their
    own would be trimmed), arrays up to 32 MiB on it, never trimmed, grown by 64 MiB at a time. Other C libraries are
    left as they are.
    """
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return sum(mallopt(parameter, value) for parameter, value in _MALLOPT) == len(_MALLOPT)


_in_a_worker: contextvars.ContextVar[bool] = contextvars.ContextVar("in_a_worker", default=False)


def _in_thread(work: Callable[[Piece], Result], piece: Piece) -> Result:
    """One piece in a worker. What it cuts in turn stays in that thread: workers that wait for workers may wait ever."""
    _in_a_worker.set(True)
    return work(piece)


def map_in_order(work: Callable[[Piece], Result], pieces: Sequence[Piece], workers: int = 1) -> Iterator[Result]:
    """Yield ``work(piece)`` for each piece, in the order of `pieces`, done by `workers` threads.

    Each piece runs in a copy of the caller's context (so that `no_grad` and the choice of kernels hold there).
    An error in a piece is raised here when its turn comes.
    """
    keep_memory()
    with single_threaded_blas():
        if workers <= 1 or len(pieces) <= 1 or _in_a_worker.get():
            for piece in pieces:
                yield contextvars.copy_context().run(work, piece)
            return
        waiting = [_executor(workers).submit(contextvars.copy_context().run, _in_thread, work, piece)
                   for piece in pieces]
        waiting.reverse()
        try:
            while waiting:
                yield waiting.pop().result()  # popped: a result is freed as soon as the caller lets go of it
        finally:
            for future in waiting:
                future.cancel()
