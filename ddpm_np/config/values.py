"""Checks of the types of a configuration's values, with messages that say what was expected."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

_MOST = sys.float_info.max


def checked(kind: Callable[..., Any], values: dict[str, Any], names: Mapping[str, str]) -> Any:
    """Return ``kind(**values)`` after checking the types of values from TOML or JSON.

    Parameters
    ----------
    kind : type
        A dataclass.
    values : dict
        Values of its fields.
    names : mapping of str to str
        The names by which messages call the fields.

    Returns
    -------
    object
        An instance of `kind`.

    Raises
    ------
    ValueError
        If a value has a wrong type.
    """
    hints = get_type_hints(kind)
    for key, value in values.items():
        if not _is_a(value, hints[key]):
            raise ValueError(f"{names.get(key, key)} must be {_words(hints[key])}, got {value!r}")
    return kind(**values)


def _is_a(value: Any, hint: Any) -> bool:
    """Return whether a value from TOML or JSON is valid for a field of type `hint`."""
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, (list, tuple)) and all(_is_a(v, inner) for v in value)
    if get_args(hint):  # a union
        return any(_is_a(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MOST  # not nan either
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    """Return a field's type in plain words."""
    if get_origin(hint) is tuple:
        return f"a list of {_words(get_args(hint)[0])}s"
    if get_args(hint):
        return " or ".join(_words(option) for option in get_args(hint))
    return {int: "int", float: "number", bool: "true or false", str: "text", type(None): "nothing"}[hint]
