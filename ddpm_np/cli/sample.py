"""Draw images from a trained net by Algorithm 2.

Image i of a seed is the same whatever -n and --batch-size are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  ddpm-np sample runs/digits                       64 images into samples.png
  ddpm-np sample runs/digits -n 500 --out s.npz    as numbers: images, uint8 (N, H, W, C)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="a run's folder, or a checkpoint file")
    parser.add_argument("-n", type=int, default=64, help="how many images (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"), help="where to compute")
    parser.add_argument("--weights", default="ema", choices=("ema", "model"), help="the average, or the last weights")
    parser.add_argument("--variance", choices=("small", "large"), help="σ² of a step: β̃ or β (default: as trained)")
    parser.add_argument("--no-clip", action="store_true", help="do not hold the predicted image in [-1, 1]")
    parser.add_argument("--batch-size", type=int, default=250, help="images at a time (default: 250)")
    parser.add_argument("--workers", type=int, help="CPU threads (default: one a CPU); the result is the same")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--out", type=Path, default=Path("samples.png"), help="FILE.png or FILE.npz")


def run(args: argparse.Namespace) -> int:
    import math

    import numpy as np

    from ddpm_np import plots
    from ddpm_np.cli.progress import Progress, passed_over
    from ddpm_np.data import to_levels
    from ddpm_np.pretrained import load, sample

    if args.out.suffix not in (".png", ".npz"):
        raise ValueError(f"--out must end in .png or .npz, got {args.out}")
    pretrained = load(args.checkpoint, backend=args.backend, say=passed_over)
    batches = math.ceil(args.n / max(args.batch_size, 1))
    with Progress("sample", batches * pretrained.schedule.T, quiet=args.quiet) as progress:
        images = sample(pretrained, args.n, seed=args.seed, weights=args.weights, variance=args.variance,
                        clip=not args.no_clip, batch_size=args.batch_size, workers=args.workers,
                        on_step=progress.advance)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.out.suffix == ".npz":
        np.savez_compressed(args.out, images=to_levels(images))
    else:
        plots.save_images(args.out, images)
    print(f"{args.n} images after {pretrained.step:,} steps of training: {args.out}")
    return 0
