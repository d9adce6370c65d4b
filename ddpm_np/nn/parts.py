"""Parts of a module that are held in lists, tuples and dicts of any depth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Test = Callable[[Any], bool]


def parts_in(container: Any, name: str, is_part: Test,
             above: frozenset[int] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Iterate over the parts in a list, tuple or dict, and in those within it.

    Parameters
    ----------
    container : list, tuple or dict
    name : str
        The container's name.
    is_part : callable
        Whether a value is a part.
    above : frozenset of int
        The ids of the containers around it.

    Yields
    ------
    name : str
        With indices and keys.
    part : object

    Raises
    ------
    TypeError
        If a part is the value of a dict's key that is neither a str nor an int.
    """
    if id(container) in above:
        return
    above = above | {id(container)}
    for key, value in container.items() if isinstance(container, dict) else enumerate(container):
        if is_part(value):
            if not isinstance(key, (str, int)):
                raise TypeError(f"{name} holds a {type(value).__name__} under the key {key!r}: a part's name needs a "
                                "key that is a str or an int")
            yield f"{name}.{key}", value
        elif isinstance(value, (list, tuple, dict)):
            yield from parts_in(value, f"{name}.{key}", is_part, above)


def replaced(value: Any, is_part: Test, new: Callable[[Any], Any], done: dict[int, Any], fresh: bool) -> Any:
    """Return a value with each part replaced, in lists, tuples and dicts too.

    Parameters
    ----------
    value : object
    is_part : callable
        Whether a value is a part.
    new : callable
        Returns what comes in the place of a part.
    done : dict
        The containers met before, by id, which are replaced once.
    fresh : bool
        Whether lists and dicts are copied; else they are changed in place.

    Returns
    -------
    object
        The value itself where nothing has changed.
    """
    if is_part(value):
        return new(value)
    if not isinstance(value, (list, tuple, dict)):
        return value
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, tuple):
        items = [replaced(x, is_part, new, done, fresh) for x in value]
        if any(a is not b for a, b in zip(items, value, strict=True)):
            value = value._make(items) if hasattr(value, "_make") else type(value)(items)
        return value
    result = done[id(value)] = copy.copy(value) if fresh else value
    for key, x in list(value.items() if isinstance(value, dict) else enumerate(value)):
        changed = replaced(x, is_part, new, done, fresh)
        if changed is not x:
            result[key] = changed
    return result
