"""What recomputing activations costs in time and saves in memory: ``python scripts/measure_recompute.py``.

On the three nets of scripts/bench.py, a whole training step by one worker without and with it, in turn in one process:
medians of processor time (which other work on the machine changes little), and the median of the ratios with their
range. Memory is `step_memory`'s, of one image; also of larger images, where it counts.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import statistics
import time

import numpy as np

from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.progress import Progress
from ddpm_np.training.memory import step_memory
from ddpm_np.training.trainer import Trainer

WARM_UP = 2  # steps that make what is made once
NETS = {
    "8×8×1, 32 channels": (UNetConfig(8, 1, 32, (1, 2), 1, (4,), dropout=0.1), 64),
    "28×28×1, 32 channels": (UNetConfig(28, 1, 32, (1, 2, 2), 2, (7,), dropout=0.1), 32),
    "32×32×3, 128 channels": (UNetConfig.preset("cifar10"), 4),
    "64×64×3, 128 channels": (UNetConfig(64, 3, 128, (1, 2, 2, 2), 2, (16,), dropout=0.1), None),
    "128×128×3, 128 channels": (UNetConfig(128, 3, 128, (1, 1, 2, 2, 2), 2, (16,), dropout=0.1), None),
}


def times(config: UNetConfig, batch: int, repeats: int, progress: Progress) -> list[tuple[float, float]]:
    """Processor seconds of a step without and with it, in turn."""
    trainers = [Trainer(UNet(config), linear_schedule(1000), workers=1, recompute=recompute)
                for recompute in (False, True)]
    x_0 = np.random.default_rng(0).uniform(-1, 1, (batch, *config.size, config.in_channels)).astype(np.float32)
    found = []
    for _ in range(WARM_UP + repeats):
        pair = []
        for trainer in trainers:
            started = time.process_time()
            trainer.step(x_0)
            pair.append(time.process_time() - started)
        found.append((pair[0], pair[1]))
        progress.advance()
    return found[WARM_UP:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    timed = sum(batch is not None for _, batch in NETS.values())
    with Progress("measure", len(NETS) + timed * (WARM_UP + repeats), leave=False) as progress:
        for name, (config, batch) in NETS.items():
            kept, again = (step_memory(config, recompute).image / 2**20 for recompute in (False, True))
            progress.advance()
            line = f"{name}: {kept:.3g} MiB an image, {again:.3g} recomputed ({again / kept:.2f})"
            if batch is not None:
                found = times(config, batch, repeats, progress)
                ratios = sorted(b / a for a, b in found)
                a, b = (statistics.median(column) for column in zip(*found, strict=True))
                line += (f"; a step of {batch}: {a:.3f} s, {b:.3f} s recomputed, ratio {statistics.median(ratios):.2f} "
                         f"({ratios[0]:.2f} to {ratios[-1]:.2f})")
            print(line, flush=True)


if __name__ == "__main__":
    main()
