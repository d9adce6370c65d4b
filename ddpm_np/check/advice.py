"""Advice for a target that lacks methods: what was expected, and the closest names that it has."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from ddpm_np.check.calls import described, offers
from ddpm_np.check.target import METHODS


def nothing_verified(found: Any, wanted: Collection[str]) -> str:
    """Say in one line why no equation could be verified.

    Parameters
    ----------
    found : object
        What the factory returned.
    wanted : collection of str
        The methods that were looked for.

    Returns
    -------
    str
        The line.

    Examples
    --------
    >>> nothing_verified(None, ["q_sample"])
    'no equation could be verified: the factory returned None, expected an object with a method q_sample'
    """
    names = [name for name in METHODS if name in wanted] or list(wanted)
    shown = f"a method {names[0]}" if len(names) == 1 else (
        f"methods such as {', '.join(names[:4])}" if len(names) > 4 else f"one of the methods {', '.join(names)}")
    offered = [name for name in names if offers(found, name)]
    if offered:
        return (f"no equation could be verified: {', '.join(offered)} {'is' if len(offered) == 1 else 'are'} not "
                "implemented, or not with the options that were asked for")
    what = "None" if found is None else f"the class {found.__name__}" if isinstance(found, type) else (
        f"an object of class {type(found).__name__}")
    line = f"no equation could be verified: the factory returned {what}, expected an object with {shown}"
    if isinstance(found, type) and any(name in METHODS for name in _names(found)):
        return f"{line}: return {found.__name__}(betas)"
    near = misnamed(found)
    return f"{line}: {near}" if near else line


def misnamed(found: Any) -> str:
    """Name attributes of an object that may be meant as methods of a check target.

    Parameters
    ----------
    found : object
        What the factory returned.

    Returns
    -------
    str
        A line, empty if there are none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> misnamed(SimpleNamespace(q_smaple=print, alpha_bar=[1.0, 0.5]))
    "its alpha_bar is of type list, not a method; q_smaple: did you mean 'q_sample'?"
    """
    lacking = [name for name in METHODS if not offers(found, name)]
    said = []
    for name in _names(found):
        if name in lacking:
            if not isinstance(found, type):
                said.append(f"its {name} is {_kind(found, name)}, not a method")
        elif name not in METHODS and not name.startswith("_") and offers(found, name):
            said += [f"{name}: did you mean {close!r}?" for close in get_close_matches(name, lacking, 1, 0.75)]
    return "; ".join(said)


def _kind(found: Any, name: str) -> str:
    """Say what an attribute is."""
    try:
        return f"of type {type(getattr(found, name)).__name__}"
    except Exception as error:
        return f"a property that raised {described(error)}"


def _names(found: Any) -> list[str]:
    try:
        return dir(found)
    except Exception:
        return []
