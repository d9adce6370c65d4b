"""Checks of arguments: counts, numbers, seeds and names, each in one wording.

A message names the argument, what was expected and what was given, so that no library below has to say it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

SEEDS = 2**64  # the key of the random numbers has 64 bits
_LARGE = 2**53  # below it, ints and floats are the same numbers; no count is meaningful above it


def count(name: str, value: Any, least: int = 1, most: int | None = None, advice: str = "") -> int:
    """Return a count or a size after checking that it is an int in its range.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        Its value.
    least : int
        The smallest allowed value.
    most : int or None
        The largest; None for no limit of its own.
    advice : str
        What to do, added to the message.

    Returns
    -------
    int
        The value.

    Raises
    ------
    TypeError
        If it is not an int. A bool is none, and neither is 2.0.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> count("batch_size", np.int64(8))
    8
    >>> count("batch_size", -1)
    Traceback (most recent call last):
    ValueError: batch_size must be at least 1, got -1
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if not least <= number <= (_LARGE if most is None else most):
        top = _LARGE if most is None and number > _LARGE else most
        raise ValueError(f"{name} must be {_range(least, top)}, got {number}{_with(advice)}")
    return number


def is_int(value: Any) -> bool:
    """Return whether a value is an int of Python or NumPy. A bool is none, and neither is 2.0 or an array with axes.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_int(2), is_int(True), is_int(2.0)
    (True, False, False)
    """
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def described(value: Any) -> str:
    """Return a value for a message: an array by its shape and dtype, and all else by the beginning of its repr.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        One line.

    Examples
    --------
    >>> import numpy as np
    >>> described(np.zeros((2, 3))), described([1, 2])
    ('an array of shape (2, 3) and dtype float64', '[1, 2]')
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"


def sides(name: str, value: Any, least: int = 1, advice: str = "") -> int | tuple[int, int]:
    """Return an image's size after checking it.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        One side, or (H, W).
    least : int
        The smallest side.
    advice : str
        What to do, added to the message.

    Returns
    -------
    int or tuple of int
        The size.

    Raises
    ------
    TypeError
        If a side is not an int.
    ValueError
        If a side is too small, or there are not two.

    Examples
    --------
    >>> sides("image_size", [8, 16])
    (8, 16)
    """
    if not isinstance(value, Iterable) or isinstance(value, str):
        return count(name, value, least, None, advice)
    given = tuple(value)
    if len(given) != 2:
        raise ValueError(f"{name} must be one side or (H, W), got {given}")
    return count(f"the height in {name}", given[0], least, None, advice), count(
        f"the width in {name}", given[1], least, None, advice)


def seed(value: Any, name: str = "seed") -> int:
    """Return a seed after checking that it is an int from 0 to 2⁶⁴ − 1.

    Parameters
    ----------
    value : object
        The seed.
    name : str
        The argument's name, for the message.

    Returns
    -------
    int
        The value.

    Raises
    ------
    ValueError
        If it is not.
    """
    try:
        return count(name, value, 0, SEEDS - 1)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an int from 0 to 2**64 - 1, got {value!r}") from None


def number(name: str, value: Any, *, least: float | None = None, above: float | None = None,
           most: float | None = None, below: float | None = None, advice: str = "") -> float:
    """Return a number after checking that it is finite and in its range.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        Its value.
    least, above : float or None
        The smallest allowed value, or the number that it must exceed.
    most, below : float or None
        The largest allowed value, or the number that it must stay under.
    advice : str
        What to do, added to the message.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of range or not finite.

    Examples
    --------
    >>> number("dropout", 1, least=0, below=1)
    Traceback (most recent call last):
    ValueError: dropout must be at least 0 and below 1, got 1
    """
    try:
        real = None if isinstance(value, (bool, str, bytes)) else float(value)
    except OverflowError:
        real = math.inf
    except (TypeError, ValueError):
        real = None
    if real is None:
        raise TypeError(f"{name} must be a number, got {value!r}")
    fits = math.isfinite(real) and (least is None or real >= least) and (above is None or real > above) and (
        most is None or real <= most) and (below is None or real < below)
    if not fits:
        raise ValueError(f"{name} must be {_interval(least, above, most, below)}, got {value}{_with(advice)}")
    return real


def one_of(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Check that a value is one of those allowed.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        Its value.
    allowed : iterable
        The allowed values.

    Raises
    ------
    ValueError
        If it is not.
    """
    options = list(allowed)
    if not any(isinstance(value, type(option)) and value == option for option in options):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")


def known(given: Iterable[str], names: Collection[str], what: str) -> None:
    """Check that all given names are known.

    Parameters
    ----------
    given : iterable of str
        The names.
    names : collection of str
        Those that are known.
    what : str
        What they name, for the message.

    Raises
    ------
    ValueError
        If one is unknown; the message has the closest known name.
    """
    for key in given:
        if key not in names:
            raise ValueError(f"no {what} is called {key!r}: {closest(key, names)}")


def closest(given: object, names: Iterable[str], others: str = "") -> str:
    """Return advice for an unknown name: the closest known one, those that it abbreviates or has a word of, or all.

    Parameters
    ----------
    given : object
        The unknown name.
    names : iterable of str
        The known ones.
    others : str
        What else is allowed, added to the list of all.

    Returns
    -------
    str
        "did you mean …?" or "there are …".

    Examples
    --------
    >>> closest("cifra10", ["mnist", "cifar10"])
    "did you mean 'cifar10'?"
    >>> closest("lr", ["log_every", "learning_rate"])
    "did you mean 'learning_rate'?"
    >>> closest("size", ["image_size", "batch_size", "steps"])
    "did you mean 'image_size' or 'batch_size'?"
    >>> closest("flowers", ["mnist", "cifar10"], "and FILE.npz")
    'there are mnist, cifar10 and FILE.npz'
    """
    names = list(names)
    text = str(given).lower()
    words = set(text.split("_"))
    close = (get_close_matches(str(given), names, 1)
             or [name for name in names if "".join(word[:1] for word in name.split("_")) == text]
             or [name for name in names if words & set(name.lower().split("_"))])
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {', '.join(names)}{_with(others, ' ')}"


def _range(least: int, most: int | None) -> str:
    return f"at least {least:,}" if most is None else f"from {least:,} to {most:,}"


def _interval(least: float | None, above: float | None, most: float | None, below: float | None) -> str:
    """Return an interval in plain words."""
    if least is not None and most is not None:
        return f"from {least:g} to {most:g}"
    low = "positive" if above == 0 else f"above {above:g}" if above is not None else None
    low = f"at least {least:g}" if least is not None else low
    high = f"at most {most:g}" if most is not None else f"below {below:g}" if below is not None else None
    return " and ".join(part for part in (low, high) if part) or "a finite number"


def _with(advice: str, before: str = ": ") -> str:
    return f"{before}{advice}" if advice else ""
