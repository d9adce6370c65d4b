"""Profile a training step by op."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from ddpm_np.bench.arithmetic import flops_of, is_convolution
from ddpm_np.bench.instrument import Stopwatch, instrumented
from ddpm_np.bench.net_cases import trainer_of
from ddpm_np.bench.nets import Net
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import OURS, WARM

DRAWS, TAIL, REST = "draws", "clip, Adam, EMA", "tape, shards, the rest"


def label(name: str, arrays: Any, static: dict[str, Any]) -> str:
    """Return an op's name; for a convolution, with its kernel, image and channels."""
    if not is_convolution(name):
        return name
    (kh, kw, c, o), (height, width) = arrays[1].shape, arrays[0].shape[1:3]
    stride = f" stride {static['stride']}" if static.get("stride", 1) > 1 else ""
    return f"{name} {kh}×{kw}{stride}, {height}×{width}, {c} → {o}"


def measure(net: Net, workers: int, turns: int, on_turn: Callable[[], Any] = lambda: None) -> list[Result]:
    """Measure the milliseconds and the share of each op in a training step, forward and backward: medians over turns.

    One worker computes all shards of a run with `workers` in sequence, timed by this thread's processor time. So the
    times exclude the load of other processes, and also the contention of cores for shared caches.
    """
    trainer, x_0 = trainer_of(net, shards=workers, workers=1), net.images()
    for _ in range(WARM):
        trainer.step(x_0)
        on_turn()
    runs: list[dict[Any, float]] = []
    totals: list[float] = []
    for _ in range(turns):
        flops: dict[str, int] = {}
        calls: dict[str, int] = {}
        stopwatch = Stopwatch()

        def see(key: str, name: str, arrays: Any, result: Any, flops: Any = flops, calls: Any = calls) -> None:
            flops[key] = flops.get(key, 0) + flops_of(name, arrays, result)
            calls[key] = calls.get(key, 0) + 1

        with instrumented(stopwatch, label, see):
            started = stopwatch.clock()
            trainer.step(x_0)
            ended = stopwatch.clock()
        seconds = dict(stopwatch.seconds)
        seconds[TAIL] = ended - stopwatch.last
        seconds[REST] = ended - started - sum(seconds.values())
        runs.append(seconds)
        totals.append(ended - started)
        on_turn()
    return [Result("profile", "a training step, one worker", "s", {OURS: totals}, net.name,
                  facts={"rows": _rows(runs, totals, flops, calls)})]


def _rows(runs: list[dict[Any, float]], totals: list[float], flops: dict[str, int],
          calls: dict[str, int]) -> list[dict[str, Any]]:
    """Return a row for each op, the costliest first."""
    total = statistics.median(totals)

    def median(key: Any) -> float:
        return statistics.median(run.get(key, 0.0) for run in runs)

    rows = []
    for op in calls:
        forward, backward = median((op, "forward")), median((op, "backward"))
        row = {"op": op, "calls": calls[op], "forward ms": 1e3 * forward, "backward ms": 1e3 * backward,
               "share": (forward + backward) / total}
        if is_convolution(op):
            row["GFLOP/s"] = 3 * flops[op] / (forward + backward) / 1e9
        rows.append(row)
    rows += [{"op": part, "calls": 1, "forward ms": 1e3 * median(part), "backward ms": 0.0,
              "share": median(part) / total} for part in (DRAWS, TAIL, REST)]
    return sorted(rows, key=lambda row: -row["share"])
