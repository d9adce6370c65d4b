"""The functions of the package by name, and their code replaced while they stay the same objects.

The function object keeps its identity, so that a module that imported it gets the new code too.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from types import FunctionType, ModuleType
from typing import Any


def named(name: str) -> Any:
    """Return what a name below ddpm_np stands for: the function itself, without decorators.

    Parameters
    ----------
    name : str
        Such as ``"diffusion.posterior.posterior_mean"`` or ``"diffusion.schedule.Schedule.at"``.

    Returns
    -------
    function or class
        Of a property the function that computes it.

    Raises
    ------
    AttributeError
        If there is none of that name.

    Examples
    --------
    >>> named("diffusion.schedule.Schedule.at").__qualname__
    'Schedule.at'
    """
    module = f"ddpm_np.{name}"
    names: list[str] = []
    while True:
        try:
            found: Any = reduce(getattr, names, importlib.import_module(module))
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            names.insert(0, last)
    if isinstance(found, ModuleType):  # a function that its package exports hides the module of the same name
        package, _, last = module.rpartition(".")
        found = getattr(importlib.import_module(package), last)
    return _bare(found)


def _bare(found: Any) -> Any:
    found = found.fget if isinstance(found, property) else found
    return inspect.unwrap(getattr(found, "__func__", found))


def remade(function: FunctionType, source: str, name: str = "") -> FunctionType:
    """Return what a function would be with another source.

    Parameters
    ----------
    function : function
        The function; the source sees the names of its module.
    source : str
        Its whole ``def``, with decorators, not indented.
    name : str
        What tracebacks call the source; empty: the function's name.

    Returns
    -------
    function
        For `planted`.

    Raises
    ------
    SyntaxError
        If the source is no Python.
    ValueError
        If it does not define the function, with the same parameters, or uses ``super()`` or another cell of its class.

    Examples
    --------
    >>> def double(x):
    ...     return 2 * x
    >>> with planted(double, remade(double, "def double(x):\\n    return 3 * x\\n")):
    ...     double(2)
    6
    >>> double(2)
    4
    """
    names = dict(function.__globals__)
    names.pop(function.__name__, None)
    exec(compile(source, f"<{name or function.__name__}>", "exec"), names)  # annotations stay strings, as there
    made = _bare(names.get(function.__name__))
    if not isinstance(made, FunctionType):
        raise ValueError(f"there is no def {function.__name__} in it")
    if made.__code__.co_freevars != function.__code__.co_freevars:
        raise ValueError(f"{function.__name__} cannot be changed in this way: it uses super() or its class")
    if list(_parameters(made).items()) != list(_parameters(function).items()):
        raise ValueError(f"the parameters of {function.__name__} must stay {', '.join(_parameters(function))}")
    return made


def _parameters(function: FunctionType) -> dict[str, Any]:
    return {parameter.name: parameter.kind for parameter in inspect.signature(function).parameters.values()}


def plant(function: FunctionType, made: FunctionType) -> FunctionType:
    """Give a function the code and defaults of another.

    Parameters
    ----------
    function : function
        The function.
    made : function
        What it becomes, of `remade`.

    Returns
    -------
    function
        What it was: planted, it undoes this.
    """
    before = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__,
                          function.__closure__)
    before.__kwdefaults__ = function.__kwdefaults__
    for attribute in ("__code__", "__defaults__", "__kwdefaults__"):
        setattr(function, attribute, getattr(made, attribute))
    return before


@contextmanager
def planted(function: FunctionType, made: FunctionType) -> Iterator[None]:
    """Give a function the code and defaults of another for the time of the context.

    Parameters
    ----------
    function : function
        The function.
    made : function
        What it becomes, of `remade`.
    """
    before = plant(function, made)
    try:
        yield
    finally:
        plant(function, before)
