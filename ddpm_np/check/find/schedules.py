"""Find functions that make a schedule or embed a time, by trying their usual arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ddpm_np.check.find.making import table
from ddpm_np.check.find.matching import near
from ddpm_np.check.find.names import is_schedule_name, kinds
from ddpm_np.check.find.randomness import closed
from ddpm_np.check.find.replacing import array_for
from ddpm_np.check.target import CONVENTIONS
from ddpm_np.diffusion import schedules as ours

SPELLINGS = {"linear": ("linear", "sqrt_linear", "linear_beta"), "cosine": ("cosine", "squaredcos_cap_v2", "cos")}
TRIED = 10  # a length that none of the usual factors 1000/T leaves as it is
WANTED = {"linear": np.linspace(1e-4, 0.02, TRIED), "cosine": ours.cosine_schedule(TRIED).beta[1:]}

Maker = Callable[[int], np.ndarray]


def schedules(functions: dict[str, Callable[..., Any]]) -> dict[str, tuple[str, Maker, str]]:
    """Find the functions that make the linear and the cosine schedule.

    Parameters
    ----------
    functions : dict
        Functions by name.

    Returns
    -------
    dict
        For "linear" and "cosine": the function's name, ``T -> betas``, and what it was taken by.
    """
    found: dict[str, tuple[str, Maker, str]] = {}
    by_name: dict[str, tuple[str, Maker, str]] = {}
    fixed: dict[str, tuple[str, Maker, str]] = {}  # by functions that set the ends of the linear schedule themselves
    for name, function in functions.items():
        if not is_schedule_name(name) or name.startswith("__"):
            continue
        for which, want in WANTED.items():
            for maker, asked, ends in _makers(function, which):
                try:
                    betas = maker(TRIED)
                except Exception:
                    continue
                if near(betas, want):
                    found.setdefault(which, (name, maker, "numbers"))
                elif betas.shape == (TRIED,) and (betas > 0).all() and (asked == which or (
                        not asked and which in name and _is_betas(betas))):
                    (by_name if ends else fixed).setdefault(which, (name, maker, "name"))
    return {**by_name, **found, **fixed}


def _is_betas(betas: np.ndarray) -> bool:
    return bool(((betas > 0) & (betas < 1)).all() and (np.diff(betas) >= 0).all())


def _makers(function: Callable[..., Any], which: str) -> Iterator[tuple[Maker, str, bool]]:
    """Yield ways to ask a function for a schedule, with the name that it was asked by, and whether by its ends too."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return
    given: dict[str, Any] = {}
    length = named = ""
    for p in parameters:
        allowed = kinds(p.name)
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if "T" in allowed and not length:
            length = p.name
        elif allowed & {"name", "betas"} and not named and (p.default is p.empty or isinstance(p.default, str)):
            named = p.name
        elif "beta_start" in allowed:
            given[p.name] = 1e-4
        elif "beta_end" in allowed:
            given[p.name] = 0.02
        elif p.default is p.empty:
            return
    if not length:
        return

    def ask(T: int, **more: Any) -> np.ndarray:
        with closed():
            result = function(**{**given, length: T, **more})
        array = table(result)
        if array is None:
            raise NotImplementedError("not a schedule")
        return array

    if not named:
        yield ask, "", bool(given)
        return
    for spelling in SPELLINGS[which]:
        yield partial(_asked_by, ask, named, spelling), spelling, bool(given)


def _asked_by(ask: Callable[..., np.ndarray], parameter: str, spelling: str, T: int) -> np.ndarray:
    return ask(T, **{parameter: spelling})


def embeddings(candidates: dict[str, Any], torch: Any,
               ) -> tuple[str, Callable[[np.ndarray, int], np.ndarray], str] | None:
    """Find a function of t and a dimension, or a class of a dimension, that embeds a time.

    Parameters
    ----------
    candidates : dict
        Functions and classes by name.
    torch : module or None
        PyTorch, if the code computes with it.

    Returns
    -------
    tuple or None
        The name, ``(t, dim) -> (N, dim)``, and its convention.
    """
    t, dim = np.array([0, 1, 7, 999]), 8
    for name, candidate in candidates.items():
        ask = partial(_embedding, candidate, torch)
        try:
            result = ask(t, dim)
        except Exception:
            continue
        for convention in CONVENTIONS["embedding"]:
            if near(result, embedded(t, dim, convention)):
                return name, ask, convention
    return None


def _embedding(candidate: Any, torch: Any, t: np.ndarray, dim: int) -> np.ndarray:
    with closed():
        if isinstance(candidate, type):
            return _array(candidate(dim)(array_for(t, torch)))
        names = list(inspect.signature(candidate).parameters)
        first = next((n for n in names if "t" in kinds(n)), names[0])
        second = next((n for n in names if "dim" in kinds(n) and n != first), names[1])
        return _array(candidate(**{first: array_for(t, torch), second: dim}))


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def embedded(t: np.ndarray, dim: int, convention: str) -> np.ndarray:
    """Return the embedding of a convention.

    Parameters
    ----------
    t : array
        Times (N,).
    dim : int
        Its length, even.
    convention : str
        One of a check target's for `time_embedding`.

    Returns
    -------
    array
        (N, dim).

    Examples
    --------
    >>> embedded(np.array([0]), 4, "cos_sin").tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    half = dim // 2
    angles = t[:, None] * 10_000.0 ** (-np.arange(half) / (half if convention.endswith("half") else half - 1))
    if convention.startswith("interleaved"):
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(t), dim)
    first, second = (np.sin, np.cos) if convention.startswith("sin") else (np.cos, np.sin)
    return np.concatenate([first(angles), second(angles)], axis=1)


