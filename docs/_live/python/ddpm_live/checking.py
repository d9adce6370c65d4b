"""The check after a change: the reader's functions in the place of the package's, equation by equation."""

from __future__ import annotations

import functools
import traceback
from types import FunctionType
from typing import Any

import ddpm_np.check.equations  # noqa: F401 - fills the registry
from ddpm_live.calls import Items, Trouble, call
from ddpm_np.check import Result, run
from ddpm_np.check.code import named, plant, remade
from ddpm_np.check.derivations.code_ties import untied
from ddpm_np.check.derivations.contents import relations
from ddpm_np.check.registry import chosen
from ddpm_np.check.targets import ddpm_np as package

_before: dict[str, FunctionType] = {}  # what the changed functions were
_now: dict[str, str] = {}  # the sources that are in place


@call
def check(changes: dict[str, str], first: list[str], lines: list[str] | None = None) -> Items:
    """Put the changed functions in place and yield the verdicts on all equations, then the lines that they break.

    Parameters
    ----------
    changes : dict
        The source of each changed function, by its name below ddpm_np. Others are the package's own again.
    first : list of str
        Ids of the equations to check before all others: those of the page.
    lines : list of str or None
        Ids of lines of derivations to compare with their code before all others: those of the page.

    Yields
    ------
    dict
        A verdict: ``equation``, ``verdict``, ``error``, ``counterexample``, ``hint``; or a line that its code no
        longer computes: ``line``, ``broken``; or the last one: ``checked``, the number of equations.
    """
    put(changes)
    entries = [entry.id for entry in chosen(None)]
    for id in sorted(entries, key=lambda id: id not in first):
        yield told(run(package, [id], examples=0).results[0])
    if changes:
        known = sorted(_tied(), key=lambda id: id not in (lines or ()))
        for id in known:
            broken = untied(_tied()[id])
            yield {"line": id, "broken": broken} if broken else {}
    yield {"checked": len(entries)}


@call
def check_further(equation: str, examples: int = 8) -> Items:
    """Yield the verdict on one equation, random cases included, on what is in place."""
    yield told(run(package, [equation], examples=examples).results[0])


def told(result: Result) -> dict[str, Any]:
    """Return what a page shows of a verdict."""
    shown = result.as_dict()
    return {name: shown[name] for name in ("equation", "verdict", "error", "counterexample", "hint")}


@functools.cache
def _tied() -> dict[str, Any]:
    """Return the lines of derivations that have code, by id."""
    return {relation.id: relation for relation in relations() if relation.code}


def put(changes: dict[str, str]) -> None:
    """Make these the changed functions; if one of them is no Python, raise `Trouble` and change nothing."""
    made = {name: _made(name, source) for name, source in changes.items() if _now.get(name) != source}
    for name in set(_now) - set(changes):
        plant(named(name), _before.pop(name))
        del _now[name]
    for name, function in made.items():
        right = plant(named(name), function)
        _before.setdefault(name, right)
        _now[name] = changes[name]


def _made(name: str, source: str) -> FunctionType:
    function = named(name)
    try:
        return remade(function, source, name)
    except SyntaxError as error:
        raise Trouble(f"{name}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise Trouble(f"{name}: {error}") from None
    except Exception as error:  # a default or a decorator that raises
        raise Trouble(f"{name}: {traceback.format_exception_only(error)[-1].strip()}") from None
