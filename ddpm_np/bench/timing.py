"""Time functions in turn, and take ratios within each turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS = "ours"
EAGER = ("PyTorch contiguous", "PyTorch channels last")
COMPILED = "PyTorch compiled"

WARM = 2  # untimed warm-up turns
_LEAST = 3  # turns taken even beyond the time limit
_PAUSE = 0.05  # seconds before a run, for other libraries' threads to leave their busy loops and sleep


def in_turn(sides: Mapping[str, Callable[[], Any]], turns: int, *, calls: int = 1, seconds: float | None = None,
            on_turn: Callable[[], Any] = lambda: None, clock: Callable[[], float] = time.perf_counter,
            ) -> dict[str, list[float]]:
    """Time functions in turn: first, second, …, and again, after `WARM` untimed turns.

    Parameters
    ----------
    sides : dict
        The functions by name, called in this order.
    turns : int
        Timed turns.
    calls : int
        Calls in a turn of one side, more than one for functions of microseconds.
    seconds : float or None
        Time after which no further turn begins, once there are three; None: no limit.
    on_turn : callable
        Called after each turn, warm-up turns included.
    clock : callable
        The clock, in seconds.

    Returns
    -------
    dict
        Seconds of one call by side, a list with one entry for each turn.
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
    """Return the number of calls that takes about `least` seconds, at least 1."""
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
    """Median, range and quartiles of a set of numbers."""

    median: float
    low: float
    quarter: float
    three_quarters: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Compute the median, quartiles and range of numbers.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, quarter=1.5, three_quarters=2.5, high=3.0, count=3)
    """
    if len(values) == 1:
        only = values[0]
        return Spread(only, only, only, only, only, 1)
    quarter, median, three_quarters = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, min(values), quarter, three_quarters, max(values), len(values))


def ratios(values: Mapping[str, Sequence[float]], over: str, under: Sequence[str]) -> list[float]:
    """Return, turn by turn, one side's number over the smallest of the others'; empty if none was measured.

    >>> ratios({"ours": [1.0, 3.0], "a": [2.0, 2.0], "b": [4.0, 1.0]}, "ours", ["a", "b"])
    [0.5, 3.0]
    """
    others = [values[name] for name in under if name in values]
    if over not in values or not others:
        return []
    return [mine / min(theirs) for mine, *theirs in zip(values[over], *others, strict=True)]


def better(values: Mapping[str, Sequence[float]], among: Sequence[str]) -> str | None:
    """Return the side with the smallest median; None if none was measured."""
    there = [name for name in among if name in values]
    return min(there, key=lambda name: statistics.median(values[name]), default=None)
