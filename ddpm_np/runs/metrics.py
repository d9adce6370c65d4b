"""The log of a run: ``metrics.jsonl``, one JSON object per line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ddpm_np.storage import write_atomically
from ddpm_np.training.trainer import Record


def read_metrics(path: str | Path) -> list[dict[str, float]]:
    """Read the records of a ``metrics.jsonl``.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    list of dict
        One per line, with the fields of `Record`.
    """
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]


class MetricsLog:
    """A context that appends the records of a run to its ``metrics.jsonl``.

    Opening it first removes what training will log again: records after `step`, and records between two multiples of
    `log_every`, such as the last one of a run that was stopped.

    Parameters
    ----------
    path : str or Path
        The file.
    step : int
        Training steps that the run has taken.
    log_every : int
        Steps from one record to the next.

    Attributes
    ----------
    records : list of dict
        All records of the run, from its first step.
    """

    def __init__(self, path: str | Path, step: int, log_every: int):
        path = Path(path)
        found = read_metrics(path) if path.exists() else []
        self.records = [record for record in found if record["step"] <= step and record["step"] % log_every == 0]
        if len(self.records) != len(found) or not path.exists():
            write_atomically(path, (json.dumps(record).encode() + b"\n" for record in self.records))
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
