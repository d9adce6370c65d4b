"""Measure the errors of Winograd's convolutions, and what they do to training.

    python scripts/measure_winograd.py [--steps 300]

The first table has the error of one convolution in float32 against float64: root mean square over that of the result,
and largest over largest, for F(2×2), F(4×4), F(4×4) with the points 0, ±1, ±2, patches, and PyTorch where installed.
The second trains two nets from the same seeds with F(4×4), with F(2×2) and with patches wherever any of them applies,
and prints each run's mean loss, its largest difference from the run with patches at any step, and for comparison the
mean loss and that difference of a run whose noise has another seed.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
from typing import Any
from unittest import mock

import numpy as np

from ddpm_np.autograd.ops import images_together
from ddpm_np.bench.nets import NETS
from ddpm_np.data import Batches, digits
from ddpm_np.diffusion import linear_schedule
from ddpm_np.kernels import costs
from ddpm_np.kernels.numpy_conv import by_patches
from ddpm_np.kernels.numpy_winograd import F2, F4, Scheme, convolve, kernel_places
from ddpm_np.models import UNet
from ddpm_np.parallel.threads import default_workers
from ddpm_np.training.trainer import Trainer

AROUND = ((1, 1), (1, 1))
SCHEMES = {"F(4×4)": F4, "F(4×4), points 0, ±1, ±2": Scheme(4, (0, 1, 2, -1, -2)), "F(2×2)": F2}


def errors(channels: int) -> None:
    """Print the errors of one convolution of this many channels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 16, 16, channels))
    w = rng.standard_normal((3, 3, channels, channels)) / np.sqrt(9 * channels)
    with images_together():
        exact = by_patches(x, w, padding=AROUND)[0]
        x32, w32 = x.astype(np.float32), w.astype(np.float32)
        found = {name: convolve(scheme, x32, kernel_places(w32, scheme.to_places), AROUND, 16, 16)
                 for name, scheme in SCHEMES.items()}
        found["patches"] = by_patches(x32, w32, padding=AROUND)[0]
    found |= by_pytorch(x32, w32)
    for name, y in found.items():
        e = np.abs(y - exact)
        print(f"{channels:8} {name:26} {np.sqrt((e**2).mean() / (exact**2).mean()):10.1e} "
              f"{e.max() / np.abs(exact).max():10.1e}")


def by_pytorch(x: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """Return PyTorch's result, if it is installed."""
    try:
        import torch
    except ImportError:
        return {}
    y = torch.nn.functional.conv2d(torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(w).permute(3, 2, 0, 1),
                                   padding=1)
    return {"PyTorch": y.permute(0, 2, 3, 1).numpy()}


def losses(key: str, choice: int | None, steps: int, seed: int = 0) -> np.ndarray:
    """Train one of the benchmark's nets with one kind of convolution (4, 2, or 0 for patches); return each loss."""
    net = NETS[key]
    trainer = Trainer(UNet(net.config), linear_schedule(1000), lr=1e-3, warmup=0, shards=2, workers=default_workers(),
                      seed=seed)
    batches: Any = Batches(digits(), net.batch) if key == "8" else None

    def least(n: int, ho: int, wo: int, c: int, o: int, **_: Any) -> int:
        return choice if choice is not None and min(c, o) >= 16 else 0

    images = net.images()
    with mock.patch.object(costs, "least", least):
        return np.array([float(trainer.step(batches[k][0] if batches else images)["loss"]) for k in range(steps)])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--nets", nargs="+", default=["8", "28"], choices=sorted(NETS))
    options = parser.parse_args()
    print(f"{'channels':8} {'way':26} {'rms error':>10} {'largest':>10}")
    for channels in (32, 128, 512):
        errors(channels)
    print(f"\n{'net':24} {'way':10} {'mean loss':>10} {'last third':>10} {'difference':>10}")
    for key in options.nets:
        patches = losses(key, 0, options.steps)
        runs = {"patches": patches, "F(2×2)": losses(key, 2, options.steps), "F(4×4)": losses(key, 4, options.steps),
                "other seed": losses(key, 0, options.steps, seed=1)}
        for name, run in runs.items():
            print(f"{NETS[key].name:24} {name:10} {run.mean():10.5f} {run[2 * options.steps // 3 :].mean():10.5f} "
                  f"{np.abs(run - patches).max():10.1e}")


if __name__ == "__main__":
    main()
