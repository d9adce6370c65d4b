"""A target made of plain functions, such as those of a script or an exercise.

Arguments are passed by the names of a function's parameters. For ``q_sample`` these can be the parameters of a check
target's ``q_sample`` (``x_0``, ``t``, ``noise``) and the schedule's:

- ``T``;
- ``betas``, ``alphas``, ``alphas_cumprod``: (T,), element 0 belongs to the first step;
- ``beta``, ``alpha``, ``alpha_bar``: (T + 1,), element t belongs to step t, element 0 to the data;
- ``beta_t``, ``alpha_t``, ``alpha_bar_t``, ``alpha_bar_prev``: at each image's t, (N, 1, …), for methods with a ``t``.

In place of a ``model``, a function can take ``eps``, the model's output.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np

from ddpm_np.check.target import METHODS, Declared, Target

_TABLES = ("T", "betas", "alphas", "alphas_cumprod", "beta", "alpha", "alpha_bar")
_ROWS = ("beta_t", "alpha_t", "alpha_bar_t", "alpha_bar_prev")
_OPTIONS = {"p_mean_variance": ("variance", "clip"), "p_sample": ("variance", "clip"), "sample": ("variance", "clip"),
            "vlb_term": ("variance",), "vlb": ("variance",), "eq12_weight": ("variance",)}


def from_functions(*, index_base: int = 1, conventions: dict[str, Any] | None = None, variance: str = "small",
                   clip: bool = False, array: Callable[[np.ndarray], Any] | None = None,
                   **functions: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
    """Make a check target's factory from plain functions.

    Parameters
    ----------
    index_base : int
        1 if the functions count steps 1..T, as the paper does; 0 if they count from 0.
    conventions : dict or None
        Other conventions to declare.
    variance : str
        The variance of functions without a parameter ``variance``.
    clip : bool
        Whether functions without a parameter ``clip`` clip x̂₀.
    array : callable or None
        Converts NumPy arrays for the functions, such as ``torch.from_numpy``. Results are converted by
        ``numpy.asarray``.
    **functions : callable
        The functions, by the names of a check target's methods.

    Returns
    -------
    callable
        The factory, ``betas -> object``.

    Raises
    ------
    TypeError
        If a function is not callable or has an unknown parameter.
    ValueError
        If a name is not a method's, or a convention is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.check import run
    >>> def noisy(x_0, noise, alpha_bar_t):
    ...     return np.sqrt(alpha_bar_t) * x_0 + (1 - alpha_bar_t) * noise
    >>> result = run(from_functions(q_sample=noisy), equations=["4"])["4"]
    >>> print(result.verdict, result.hint, sep=": ")
    FAIL: these are the numbers of (1 − ᾱ_t)·ε: a missing root
    """
    declared = {"index_base": index_base, **(conventions or {})}
    Declared(declared)  # raises if a convention is unknown
    for name, function in functions.items():
        if name not in METHODS:
            raise ValueError(f"{name!r} is not a method of a check target{_hint(name, METHODS)}")
        if not callable(function):
            raise TypeError(f"{name} must be a function, got {type(function).__name__}")
        _asked(name, function)

    def factory(betas: np.ndarray) -> Script:
        return Script(betas, functions, declared, {"variance": variance, "clip": clip}, array or _same)

    return factory


class Script:
    """The functions for one schedule, each an attribute under its method's name."""

    def __init__(self, betas: np.ndarray, functions: dict[str, Callable[..., Any]], conventions: dict[str, Any],
                 options: dict[str, Any], array: Callable[[np.ndarray], Any]):
        self._functions, self.conventions, self._options, self._array = functions, conventions, options, array
        beta = np.concatenate(([0.0], betas))
        alpha_bar = np.exp(np.cumsum(np.log1p(-beta)))
        self._tables: dict[str, Any] = {
            "T": len(betas), "betas": betas, "alphas": 1 - betas, "alphas_cumprod": alpha_bar[1:], "beta": beta,
            "alpha": 1 - beta, "alpha_bar": alpha_bar}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(name)
        return lambda *args, **options: self._call(name, args, options)

    def _call(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        function = self._functions[method]
        asked, given = _asked(method, function), dict(zip(_arguments(method), args, strict=True))
        for name, value in options.items():
            if name not in asked and value != self._options[name]:
                raise NotImplementedError(f"the function supports {name}={self._options[name]!r} only")
        known = {**self._tables, **self._options, **given, **options}
        if {*_ROWS} & {*asked}:
            known |= self._rows(given["t"], max(np.ndim(a) for a in given.values()))
        if "eps" in asked and "eps" not in given:
            known["eps"] = np.asarray(given["model"](given["x_t"], given["t"]))
        result = function(**{name: self._theirs(known[name]) for name in asked})
        return tuple(map(np.asarray, result)) if isinstance(result, (tuple, list)) else np.asarray(result)

    def _rows(self, t: np.ndarray, ndim: int) -> dict[str, np.ndarray]:
        t = t + 1 - self.conventions["index_base"]
        tables = {**{f"{name}_t": self._tables[name][t] for name in ("beta", "alpha", "alpha_bar")},
                  "alpha_bar_prev": self._tables["alpha_bar"][t - 1]}
        return {name: table.reshape(-1, *(1,) * (ndim - 1)) for name, table in tables.items()}

    def _theirs(self, value: Any) -> Any:
        """Convert an array, or a model's arguments and result, for the functions."""
        if isinstance(value, np.ndarray):
            return self._array(value.copy())
        if callable(value):
            return lambda x, t: self._array(np.asarray(value(np.asarray(x), np.asarray(t))))
        return value


def _arguments(method: str) -> list[str]:
    """Return the parameter names of a check target's method in order, without options."""
    parameters = inspect.signature(getattr(Target, method)).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]


def _asked(method: str, function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's known parameters; an unknown one must have a default, which it keeps."""
    arguments = _arguments(method)
    known = [*arguments, *_OPTIONS.get(method, ()), *_TABLES, *(_ROWS if "t" in arguments else ())]
    if {"model", "x_t", "t"} <= {*arguments}:
        known.append("eps")
    asked = []
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        if p.name in known and p.kind is not p.POSITIONAL_ONLY:
            asked.append(p.name)
        elif p.default is p.empty:
            raise TypeError(f"{method}: the function has the unknown parameter {p.name!r}{_hint(p.name, known)}")
    return asked


def _hint(name: str, known: Any) -> str:
    close = get_close_matches(name, known, 1)
    return f": did you mean {close[0]!r}?" if close else f": there are {', '.join(known)}"


def _same(values: np.ndarray) -> np.ndarray:
    return values
