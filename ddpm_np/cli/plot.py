"""Draw the schedule, the forward process or the loss."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  ddpm-np plot schedule --preset cifar10
  ddpm-np plot forward --out forward.png
  ddpm-np plot loss runs/digits
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("schedule", "forward", "loss"), help="the picture")
    parser.add_argument("folder", type=Path, nargs="?", help="a run's folder (loss)")
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (default: download them once)")
    parser.add_argument("--preset", default="digits", help="whose schedule and data set (default: digits)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (forward)")
    parser.add_argument("--out", type=Path, help="FILE.png (default: WHAT.png)")


def run(args: argparse.Namespace) -> int:
    from ddpm_np import plots
    from ddpm_np.config import Config
    from ddpm_np.data import open_dataset

    out = args.out or Path(f"{args.what}.png")
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--out must end in .png, .svg or .pdf, got {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if args.what == "loss":
        if args.folder is None:
            raise ValueError("plot loss needs a run's folder: ddpm-np plot loss runs/digits")
        plots.plot_loss(out, plots.read_metrics(args.folder / "metrics.jsonl"))
    else:
        config = Config.preset(args.preset)
        schedule = config.diffusion.build()
        if args.what == "schedule":
            plots.plot_schedule(out, schedule)
        else:
            shape = (*config.model.size, config.model.in_channels)
            dataset = open_dataset(config.training.dataset, data_dir=args.data_dir, shape=shape)
            plots.plot_forward(out, schedule, dataset, seed=args.seed)
    print(out)
    return 0
