"""Whether a training step fits into memory: measured before a run starts, with settings that fit if it does not."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    """The peak memory of a training step by parts, in bytes.

    Attributes
    ----------
    net : int
        Weights, their gradient, Adam's two moments and the average: five numbers a parameter, four bytes each.
    gradient : int
        The gradient of one shard, which each shard but the first needs a buffer for.
    shard : int
        What a shard's backward pass needs beyond the gradient and the activations kept by its forward pass.
    image : int
        The activations that one image's forward pass keeps for its backward pass; with recomputation, the inputs of all
        segments and the activations of the largest.
    """

    net: int
    gradient: int
    shard: int
    image: int

    def total(self, batch_size: int, shards: int, workers: int) -> int:
        """Return the peak memory of a step.

        Parameters
        ----------
        batch_size, shards, workers : int
            Images in a batch, parts it is divided into, and workers that take them.

        Returns
        -------
        int
            Bytes.
        """
        at_a_time = max(1, min(workers, shards, batch_size))
        images = math.ceil(batch_size / min(shards, batch_size))  # of the largest shard
        buffers = at_a_time - 1 + (at_a_time < min(shards, batch_size))  # one for all later shards of the first worker
        return self.net + buffers * self.gradient + at_a_time * (self.shard + images * self.image)


@contextmanager
def tracing_memory() -> Iterator[None]:
    """Trace allocations in a ``with`` block, whether they are traced already or not.

    Yields
    ------
    None
    """
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        yield
    finally:
        if not tracing:
            tracemalloc.stop()


def step_memory(config: UNetConfig, recompute: bool = False) -> StepMemory:
    """Measure a step's memory: one image forward and backward on the CPU in float32, every allocation counted.

    Parameters
    ----------
    config : UNetConfig
        The net.
    recompute : bool
        Whether the backward pass recomputes activations.

    Returns
    -------
    StepMemory
        The parts.
    """
    with tracing_memory():
        model = UNet(config).train()
        numbers, _ = count_parameters(model)
        parameters = model.parameters()
        into = [np.empty_like(p.data) for p in parameters]
        x = np.zeros((1, *config.size, config.in_channels), np.float32)
        label = None if config.num_classes is None else np.zeros(1, np.int64)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        held = []  # after each segment: what is allocated when the backward pass comes to it

        def watch() -> None:
            held.append(tracemalloc.get_traced_memory()[0] - before)

        with randomness(0, 0), recomputing(recompute, watch):
            loss = ops.mean(ops.square(model(x, np.ones(1, np.int64), label)))
        watch()
        gradients(loss, parameters, into=into)
        peak = tracemalloc.get_traced_memory()[1] - before
    return StepMemory(5 * 4 * numbers, 4 * numbers, peak - max(held), max(held))


def free_memory(backend: Backend) -> int | None:
    """Return the free memory of a backend's device.

    Parameters
    ----------
    backend : Backend
        NumPy's: the host's memory that is available, within a container's limit; CuPy's: the GPU's.

    Returns
    -------
    int or None
        Bytes; None where the system does not tell.
    """
    if backend.name == "cupy":
        return int(backend.xp.cuda.runtime.memGetInfo()[0])
    free = [number for number in (_available(), _left_in_the_control_group()) if number is not None]
    return min(free, default=None)


def _available() -> int | None:
    """Return Linux's estimate of the memory available without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _left_in_the_control_group() -> int | None:
    """Return what a container's limit leaves (cgroup version 2)."""
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
                       for name in ("memory.max", "memory.current"))
        return int(limit) - int(used)
    except (OSError, ValueError):  # no such files, or no limit: "max"
        return None


def check_memory(config: UNetConfig, batch_size: int, shards: int, workers: int, free: int | None,
                 recompute: bool = False) -> None:
    """Check that a training step fits into memory.

    The error names settings that would fit, by what costs the least time: first more shards, then recomputation, then
    a single worker.

    Parameters
    ----------
    config : UNetConfig
        The net.
    batch_size, shards, workers : int
        As in `StepMemory.total`.
    free : int or None
        Free memory in bytes; None: unknown, and nothing is checked.
    recompute : bool
        Whether the backward pass recomputes activations.

    Raises
    ------
    MemoryError
        If a step needs more bytes than are free.
    """
    if free is None:
        return
    step = step_memory(config, recompute)
    need = step.total(batch_size, shards, workers)
    if need <= free:
        return
    threads = f"{workers} worker{'s' * (workers > 1)} with {math.ceil(batch_size / shards)} images each"
    head = (f"a step needs about {gigabytes(need)} (the net {gigabytes(step.net)}, each image {gigabytes(step.image)}, "
            f"{threads}) and {gigabytes(free)} are free: ")
    measured = {recompute: step} if recompute else {False: step, True: step_memory(config, True)}
    for count in (workers, 1):
        for again, memory in measured.items():
            for more in range(shards, batch_size + 1):
                if memory.total(batch_size, more, count) <= free:
                    change = [f"--set shards={more}"] * (more != shards)
                    change += ["--set recompute=true"] * (again != recompute)
                    change += [f"--workers {count}"] * (count != workers)
                    raise MemoryError(f"{head}{' with '.join(change)} needs "
                                      f"{gigabytes(memory.total(batch_size, more, count))}")
    least = min(memory.total(1, 1, 1) for memory in measured.values())
    raise MemoryError(f"{head}one image at a time needs {gigabytes(least)}, so choose a smaller net or image")


def gigabytes(number: int) -> str:
    """Return a number of bytes in words, such as "1.5 GB".

    Parameters
    ----------
    number : int
        Bytes.

    Returns
    -------
    str
        In units of 10⁹ bytes.
    """
    return f"{number / 1e9:.2g} GB" if number < 1e10 else f"{number / 1e9:,.0f} GB"
