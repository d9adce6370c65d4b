"""What kernels compute of weights alone, kept while the weights stay as they are: in sampling, for all steps."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import numpy as np

_MOST = 1 << 27  # bytes kept for one net


class FixedWeights:
    """Arrays computed from weights that do not change. The weights are kept alive with them.

    Attributes
    ----------
    arrays : dict
        By the weights' id and the name of what was computed: the weights and the array.
    """

    def __init__(self) -> None:
        self.arrays: dict[tuple[int, object], tuple[np.ndarray, np.ndarray]] = {}
        self.bytes = 0

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Provide a context in which kernels keep such arrays here, and find them again.

        Yields
        ------
        None
        """
        token = _store.set(self)
        try:
            yield
        finally:
            _store.reset(token)


_store: contextvars.ContextVar[FixedWeights | None] = contextvars.ContextVar("fixed_weights", default=None)


def kept(w: np.ndarray, name: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return `compute()`, an array that depends on the weights w alone, from the store in use if it is there.

    Parameters
    ----------
    w : array
        Weights.
    name : object
        What is computed of them, hashable.
    compute : callable
        Computes it.

    Returns
    -------
    array
    """
    store = _store.get()
    if store is None:
        return compute()
    found = store.arrays.get((id(w), name))
    if found is not None:
        return found[1]
    array = compute()
    if store.bytes + array.nbytes <= _MOST:
        store.bytes += array.nbytes
        store.arrays[id(w), name] = w, array
    return array
