"""Time functions in turn, and take ratios within each turn."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddpm_np.bench.other_load import OtherLoad

OURS = "ours"
EAGER = ("PyTorch contiguous", "PyTorch channels last")
COMPILED = "PyTorch compiled"

WARM = 2  # untimed warm-up turns
QUIET = 0.2  # CPUs busy with other work, up to which a turn is kept
MORE = 2  # the turns taken at most, dropped ones included, as a multiple of those asked for; the time limit likewise
_LEAST = 3  # turns taken even beyond the time limit, and kept even if none was quiet
_PAUSE = 0.05  # seconds before a run, for other libraries' threads to leave their busy loops and sleep
_JUDGED = 0.5  # seconds over which the load of other processes is read: shorter turns are judged together


@dataclass(frozen=True)
class Turns:
    """What was measured in turn.

    Parameters
    ----------
    times : dict
        Seconds of one call by side, in every turn taken, in order.
    load : list of float or None
        CPUs that other processes kept busy during each turn, None for one too short to tell; empty if the system does
        not report it.
    steal : list of float or None
        The part of `load` that a hypervisor gave to its other guests.
    dropped : list of bool
        Which turns do not count.
    notes : list of str
        What a reader has to know about the choice.
    """

    times: dict[str, list[float]]
    load: list[float | None] = field(default_factory=list)
    steal: list[float | None] = field(default_factory=list)
    dropped: list[bool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, sides: Mapping[str, str]) -> Turns:
        """Return the turns of some sides alone, as ``{new name: name here}``."""
        return dataclasses.replace(self, times={new: self.times[old] for new, old in sides.items()})


def in_turn(sides: Mapping[str, Callable[[], Any]], turns: int, *, calls: int | Mapping[str, int] = 1,
            seconds: float | None = None, on_turn: Callable[[], Any] = lambda: None,
            clock: Callable[[], float] = time.perf_counter, load: Callable[[], OtherLoad] = OtherLoad) -> Turns:
    """Time functions in turn: first, second, …, and again, after `WARM` untimed turns.

    A turn in which other processes keep more than `QUIET` CPUs busy is dropped and another is taken in its place, up
    to `MORE` times the turns asked for. If fewer than three are quiet then, the three quietest are kept with a note.
    The load is read over at least half a second: short turns are judged together, and a measurement that is shorter as
    a whole is kept as it is.

    Parameters
    ----------
    sides : dict
        The functions by name, called in this order.
    turns : int
        Timed turns to keep.
    calls : int or dict
        Calls in a turn of one side, more than one for functions of microseconds; by name, if they differ.
    seconds : float or None
        Time after which no further turn begins, once three are kept (after `MORE` times as long: once three are taken);
        None: no limit.
    on_turn : callable
        Called for each warm-up turn and for each quiet one.
    clock : callable
        The clock, in seconds.
    load : callable
        Makes the context that measures the load of other processes.

    Returns
    -------
    Turns
        Seconds of one call by side in each turn, with the load, and which turns were dropped.
    """
    counts = calls if isinstance(calls, Mapping) else dict.fromkeys(sides, calls)

    def one_turn() -> dict[str, float]:
        found = {}
        for name, run in sides.items():
            time.sleep(_PAUSE)
            started = clock()
            for _ in range(counts[name]):
                run()
            found[name] = (clock() - started) / counts[name]
        return found

    for _ in range(WARM):
        began = clock()
        one_turn()
        took = clock() - began
        on_turn()
    taken: list[dict[str, float]] = []
    loads: list[tuple[float, float] | None] = []  # of each turn: the load and its part that is steal
    quiet, began = 0, clock()
    while quiet < turns:
        left = turns - quiet
        block = -(-left // max(1, int(left * took / _JUDGED)))
        if len(taken) + block > MORE * turns:
            break
        with load() as others:
            taken += [one_turn() for _ in range(block)]
        found = None
        if others.cpus is not None and others.seconds >= _JUDGED / 2:
            found = round(others.cpus, 3), round(others.steal or 0.0, 3)
        loads += [found] * block
        if found is None or found[0] <= QUIET:
            quiet += block
            for _ in range(block):
                on_turn()
        if seconds is not None:
            passed = clock() - began
            if (passed > seconds and quiet >= _LEAST) or (passed > MORE * seconds and len(taken) >= _LEAST):
                break
    return _judged(taken, loads, min(_LEAST, turns))


def _judged(taken: Sequence[Mapping[str, float]], loads: Sequence[tuple[float, float] | None], least: int) -> Turns:
    """Drop the turns that were not quiet; keep at least the `least` quietest ones."""
    times = {name: [turn[name] for turn in taken] for name in taken[0]}
    if not any(loads):
        return Turns(times)
    load, steal = ([each and each[part] for each in loads] for part in (0, 1))
    limit = max(QUIET, sorted(each or 0.0 for each in load)[:least][-1])
    dropped = [each is not None and each > limit for each in load]
    notes = []
    if limit > QUIET:
        quiet = sum(each is None or each <= QUIET for each in load)
        notes = [f"only {quiet} of {len(load)} turns were quiet: the {len(load) - sum(dropped)} quietest count, with "
                 f"up to {limit:.1f} CPUs busy with other work, which slows PyTorch's side more: measure again"]
    return Turns(times, load, steal, dropped, notes)


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
