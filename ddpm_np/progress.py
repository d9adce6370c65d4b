"""Progress of long work on standard error: a bar on a terminal, an occasional plain line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

_SECONDS = 10  # between plain lines


class Progress:
    """A context that counts the steps of a task and shows how far it is.

    Parameters
    ----------
    what : str
        The task's name.
    total : int
        The number of steps.
    leave : bool
        Whether the bar stays on the terminal when the context ends.
    done : int
        Steps that are already done.
    quiet : bool
        Whether to show nothing.
    """

    def __init__(self, what: str, total: int, leave: bool = True, done: int = 0, quiet: bool = False):
        self.what, self.total, self.done, self.note, self._first = what, total, done, "", done
        self._bar = (tqdm(total=total, initial=done, desc=what, unit="step", leave=leave, file=sys.stderr)
                     if _is_terminal() and not quiet else None)
        self._quiet = quiet
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, *_: Any) -> None:
        """Count one step; arguments are ignored, so that this can be any function's ``on_step``."""
        self.add(1)

    def add(self, steps: int) -> None:
        """Count some steps, such as one of each of a batch's images.

        Parameters
        ----------
        steps : int
            How many.
        """
        self.done += steps
        if self._bar is not None:
            self._bar.update(steps)
        elif not self._quiet and time.monotonic() - self._printed > _SECONDS:
            self._printed = now = time.monotonic()
            left = (now - self._started) / (self.done - self._first) * (self.total - self.done)
            print(f"{self.what}: {self.done}/{self.total} steps, {left:.0f} s left{self.note}", file=sys.stderr)

    def say(self, note: str) -> None:
        """Show a note beside the count.

        Parameters
        ----------
        note : str
            Such as the loss.
        """
        self.note = f", {note}"
        if self._bar is not None:
            self._bar.set_postfix_str(note)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def warn(line: str) -> None:
    """Print a warning of the command line."""
    print(f"ddpm-np: {line}", file=sys.stderr)


def passed_over(line: str) -> None:
    """Print that a checkpoint was skipped, and why."""
    warn(f"skipped: {line}")
