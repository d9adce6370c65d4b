"""The log of a run: ``metrics.jsonl``, one JSON object per line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.storage import write_atomically
from ddpm_np.training.trainer import Record

_FIELDS = {field.name for field in dataclasses.fields(Record)}


def read_metrics(path: str | Path, say: Callable[[str], Any] = lambda line: None) -> list[dict[str, float]]:
    """Read the records of a ``metrics.jsonl`` as far as it is whole.

    A full disk or a power cut may leave half a line, or zero bytes, at its end. Records after the first damaged line
    are left out.

    Parameters
    ----------
    path : str or Path
        The file.
    say : callable
        Called with a warning, one line of text, if the file is damaged.

    Returns
    -------
    list of dict
        One per line, with the fields of `Record`.
    """
    lines = [line for line in Path(path).read_bytes().split(b"\n") if line]
    records: list[dict[str, float]] = []
    for line in lines:
        record = _record(line)
        if record is None:
            say(f"{path} is damaged from line {len(records) + 1} on, as after a full disk or a power cut: its first "
                f"{len(records)} records are used")
            break
        records.append(record)
    return records


def _record(line: bytes) -> dict[str, float] | None:
    """Return the record in a line; None if the line is damaged."""
    try:
        record = json.loads(line)
    except ValueError:  # of the JSON or of UTF-8
        return None
    whole = isinstance(record, dict) and record.keys() >= _FIELDS and all(  # a later version may log more
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in record.values())
    return record if whole else None


class MetricsLog:
    """A context that appends the records of a run to its ``metrics.jsonl``.

    Opening it first removes what training will log again: records after `step`, and records between two multiples of
    `log_every`, such as the last one of a run that was stopped; and whatever follows the first damaged line.

    Parameters
    ----------
    path : str or Path
        The file.
    step : int
        Training steps that the run has taken.
    log_every : int
        Steps from one record to the next.
    say : callable
        Called with a warning if the file is damaged.

    Attributes
    ----------
    records : list of dict
        All records of the run, from its first step.
    """

    def __init__(self, path: str | Path, step: int, log_every: int, say: Callable[[str], Any] = lambda line: None):
        path = Path(path)
        found = read_metrics(path, say) if path.exists() else []
        self.records = [record for record in found if record["step"] <= step and record["step"] % log_every == 0]
        kept = b"".join(json.dumps(record).encode() + b"\n" for record in self.records)
        if not path.exists() or path.read_bytes() != kept:
            write_atomically(path, [kept])
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed with the context

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def write(self, record: Record) -> None:
        """Append a record; it is in the file when this returns.

        Parameters
        ----------
        record : Record
            The record.
        """
        self.records.append(dataclasses.asdict(record))
        self._file.write(json.dumps(self.records[-1]) + "\n")
        self._file.flush()
