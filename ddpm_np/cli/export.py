"""Export a trained net as a folder that diffusers' DDPMPipeline opens."""

from __future__ import annotations

import argparse
from pathlib import Path

from ddpm_np.cli.options import NET, check_weights

EXAMPLES = """examples:
  ddpm-np export runs/mnist --out mnist-ddpm       then: DDPMPipeline.from_trained("mnist-ddpm")
  ddpm-np export runs/mnist --weights model --out last
  ddpm-np export digits --out digits-ddpm          the trained net in the package
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``ddpm-np export``."""
    parser.add_argument("checkpoint", metavar="NET", help=NET)
    parser.add_argument("--out", type=Path, required=True, help="the new folder")
    parser.add_argument("--weights", default="ema", choices=("ema", "model"),
                        help="the average of the weights (ema), or the last ones (model)")


def run(args: argparse.Namespace) -> int:
    """Write the folder, and print what to know of it there."""
    from ddpm_np.interop import diffusers
    from ddpm_np.nn import count_parameters
    from ddpm_np.progress import passed_over
    from ddpm_np.runs.load import load

    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ValueError(f"{args.out} already exists: name a new folder")
    trained = load(args.checkpoint, say=passed_over)
    check_weights(trained, args.weights, args.checkpoint)
    net = trained.ema.model if args.weights == "ema" else trained.model
    diffusers.save_pipeline(net, trained.config.diffusion, args.out)
    steps = trained.schedule.T
    notes = [f"call the pipeline with num_inference_steps={steps}"] * (steps != 1000)
    notes += ["diffusers' pipelines take no labels, its UNet2DModel does"] * (net.config.num_classes is not None)
    print("; ".join([f"{count_parameters(net)[0]:,} parameters and their schedule: {args.out}", *notes]))
    return 0
