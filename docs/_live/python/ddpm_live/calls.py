"""What a page can ask for by name. Each call is a generator: the page gets its items as they come.

The worker advances a call item by item and reads its messages in between. So a call that was cancelled is simply not
advanced any more, and an urgent one, such as the check after a change, overtakes one that draws digits. A call
should therefore yield often: every 50 ms or so, an empty dict if there is nothing to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Items = Iterator[dict[str, Any]]

CALLS: dict[str, Callable[..., Items]] = {}
_running: dict[int, Items] = {}


class Trouble(Exception):
    """Something that the reader wrote or chose cannot be done; the message says why, in one line."""


def call(function: Callable[..., Items]) -> Callable[..., Items]:
    """Register a generator function as a call under its own name. Its arguments and items are JSON values."""
    CALLS[function.__name__] = function
    return function


def start(number: int, name: str, arguments: str) -> None:
    """Begin the call with this number; `arguments` is a JSON object."""
    _running[number] = CALLS[name](**json.loads(arguments))


def advance(number: int) -> str:
    """Return the next item of a call as JSON; an empty string when it has ended.

    Raises
    ------
    Trouble
        If the call ended with it.
    """
    try:
        return json.dumps(next(_running[number]), default=plain, allow_nan=False)
    except StopIteration:
        stop(number)
        return ""
    except BaseException:
        stop(number)
        raise


def stop(number: int) -> None:
    """Forget a call."""
    running = _running.pop(number, None)
    if running is not None:
        running.close()


def plain(value: Any) -> Any:
    """Return an array or a NumPy number as JSON's own: nested lists, with None for what is not finite."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.where(np.isfinite(value), value, None).tolist() if not np.isfinite(value).all() else value.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")
