"""Measure how busy other processes kept the machine during a measurement (Linux).

A ratio within a turn is fair on a busy machine only if the load slows both sides alike. It does not: PyTorch's threads
synchronise after every op, and each time all wait for the one that had to share its CPU.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

PROC = Path("/proc")


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants; without /proc, the process alone."""
    parents: dict[int, int] = {}
    for entry in PROC.glob("[0-9]*"):
        fields = _fields(int(entry.name))
        if fields:
            parents[int(entry.name)] = int(fields[1])
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the process's state on; an empty list if the process has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


class OtherLoad:
    """A context that measures the load of other processes while it is open.

    The system counts processor time in ticks of 10 ms, and each process's on its own: over half a second the figure is
    good to a few hundredths of a CPU, over a tenth of a second it means nothing.

    Attributes
    ----------
    cpus : float or None
        CPUs that other processes kept busy, and those that a hypervisor gave to its other guests; set when the context
        ends. None if the system does not report it.
    steal : float or None
        The hypervisor's part of `cpus`.
    seconds : float
        The time that the context was open.
    """

    cpus: float | None = None
    steal: float | None = None
    seconds: float = 0.0

    def __enter__(self) -> OtherLoad:
        self._before, self._since = _others(), monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = max(monotonic() - self._since, 1e-9)
        after = _others()
        if self._before is not None and after is not None:
            self.cpus, self.steal = (max(0.0, end - start) / self.seconds
                                     for start, end in zip(self._before, after, strict=True))


def _others() -> tuple[float, float] | None:
    """Return processor seconds since the system's start less those of this process and its descendants, and steal."""
    try:
        numbers = [int(field) for field in (PROC / "stat").read_text(encoding="ascii").split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = numbers
    own = 0
    for pid in process_tree(os.getpid()):
        own += sum(int(field) for field in _fields(pid)[11:15])  # its own and its ended children's, user and system
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq + steal - own) / ticks, steal / ticks
