"""What kernels compute of weights alone, kept while the weights stay as they are: in sampling, for all steps."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator

import numpy as np

_MOST = 1 << 28  # bytes kept for one net


class FixedWeights:
    """Arrays computed from weights that do not change. The weights are kept alive with them.

    Attributes
    ----------
    arrays : dict
        By the weights' id: the weights, and the arrays by the name of what was computed.
    """

    def __init__(self) -> None:
        self.arrays: dict[int, tuple[np.ndarray, dict[object, np.ndarray]]] = {}
        self.bytes = 0
        self.lock = threading.Lock()

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


def will_keep(w: np.ndarray, size: int) -> bool:
    """Return whether `kept` keeps an array computed from the weights w, or has kept one of them.

    Parameters
    ----------
    w : array
        Weights.
    size : int
        Bytes of the array.

    Returns
    -------
    bool
    """
    store = _store.get()
    return store is not None and (id(w) in store.arrays or store.bytes + size <= _MOST)


def kept(w: np.ndarray, name: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return `compute()`, an array that depends on the weights w alone, from the store in use if it is there.

    Parameters
    ----------
    w : array
        Weights.
    name : object
        What is computed of them, hashable: the same weights may be used by a convolution of another size.
    compute : callable
        Computes it.

    Returns
    -------
    array
    """
    store = _store.get()
    if store is None:
        return compute()
    _, arrays = store.arrays.get(id(w), (w, {}))
    if name in arrays:
        return arrays[name]
    array = compute()
    with store.lock:
        if store.bytes + array.nbytes <= _MOST:
            _, arrays = store.arrays.setdefault(id(w), (w, {}))
            store.bytes += 0 if name in arrays else array.nbytes
            return arrays.setdefault(name, array)
    return array
