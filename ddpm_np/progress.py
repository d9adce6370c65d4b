"""Progress of long work on standard error: a bar where that is a terminal, plain lines now and then where it is not."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

_SECONDS = 10  # between plain lines


class Progress:
    """A context that counts `total` steps of something.

    Parameters
    ----------
    what
        Its name.
    total
        How many steps there are.
    leave
        Whether the bar stays on the terminal when it is done.
    done
        How many of them are done already.
    quiet
        Whether to show nothing at all.
    """

    def __init__(self, what: str, total: int, leave: bool = True, done: int = 0, quiet: bool = False):
        self.what, self.total, self.done, self.note, self._first = what, total, done, "", done
        self._bar = (tqdm(total=total, initial=done, desc=what, unit="step", leave=leave, file=sys.stderr)
                     if _is_terminal() and not quiet else None)
        self._quiet = quiet
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, *_: Any) -> None:
        """One step is done."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()
        elif not self._quiet and time.monotonic() - self._said > _SECONDS:
            self._said = now = time.monotonic()
            left = (now - self._started) / (self.done - self._first) * (self.total - self.done)
            print(f"{self.what}: {self.done}/{self.total} steps, {left:.0f} s left{self.note}", file=sys.stderr)

    def say(self, note: str) -> None:
        """Show figures beside the count."""
        self.note = f", {note}"
        if self._bar is not None:
            self._bar.set_postfix_str(note)


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def passed_over(line: str) -> None:
    """Say that a checkpoint was passed over, and why."""
    print(f"ddpm-np: passed over: {line}", file=sys.stderr)
