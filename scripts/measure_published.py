"""Sampling from published weights beside diffusers, start to picture: ``python scripts/measure_published.py``.

Makes a folder with the configuration of google/ddpm-cifar10-32 and random weights. Then, in turn, fresh processes draw
images from it and write a picture: ``ddpm-np sample FOLDER``, and diffusers' DDPMPipeline. Needs torch and diffusers:
``pip install 'ddpm_np[peers]'``.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ddpm_np.bench.peak import shared_size
from ddpm_np.config import Config
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet

THEIRS = """
import sys, diffusers
folder, n, steps, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
pipeline.set_progress_bar_config(disable=True)
images = pipeline(batch_size=n, num_inference_steps=steps).images
diffusers.utils.make_image_grid(images, 1, n).save(out)
"""


def published(folder: Path) -> None:
    """The folder: the paper's net and schedule, weights as random as a new net's, and none next to zero."""
    config, rng = Config.preset("cifar10"), np.random.default_rng(0)
    net = UNet(config.model)
    for p in net.parameters():
        if p.ndim > 1:
            p.data = rng.standard_normal(p.shape) * (p.size / p.shape[-1]) ** -0.5
    diffusers.save_pipeline(net, config.diffusion, folder)


def run(command: list[str]) -> tuple[float, float]:
    """(seconds, peak MiB) of a command, its processes' shared pages counted once."""
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, shared_size(process.pid) or 0)
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        if process.returncode and process.stderr is not None:
            raise ChildProcessError(process.stderr.read().strip().splitlines()[-1])
    return seconds, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=4, help="images (default: 4)")
    parser.add_argument("--steps", type=int, default=20, help="of the 1000 (default: 20)")
    parser.add_argument("--turns", type=int, default=3, help="(default: 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "published"
        published(folder)
        n, steps = str(args.n), str(args.steps)
        sides = {
            "ours": [sys.executable, "-m", "ddpm_np", "sample", str(folder), "-n", n, "--steps", steps, "--quiet",
                     "--out", f"{home}/ours.png"],
            "diffusers": [sys.executable, "-c", THEIRS, str(folder), n, steps, f"{home}/theirs.png"],
        }
        found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(args.turns):
            for side, command in sides.items():
                found[side].append(run(command))
        for side, values in found.items():
            seconds, mib = (statistics.median(column) for column in zip(*values, strict=True))
            print(f"{side:10} {seconds:6.2f} s   {mib:6.0f} MiB")
        for i, what in enumerate(("time", "memory")):
            ratios = [ours[i] / theirs[i] for ours, theirs in zip(*found.values(), strict=True)]
            print(f"{what}: ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
