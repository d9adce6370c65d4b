"""Peak memory of a training run, each side in a fresh process of its own.

Read from outside while it runs: a process's share of its pages (PSS), so that pages which several processes have in
common count once, summed over the process and its children.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.bench import pytorch
from ddpm_np.bench.measured_process import encode
from ddpm_np.bench.nets import Net
from ddpm_np.bench.other_load import family
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import EAGER, OURS

_PERIOD = 0.02  # seconds between two readings
_MIB = 2**20
_OWN_ACCOUNT = ("this system has no /proc: each process's own account (ru_maxrss) instead of readings from outside, "
                "pages in common counted for each")


def shared_size(pid: int) -> int | None:
    """Bytes that a process and its descendants have, each page counted once; None where the system does not say."""
    total = 0
    for member in family(pid):
        try:
            for line in Path(f"/proc/{member}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total or None


def peak_of(side: str, net: Net, steps: int, workers: int) -> tuple[float, float | None, bool]:
    """(peak, peak above what imports took or None, whether it was read from outside) of one side's run, in MiB."""
    command = [sys.executable, "-m", "ddpm_np.bench.measured_process", side, encode(net), str(steps), str(workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            if process.stdout is None or process.stdin is None or process.stdout.readline().strip() != "ready":
                raise ChildProcessError(f"the process of {side!r} ended before it began: {_last_line(process)}")
            before = shared_size(process.pid)
            readings: list[int] = []
            done = threading.Event()

            def read() -> None:
                while not done.is_set():
                    readings.append(shared_size(process.pid) or 0)
                    time.sleep(_PERIOD)

            reader = threading.Thread(target=read, daemon=True)
            process.stdin.write("\n")
            process.stdin.flush()
            if before is not None:
                reader.start()
            own = process.stdout.readline().strip()
            done.set()
            if before is not None:
                reader.join()
            readings.append(shared_size(process.pid) or 0)
            if not own:
                raise ChildProcessError(f"the process of {side!r} ended before it was done: {_last_line(process)}")
        finally:
            process.kill()
    if before is None:
        return int(own) / _MIB, None, False
    peak = max(readings)
    return peak / _MIB, (peak - before) / _MIB, True


def _last_line(process: subprocess.Popen[str]) -> str:
    lines = process.communicate()[1].strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def measure(net: Net, workers: int, turns: int, steps: int = 3, on_turn: Callable[[], Any] = lambda: None,
            ) -> list[Result]:
    """Peak MiB of each side's training run of a few steps, in turn: the whole, and what it is above the imports."""
    absent = pytorch.why_absent()
    sides = [OURS] if absent else [OURS, *EAGER]
    whole: dict[str, list[float]] = {side: [] for side in sides}
    above: dict[str, list[float]] = {side: [] for side in sides}
    notes = [f"PyTorch's side is absent: {absent}"] if absent else []
    outside = True
    for _ in range(turns):
        for side in sides:
            peak, grown, outside = peak_of(side, net, steps, workers)
            whole[side].append(peak)
            if grown is not None:
                above[side].append(grown)
        on_turn()
    if not outside:
        return [Result("memory", f"{steps} steps", "MiB", whole, net.name, notes=[*notes, _OWN_ACCOUNT])]
    return [Result("memory", f"{steps} steps{name}", "MiB", values, net.name, notes=notes)
            for name, values in (("", whole), (", above imports", above))]
