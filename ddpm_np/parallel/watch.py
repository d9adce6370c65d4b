"""Calls of code that may store values: by several threads only while they store nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ddpm_np.parallel.contents import stored_contents


class CallWatch:
    """Whether the calls of some code store anything.

    A net that keeps running means, or an objective that appends to a log, gives other results if several threads call
    it in an order that is left to chance. So the calls are made one after another in this thread until a round of them
    has stored nothing; from then on they may be made by several threads.
    """

    def __init__(self) -> None:
        self._code: list[Any] = []
        self._stores = True

    @contextlib.contextmanager
    def calls(self, code: Sequence[Any], known: Collection[int], workers: int) -> Iterator[int]:
        """Provide a context for a round of calls.

        Parameters
        ----------
        code : sequence
            The functions and objects that are called.
        known : collection of int
            The ids of objects that are not looked into.
        workers : int
            The most threads that are wanted.

        Yields
        ------
        int
            How many threads may make the calls: `workers` or 1. With one, they are to be made in order.

        Raises
        ------
        RuntimeError
            If something was stored although several threads made the calls: the results may be wrong.
        """
        if workers <= 1 or not code:
            yield max(workers, 1)
            return
        if len(code) != len(self._code) or any(a is not b for a, b in zip(code, self._code, strict=True)):
            self._code, self._stores = list(code), True
        before = stored_contents(code, known)
        together = not self._stores and before is not None
        yield workers if together else 1
        self._stores = before is None or before != stored_contents(code, known)
        if together and self._stores:
            raise RuntimeError("the net or the objective stored a value while several threads called it, so the result "
                               "depends on their order: do not store values there, or use workers=1")
