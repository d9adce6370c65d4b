"""Which options a target offers: what it answered, what it refused, and the words for the difference.

A call is known by its method and by what it asked for, its options: the keyword arguments, the other arguments that are
no arrays (η, a schedule's name, a number of steps), and the rank of the images. A refused call is explained if one of
its options, or several together, belong to no call that was answered. Else the target refuses by something that is no
option, such as t, and what was left out cannot be said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ddpm_np.check.calls import Missing

Option = tuple[str, Any]
Asked = tuple[Option, ...]
MOST = 6  # values of an option that are listed


class NotOffered(Missing):
    """The target lacks what one call asked of a method.

    Parameters
    ----------
    method : str
        The method.
    asked : tuple of (name, value)
        What the call asked for, as `asked` returns it.
    case : str
        The schedule of the call, as text.
    why : str
        The target's reason, if it gave one.
    """

    def __init__(self, method: str, asked: Asked, case: str, why: str = ""):
        super().__init__(method)
        self.method, self.asked, self.case, self.why = method, asked, case, why


def asked(names: Iterable[str], args: Sequence[Any], options: dict[str, Any]) -> Asked:
    """Return what a call asks for: its options, its arguments that are no arrays, and its images' rank.

    Parameters
    ----------
    names : iterable of str
        Names of the arguments.
    args : sequence
        The arguments.
    options : dict
        The keyword arguments.

    Returns
    -------
    tuple of (name, value)
        The options; an array, such as a table of variances, is "a table".

    Examples
    --------
    >>> asked(("x_t", "eta"), (np.zeros((2, 1)), 0.5), {"clip": True})
    (('clip', True), ('eta', 0.5), ('rank', 2))
    """
    found = [(name, "a table" if isinstance(value, np.ndarray) else value) for name, value in options.items()]
    found += [(name, value) for name, value in zip(names, args, strict=False)
              if isinstance(value, (str, int, float, tuple))]
    rank = next((a.ndim for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f"), None)
    return (*found, ("rank", rank)) if rank is not None else tuple(found)


class Offered:
    """The calls of one equation's properties: answered or refused."""

    def __init__(self) -> None:
        self._answered: dict[str, dict[Asked, None]] = {}  # in order
        self._refused: dict[str, dict[Asked, str]] = {}
        self._reasons: dict[str, str] = {}  # the first that a target gave for a method

    def answer(self, method: str, asked: Asked) -> None:
        """Note a call that returned."""
        self._answered.setdefault(method, {})[asked] = None

    def refuse(self, error: NotOffered) -> None:
        """Note a call that the target does not offer."""
        self._refused.setdefault(error.method, {}).setdefault(error.asked, error.case)
        self._reasons.setdefault(error.method, error.why)

    def whole(self, method: str) -> bool:
        """Return whether a method was called, and all its calls were refused."""
        return method in self._refused and method not in self._answered

    def lacking(self, method: str) -> str:
        """Return a method all of whose calls were refused, as `_asked_for` does, with the target's first reason."""
        why = self._reasons[method]
        return self._asked_for(method) + (f": {why}" if why else "")

    def _asked_for(self, method: str) -> str:
        """Return a method with the options that all of its refused calls asked for."""
        first, *others = self._refused[method]
        common = [option for option in first if option[0] != "rank" and all(option in other for other in others)]
        return f"{method}({', '.join(f'{name}={_shown(value)}' for name, value in common)})" if common else method

    def unexplained(self) -> str:
        """Return a method and a call of it that was refused, though one that asked for the same was answered."""
        for method, calls in self._refused.items():
            for call, case in calls.items():
                if call in self._answered.get(method, ()):
                    options = ", ".join(f"{name}={_shown(value)}" for name, value in call)
                    return f"{method}{f'({options})' if options else ''} for some arguments, as with {case}"
        return ""

    def note(self) -> str:
        """Return what was asked and what is not offered: "eq12_weight for variance='large'; 'small' not offered"."""
        said = []
        for method in self._refused:
            if self.whole(method):
                said.append(f"{self._asked_for(method)} not offered")
                continue
            missing = self._explanations(method)
            names = {name: None for options in missing for name, _ in options}
            has = ", ".join(f"{name}={_list(self._values(method, name))}" for name in names)
            single = {name: [options[0][1] for options in missing if [o[0] for o in options] == [name]]
                      for name in names}
            lacks = [f"{name}={_list(values)}" for name, values in single.items() if values]
            lacks += [" with ".join(f"{name}={_shown(value)}" for name, value in options)
                      for options in missing if len(options) > 1]
            said.append(f"{method} for {has}; {', '.join(lacks)} not offered")
        return ". ".join(said)

    def _values(self, method: str, name: str) -> list[Any]:
        """Return the values of an option that were answered."""
        return list(dict.fromkeys(value for call in self._answered[method] for key, value in call if key == name))

    def _explanations(self, method: str) -> list[Asked]:
        """Return the options that explain the refused calls: those of no answered call, the fewest together."""
        answered = [set(call) for call in self._answered[method]]
        known = set().union(*answered)
        found: dict[Asked, None] = {}
        for call in self._refused[method]:
            alone = tuple(option for option in call if option not in known)
            together = (some for size in range(2, len(call) + 1) for some in combinations(call, size)
                        if not any(other.issuperset(some) for other in answered))
            found[alone or next(together)] = None
        return [some for some in found if not any(set(other) < set(some) for other in found)]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value if value == "a table" else repr(value)


def _list(values: list[Any]) -> str:
    in_order = sorted(values) if all(type(value) in (int, float) for value in values) else values
    shown = [*map(_shown, in_order)]
    return ", ".join(shown if len(shown) <= MOST else [*shown[:MOST - 1], "…", shown[-1]])
