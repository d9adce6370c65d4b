"""The registry of equations and their properties, shared by the command line and pytest.

A property is a function ``(check, drawn)`` that calls a target and compares its results; `checks` registers it:

    @checks("4", draws=drawn("batches"), first=plain_batches, needs=["q_sample"])
    def q_sample_is_the_marginal(check, b): …
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, partial
from typing import Any


@dataclass(frozen=True)
class Property:
    """A property that every correct implementation of an equation has.

    Parameters
    ----------
    name : str
        Name of the function.
    equation : str
        Id of the equation.
    test : callable
        ``test(check, drawn)``.
    draws : callable or None
        Returns the strategy of the random cases, as `drawn` does; None: only the cases of `first`.
    first : callable
        Returns the fixed cases, tried before the random ones, simplest first.
    needs : tuple of str
        Methods that the target must have.
    aspect : str
        Properties of one equation with the same aspect are alternatives: an equation is verified if one property of
        each aspect was. Default: the property's name.
    method : str
        Method by which the expected numbers are computed.
    false_alarm : float
        Probability that a statistical property fails on correct code.
    """

    name: str
    equation: str
    test: Callable[[Any, Any], None]
    draws: Callable[[], Any] | None
    first: Callable[[], Iterable[Any]]
    needs: tuple[str, ...]
    aspect: str
    method: str
    false_alarm: float = 0.0


@dataclass(frozen=True)
class Equation:
    """An entry of the registry.

    Parameters
    ----------
    id : str
        ``"4"`` for the paper's (4), a name for an equation that the paper does not number.
    title : str
        A short title.
    latex : str
        The equation in LaTeX.
    source : str
        Where it is published.
    functions : tuple of str
        The functions of this package that implement it, as ``module.name`` below ``ddpm_np``.
    properties : list of Property
        Its properties.
    """

    id: str
    title: str
    latex: str
    source: str
    functions: tuple[str, ...]
    properties: list[Property] = field(default_factory=list)


EQUATIONS: dict[str, Equation] = {}


def equation(id: str, title: str, latex: str, source: str, *functions: str) -> None:
    """Register an equation.

    Parameters
    ----------
    id : str
        ``"4"`` for the paper's (4), a name for an equation that the paper does not number.
    title : str
        A short title.
    latex : str
        The equation in LaTeX.
    source : str
        Where it is published.
    *functions : str
        The functions of this package that implement it, as ``module.name`` below ``ddpm_np``.

    Raises
    ------
    ValueError
        If the id is already registered.
    """
    if id in EQUATIONS:
        raise ValueError(f"equation {id!r} is already registered")
    EQUATIONS[id] = Equation(id, title, latex, source, functions)


def drawn(strategy: str, **options: Any) -> Callable[[], Any]:
    """Return a function that returns a strategy of the module `strategies`.

    Hypothesis is imported when the function is called. Equal arguments give the same strategy object, so that
    properties can share its random cases.

    Parameters
    ----------
    strategy : str
        The name of a function in `strategies`.
    **options : Any
        Its arguments.

    Returns
    -------
    callable
        () -> the strategy.

    Examples
    --------
    >>> drawn("batches", first=2)() is drawn("batches", first=2)()
    True
    """
    return partial(_strategy, strategy, **options)


@cache
def _strategy(name: str, **options: Any) -> Any:
    from ddpm_np.check import strategies

    return getattr(strategies, name)(**options)


def checks(equation: str, *, needs: Iterable[str], draws: Callable[[], Any] | None = None,
           first: Callable[[], Iterable[Any]] = lambda: (), aspect: str | None = None, method: str = "exact fractions",
           false_alarm: float = 0.0) -> Callable:
    """Register the decorated function as a property of an equation.

    Parameters
    ----------
    equation : str
        Id of the equation.
    needs : iterable of str
        Methods that the target must have.
    draws : callable or None
        Returns the strategy of the random cases: ``drawn("batches")``.
    first : callable
        Returns the fixed cases.
    aspect : str or None
        Aspect of the equation; None: the function's name. See `Property`.
    method : str
        Method by which the expected numbers are computed.
    false_alarm : float
        Probability that a statistical property fails on correct code.

    Returns
    -------
    callable
        The decorator, which returns the function unchanged.
    """

    def register(test: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        EQUATIONS[equation].properties.append(Property(
            test.__name__, equation, test, draws, first, tuple(needs), aspect or test.__name__, method, false_alarm))
        return test

    return register


def chosen(ids: Iterable[Any] | None) -> list[Equation]:
    """Return the equations with the given ids, the paper's numbers first.

    Parameters
    ----------
    ids : iterable or None
        Ids; ``7`` and ``"(7)"`` stand for ``"7"``. None: all.

    Returns
    -------
    list of Equation
        The equations.

    Raises
    ------
    ValueError
        If an id is unknown.
    """
    ordered = sorted(EQUATIONS.values(), key=lambda entry: int(entry.id) if entry.id.isdigit() else 1000)
    if ids is None:
        return ordered
    wanted = {str(i).strip().strip("()") for i in ([ids] if isinstance(ids, (str, int)) else ids)}
    for name in wanted - set(EQUATIONS):
        close = get_close_matches(name, EQUATIONS, 1)
        raise ValueError(f"no equation is called {name!r}: "
                         + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(EQUATIONS)}"))
    return [entry for entry in ordered if entry.id in wanted]
