"""Mistakes in this package's own functions, planted by swapping a function's code while it runs.

The function object stays the same, so that modules that imported it get the mistake too. A line is as in `reference`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ddpm_np.check import code
from ddpm_np.check.code import named, remade
from mistakes import Change, beyond_protocol, changes, source_of
from mistakes.ours_bound import BOUND, OBJECTIVES, ORACLES, TRAJECTORY
from mistakes.ours_chains import CHAINS, SAMPLERS, SCHEDULES
from mistakes.ours_process import FORWARD, REVERSE, SCHEDULE

GROUPS = (SCHEDULE, FORWARD, REVERSE, SAMPLERS, BOUND, TRAJECTORY, SCHEDULES, OBJECTIVES, CHAINS, ORACLES)
MISTAKES = [change for group in GROUPS for change in changes(group)] + beyond_protocol.MISTAKES


@contextmanager
def planted(change: Change) -> Iterator[None]:
    """Plant a mistake for the time of the context."""
    function = named(change.place)
    with code.planted(function, remade(function, change.applied(source_of(function)), str(change))):
        yield


def covers(change: Change, name: str) -> bool:
    """Whether the change is in a registry's function or class."""
    return change.place == name or change.place.startswith(name + ".")
