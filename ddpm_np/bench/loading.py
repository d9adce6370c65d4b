"""The data loader beside torch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.bench import pytorch
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import OURS, in_turn
from ddpm_np.data import Batches, Dataset, digits


def sets() -> list[tuple[Dataset, int]]:
    """Data sets, each with the size of a batch: the digits, and colour images of chance."""
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8)
    return [(digits(), 64), (Dataset("10,000 images 32×32×3", noise, None), 128)]


def measure(dataset: Dataset, batch: int, workers: int, turns: int, **options: Any) -> list[Result]:
    """An epoch of batches in a new order, mirrored at random, as float32 in [−1, 1]: the same work for each side."""
    batches, count = Batches(dataset, batch, flip=True), len(dataset) // batch
    next_one = iter(range(1 << 62))

    def epoch() -> None:
        for _ in range(count):
            batches[next(next_one)]

    absent = pytorch.why_absent()
    with pytorch.threads(workers):
        others = {} if absent else pytorch.loading(dataset.images, dataset.levels, batch)
        times = in_turn({OURS: epoch, **others}, turns, **options)
    return [Result("data", f"{dataset.name}, batch {batch}", "s", times, work={"images": float(count * batch)},
                   notes=[f"PyTorch's side is absent: {absent}"] if absent else [])]
