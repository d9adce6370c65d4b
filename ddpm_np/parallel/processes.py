"""Worker processes, forked from this one, that share arrays with it.

Python threads hand the interpreter lock back and forth at every array operation, some microseconds each time. A step of
a small net is thousands of operations of tens of microseconds: two threads took 1.1 to 1.5 times as long as two
processes did. A forked process starts with a copy of its parent's state, and shares with it the arrays that
`shared_zeros` makes.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import mmap
import os
import signal
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ddpm_np import cuda
from ddpm_np.backend import Array
from ddpm_np.parallel import cpu, threads
from ddpm_np.parallel.heap import release_free_memory

_SENT_AS_THEY_ARE = (ValueError, TypeError, RuntimeError, ArithmeticError, FloatingPointError, AssertionError,
                     MemoryError, IndexError, NotImplementedError)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # sent to all of a terminal's processes, and handled by the parent alone

_parent_ends: weakref.WeakSet[Any] = weakref.WeakSet()  # of all pipes: a child that held one would keep it open


def shared_zeros(size: int, dtype: Any) -> np.ndarray:
    """Return zeros in memory that this process shares with those forked from it later.

    Parameters
    ----------
    size : int
        Number of elements.
    dtype : dtype or str
        Their type.

    Returns
    -------
    array of shape (size,)
        Zeros.
    """
    dtype = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, max(1, size * dtype.itemsize)), dtype, size)


def is_shared(array: Array) -> bool:
    """Return whether an array lies in mapped memory, as those of `shared_zeros` do, where forked processes see writes.

    Parameters
    ----------
    array : array
        An array, or a view of one.

    Returns
    -------
    bool
        True for `shared_zeros` and its views.
    """
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array.obj if isinstance(array, memoryview) else array, mmap.mmap)


def can_fork() -> bool:
    """Return whether this process may fork workers: on Linux, unless it is such a worker itself or has used a GPU.

    A forked process cannot use CUDA, nor free its parent's arrays on the GPU.

    Returns
    -------
    bool
        True where `WorkerProcesses` can be made.
    """
    import multiprocessing

    return sys.platform == "linux" and not multiprocessing.current_process().daemon and not cuda.in_use()


class WorkerDied(RuntimeError):
    """A worker process ended before its task was done."""


class WorkerProcesses:
    """Processes that run one function on the messages sent to them.

    They end with this object, or with the process that made it.

    Parameters
    ----------
    work : callable
        Called in a worker as ``work(worker, message)``, with the worker's number. Workers have this function, and all
        it refers to, as they were at the fork; of the arrays, only those of `shared_zeros` stay the parent's own.
    count : int
        Number of processes.
    """

    def __init__(self, work: Callable[[int, Any], Any], count: int):
        import multiprocessing
        from multiprocessing.util import Finalize

        context = multiprocessing.get_context("fork")
        self.count = count
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        self.close = Finalize(self, _kill, (self._pipes, self._processes), exitpriority=1)  # may be called twice
        release_free_memory()
        for worker in range(count):
            ours, theirs = context.Pipe()
            _parent_ends.add(ours)
            process = context.Process(target=_serve, args=(work, worker, count, theirs), daemon=True,
                                      name=f"ddpm_np-worker-{worker}")
            with warnings.catch_warnings(), _signals_wait():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: see `_serve`
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def send(self, worker: int, message: Any) -> None:
        """Send a message to a worker.

        Parameters
        ----------
        worker : int
            Number of the worker.
        message : object
            Anything that can be pickled.

        Raises
        ------
        WorkerDied
            If the worker has ended.
        """
        try:
            self._pipes[worker].send((cpu.current(), message))
        except OSError as error:
            raise self._died(worker) from error

    def receive(self, worker: int) -> Any:
        """Wait for a worker's result; an error in the worker is raised here.

        Parameters
        ----------
        worker : int
            Number of the worker.

        Returns
        -------
        object
            What `work` returned for the worker's oldest message not yet answered.

        Raises
        ------
        WorkerDied
            If the worker has ended.
        """
        try:
            succeeded, result = self._pipes[worker].recv()
        except (EOFError, OSError) as error:
            raise self._died(worker) from error
        if not succeeded:
            raise result
        return result

    def _died(self, worker: int) -> WorkerDied:
        self._processes[worker].join(1)
        status = self._processes[worker].exitcode
        how = f"was killed by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
        return WorkerDied(f"worker process {worker} {how}, perhaps because memory ran out: use fewer workers, smaller "
                          "batches or, in training, more shards")


class WorkerPool:
    """This process and workers forked from it, which map one function over tasks."""

    def __init__(self) -> None:
        self.processes: WorkerProcesses | None = None
        self._state: list[Any] = []  # as it was at the fork
        self._contents: list[Any] = []

    @property
    def size(self) -> int:
        """Number of worker processes, this one not counted.

        Returns
        -------
        int
            0 before the first `fork`.
        """
        return 0 if self.processes is None else self.processes.count

    def fork(self, work: Callable[[Any], Any], size: int, state: Sequence[Any], contents: list[Any]) -> None:
        """Fork workers, unless there are enough that were forked in the same state and context.

        Parameters
        ----------
        work : callable
            Function of one task.
        size : int
            Number of worker processes needed.
        state : sequence
            The objects that `work` uses and that may be replaced between calls. They are compared by identity.
        contents : list
            What may change within them, from `plain_contents`, except the contents of shared arrays.
        """
        context = [x for pair in contextvars.copy_context().items() for x in pair]
        state = [*state, *context]
        if self.size < size or not _same(self._state, state) or self._contents != contents:
            self.close()
            self.processes = WorkerProcesses(lambda _, task: work(task), size) if size else None
            self._state, self._contents = state, contents

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """Run the first task here and each other one in a worker process, side by side.

        Parameters
        ----------
        work : callable
            Function of one task; the workers run the one that they were forked with.
        tasks : sequence
            At most one more than there are worker processes.

        Returns
        -------
        list
            The tasks' results in order.
        """
        processes: Any = self.processes
        try:
            for worker, task in enumerate(tasks[1:]):
                processes.send(worker, task)
            first = list(threads.map_in_order(work, tasks[:1]))
            return first + [processes.receive(worker) for worker in range(len(tasks) - 1)]
        except BaseException:  # workers whose answers were not received can take no more tasks
            self.close()
            raise

    def close(self) -> None:
        """End the worker processes."""
        if self.processes is not None:
            self.processes.close()
        self.processes = None


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Return whether two lists hold the same objects, or equal numbers and strings."""
    plain = (bool, int, float, str, tuple)
    return len(a) == len(b) and all(
        x is y or (type(x) is type(y) and isinstance(x, plain) and x == y) for x, y in zip(a, b, strict=True))


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Have the signals wait: a process that was just forked would handle them as its parent does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(pipes: list[Any], processes: list[Any]) -> None:
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.kill()
        process.join()


def _serve(work: Callable[[int, Any], Any], worker: int, count: int, pipe: Any) -> None:
    """Answer messages until the parent's end of the pipe closes, because the parent closed it or ended.

    Of the parent's threads only the one that forked exists here, so nothing may wait for another: locks that they may
    have held are made anew, and BLAS, limited to one thread, needs none.
    """
    for end in list(_parent_ends):
        end.close()
    for kind in _SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    gc.freeze()  # a collection would write to every object, and the system copy their pages
    threads.reset_after_fork()
    with threads.single_threaded_blas(), contextlib.suppress(EOFError, OSError):
        while True:
            parents_cpu, message = pipe.recv()
            cpu.keep_off(parents_cpu, count)
            try:
                answer = True, work(worker, message)
            except BaseException as error:  # of any kind: the parent raises it
                answer = False, _sendable(error)
            pipe.send(answer)


def _sendable(error: BaseException) -> BaseException:
    """Return an error that can be pickled: of its own type if that is made from its message alone, else RuntimeError.

    NumPy's own kind of MemoryError becomes a plain one.

    The worker's traceback is attached as a note.
    """
    plain = MemoryError if isinstance(error, MemoryError) else type(error)
    kind = plain if plain in _SENT_AS_THEY_ARE else RuntimeError
    sent = kind(str(error) if kind is plain else f"{type(error).__name__}: {error}")
    sent.add_note(f"in worker process {os.getpid()}:\n{''.join(traceback.format_tb(error.__traceback__))}")
    return sent
