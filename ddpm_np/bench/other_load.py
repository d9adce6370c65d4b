"""How much of the machine other work had while something was measured (Linux).

Ratios of neighbours bear a busy machine only where it slows both sides alike. It does not: PyTorch's threads meet after
every op, and each time wait for the one that had to share its CPU.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """A process and all its descendants; the process alone where there is no /proc."""
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
    """Of /proc/PID/stat, from the process's state on; none where it has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


class Elsewhere:
    """A context; afterwards `cpus` is how many CPUs other processes kept busy, None where the system does not say."""

    cpus: float | None = None

    def __enter__(self) -> Elsewhere:
        self._before = _others(), monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        (before, since), after = self._before, _others()
        if before is not None and after is not None:
            self.cpus = max(0.0, after - before) / max(monotonic() - since, 1e-9)


def _others() -> float | None:
    """Processor seconds since the start that were not this process's or its descendants'."""
    try:
        numbers = [int(field) for field in (PROC / "stat").read_text(encoding="ascii").split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = numbers
    own = 0
    for pid in family(os.getpid()):
        own += sum(int(field) for field in _fields(pid)[11:15])  # its own and its ended children's, user and system
    return (user + nice + system + irq + softirq + steal - own) / os.sysconf("SC_CLK_TCK")
