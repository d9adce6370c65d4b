"""Options of the command line: what is out of range or has no effect is refused before anything is opened."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ddpm_np import arguments

NET = ("a run's folder, a checkpoint file, a diffusers folder, or the name of a trained net of the package (ddpm-np "
       "info lists them); a file or folder of that name comes first")


def count(text: str) -> int:
    """Return an option's value as an int of at least 1."""
    return _checked(text, int, lambda value: arguments.count("", value))


def index(text: str) -> int:
    """Return an option's value as an int of at least 0."""
    return _checked(text, int, lambda value: arguments.count("", value, 0))


def seed(text: str) -> int:
    """Return an option's value as a seed, an int from 0 to 2⁶⁴ − 1."""
    return _checked(text, int, lambda value: arguments.seed(value, ""))


def fraction(text: str) -> float:
    """Return an option's value as a number from 0 to 1."""
    return _checked(text, float, lambda value: arguments.number("", value, least=0, most=1))


def positive(text: str) -> float:
    """Return an option's value as a positive number."""
    return _checked(text, float, lambda value: arguments.number("", value, above=0))


def finite(text: str) -> float:
    """Return an option's value as a finite number."""
    return _checked(text, float, lambda value: arguments.number("", value))


def _checked(text: str, kind: Callable[[str], Any], check: Callable[[Any], Any]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise ArgumentTypeError(f"must be {'an int' if kind is int else 'a number'}, got {text!r}") from None
    try:
        return check(value)
    except ValueError as error:
        raise ArgumentTypeError(str(error).strip()) from None


def refuse_without_effect(args: Namespace, effects: Mapping[str, bool], where: str) -> None:
    """Raise ValueError if an option is given that has no effect.

    Parameters
    ----------
    args : Namespace
        The arguments; an option that is not given is None or False.
    effects : mapping of str to bool
        By option, such as ``"--eta"``: whether it has an effect here.
    where : str
        What makes it have none, such as ``"--sampler ddpm"``.
    """
    for option, has in effects.items():
        given = getattr(args, option.lstrip("-").replace("-", "_"))
        if not has and given is not None and given is not False:
            raise ValueError(f"{option} has no effect with {where}: leave it out")


def add_backend(parser: ArgumentParser) -> None:
    """Declare --backend and --device."""
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"),
                        help="where to compute: numpy is the CPU, cupy an NVIDIA GPU (default: numpy)")
    parser.add_argument("--device", type=index, metavar="N",
                        help="with --backend cupy: the GPU's number, from 0 (default: 0)")


def choose_device(args: Namespace) -> None:
    """Have the command compute on the GPU that --device names; raise ValueError if it names none.

    Parameters
    ----------
    args : Namespace
        The arguments of any command.
    """
    if getattr(args, "device", None) is None:
        return
    refuse_without_effect(args, {"--device": args.backend == "cupy"}, f"--backend {args.backend}")
    from ddpm_np.backend import use_device

    use_device(args.device, "--device")


def check_weights(trained: Any, which: str, net: str) -> None:
    """Raise ValueError if the last weights are wanted of a net that has its average alone, or published ones.

    Parameters
    ----------
    trained : TrainedNet
        The net.
    which : {"ema", "model"}
        The value of ``--weights``.
    net : str
        What names the net, for the message.
    """
    if which == "model" and trained.model is trained.ema.model:
        raise ValueError(f"--weights model has no effect with {net}, which has one set of weights: leave it out")


def command(*words: str | Path) -> str:
    """Return a command of ``ddpm-np`` as a shell takes it, with quotes where they are needed."""
    return shlex.join(["ddpm-np", *map(str, words)])
