"""Instrument ops and random draws while a context is open; outside it they run unchanged."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ddpm_np.autograd.op import Definition, Forward, Op
from ddpm_np.philox import RandomNumbers

OnForward = Callable[[Any, str, Sequence[Any], Any], Any]


class Stopwatch:
    """Processor time of this thread by key, in seconds; nested calls count for the inner key only.

    Attributes
    ----------
    seconds : dict
        Seconds by key.
    last : float
        Time at which the latest call ended.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time):
        self.clock, self.last = clock, clock()
        self.seconds: dict[Any, float] = {}
        self._inside: list[float] = []  # for each running call, the seconds of the calls nested in it

    def add(self, key: Any, run: Callable[[], Any]) -> Any:
        """Call `run`, add its time to `key`, and return its result."""
        self._inside.append(0.0)
        started = self.clock()
        try:
            return run()
        finally:
            self.last = self.clock()
            took = self.last - started
            self.seconds[key] = self.seconds.get(key, 0.0) + took - self._inside.pop()
            if self._inside:
                self._inside[-1] += took


@contextlib.contextmanager
def instrumented(stopwatch: Stopwatch | None = None, key_of: Callable[..., Any] = lambda name, arrays, static: name,
                 on_forward: OnForward = lambda key, name, arrays, result: None) -> Iterator[None]:
    """Time each op, forward and backward, and each draw of random numbers while the context is open.

    An op called inside another op counts as part of the outer one.

    Parameters
    ----------
    stopwatch : Stopwatch or None
        Gets the keys ``(key, "forward")`` and ``(key, "backward")`` of ops and ``"draws"`` of random numbers. None: no
        timing.
    key_of : callable
        (op's name, arrays, static) -> key.
    on_forward : callable
        Called after each forward with its key, the op's name, its arrays and its result.
    """
    choose, here = Op.choose, threading.local()
    draws = {name: method for name, method in vars(RandomNumbers).items()
             if inspect.isfunction(method) and "purpose" in inspect.signature(method).parameters}

    def timed(key: Any, run: Callable[[], Any]) -> Any:
        return run() if stopwatch is None else stopwatch.add(key, run)

    def watched(self: Op, arrays: Sequence[Any], static: dict[str, Any]) -> Definition:
        forward, key = choose(self, arrays, static), key_of(self.name, arrays, static)
        if getattr(here, "inside", False):
            return forward

        def run(*inputs: Any, **options: Any) -> Forward:
            here.inside = True
            try:
                result, vjp = timed((key, "forward"), lambda: forward(*inputs, **options))
            finally:
                here.inside = False
            on_forward(key, self.name, inputs, result)

            def back(g: Any) -> tuple[Any, ...]:
                parts = timed((key, "backward"), lambda: vjp(g))
                return tuple(_later(part) if callable(part) else part for part in parts)

            return result, back

        def _later(part: Callable[[], Any]) -> Callable[[], Any]:
            """Time a gradient that is computed lazily."""
            return lambda: timed((key, "backward"), part)

        return run

    def drawing(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: timed("draws", lambda: method(*args, **options))

    try:
        Op.choose = watched  # type: ignore[method-assign]
        for name, method in draws.items():
            setattr(RandomNumbers, name, drawing(method))
        yield
    finally:
        Op.choose = choose  # type: ignore[method-assign]
        for name, method in draws.items():
            setattr(RandomNumbers, name, method)
