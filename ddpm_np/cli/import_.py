"""Make a run of a folder of diffusers' (a pipeline or a net), to be trained on.

To sample from such a folder this is not needed: ddpm-np sample FOLDER.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  ddpm-np import ddpm-cifar10-32 --out runs/cifar10        then: ddpm-np train --resume --out runs/cifar10
  ddpm-np import ddpm-church-256 --preset ho256 --dataset folder:PHOTOS --out runs/photos
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder of diffusers'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--preset", default="cifar10", help="the recipe to train on with (default: cifar10)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz", help="the data set (default: the preset's)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values",
                        help="any value of the recipe, such as learning_rate=1e-5; repeatable")


def run(args: argparse.Namespace) -> int:
    from ddpm_np.config import Config
    from ddpm_np.data import names
    from ddpm_np.interop import diffusers
    from ddpm_np.nn import count_parameters
    from ddpm_np.runs import checkpoint
    from ddpm_np.training.trainer import Trainer

    if sorted(args.out.glob(checkpoint.PATTERN)):
        raise ValueError(f"{args.out} holds a run already: name another folder")
    if diffusers.is_folder(args.out):
        raise ValueError(f"{args.out} is a folder of diffusers': name another for the run")
    if args.dataset is not None and args.dataset not in names() and not args.dataset.startswith("folder:") and (
            not args.dataset.endswith(".npz")):
        raise ValueError(f"no data set is called {args.dataset!r}: there are {', '.join(names())}, folder:PATH and "
                         "FILE.npz")
    net, diffusion = diffusers.load_pipeline(args.folder)
    if net.config.num_classes is not None:
        raise ValueError(f"{args.folder} is a net with labels and none for \"no label\", which training needs here")
    config = Config.of_net(net.config, diffusion, args.preset).replace(dataset=args.dataset).with_values(args.values)
    if (config.model, config.diffusion) != (net.config, diffusion):
        raise ValueError("--set changes the recipe, not the net or its schedule, which are those of the folder")
    checkpoint.save(checkpoint.path_of(args.out, 0), Trainer(net, diffusion.build()), config)
    print(f"{count_parameters(net)[0]:,} parameters; train on with: ddpm-np train --resume --out {args.out}")
    return 0
