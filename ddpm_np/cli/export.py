"""Write a trained net as a folder that diffusers' DDPMPipeline opens."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  ddpm-np export runs/mnist --out mnist-ddpm       then: DDPMPipeline.from_pretrained("mnist-ddpm")
  ddpm-np export runs/mnist --weights model --out last
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="a run's folder, a checkpoint file, or a folder of diffusers'")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--weights", default="ema", choices=("ema", "model"), help="the average, or the last weights")


def run(args: argparse.Namespace) -> int:
    from ddpm_np.interop import diffusers
    from ddpm_np.nn import count_parameters
    from ddpm_np.progress import passed_over
    from ddpm_np.runs.load import load

    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ValueError(f"{args.out} is there already: name a new folder")
    pretrained = load(args.checkpoint, say=passed_over)
    net = pretrained.ema.model if args.weights == "ema" else pretrained.model
    diffusers.save_pipeline(net, pretrained.config.diffusion, args.out)
    steps = pretrained.schedule.T
    say = f"; there, ask for num_inference_steps={steps}" if steps != 1000 else ""
    say += "; its pipelines take no labels, its UNet2DModel does" if net.config.num_classes is not None else ""
    print(f"{count_parameters(net)[0]:,} parameters and their schedule: {args.out}{say}")
    return 0
