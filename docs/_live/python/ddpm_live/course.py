"""The exercise on its page: the reader's functions in place of the gaps, and the verdicts on them."""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any

from ddpm_live.calls import Items, Trouble, call
from ddpm_live.checking import told
from ddpm_np.check import UNVERIFIED, Result, run
from ddpm_np.check.registry import EQUATIONS, Equation, chosen

HERE = Path(__file__).resolve()
FOLDER = next(up / "exercise" for up in HERE.parents if (up / "exercise").is_dir())  # beside this file in the pack


def loaded(name: str) -> type:
    """Return the class `Diffusion` of a module of the exercise's folder: "diffusion" or "solution"."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name).Diffusion
    finally:
        sys.path.remove(str(FOLDER))


EMPTY, SOLUTION = loaded("diffusion"), loaded("solution")


def is_gap(method: str) -> bool:
    """Return whether a method is the reader's to write: the solution's code for it differs."""
    codes = [getattr(getattr(owner, method, None), "__code__", None) for owner in (EMPTY, SOLUTION)]
    return None not in codes and codes[0].co_code != codes[1].co_code


@call
def check_exercise(answers: dict[str, str], first: list[str]) -> Items:
    """Yield a verdict on each equation for the exercise with answers in place of its gaps.

    Parameters
    ----------
    answers : dict
        The source of each method that was written, by its name. A source without a function's body is a gap still.
    first : list of str
        Ids of the equations whose verdicts come first.

    Yields
    ------
    dict
        equation, verdict, error, counterexample and hint.

    Raises
    ------
    Trouble
        If a source is not Python, fails when it is run, or defines no function of its name.
    """
    written = {method: function for method, source in answers.items()
               if (function := function_of(method, source)) is not None}
    own = type("Diffusion", (EMPTY,), dict(written))
    for entry in sorted(chosen(None), key=lambda entry: entry.id not in first):
        yield verdict(entry, own, written)


@call
def check_gap(method: str, source: str, equations: list[str]) -> Items:
    """Yield verdicts on one method alone: the solution is in all other gaps, whether they are written or not.

    Parameters
    ----------
    method : str
        The gap.
    source : str
        What is written in it.
    equations : list of str
        Ids of the equations that need it.

    Yields
    ------
    dict
        As from `check_exercise`; nothing if the source is a gap still.

    Raises
    ------
    Trouble
        As in `check_exercise`.
    """
    function = function_of(method, source)
    if function is not None:
        helped = type("Diffusion", (SOLUTION,), {method: function})
        for id in equations:
            yield told(result(EQUATIONS[id], helped))


def verdict(entry: Equation, factory: type, written: Iterable[str]) -> dict[str, Any]:
    """Return the verdict on an equation; at once if every property of it needs a gap."""
    lacking = [{need for need in prop.needs if need not in written and is_gap(need)} for prop in entry.properties]
    if not all(lacking):
        return told(result(entry, factory))
    missing = dict.fromkeys(need for prop, gaps in zip(entry.properties, lacking, strict=True)
                            for need in prop.needs if need in gaps)
    return {"equation": entry.id, "verdict": UNVERIFIED, "error": None, "counterexample": "",
            "hint": f"the target lacks {', '.join(missing)}"}


def result(entry: Equation, factory: type) -> Result:
    """Return the result of an equation's fixed cases, which the pages' other checks try too."""
    return run(factory, [entry.id], examples=0)[entry.id]


def function_of(method: str, source: str) -> Callable | None:
    """Return the function that a source defines, or None if it is a gap still; raise `Trouble` if it defines none."""
    if not is_gap(method):
        raise Trouble(f"{method} is no gap of the exercise")
    try:
        tree = ast.parse(source, f"<{method}>")
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise Trouble(f"{method}{line}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise Trouble(f"{method}: {error}") from None
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == method]
    if not found:
        raise Trouble(f"{method}: there must be a function `def {method}(self, …)` here, not indented")
    if ast.unparse(found[-1].body[-1]) == "raise NotImplementedError" and len(found[-1].body) <= 2:
        return None
    # the names of its chapter's file, such as np
    names = dict(sys.modules[getattr(EMPTY, method).__module__].__dict__)
    try:
        exec(compile(tree, f"<{method}>", "exec"), names)
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        raise Trouble(f"{method}, line {line}: {type(error).__name__}: {error}") from None
    if not isinstance(names[method], FunctionType):
        raise Trouble(f"{method}: it must be a function, got {type(names[method]).__name__}")
    return names[method]
