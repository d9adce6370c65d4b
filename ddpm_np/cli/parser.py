"""The parser of all commands."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from keyword import iskeyword

from ddpm_np import __version__

COMMANDS = {
    "train": "train a net on images",
    "sample": "sample images from a trained net",
    "evaluate": "bits per dimension; FID, KID, IS, precision and recall of samples",
    "check": "check the mathematics of this package or of any other code, equation by equation",
    "plot": "plot a schedule, the loss of a run, or the paper's figures for a trained net",
    "toy": "learn a 2-D distribution in seconds, and plot what was learned",
    "export": "export a trained net as a diffusers folder",
    "import": "import a diffusers checkpoint as a run you can keep training",
    "bench": "measure speed and memory, side by side with PyTorch if it is installed",
    "calibrate": "measure this machine once, to choose kernels by it",
    "info": "show versions, backends, presets and data sets",
}


class _Parser(argparse.ArgumentParser):
    """A parser that prints an error as one line on standard error and exits with status 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        message = re.sub(r"^argument (\S+): must", r"\1 must", message)
        print(f"ddpm-np: error: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="ddpm-np", description="Denoising diffusion probabilistic models in NumPy and CuPy.")
    parser.add_argument("--version", action="version", version=f"ddpm-np {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"ddpm_np.cli.{f'{name}_' if iskeyword(name) else name}")
        sub = commands.add_parser(name, help=what, description=module.__doc__, epilog=module.EXAMPLES,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser
