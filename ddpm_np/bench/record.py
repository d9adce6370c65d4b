"""What was measured: results with all raw numbers, and the record of a whole run as JSON."""

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
from ddpm_np.bench.timing import COMPILED, OURS, better, ratios, spread
from ddpm_np.storage import write_atomically

SCHEMA = 1
BUSY = "CPUs busy elsewhere"  # a fact of a result: with other work than the benchmark, while it was measured


@dataclass(frozen=True)
class Result:
    """One thing that was measured.

    Attributes
    ----------
    what
        The part of the benchmark it belongs to: see `plan.WHAT`.
    name
        What was measured.
    unit
        Of the values: "s", "MiB", "GFLOP/s".
    values
        Raw numbers by side; the i-th of each side belong to the same turn.
    net
        The net's name, where it is of one.
    work
        What one run does, by name: "FLOP" (products, convolutions counted as direct ones), "images".
    facts
        What else is known of it.
    notes
        What a reader must be told, such as why a side is missing.
    """

    what: str
    name: str
    unit: str
    values: dict[str, list[float]]
    net: str | None = None
    work: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rivals(self) -> list[str]:
        """PyTorch's sides, in eager mode."""
        return [side for side in self.values if side.startswith("PyTorch") and side != COMPILED]

    def ratios(self, under: Sequence[str] | None = None) -> list[float]:
        """Ours over the least of theirs (in eager mode, unless told which), turn by turn."""
        return ratios(self.values, OURS, self.rivals() if under is None else under)

    def better(self) -> str | None:
        """Of theirs in eager mode the side with the least median; None where none was measured."""
        return better(self.values, self.rivals())

    def summary(self) -> dict[str, Any]:
        """Medians, and the ratios with their spread: what the tables show, for whoever reads the JSON."""
        found: dict[str, Any] = {"medians": {side: spread(values).median for side, values in self.values.items()}}
        for name, under in (("ratio", None), ("ratio to compiled", (COMPILED,))):
            each = self.ratios(under)
            if each:
                found[name] = dataclasses.asdict(spread(each))
        return found


@dataclass
class Record:
    """A run of the benchmark.

    Attributes
    ----------
    settings
        What was asked for.
    machine
        What it ran on; no name of a host.
    date
        The day.
    complete
        Whether everything that was asked for was measured.
    """

    settings: dict[str, Any]
    machine: dict[str, Any] = field(default_factory=machine.describe)
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date().isoformat())
    results: list[Result] = field(default_factory=list)
    complete: bool = False

    def of(self, what: str) -> list[Result]:
        """The results of one part of the benchmark."""
        return [result for result in self.results if result.what == what]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            "schema": SCHEMA, "date": self.date, "machine": self.machine, "settings": self.settings,
            "complete": self.complete,
            "results": [{**dataclasses.asdict(result), "summary": result.summary()} for result in self.results],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Record:
        """A record from what `to_json` gave."""
        if found.get("schema") != SCHEMA:
            raise ValueError(f"expected a record of the benchmark of schema {SCHEMA}, got {found.get('schema')!r}: "
                             "measure again with ddpm-np bench --json FILE")
        results = [Result(**{key: value for key, value in each.items() if key != "summary"})
                   for each in found["results"]]
        return cls(found["settings"], found["machine"], found["date"], results, found["complete"])

    def save(self, path: str | Path) -> None:
        """Write the JSON, whole or not at all."""
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=1)
        write_atomically(Path(path), [_numbers_on_a_line(text).encode() + b"\n"])

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read what `save` wrote."""
        return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))


def _numbers_on_a_line(text: str) -> str:
    """Lists of numbers on one line each: times are read together."""
    return re.sub(r"\[\s+(-?[\d.][^\[\]{}\"]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
