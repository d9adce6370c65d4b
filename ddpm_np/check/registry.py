"""The equations that are checked, and the properties that pin them: one list for the command line and for pytest.

A property is a function ``(check, drawn)`` that asks a target and compares; `checks` puts it into the registry:

    @checks("4", draws=batches(), first=plain_batches, needs=["q_sample"])
    def q_sample_is_the_marginal(check, b): …
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Property:
    """Something true of every right implementation of an equation.

    Attributes
    ----------
    name : str
        The function's name.
    equation : str
    test : callable
        ``test(check, drawn)``.
    draws : Hypothesis strategy, or None
        None: `first` alone says it all.
    first : callable
        -> what is tried before anything is drawn, simplest first.
    needs : tuple of str
        The target's methods without which it says nothing.
    aspect : str
        Properties of one equation and one aspect stand in for each other: an equation is verified when of each aspect
        one property was. Its own name unless given.
    method : str
        By what the expected numbers are found.
    false_alarm : float
        The chance that it fails on right code: of statistical ones.
    """

    name: str
    equation: str
    test: Callable[[Any, Any], None]
    draws: Any
    first: Callable[[], Iterable[Any]]
    needs: tuple[str, ...]
    aspect: str
    method: str
    false_alarm: float = 0.0


@dataclass(frozen=True)
class Equation:
    """An entry of the registry.

    Attributes
    ----------
    id : str
        ``"4"`` for the paper's (4), a name for what the paper does not number.
    title : str
        A few words.
    latex : str
    source : str
        Where it stands.
    functions : tuple of str
        The functions of this package that are it, as ``module.name`` below ``ddpm_np``.
    properties : list of Property
    """

    id: str
    title: str
    latex: str
    source: str
    functions: tuple[str, ...]
    properties: list[Property] = field(default_factory=list)


EQUATIONS: dict[str, Equation] = {}


def equation(id: str, title: str, latex: str, source: str, *functions: str) -> None:
    """Put an equation into the registry."""
    if id in EQUATIONS:
        raise ValueError(f"equation {id!r} is there already")
    EQUATIONS[id] = Equation(id, title, latex, source, functions)


def checks(equation: str, *, needs: Iterable[str], draws: Any = None,
           first: Callable[[], Iterable[Any]] = lambda: (), aspect: str | None = None, method: str = "exact fractions",
           false_alarm: float = 0.0) -> Callable:
    """Register the decorated function as a property of an equation; see `Property`."""

    def register(test: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        EQUATIONS[equation].properties.append(Property(
            test.__name__, equation, test, draws, first, tuple(needs), aspect or test.__name__, method, false_alarm))
        return test

    return register


def chosen(ids: Iterable[Any] | None) -> list[Equation]:
    """The equations of some ids, the paper's numbers first; all of them for None. ``7`` and ``"(7)"`` are ``"7"``."""
    ordered = sorted(EQUATIONS.values(), key=lambda entry: int(entry.id) if entry.id.isdigit() else 1000)
    if ids is None:
        return ordered
    wanted = {str(i).strip().strip("()") for i in ([ids] if isinstance(ids, (str, int)) else ids)}
    for name in wanted - set(EQUATIONS):
        close = get_close_matches(name, EQUATIONS, 1)
        raise ValueError(f"no equation is called {name!r}: "
                         + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(EQUATIONS)}"))
    return [entry for entry in ordered if entry.id in wanted]
