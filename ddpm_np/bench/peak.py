"""Measure the peak memory of a training run, each side in a fresh process.

The proportional set size (PSS) is read from outside while the process runs and summed over it and its children, so that
pages shared by several processes count once.
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
from ddpm_np.bench.other_load import process_tree
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import EAGER, OURS

_PERIOD = 0.02  # seconds between two readings
_MIB = 2**20
_OWN_ACCOUNT = ("this system has no /proc: the peak is each process's own ru_maxrss instead of readings from outside, "
                "and counts shared pages once for each process")


def shared_size(pid: int) -> int | None:
    """Return the bytes held by a process and its descendants, each page counted once; None without /proc."""
    total = 0
    for member in process_tree(pid):
        try:
            for line in Path(f"/proc/{member}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total or None


def peak_of(side: str, net: Net, steps: int, workers: int) -> tuple[float, float | None, bool]:
    """Run one side and return its peak memory in MiB.

    Parameters
    ----------
    side : str
        ``"ours"`` or one of PyTorch's.
    net : Net
        The net to train.
    steps : int
        Training steps.
    workers : int
        Threads.

    Returns
    -------
    peak : float
        The peak.
    above : float or None
        The peak less the memory after the imports; None without /proc.
    outside : bool
        Whether it was read from outside, through /proc.
    """
    command = [sys.executable, "-m", "ddpm_np.bench.measured_process", side, encode(net), str(steps), str(workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            if process.stdout is None or process.stdin is None or process.stdout.readline().strip() != "ready":
                raise ChildProcessError(f"the process of {side!r} ended during its imports: {_last_line(process)}")
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
    return lines[-1] if lines else "no output"


def measure(net: Net, workers: int, turns: int, steps: int = 3, on_turn: Callable[[], Any] = lambda: None,
            ) -> list[Result]:
    """Measure the peak MiB of a few training steps of each side in turn: in total, and above the imports."""
    absent = pytorch.why_absent()
    sides = [OURS] if absent else [OURS, *EAGER]
    whole: dict[str, list[float]] = {side: [] for side in sides}
    above: dict[str, list[float]] = {side: [] for side in sides}
    notes = [f"PyTorch was not measured: {absent}"] if absent else []
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
