"""Whether a training step fits into memory: measured before a run starts, with settings that fit if it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ddpm_np.autograd import ops
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.recompute import recomputing
from ddpm_np.autograd.tensor import gradients
from ddpm_np.backend import get_backend
from ddpm_np.memory import gigabytes, measured
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
    norm : int
        What the norm of the gradient needs, when the activations are gone: the squares, on a device.
    """

    net: int
    gradient: int
    shard: int
    image: int
    norm: int = 0

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
        return self.net + buffers * self.gradient + max(self.norm, at_a_time * (self.shard + images * self.image))


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
    backend = get_backend("numpy")
    xp, model = backend.xp, UNet(config).train()
    numbers, _ = count_parameters(model)
    parameters = model.parameters()
    into = [xp.empty_like(p.data) for p in parameters]
    x = xp.zeros((1, *config.size, config.in_channels), dtype=xp.float32)
    label = None if config.num_classes is None else xp.zeros(1, dtype=xp.int64)
    held = []  # after each segment: what is allocated when the backward pass comes to it
    with measured(backend) as meter:
        with randomness(0, 0), recomputing(recompute, lambda: held.append(meter.now())):
            loss = ops.mean(ops.square(model(x, xp.ones(1, dtype=xp.int64), label)))
        held.append(meter.now())
        gradients(loss, parameters, into=into)
    return StepMemory(5 * 4 * numbers, 4 * numbers, meter.peak() - max(held), max(held))


def check_memory(config: UNetConfig, batch_size: int, shards: int, workers: int, free: int | None,
                 recompute: bool = False) -> None:
    """Check that a training step fits into the host's memory; that on a device is `training.device_memory`'s.

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
