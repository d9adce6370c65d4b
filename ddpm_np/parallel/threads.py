"""Tasks mapped in order over any number of threads, with the same bits.

The number of tasks comes from the caller (a configuration), never from the machine. BLAS runs on one thread meanwhile,
with any number of workers: its results may depend on its number of threads, and workers that each start BLAS threads
would compete for the same cores.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from ddpm_np import cuda
from ddpm_np.parallel.heap import keep_memory

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the number of CPUs that this process may use.

    Returns
    -------
    int
        At least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def contiguous_spans(n: int, count: int) -> list[tuple[int, int]]:
    """Divide range(n) into contiguous spans of nearly equal length.

    Parameters
    ----------
    n : int
        Number of items.
    count : int
        Number of spans; fewer are returned where n is smaller, so that none is empty.

    Returns
    -------
    list of (int, int)
        (first, end) of each span.

    Examples
    --------
    >>> contiguous_spans(5, 2)
    [(0, 2), (2, 5)]
    """
    count = max(1, min(count, n))
    return list(pairwise(n * i // count for i in range(count + 1)))


_lock = threading.Lock()
_limits: list[Any] = []  # set by the first thread to enter `single_threaded_blas`, restored by the last to leave
_holders = 0


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread inside a context, until the last thread inside such a context has left it.

    Yields
    ------
    None
    """
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


def reset_after_fork() -> None:
    """Reset this module's state in a forked process, where the parent's threads do not exist."""
    global _holders, _lock
    _lock, _holders = threading.Lock(), 0
    _limits.clear()
    _executor.cache_clear()
    _in_worker.set(True)  # nested calls of `map_in_order` run serially


def _let_any_thread_set_limits() -> None:
    """Undo a rule of newer versions of threadpoolctl: only the first thread to set OpenBLAS's limit may change it."""
    for library in _blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@functools.cache
def _executor(workers: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    def limit() -> None:
        _blas().limit(limits=1, user_api="blas")  # for a BLAS whose limit is per thread and not inherited

    return ThreadPoolExecutor(workers, thread_name_prefix="ddpm_np-worker", initializer=limit)


_in_worker: contextvars.ContextVar[bool] = contextvars.ContextVar("in_worker", default=False)


def _run_in_worker(work: Callable[[Task], Result], task: Task, device: int | None) -> Result:
    """Run a task in a worker thread, on the GPU of the thread that asks for it.

    Nested calls run serially in this thread; waiting on other workers from a worker could deadlock.
    """
    _in_worker.set(True)
    cuda.enter_device(device)
    return work(task)


def map_in_order(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int = 1) -> Iterator[Result]:
    """Map a function over tasks with several threads; yield the results in the order of the tasks.

    Each task runs in a copy of the caller's context and on its GPU, so that `no_grad` and the choice of kernels hold
    there. An error in a task is raised here when its turn comes.

    Parameters
    ----------
    work : callable
        Function of one task.
    tasks : sequence
        The tasks.
    workers : int
        Number of threads; with 1, each task runs in this thread when its result is asked for.

    Yields
    ------
    object
        ``work(task)`` for each task.
    """
    keep_memory()
    with single_threaded_blas():
        if workers <= 1 or len(tasks) <= 1 or _in_worker.get():
            for task in tasks:
                yield contextvars.copy_context().run(work, task)
            return
        device = cuda.current_device()
        futures = [_executor(workers).submit(contextvars.copy_context().run, _run_in_worker, work, task, device)
                   for task in tasks]
        futures.reverse()
        try:
            while futures:
                yield futures.pop().result()  # popped: a result is freed as soon as the caller drops it
        finally:
            for future in futures:
                future.cancel()
