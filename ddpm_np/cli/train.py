"""Train a net on images by Algorithm 1.

The folder --out gets metrics.jsonl (one record per line), loss.png, samples-STEP.png and checkpoint-STEP.safetensors.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ddpm_np.cli.options import add_backend, command, count, refuse_without_effect, seed

EXAMPLES = """examples:
  ddpm-np train                                 the digits, in a few minutes
  ddpm-np train --steps 200 --out runs/quick    a short run
  ddpm-np train --dataset mnist --data-dir DIR  MNIST, from the files in DIR
  ddpm-np train --dataset folder:PHOTOS --preset cifar10
  ddpm-np train --set learning_rate=1e-3 --set model.channels=64 --out runs/wide
  ddpm-np train --resume                        resume the run in runs/digits
  ddpm-np train --backend cupy                  on a GPU
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``ddpm-np train``."""
    parser.add_argument("--preset", help="the recipe (default: the data set's name)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz",
                        help="the data set (default: the preset's, or digits)")
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (default: download them once)")
    add_backend(parser)
    parser.add_argument("--kernels", default="fast", choices=("fast", "reference"),
                        help="fast twins of the ops, or their definitions: equal to rounding, but slower")
    parser.add_argument("--steps", type=count, help="training steps (default: the preset's)")
    parser.add_argument("--batch-size", type=count, help="images per step (default: the preset's)")
    parser.add_argument("--seed", type=seed, help="seed of weights, data order and noise (default: 0)")
    parser.add_argument("--workers", type=count, help="CPUs to use (default: all); the result is the same")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values",
                        help="any value of the recipe, such as learning_rate=1e-3 or model.channels=64; repeatable")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--resume", action="store_true",
                        help="resume the run in --out, bit for bit (on a GPU, up to rounding)")
    parser.add_argument("--override", action="store_true", help="with --resume: allow another configuration")


def run(args: argparse.Namespace) -> int:
    """Start or resume a run, and train to its end or to Ctrl-C."""
    from ddpm_np.nn import count_parameters
    from ddpm_np.progress import Progress

    refuse_without_effect(args, {"--override": args.resume}, "a new run")
    run, out = _open(args)
    dataset, settings, first = run.dataset, run.config.training, run.step
    numbers, tensors = count_parameters(run.net.model)
    print(f"{dataset.name}: {len(dataset):,} images of {'×'.join(map(str, dataset.shape))}; net of {numbers:,} "
          f"parameters in {tensors} tensors; {settings.steps:,} steps of {settings.batch_size}"
          f"{f' from step {first:,} on' if args.resume else ''}; into {out}", flush=True)

    @contextmanager
    def sampling(steps: int) -> Iterator[Callable[..., None]]:
        with Progress("sample", steps, leave=False, quiet=args.quiet) as bar:
            yield bar.add

    started = time.perf_counter()
    with (FinishTheStep(run.stop) as interrupt,
          Progress("train", settings.steps, done=first, quiet=args.quiet) as progress):
        for record in run.train(progress.advance, sampling):
            progress.say(f"loss {record.loss:.4f}, {record.images_per_second:.0f} images/s")
    print(f"{run.step - first:,} steps in {time.perf_counter() - started:.0f} s; images: {command('sample', out)}")
    if interrupt.came:
        print(f"stopped after step {run.step:,}; resume with: {command('train', '--resume', '--out', out)}")
        return 128 + interrupt.came
    return 0


def _open(args: argparse.Namespace) -> tuple[Any, Path]:
    """Start or resume the run that the arguments describe; return it and its folder."""
    from ddpm_np.config import Config, preset_for
    from ddpm_np.progress import warn
    from ddpm_np.runs import Run

    preset = args.preset or preset_for(args.dataset, otherwise="digits" if args.resume else None)
    out = args.out or Path("runs") / preset
    options = {"data_dir": args.data_dir, "backend": args.backend, "workers": args.workers, "say": warn}

    def given(config: Config) -> Config:
        values = {"dataset": args.dataset, "steps": args.steps, "batch_size": args.batch_size, "seed": args.seed}
        return config.replace(**values).with_values(args.values)

    if not args.resume:
        return Run.start(given(Config.preset(preset)), out, **options), out
    return Run.resume(out, lambda saved: given(Config.preset(args.preset) if args.preset else saved),
                      override=args.override, **options), out


class FinishTheStep:
    """A context in which the first Ctrl-C or SIGTERM calls `stop`, and a second one raises.

    Parameters
    ----------
    stop : callable
        Asks the run to end after the present step.

    Attributes
    ----------
    came : int
        The signal that came; 0 if none did.
    """

    came = 0

    def __init__(self, stop: Callable[[], Any]):
        self._stop = stop

    def __enter__(self) -> FinishTheStep:
        self._before = {kind: signal.signal(kind, self._handle) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: Any) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)

    def _handle(self, kind: int, *_: Any) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = kind
        self._stop()
        print("\nfinishing the step and saving; Ctrl-C again stops at once", file=sys.stderr)
