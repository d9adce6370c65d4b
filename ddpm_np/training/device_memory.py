"""In how many shards a device takes a batch: the fewest that fit its memory, as a step on the device itself measures.

On a CPU the configuration says how many shards there are, since each can have a core. A device computes one shard after
another, the faster the larger they are; how many there have to be is a property of the machine and no part of a run.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ddpm_np.backend import Backend
from ddpm_np.memory import free_memory, gigabytes, in_more_parts, is_full, memory_of_images
from ddpm_np.training.memory import StepMemory

Result = TypeVar("Result")


def fewest_shards(step: StepMemory, batch_size: int, free: int) -> int | None:
    """Return the fewest shards in which a batch fits into memory.

    Parameters
    ----------
    step : StepMemory
        What a step needs.
    batch_size : int
        Images in a batch.
    free : int
        Free memory in bytes, beside the net and what belongs to it.

    Returns
    -------
    int or None
        The number of shards; None if not even one image at a time fits.

    Examples
    --------
    >>> fewest_shards(StepMemory(net=50, gradient=10, shard=5, image=7), batch_size=8, free=10 + 5 + 3 * 7)
    3
    """
    return next((shards for shards in range(1, batch_size + 1)
                 if step.total(batch_size, shards, 1) - step.net <= free), None)


@dataclass
class DeviceShards:
    """The shards that a `Trainer` on a device divides its batches into.

    Attributes
    ----------
    backend : Backend
        The device.
    parameters : int
        The bytes of the net's parameters.
    steps : dict
        What a step needs, by all that this depends on (sizes of images, kernels, recomputation).
    counts : dict
        Shards by the same and by images in a batch.
    """

    backend: Backend
    parameters: int
    steps: dict[Hashable, StepMemory] = field(default_factory=dict)
    counts: dict[Hashable, int] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle without what was measured: the copy may run on another machine."""
        return DeviceShards, (self.backend, self.parameters)

    def step_memory(self, kind: Hashable, gradient_of: Callable[[int], Any]) -> StepMemory:
        """Return what a step needs; it is measured the first time.

        Parameters
        ----------
        kind : hashable
            All that it depends on.
        gradient_of : callable
            Computes the gradient of so many images, and writes it where it is in a step.

        Returns
        -------
        StepMemory
            The parts; more than one image may take less.

        Raises
        ------
        MemoryError
            Or CUDA's error, if one image does not fit.
        """
        if kind not in self.steps:
            shard, image = memory_of_images(gradient_of, 2, self.backend)
            self.steps[kind] = StepMemory(5 * self.parameters, self.parameters, shard, image, norm=self.parameters)
        return self.steps[kind]

    def take(self, kind: Hashable, images: int, gradient_of: Callable[[int], Any],
             step: Callable[[int], Result]) -> Result:
        """Compute the gradient of a batch in as few shards as fit into memory.

        Where memory is full all the same, the batch is taken in twice as many, with a warning.

        Parameters
        ----------
        kind : hashable
            All that the memory of an image depends on.
        images : int
            Images in the batch.
        gradient_of : callable
            As in `step_memory`.
        step : callable
            Computes the gradient in so many shards.

        Returns
        -------
        object
            What `step` returned.

        Raises
        ------
        MemoryError
            Or CUDA's error, with a note on what to do: if one image at a time does not fit.
        """
        shards = self.counts.get((kind, images))
        if shards is None:
            shards = 1
            if images > 1:
                needed = self.step_memory(kind, gradient_of)
                shards = fewest_shards(needed, images, free_memory(self.backend) or 0) or images
        result, taken = in_more_parts(
            step, shards, images, self.backend, "the gradient of one image at a time does not fit into the device's "
            "memory: recompute activations (recompute=True, --set recompute=true), or choose a smaller net or image")
        if taken != shards:
            warnings.warn(f"the device's memory was full with {math.ceil(images / shards):,} images at a time: from "
                          f"now on it takes {math.ceil(images / taken):,}", stacklevel=2)
        self.counts[kind, images] = taken
        return result


def check_device_memory(measure: Callable[[bool], StepMemory], batch_size: int, free: int,
                        recompute: bool = False) -> None:
    """Check that a training step fits into a device's memory in some number of shards.

    The error names settings that would fit: recomputation, then a smaller batch, which needs no second buffer for the
    gradient if it is a single shard.

    Parameters
    ----------
    measure : callable
        Returns a step's memory with and without recomputation. It raises an error if one image does not fit.
    batch_size : int
        Images in a batch.
    free : int
        Free memory in bytes, beside the net and what belongs to it.
    recompute : bool
        Whether the backward pass recomputes activations.

    Raises
    ------
    MemoryError
        If not even one image at a time fits; CuPy's own error where that could not even be measured.
    """
    known: dict[bool, StepMemory] = {}
    for again in dict.fromkeys((recompute, True)):
        try:
            known[again] = measure(again)
        except Exception as error:
            if not is_full(error):
                raise
            if again:
                error.add_note(f"the gradient of one image does not fit, and arrays can take {gigabytes(free)} of the "
                               "device's memory: choose a smaller net or image")
                if not known:
                    raise
        if again == recompute and again in known and fewest_shards(known[again], batch_size, free) is not None:
            return

    def beside_the_net(memory: StepMemory, images: int, shards: int) -> int:
        return memory.total(images, shards, 1) - memory.net

    head = "the gradient of one image does not fit" if recompute not in known else (
        f"a step needs {gigabytes(beside_the_net(known[recompute], batch_size, batch_size))} beside the net, with one "
        "image at a time,")
    head += f" and arrays can take {gigabytes(free)} of the device's memory: "
    for images in range(batch_size, 0, -1):
        for again, memory in known.items():
            need = beside_the_net(memory, images, images if images == batch_size else 1)
            if need <= free:
                change = [f"--batch-size {images}"] * (images != batch_size)
                change += ["--set recompute=true"] * (again != recompute)
                raise MemoryError(f"{head}{' with '.join(change)} needs {gigabytes(need)}")
    raise MemoryError(f"{head}choose a smaller net or image")
