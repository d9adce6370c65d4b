"""Mistakes in this package's own functions, planted by swapping a function's code while it runs.

The function object stays the same, so that modules that imported it get the mistake too. A line is as in `reference`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from types import CodeType, FunctionType
from typing import Any

from mistakes import Change, beyond_protocol, changes, source_of
from mistakes.ours_bound import BOUND, OBJECTIVES, ORACLES, TRAJECTORY
from mistakes.ours_chains import CHAINS, SAMPLERS, SCHEDULES
from mistakes.ours_process import FORWARD, REVERSE, SCHEDULE

GROUPS = (SCHEDULE, FORWARD, REVERSE, SAMPLERS, BOUND, TRAJECTORY, SCHEDULES, OBJECTIVES, CHAINS, ORACLES)
MISTAKES = [change for group in GROUPS for change in changes(group)] + beyond_protocol.MISTAKES


def found(place: str) -> FunctionType:
    """Return the function with a name below ddpm_np, such as ``diffusion.schedule.Schedule.at``."""
    module, names = place, []
    while True:
        try:
            return getattr_of(importlib.import_module(f"ddpm_np.{module}"), names)
        except ModuleNotFoundError:
            module, _, name = module.rpartition(".")
            names.insert(0, name)


def getattr_of(module: Any, names: list[str]) -> FunctionType:
    """Return the function at a path of attributes."""
    function = reduce(getattr, names, module)
    function = function.fget if isinstance(function, property) else function
    return inspect.unwrap(getattr(function, "__func__", function))


def changed_code(change: Change, function: FunctionType) -> CodeType:
    """The function's code with the change in it."""
    source = change.applied(source_of(function))
    names = dict(function.__globals__)
    exec(compile(source, f"<{change}>", "exec"), names)  # annotations stay strings, as here
    made = names[function.__name__]
    made = made.fget if isinstance(made, property) else made
    return inspect.unwrap(getattr(made, "__func__", made)).__code__


@contextmanager
def planted(change: Change) -> Iterator[None]:
    """Plant a mistake for the time of the context."""
    function = found(change.place)
    right = function.__code__
    function.__code__ = changed_code(change, function)
    try:
        yield
    finally:
        function.__code__ = right


def covers(change: Change, name: str) -> bool:
    """Whether the change is in a registry's function or class."""
    return change.place == name or change.place.startswith(name + ".")
