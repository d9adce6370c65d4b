"""Sample images from a trained net by Algorithm 2, DDIM or annealed Langevin dynamics.

Image i of a seed does not depend on -n or --batch-size.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  ddpm-np sample runs/digits                       64 images in samples.png
  ddpm-np sample runs/digits -n 500 --out s.npz    an array images, uint8 (N, H, W, C)
  ddpm-np sample runs/digits --sampler ddim --steps 25 --eta 0
  ddpm-np sample runs/digits -n 8 --progressive    x̂₀ of each image along the chain
  ddpm-np sample ddpm-cifar10-32 --sampler ddim    published weights, as downloaded
  ddpm-np sample runs/mnist --label 3 --guidance 1 for a net trained with labels
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="a run's folder, a checkpoint file, or a diffusers checkpoint")
    parser.add_argument("-n", type=int, default=64, help="number of images (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"),
                        help="array backend (default: numpy)")
    parser.add_argument("--kernels", default="fast", choices=("fast", "reference"),
                        help="fast kernels, or the ops' definitions: slower, and equal up to rounding (default: fast)")
    parser.add_argument("--weights", default="ema", choices=("ema", "model"),
                        help="moving average or last weights (default: ema)")
    parser.add_argument("--sampler", default="ddpm", choices=("ddpm", "ddim", "langevin"),
                        help="Algorithm 2, DDIM or annealed Langevin dynamics (default: ddpm)")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps (default: all T; ddim: 50)")
    parser.add_argument("--spacing", default="trailing", choices=("leading", "trailing", "linspace", "quadratic"),
                        help="spacing of those steps among 1..T (default: trailing)")
    parser.add_argument("--eta", type=float, default=0.0,
                        help="ddim: 0 is deterministic, 1 has the noise of Algorithm 2 with β̃ (default: 0)")
    parser.add_argument("--variance", choices=("small", "large"), help="σ² of a step: β̃ or β (default: as trained)")
    parser.add_argument("--label", type=int, metavar="CLASS",
                        help="class to sample, for a net trained with labels (default: unconditional)")
    parser.add_argument("--guidance", type=float, default=0.0, metavar="W",
                        help="weight of classifier-free guidance (default: 0)")
    parser.add_argument("--progressive", action="store_true",
                        help="show x̂₀ at ten points along the chain, a row for each image")
    parser.add_argument("--no-clip", action="store_true", help="do not clip the predicted x̂₀ to [-1, 1]")
    parser.add_argument("--batch-size", type=int, metavar="N",
                        help="images at a time (default: 250; fewer if they are large)")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="CPU threads (default: one per CPU); any number gives the same result")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    parser.add_argument("--out", type=Path, default=Path("samples.png"), metavar="FILE",
                        help="FILE.png or FILE.npz (default: samples.png)")


def run(args: argparse.Namespace) -> int:
    import math

    import numpy as np

    from ddpm_np import viz
    from ddpm_np.data import to_levels
    from ddpm_np.progress import Progress, passed_over
    from ddpm_np.runs.load import load
    from ddpm_np.runs.sample import sample
    from ddpm_np.sampling import Sampler, images_at_a_time

    if args.out.suffix not in (".png", ".npz"):
        raise ValueError(f"--out must end in .png or .npz, got {args.out}")
    pretrained = load(args.checkpoint, backend=args.backend, say=passed_over)
    sampler = Sampler(args.sampler, args.steps, args.spacing, args.eta)
    options = {"seed": args.seed, "weights": args.weights, "variance": args.variance,
               "clip": False if args.no_clip else None, "workers": args.workers, "sampler": sampler,
               "labels": args.label, "guidance": args.guidance}
    visits = len(sampler.visits(pretrained.schedule.T)) + (args.sampler == "langevin")
    if args.progressive:
        return _progressive(pretrained, args, options, visits)
    batches = math.ceil(args.n / max(args.batch_size or images_at_a_time(pretrained.model.config), 1))
    with Progress("sample", batches * visits, quiet=args.quiet) as progress:
        images = sample(pretrained, args.n, batch_size=args.batch_size, on_step=progress.advance, **options)
    if not np.isfinite(images).all():
        print("ddpm-np: stopped: the images are not finite numbers: check the weights and settings", file=sys.stderr)
        return 1
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.out.suffix == ".npz":
        _save_npz(args.out, to_levels(images))
    else:
        viz.save_images(args.out, images)
    trained = f"after {pretrained.step:,} steps of training" if pretrained.step else f"from {args.checkpoint}"
    print(f"{args.n} images {trained}: {args.out}")
    return 0


def _save_npz(path: Path, images: Any) -> None:
    """Write an array of images as a compressed .npz, atomically."""
    import numpy as np

    from ddpm_np.storage import open_atomically

    with open_atomically(path) as file:
        np.savez_compressed(file, images=images)


def _progressive(pretrained: Any, args: argparse.Namespace, options: dict[str, Any], visits: int) -> int:
    """Write x̂₀ of each image at ten points along the chain, the last being the image itself."""
    import math

    from ddpm_np import viz
    from ddpm_np.data import to_levels
    from ddpm_np.progress import Progress
    from ddpm_np.runs.sample import progressive_predictions
    from ddpm_np.sampling import images_at_a_time

    batches = math.ceil(args.n / images_at_a_time(pretrained.model.config))
    with Progress("sample", batches * visits, quiet=args.quiet) as progress:
        seen = progressive_predictions(pretrained, args.n, on_step=progress.advance, **options)  # (n, K, H, W, C)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.out.suffix == ".npz":
        _save_npz(args.out, to_levels(seen))
    else:
        viz.save_images(args.out, seen.reshape(-1, *seen.shape[2:]), columns=seen.shape[1])
    print(f"{args.n} images, each at {seen.shape[1]} points along its chain: {args.out}")
    return 0
