"""Calls of a target's functions: arguments and earlier results must stay as they are.

A function gets copies of the arguments, which are compared with the originals afterwards. The arrays that earlier calls
returned are compared with what they were, because code that returns a buffer and fills it again at the next call gives
right numbers only to a caller who copies them at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import numpy as np

from ddpm_np import cuda


class Missing(Exception):
    """The target lacks a method, or an option of it."""


class Wrong(Exception):
    """The target raised, changed an array that is not its own, or returned something that cannot be compared."""


class Calls:
    """The calls of one object's methods.

    Parameters
    ----------
    betas : array
        The factory's argument, which the object may keep.
    """

    def __init__(self, betas: np.ndarray):
        self._betas = betas, betas.copy()
        self._returned: dict[str, tuple[str, list[np.ndarray], list[np.ndarray]]] = {}  # of each method; "": the latest

    def make(self, factory: Callable[[np.ndarray], Any]) -> Any:
        """Return the factory's object; raise `Wrong` if the factory changed its argument."""
        made = factory(self._betas[0])
        self._check_betas("the factory")
        return made

    def __call__(self, method: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any],
                 names: Iterable[str]) -> Any:
        """Call a function with copies of its arguments, and return its result.

        Parameters
        ----------
        method : str
            The function's name.
        function : callable
            The function.
        args : tuple
            Its arguments.
        options : dict
            Its keyword arguments.
        names : iterable of str
            Names of the arguments.

        Returns
        -------
        object
            The result.

        Raises
        ------
        Wrong
            If the function changed an argument, or an array that an earlier call returned.
        """
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        result = function(*copies, **options)
        for name, a, copy in zip(names, args, copies, strict=False):
            if isinstance(a, np.ndarray) and _differ(a, copy):
                raise Wrong(f"{method} changed its argument {name} in place: work on a copy")
        self._check_betas(method)
        for earlier, arrays, numbers in filter(None, map(self._returned.get, (method, ""))):
            if any(map(_differ, arrays, numbers)):
                raise Wrong(f"{method} changed an array that {'it' if earlier == method else earlier} had returned "
                            "before: return a new array from every call")
        arrays = arrays_of(result)
        self._returned[method] = self._returned[""] = method, arrays, [array.copy() for array in arrays]
        return result

    def _check_betas(self, who: str) -> None:
        if _differ(*self._betas):
            raise Wrong(f"{who} changed betas, the factory's argument, in place: work on a copy")


def arrays_of(result: Any) -> list[np.ndarray]:
    """Return the numbers in a result, one array or several, as views where that is possible.

    Parameters
    ----------
    result : object
        What a method returned.

    Returns
    -------
    list of array
        The arrays; empty if the result holds no numbers.
    """
    plain = isinstance(result, (tuple, list)) and {int, float, bool}.issuperset(map(type, result))
    several = isinstance(result, (tuple, list)) and not plain and any(getattr(part, "ndim", 0) for part in result)
    found = []
    for part in result if several else [result]:
        try:
            array = np.asarray(part)
        except Exception:
            continue
        if array.dtype.kind in "biufc":
            found.append(array)
    return found


def offers(found: Any, method: str) -> bool:
    """Return whether an object has a method of this name that can be called.

    Parameters
    ----------
    found : object
        The object.
    method : str
        The name.

    Returns
    -------
    bool
        False also for a method of a class without an instance, and for a property that raises.
    """
    try:
        if isinstance(found, type) and isinstance(inspect.getattr_static(found, method, None), FunctionType):
            return False
        return callable(getattr(found, method, None))
    except Exception:
        return False


def takes(function: Callable, option: str) -> bool:
    """Return whether a function accepts a keyword argument of this name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-in functions can lack a signature
        return True
    return option in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def names_of(function: Callable, count: int) -> list[str]:
    """Return the names of a function's first parameters; "argument i" where it has no name for the i-th."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built-in functions can lack a signature
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return [*named, *(f"argument {i}" for i in range(len(named) + 1, count + 1))]


def described(error: BaseException) -> str:
    """Describe an exception in one line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else text[:197] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def stop_if_gpu_failed(error: BaseException) -> None:
    """Raise an error of CUDA again: it ends the run, since it says nothing about the target's mathematics."""
    if cuda.explain(error):
        raise error


def _differ(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays differ in a bit; NaN equals itself."""
    return a.shape != b.shape or a.dtype != b.dtype or a.tobytes() != b.tobytes()
