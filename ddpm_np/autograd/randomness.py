"""Where dropout gets its random numbers: from a counter, named by the seed, the step and the call."""

from __future__ import annotations

import contextlib
import contextvars
import copy
from collections.abc import Iterator


class Draws:
    """Where dropout gets its numbers: the images `first`, … of step `step`; each call has its own purpose."""

    def __init__(self, seed: int, step: int, first: int):
        self.seed, self.step, self.first, self.calls = seed, step, first, 0


_draws: contextvars.ContextVar[Draws | None] = contextvars.ContextVar("draws", default=None)


def current_draws() -> Draws | None:
    """Return where dropout gets its numbers here; None outside `randomness`."""
    return _draws.get()


def restart_draws(context: contextvars.Context) -> None:
    """Let code run in `context` draw from where the draws stand now, without moving those of this context."""
    context.run(_draws.set, copy.copy(_draws.get()))


@contextlib.contextmanager
def randomness(seed: int, step: int, first: int = 0) -> Iterator[None]:
    """A context in which a training net may draw: row i of a batch is image `first` + i of step `step`.

    One forward pass a context: the k-th dropout of the pass draws by the name "dropout/k".
    """
    token = _draws.set(Draws(seed, step, first))
    try:
        yield
    finally:
        _draws.reset(token)
