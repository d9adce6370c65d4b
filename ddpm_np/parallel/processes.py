"""Worker processes, forked from this one, that share arrays with it.

Threads of Python hand an interpreter lock back and forth at every array operation, some microseconds each time. A step
of a small net is thousands of operations of tens of microseconds: two threads took 1.1 to 1.5 times as long as two
processes did. A forked process starts with all that its parent has, and shares with it the arrays made by `shared`.
"""

from __future__ import annotations

import contextlib
import contextvars
import mmap
import os
import signal
import sys
import traceback
import types
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ddpm_np.parallel import threads

_KINDS = (ValueError, TypeError, RuntimeError, ArithmeticError, FloatingPointError, AssertionError, MemoryError,
          IndexError, NotImplementedError)

_parents_ends: weakref.WeakSet[Any] = weakref.WeakSet()  # of every pipe: a child that held one would keep it open


def shared(size: int, dtype: Any) -> np.ndarray:
    """Zeros (size,) in memory that the processes forked from this one share with it."""
    dtype = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, max(1, size * dtype.itemsize)), dtype, size)


def is_shared(array: Any) -> bool:
    """Whether an array's numbers are in mapped memory, as those of `shared` are: a fork sees what is written there."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array.obj if isinstance(array, memoryview) else array, mmap.mmap)


def can_fork() -> bool:
    """Whether this process may start others by forking: on Linux, unless it is itself such a worker."""
    import multiprocessing

    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def keeps_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function is a plain one of a module, or a partial of one: what it stored, a worker would store apart.

    One of the script or notebook that runs is none: such a function may well append to a list beside it.
    """
    while isinstance(function, partial):
        function = function.func
    return (isinstance(function, types.FunctionType) and function.__closure__ is None
            and function.__module__ != "__main__")


class WorkerDied(RuntimeError):
    """A worker process ended before its work was done."""


class Crew:
    """Processes that do one function's work as they are told.

    Parameters
    ----------
    work
        Called as ``work(worker, message)`` in a worker, with its number and what was sent; as it is when the crew is
        made, with all that it refers to. Only arrays from `shared` are the parent's own.
    count
        How many; they end with this object, or with this process.
    """

    def __init__(self, work: Callable[[int, Any], Any], count: int):
        import multiprocessing
        from multiprocessing.util import Finalize

        context = multiprocessing.get_context("fork")
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        self.close = Finalize(self, _end, (self._pipes, self._processes), exitpriority=1)  # ends them: no-op when ended
        for worker in range(count):
            ours, theirs = context.Pipe()
            _parents_ends.add(ours)
            process = context.Process(target=_serve, args=(work, worker, theirs), daemon=True,
                                      name=f"ddpm_np-{worker}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: see `_serve`
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def send(self, worker: int, message: Any) -> None:
        """Give a worker something to do."""
        try:
            self._pipes[worker].send(message)
        except OSError as error:
            raise self._died(worker) from error

    def receive(self, worker: int) -> Any:
        """Wait for what a worker's work returned; an error that it raised is raised here."""
        try:
            done, result = self._pipes[worker].recv()
        except (EOFError, OSError) as error:
            raise self._died(worker) from error
        if not done:
            raise result
        return result

    def _died(self, worker: int) -> WorkerDied:
        self._processes[worker].join(1)
        return WorkerDied(f"worker process {worker} ended (exit status {self._processes[worker].exitcode}), perhaps "
                          "for want of memory: use fewer workers, more shards or smaller batches")


class Team:
    """This process and others forked from it, which take the tasks of one kind of work side by side."""

    def __init__(self) -> None:
        self.crew: Crew | None = None
        self.size = 0  # of the crew
        self.known: list[Any] = []  # what its processes were forked with

    def run(self, work: Callable[[Any], Any], tasks: Sequence[Any], state: Sequence[Any]) -> list[Any]:
        """``[work(task) for task in tasks]``: the first done here, each other one by a process.

        `state` is all that `work` depends on and that may change from one call to the next, beside the numbers in
        `shared` arrays: processes that were forked with another state, or in another context, are replaced.
        """
        if len(tasks) > 1:
            context = [x for pair in contextvars.copy_context().items() for x in pair]
            self._fork(work, len(tasks) - 1, [*state, *context])
        return self.go_on(work, tasks)

    def go_on(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """As `run`, by the processes that the last `run` left, whose work must know these tasks too."""
        crew: Any = self.crew
        try:
            for i, task in enumerate(tasks[1:]):
                crew.send(i, task)
            first = list(threads.map_in_order(work, tasks[:1]))
            return first + [crew.receive(i) for i in range(len(tasks) - 1)]
        except BaseException:  # answers that nobody took are still to come: no use for these processes any more
            if crew is not None:
                crew.close()
            self.crew = None
            raise

    def _fork(self, work: Callable[[Any], Any], size: int, state: list[Any]) -> None:
        """A crew of so many processes at least, forked in this state."""
        if self.crew is not None and self.size >= size and _same(self.known, state):
            return
        if self.crew is not None:
            self.crew.close()
        self.crew, self.size, self.known = Crew(lambda _, task: work(task), size), size, state


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether these are the same objects, or equal numbers and words."""
    plain = (bool, int, float, str, tuple)
    return len(a) == len(b) and all(
        x is y or (type(x) is type(y) and isinstance(x, plain) and x == y) for x, y in zip(a, b, strict=True))


def _end(pipes: list[Any], processes: list[Any]) -> None:
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.kill()
        process.join()


def _serve(work: Callable[[int, Any], Any], worker: int, pipe: Any) -> None:
    """A worker's life: until the parent closes its end of the pipe, on purpose or by dying.

    Of the parent's threads only the one that forked is here, so nothing may wait for another: the lock that one of
    them may have held is made anew, and BLAS, which is told to use one thread, needs none.
    """
    for end in list(_parents_ends):
        end.close()
    for kind in (signal.SIGINT, signal.SIGTERM):  # sent to all of a terminal's processes: the parent's to act on
        signal.signal(kind, signal.SIG_IGN)
    threads.forget_threads()
    with threads.single_threaded_blas(), contextlib.suppress(EOFError, OSError):
        while True:
            message = pipe.recv()
            try:
                answer = True, work(worker, message)
            except BaseException as error:  # the parent's to deal with, whatever it is
                answer = False, _told(error)
            pipe.send(answer)


def _told(error: BaseException) -> BaseException:
    """An error that can be sent: of a kind made from its words alone, or RuntimeError; where it came from as a note."""
    kind = type(error) if type(error) in _KINDS else RuntimeError
    told = kind(str(error) if kind is type(error) else f"{type(error).__name__}: {error}")
    told.add_note(f"in worker process {os.getpid()}:\n{''.join(traceback.format_tb(error.__traceback__))}")
    return told
