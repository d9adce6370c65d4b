"""Hand random numbers over to code that draws its own: for one call, the usual functions return given numbers.

Replaced are PyTorch's and NumPy's functions for normal numbers, and those for integers where a t is given. A draw more
than there are numbers raises `OutOfNumbers`: nothing is said about code that draws in another way.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np

SECONDS = 5.0  # for one call


class OutOfNumbers(NotImplementedError):
    """The code drew more often than the method it was taken for does."""


class Draws:
    """The numbers to hand over, in the order of the draws.

    Parameters
    ----------
    normals : list of array
        Normal numbers, already in the layout of the code's images.
    t : array or None
        Steps for a draw of integers; None: such a draw is really drawn.
    """

    def __init__(self, normals: list[np.ndarray] | None = None, t: np.ndarray | None = None):
        self.normals, self.t = list(normals or ()), t
        self.drawn = self.drawn_t = 0

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the next numbers, in the shape asked for if they fit into it."""
        if self.drawn == len(self.normals):
            raise OutOfNumbers("the code draws more noise than the method does")
        values = self.normals[self.drawn]
        self.drawn += 1
        return values.reshape(shape) if values.size == int(np.prod(shape)) else values.copy()

    def steps(self, real: Callable[[], Any]) -> Any:
        """Return the given t, or what the code draws."""
        self.drawn_t += 1
        return real() if self.t is None else self.t.copy()


class Generator:
    """Stands for a NumPy or PyTorch generator; normal numbers are handed over, others are drawn by `real`."""

    def __init__(self, draws: Draws, real: np.random.Generator):
        self._draws, self._real = draws, real

    def standard_normal(self, size: Any = (), *args: Any, **options: Any) -> np.ndarray:
        return self._draws.normal(_shape(size))

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = ()) -> np.ndarray:
        return loc + scale * self._draws.normal(_shape(size))

    def integers(self, *args: Any, **options: Any) -> Any:
        return self._draws.steps(lambda: self._real.integers(*args, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextlib.contextmanager
def handed(draws: Draws) -> Iterator[None]:
    """Hand numbers over to the code that runs in the context.

    Parameters
    ----------
    draws : Draws
        The numbers.
    """
    with contextlib.ExitStack() as stack:
        _numpy(stack, draws)
        if "torch" in sys.modules:
            _torch(stack, draws)
        yield


def _numpy(stack: contextlib.ExitStack, draws: Draws) -> None:
    real, generator = np.random.randint, np.random.default_rng
    replaced: dict[str, Any] = {
        "randn": lambda *shape: draws.normal(shape),
        "standard_normal": lambda size=(), **_: draws.normal(_shape(size)),
        "normal": lambda loc=0.0, scale=1.0, size=(): loc + scale * draws.normal(_shape(size)),
        "randint": lambda *args, **options: draws.steps(lambda: real(*args, **options)),
        "default_rng": lambda seed=None: Generator(draws, generator(seed)),
    }
    stack.enter_context(patch.multiple(np.random, **replaced))


def _torch(stack: contextlib.ExitStack, draws: Draws) -> None:
    torch = importlib.import_module("torch")
    real = torch.randint

    def normal(shape: Any, like: Any = None, dtype: Any = None) -> Any:
        values = torch.from_numpy(np.ascontiguousarray(draws.normal(tuple(shape))))
        dtype = dtype or getattr(like, "dtype", None)
        return values if dtype is None else values.to(dtype)

    def filled(tensor: Any, mean: float = 0.0, std: float = 1.0, **_: Any) -> Any:
        values = mean + std * normal(tensor.shape)
        return values if tensor.shape != values.shape or tensor.dtype != values.dtype else tensor.copy_(values)

    replaced: dict[str, Any] = {
        "randn": lambda *shape, size=None, **_: normal(size or (shape[0] if _nested(shape) else shape)),
        "randn_like": lambda like, **_: normal(like.shape, like),
        "normal": lambda mean=0.0, std=1.0, size=None, **_: mean + std * normal(
            size if size is not None else mean.shape),
        "randint": lambda *args, **options: _tensor(torch, draws.steps(lambda: real(*args, **options))),
    }
    for owner in (torch.Tensor, torch.nn.Module):  # code that names a GPU runs on the CPU
        move = owner.to
        stack.enter_context(patch.object(owner, "cuda", lambda self, *_, **__: self))
        stack.enter_context(patch.object(owner, "to", functools.partialmethod(_moved, move)))
    stack.enter_context(patch.multiple(torch, **replaced))
    stack.enter_context(patch.object(torch.Tensor, "normal_", filled))


def _moved(self: Any, move: Callable[..., Any], *args: Any, **options: Any) -> Any:
    args = tuple(a for a in args if not str(a).startswith("cuda"))
    options = {name: value for name, value in options.items() if not str(value).startswith("cuda")}
    return move(self, *args, **options) if args or options else self


def _tensor(torch: Any, values: Any) -> Any:
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else values


def _nested(shape: tuple[Any, ...]) -> bool:
    return len(shape) == 1 and not isinstance(shape[0], int)


def _shape(size: Any) -> tuple[int, ...]:
    return (int(size),) if isinstance(size, (int, np.integer)) else tuple(size or ())


_watch = threading.local()
_installed: list[bool] = []
_CLOSED = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.remove", "os.rename", "os.mkdir",
           "os.rmdir", "os.exec", "os.fork", "os.posix_spawn", "shutil.rmtree", "urllib.Request")


class Closed(RuntimeError):
    """Code under the checker tried to write, to start a process or to reach the network."""


@contextlib.contextmanager
def closed() -> Iterator[None]:
    """Run other people's code without output, files to write, processes or network, for a few seconds at most."""
    if not _installed:
        sys.addaudithook(_audit)
        _installed.append(True)
    before, _watch.on = getattr(_watch, "on", False), True
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), _timed():
            yield
    finally:
        _watch.on = before


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not getattr(_watch, "on", False):
        return
    writes = event == "open" and isinstance(args[1], str) and any(c in args[1] for c in "wax+")
    if event in _CLOSED or (writes and "__pycache__" not in str(args[0])):
        raise Closed(f"the code tried {event} {args[:1]}")


@contextlib.contextmanager
def _timed() -> Iterator[None]:
    """Raise TimeoutError after `SECONDS`, where signals can."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer") or (
            signal.getitimer(signal.ITIMER_REAL)[0] > 0):
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"a call took longer than {SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
