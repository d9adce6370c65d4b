"""Whether a run fits into memory: counted before it starts, with what would fit where it does not."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.autograd import ops
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.recompute import recomputing
from ddpm_np.autograd.tensor import gradients
from ddpm_np.backend import Backend
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import count_parameters


@dataclass(frozen=True)
class StepMemory:
    """What a training step holds at its peak, in bytes.

    Attributes
    ----------
    net : int
        Weights, their gradient, Adam's two moments and the average: five numbers a parameter, four bytes each.
    gradient : int
        The gradient of a shard other than the first, which is written where it is added up.
    shard : int
        What the backward pass of a shard needs beyond what its forward pass kept, and beyond the gradient.
    image : int
        What one image's forward pass keeps for its backward pass; where segments are run again there, with the largest.
    """

    net: int
    gradient: int
    shard: int
    image: int

    def total(self, batch_size: int, shards: int, workers: int) -> int:
        """Of a step whose shards are taken by so many workers at a time."""
        at_a_time = max(1, min(workers, shards, batch_size))
        piece = math.ceil(batch_size / min(shards, batch_size))
        gradients_apart = at_a_time - 1 + (at_a_time < min(shards, batch_size))  # one for all later shards of worker 0
        return self.net + gradients_apart * self.gradient + at_a_time * (self.shard + piece * self.image)


def step_memory(config: UNetConfig, recompute: bool = False) -> StepMemory:
    """Measured, on the CPU in float32: one image through the net and back, with every allocation counted."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        model = UNet(config).train()
        numbers, _ = count_parameters(model)
        parameters = model.parameters()
        into = [np.empty_like(p.data) for p in parameters]
        x = np.zeros((1, *config.size, config.in_channels), np.float32)
        label = None if config.num_classes is None else np.zeros(1, np.int64)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        held = []  # after each segment, with all that the backward pass will have again when it gets there

        def watch() -> None:
            held.append(tracemalloc.get_traced_memory()[0] - before)

        with randomness(0, 0), recomputing(recompute, watch):
            loss = ops.mean(ops.square(model(x, np.ones(1, np.int64), label)))
        watch()
        gradients(loss, parameters, into=into)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()
    return StepMemory(5 * 4 * numbers, 4 * numbers, peak - max(held), max(held))


def free_memory(backend: Backend) -> int | None:
    """Bytes that the backend's device has free; None where it does not say."""
    if backend.name == "cupy":
        return int(backend.xp.cuda.runtime.memGetInfo()[0])
    free = [number for number in (_available(), _left_in_the_control_group()) if number is not None]
    return min(free, default=None)


def _available() -> int | None:
    """Linux's estimate of what can be had without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _left_in_the_control_group() -> int | None:
    """What a container's limit leaves (cgroup version 2)."""
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
                       for name in ("memory.max", "memory.current"))
        return int(limit) - int(used)
    except (OSError, ValueError):  # no such files, or no limit: "max"
        return None


def check_memory(config: UNetConfig, batch_size: int, shards: int, workers: int, free: int | None,
                 recompute: bool = False) -> None:
    """Raise MemoryError, naming what would fit, where a step of the run needs more bytes than are free.

    What costs the least time comes first: more shards, then recomputation, then a single worker.
    """
    if free is None:
        return
    step = step_memory(config, recompute)
    need = step.total(batch_size, shards, workers)
    if need <= free:
        return
    threads = f"{workers} worker{'s' * (workers > 1)} with {math.ceil(batch_size / shards)} images each"
    head = (f"a step needs about {_gb(need)} (the net {_gb(step.net)}, each image {_gb(step.image)}, {threads}) and "
            f"{_gb(free)} are free: ")
    ways = {recompute: step} if recompute else {False: step, True: step_memory(config, True)}
    for count in (workers, 1):
        for again, way in ways.items():
            for pieces in range(shards, batch_size + 1):
                if way.total(batch_size, pieces, count) <= free:
                    change = [f"--set shards={pieces}"] * (pieces != shards)
                    change += ["--set recompute=true"] * (again != recompute)
                    change += [f"--workers {count}"] * (count != workers)
                    raise MemoryError(f"{head}{' with '.join(change)} needs "
                                      f"{_gb(way.total(batch_size, pieces, count))}")
    least = min(way.total(1, 1, 1) for way in ways.values())
    raise MemoryError(f"{head}one image at a time needs {_gb(least)}, so choose a smaller net or image")


def _gb(number: Any) -> str:
    return f"{number / 1e9:.2g} GB" if number < 1e10 else f"{number / 1e9:,.0f} GB"
