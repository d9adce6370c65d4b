"""The log of a run: ``metrics.jsonl``, one JSON object per line."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.storage import append, naming, write_atomically
from ddpm_np.training.trainer import Record

_LARGEST = {int: 2**63, float: math.inf}
_FIELDS = {field.name for field in dataclasses.fields(Record)}


def read_metrics(path: str | Path, say: Callable[[str], Any] = lambda line: None) -> list[dict[str, float]]:
    """Read the records of a ``metrics.jsonl`` as far as it is whole.

    A full disk or a power cut may leave half a line, or zero bytes, at its end; two processes that wrote into one file
    leave steps that go back. Records after the first such line are left out.

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
        if record is None or (records and record["step"] <= records[-1]["step"]):
            say(f"{path} is damaged from line {len(records) + 1} on, as after a full disk or a power cut: its first "
                f"{len(records)} records are used")
            break
        records.append(record)
    return records


def _record(line: bytes) -> dict[str, float] | None:
    """Return the record in a line; None if the line is damaged."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # of the JSON or of UTF-8
        return None
    whole = isinstance(record, dict) and record.keys() >= _FIELDS and all(  # a later version may log more
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST[type(value)]
        for value in record.values()) and isinstance(record["step"], int) and record["step"] > 0
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
        self._path = path = Path(path)
        found = read_metrics(path, say) if path.exists() else []
        self.records = [record for record in found if record["step"] <= step and record["step"] % log_every == 0]
        kept = b"".join(json.dumps(record).encode() + b"\n" for record in self.records)
        if not path.exists() or path.read_bytes() != kept:
            write_atomically(path, [kept])
        with naming(path):
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed with the context

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

        Raises
        ------
        OSError
            If it cannot be written. The file then has whole lines only.
        """
        line = dataclasses.asdict(record)
        with naming(self._path):
            append(self._file, json.dumps(line).encode() + b"\n")
        self.records.append(line)

    def sync(self) -> None:
        """Flush the file to disk, so that a checkpoint that is saved next is never there without its records.

        Raises
        ------
        OSError
            If that fails.
        """
        with naming(self._path):
            os.fsync(self._file.fileno())
