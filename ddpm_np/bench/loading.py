"""Time our data loading beside PyTorch's DataLoader."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.bench import pytorch
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import OURS, in_turn
from ddpm_np.data import Batches, Dataset, digits


def sets() -> list[tuple[Dataset, int]]:
    """Return data sets with their batch sizes: the digits, and random colour images."""
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8)
    return [(digits(), 64), (Dataset("10,000 images 32×32×3", noise, None), 128)]


def measure(dataset: Dataset, batch: int, workers: int, turns: int, **options: Any) -> list[Result]:
    """Time an epoch of batches, shuffled, mirrored at random and scaled to [−1, 1], on each side in turn."""
    batches, count = Batches(dataset, batch, flip=True), len(dataset) // batch
    next_one = iter(range(1 << 62))

    def epoch() -> None:
        for _ in range(count):
            batches[next(next_one)]

    absent = pytorch.why_absent()
    with pytorch.threads(workers):
        others = {} if absent else pytorch.loading(dataset.images, dataset.levels, batch)
        measured = in_turn({OURS: epoch, **others}, turns, **options)
    return [Result.of_turns("data", f"{dataset.name}, batch {batch}", measured, work={"images": float(count * batch)},
                            notes=[f"PyTorch was not measured: {absent}"] if absent else [])]
