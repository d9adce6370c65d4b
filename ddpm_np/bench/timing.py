"""Times taken in turn, and the ratios of neighbours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS = "ours"
EAGER = ("PyTorch contiguous", "PyTorch channels last")
COMPILED = "PyTorch compiled"

WARM = 2  # turns that are not counted
_LEAST = 3  # turns that are taken even where they last longer than was asked for
_PAUSE = 0.05  # seconds before a run: a library's threads wait for more work in a busy loop, and then sleep


def in_turn(sides: Mapping[str, Callable[[], Any]], turns: int, *, calls: int = 1, seconds: float | None = None,
            on_turn: Callable[[], Any] = lambda: None, clock: Callable[[], float] = time.perf_counter,
            ) -> dict[str, list[float]]:
    """Seconds a call of each side: first, second, …, and again, so many turns, after `WARM` that are not counted.

    Parameters
    ----------
    sides
        What to call, by name, in order.
    turns
        How many times each is timed.
    calls
        Calls a run: what lasts microseconds is timed by the thousand.
    seconds
        No further turn is begun after so long, once there are three.
    on_turn
        Called after each turn, warm ones too.
    clock
        What is read before and after a run.

    Returns
    -------
    dict
        The i-th time of each side was taken in the same turn.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    began = clock()
    for turn in range(-WARM, turns):
        for name, run in sides.items():
            time.sleep(_PAUSE)
            started = clock()
            for _ in range(calls):
                run()
            if turn >= 0:
                times[name].append((clock() - started) / calls)
        on_turn()
        if seconds is not None and turn + 1 >= _LEAST and clock() - began > seconds:
            break
    return times


def calls_for(run: Callable[[], Any], least: float = 0.02) -> int:
    """How many calls last at least so many seconds."""
    run()
    calls = 1
    while True:
        started = time.perf_counter()
        for _ in range(calls):
            run()
        took = time.perf_counter() - started
        if took >= least / 2:
            return max(1, round(calls * least / took))
        calls *= 4


@dataclass(frozen=True)
class Spread:
    """How a number varied."""

    median: float
    low: float
    quarter: float
    three_quarters: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The median of some numbers, with their quartiles and their range.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, quarter=1.5, three_quarters=2.5, high=3.0, count=3)
    """
    if len(values) == 1:
        only = values[0]
        return Spread(only, only, only, only, only, 1)
    quarter, median, three_quarters = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, min(values), quarter, three_quarters, max(values), len(values))


def ratios(values: Mapping[str, Sequence[float]], over: str, under: Sequence[str]) -> list[float]:
    """Turn by turn, one side's number over the least of those of others; empty where none of them was measured.

    >>> ratios({"ours": [1.0, 3.0], "a": [2.0, 2.0], "b": [4.0, 1.0]}, "ours", ["a", "b"])
    [0.5, 3.0]
    """
    others = [values[name] for name in under if name in values]
    if over not in values or not others:
        return []
    return [mine / min(theirs) for mine, *theirs in zip(values[over], *others, strict=True)]


def better(values: Mapping[str, Sequence[float]], among: Sequence[str]) -> str | None:
    """The side with the least median; None where none was measured."""
    there = [name for name in among if name in values]
    return min(there, key=lambda name: statistics.median(values[name]), default=None)
