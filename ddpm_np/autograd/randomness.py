"""The random numbers of dropout: from a counter, named by a seed, a step, an image and the call within the pass."""

from __future__ import annotations

import contextlib
import contextvars
import copy
from collections.abc import Iterator


class Draws:
    """The random numbers that one forward pass may draw.

    Parameters
    ----------
    seed : int
        The seed.
    step : int
        The training step.
    first : int
        The number of the batch's first image in that step.

    Attributes
    ----------
    calls : int
        How many times the pass has drawn so far. The k-th time uses the purpose "dropout/k".
    """

    def __init__(self, seed: int, step: int, first: int) -> None:
        self.seed, self.step, self.first, self.calls = seed, step, first, 0


_draws: contextvars.ContextVar[Draws | None] = contextvars.ContextVar("draws", default=None)


@contextlib.contextmanager
def randomness(seed: int, step: int, first: int = 0) -> Iterator[None]:
    """Provide the random numbers of one forward pass in training: row i of the batch is image `first` + i of `step`.

    Open one context for each forward pass, since the count of calls starts at 0 with it.

    Parameters
    ----------
    seed, step : int
    first : int
        The number of the batch's first image in that step.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.nn import Dropout
    >>> with randomness(seed=0, step=1):
    ...     y = Dropout(0.5)(np.ones((1, 4), np.float32))
    >>> y
    array([[0., 2., 2., 2.]], dtype=float32)
    """
    token = _draws.set(Draws(seed, step, first))
    try:
        yield
    finally:
        _draws.reset(token)


def current_draws() -> Draws | None:
    """Return the numbers that the forward pass of this context draws from, or None outside `randomness`.

    Returns
    -------
    Draws or None
    """
    return _draws.get()


def restart_draws(context: contextvars.Context) -> None:
    """Give a copied context a count of calls of its own, so that a second run in it draws the same numbers.

    Parameters
    ----------
    context : contextvars.Context
        The copy, made before the first run.
    """
    context.run(_draws.set, copy.copy(context.get(_draws)))
