"""Import the weights of a trained net as a run you can keep training.

The run begins at step 0 with these weights. To sample from them, no import is needed: ddpm-np sample NET.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ddpm_np.cli.options import NET, command

EXAMPLES = """examples:
  ddpm-np import ddpm-cifar10-32 --out runs/cifar10        then: ddpm-np train --resume --out runs/cifar10
  ddpm-np import digits --out runs/more                    the trained net in the package, by its own recipe
  ddpm-np import ddpm-church-256 --preset ho256 --dataset folder:PHOTOS --out runs/photos
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``ddpm-np import``."""
    parser.add_argument("folder", metavar="NET", help=NET)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--preset", help="the recipe to train by (default: the net's own; cifar10 for a diffusers "
                                         "folder, which has none)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz", help="the data set (default: the recipe's)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values",
                        help="any value of the recipe, such as learning_rate=1e-5; repeatable")


def run(args: argparse.Namespace) -> int:
    """Import the weights, and print how to train the run."""
    from ddpm_np.nn import count_parameters
    from ddpm_np.progress import warn
    from ddpm_np.runs import import_run

    net = import_run(args.folder, args.out, args.preset,
                     lambda recipe: recipe.replace(dataset=args.dataset).with_values(args.values), warn)
    print(f"{count_parameters(net)[0]:,} parameters; train it with: {command('train', '--resume', '--out', args.out)}")
    return 0
