"""Results with all raw numbers, and the record of a whole run as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm_np.bench import machine
from ddpm_np.bench.timing import COMPILED, OURS, Turns, better, ratios, spread
from ddpm_np.storage import write_atomically

SCHEMA = 1
BUSY = "CPUs busy elsewhere"  # key in a result's facts: CPUs that other processes kept busy meanwhile
SAME = "turns of"  # key in a result's facts: the name of another one that was measured in the same turns


@dataclass(frozen=True)
class Result:
    """A result of the benchmark.

    Parameters
    ----------
    what : str
        Part of the benchmark, from `plan.WHAT`.
    name : str
        The quantity measured.
    unit : str
        Unit of the values: ``"s"``, ``"MiB"`` or ``"GFLOP/s"``.
    values : dict
        Raw numbers by side; the i-th numbers of all sides belong to the same turn. Those of dropped turns are among
        them: `kept` leaves them out.
    net : str or None
        Name of the net, if the result is about one.
    work : dict
        Work of one run by name: ``"FLOP"`` (of products, convolutions counted as direct ones), ``"images"``.
    facts : dict
        Other known facts.
    notes : list of str
        Notes for the reader, such as why a side is missing.
    turns : dict
        For each turn, if its load was measured: ``"load"`` and ``"steal"``, CPUs, and whether it was ``"dropped"``.
    """

    what: str
    name: str
    unit: str
    values: dict[str, list[float]]
    net: str | None = None
    work: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    turns: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of_turns(cls, what: str, name: str, turns: Turns, *, unit: str = "s", notes: Sequence[str] = (), **others: Any,
                 ) -> Result:
        """Return the result of what was measured in turn."""
        account: dict[str, list[Any]] = {}
        if turns.load:
            account = {"load": turns.load, "steal": turns.steal, "dropped": turns.dropped}
        told = ", ".join(filter(None, (others.get("net"), name)))
        return cls(what, name, unit, turns.times, notes=[*notes, *(f"{told}: {note}" for note in turns.notes)],
                   turns=account, **others)

    @property
    def kept(self) -> dict[str, list[float]]:
        """The values by side without those of dropped turns."""
        dropped = self.turns.get("dropped")
        if not dropped:
            return self.values
        return {side: [value for value, out in zip(values, dropped, strict=True) if not out]
                for side, values in self.values.items()}

    def busy(self, part: str = "load") -> list[float]:
        """Return the CPUs busy with other work in the kept turns, or over the whole task if that is what is known."""
        if self.turns:
            return [load for load, out in zip(self.turns[part], self.turns["dropped"], strict=True)
                    if load is not None and not out]
        return [self.facts[BUSY]] if part == "load" and BUSY in self.facts else []

    def rivals(self) -> list[str]:
        """Return the names of PyTorch's sides in eager mode."""
        return [side for side in self.values if side.startswith("PyTorch") and side != COMPILED]

    def ratios(self, under: Sequence[str] | None = None) -> list[float]:
        """Return, turn by turn, our number over the smallest of `under` (default: PyTorch in eager mode)."""
        return ratios(self.kept, OURS, self.rivals() if under is None else under)

    def better(self) -> str | None:
        """Return PyTorch's eager side with the smallest median; None if none was measured."""
        return better(self.kept, self.rivals())

    def others(self) -> list[str]:
        """Return the names of further sides to compare with: PyTorch compiled, and other frameworks."""
        return [side for side in self.kept if side not in (OURS, *self.rivals())]

    def summary(self) -> dict[str, Any]:
        """Return the medians and the ratios with their spread, which the tables show, for readers of the JSON."""
        found: dict[str, Any] = {"medians": {side: spread(values).median for side, values in self.kept.items()}}
        sides = [] if self.what == "arithmetic" else self.others()
        for name, under in (("ratio", None), *((f"ratio to {side}", (side,)) for side in sides)):
            each = self.ratios(under)
            if each:
                found[name] = dataclasses.asdict(spread(each))
        return found


@dataclass
class Record:
    """The record of a benchmark run.

    Parameters
    ----------
    settings : dict
        The run's settings.
    machine : dict
        Description of the machine, without its host name.
    date : str
        Date in ISO format.
    results : list of Result
        The results.
    complete : bool
        Whether everything requested was measured.
    earlier : list of Record
        Earlier runs on machines of the class, with those of their results that no later run has measured again.
    """

    settings: dict[str, Any]
    machine: dict[str, Any] = field(default_factory=machine.describe)
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date().isoformat())
    results: list[Result] = field(default_factory=list)
    complete: bool = False
    earlier: list[Record] = field(default_factory=list)

    def after(self, before: Record) -> Record:
        """Return this record with what an earlier one has beside it, part by part.

        If this run was stopped, the part that it was measuring is left to the earlier one.
        """
        parts = list(dict.fromkeys(result.what for result in self.results))
        if not self.complete:
            parts = parts[:-1]
        if not parts:
            return before
        earlier = [dataclasses.replace(run, results=[each for each in run.results if each.what not in parts],
                                       earlier=[]) for run in (before, *before.earlier)]
        return dataclasses.replace(self, results=[each for each in self.results if each.what in parts], complete=True,
                                   earlier=[run for run in earlier if run.results])

    def every(self, what: str) -> list[Result]:
        """Return the results of one part, from the run that measured it last."""
        return next((found for run in (self, *self.earlier) if (found := run.of(what))), [])

    def of(self, what: str) -> list[Result]:
        """Return the results of one part of the benchmark."""
        return [result for result in self.results if result.what == what]

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "schema": SCHEMA, "date": self.date, "machine": self.machine, "settings": self.settings,
            "complete": self.complete,
            "results": [{**dataclasses.asdict(result), "summary": result.summary()} for result in self.results],
            "earlier": [run.to_json() for run in self.earlier],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Record:
        """Build a record from the values of `to_json`; raise `ValueError` for another schema."""
        if found.get("schema") != SCHEMA:
            raise ValueError(f"expected a record of the benchmark of schema {SCHEMA}, got {found.get('schema')!r}: "
                             "measure again with ddpm-np bench --json FILE")
        results = [Result(**{key: value for key, value in each.items() if key != "summary"})
                   for each in found["results"]]
        return cls(found["settings"], found["machine"], found["date"], results, found["complete"],
                   [cls.from_json(run) for run in found.get("earlier", ())])

    def save(self, path: str | Path) -> None:
        """Write the record as JSON, atomically."""
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=1)
        write_atomically(Path(path), [_numbers_on_a_line(text).encode() + b"\n"])

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Load a record from the file that `save` wrote."""
        return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))


def _numbers_on_a_line(text: str) -> str:
    """Put each list of numbers or truth values in JSON text on one line."""
    lists = r"\[\s+((?:-?[\d.]|null|true|false)[^\[\]{}\"]*?)\s+\]"
    return re.sub(lists, lambda found: f"[{' '.join(found[1].split())}]", text)
