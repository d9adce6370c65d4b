"""Ctrl-C and SIGTERM: one line and no traceback, whenever they come.

The first one raises KeyboardInterrupt, so that files are left whole and worker processes are ended. A second one ends
the process at once, and so does one that comes during an import: compiled modules print tracebacks of their own, and
raise ImportError in its place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED, TERMINATED = 130, 143  # 128 and the signal's number, as in a shell
_KINDS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


def handle_signals() -> None:
    """Handle the signals of this process. One that is ignored, as SIGINT in a shell's ``&``, stays so."""
    for kind in _KINDS:
        if signal.getsignal(kind) != signal.SIG_IGN:
            signal.signal(kind, _first)
    sys.unraisablehook = _unraisable


def release_signals() -> None:
    """Let the signals end the process without a word, now that it has nothing left to do."""
    for kind in _KINDS:
        if signal.getsignal(kind) == _first:
            signal.signal(kind, signal.SIG_DFL)


def explain(error: KeyboardInterrupt) -> tuple[int, str]:
    """Return the exit status of an interrupt, and its line. More signals are ignored: the process is ending."""
    for kind in _KINDS:
        if signal.getsignal(kind) in (_first, _second):
            signal.signal(kind, signal.SIG_IGN)
    terminated = isinstance(error, Terminated)
    return (TERMINATED, "stopped by SIGTERM") if terminated else (INTERRUPTED, "stopped by Ctrl-C")


def leave(status: int, line: str = "") -> NoReturn:
    """End the process at once, without waiting for threads that are at work."""
    for kind in _KINDS:
        signal.signal(kind, signal.SIG_IGN)
    if line:
        with contextlib.suppress(OSError):  # it may be closed
            os.write(2, f"ddpm-np: {line}\n".encode())
    os._exit(status)


def _first(kind: int, frame: FrameType | None) -> NoReturn:
    if _importing(frame):
        _second(kind, frame)
    for each in _KINDS:
        signal.signal(each, _second)
    raise Terminated if kind == signal.SIGTERM else KeyboardInterrupt


def _second(kind: int, frame: FrameType | None) -> NoReturn:
    leave(*explain(Terminated() if kind == signal.SIGTERM else KeyboardInterrupt()))


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _unraisable(unraisable: Any) -> None:
    """End the process where the interrupt was raised in a destructor or a callback, which would pass over it."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        leave(*explain(unraisable.exc_value))
    sys.__unraisablehook__(unraisable)
