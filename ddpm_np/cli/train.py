"""Train a net on images by Algorithm 1.

In the folder --out: metrics.jsonl (a record a log), loss.png, samples-STEP.png, checkpoint.safetensors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  ddpm-np train                                 the digits, in a few minutes
  ddpm-np train --steps 200 --out runs/quick    a short run
  ddpm-np train --dataset mnist --data-dir DIR  MNIST, from the files in DIR
  ddpm-np train --dataset folder:PHOTOS --preset cifar10
  ddpm-np train --backend cupy                  on a GPU
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", help="the recipe (default: the data set's name)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz",
                        help="the data set (default: the preset's, or digits)")
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (default: download them once)")
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"), help="where to compute")
    parser.add_argument("--steps", type=int, help="how many steps (default: the preset's)")
    parser.add_argument("--batch-size", type=int, help="images a step (default: the preset's)")
    parser.add_argument("--seed", type=int, help="of the weights, data order and noise (default: 0)")
    parser.add_argument("--workers", type=int, help="CPU threads (default: one a CPU); the result is the same")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")


def run(args: argparse.Namespace) -> int:
    from ddpm_np import presets
    from ddpm_np.config import Config
    from ddpm_np.data import Batches, open_dataset
    from ddpm_np.models import UNet
    from ddpm_np.nn import count_parameters
    from ddpm_np.train import Trainer

    if args.preset is None and args.dataset is not None and args.dataset not in presets.names():
        raise ValueError(f"--dataset {args.dataset} needs a --preset, the recipe: there are "
                         f"{', '.join(presets.names())}; did you mean the data set of one of these?")
    preset = args.preset or args.dataset or "digits"
    config = Config.preset(preset).replace(dataset=args.dataset, steps=args.steps, batch_size=args.batch_size,
                                           seed=args.seed)
    settings = config.training
    expected = (*config.model.size, config.model.in_channels)
    dataset = open_dataset(settings.dataset, data_dir=args.data_dir, shape=expected)
    if dataset.shape != expected:
        raise ValueError(f"the images of {dataset.name!r} are {dataset.shape}, the net of preset {preset!r} takes "
                         f"{expected}: choose the preset that goes with the data set")
    batches = Batches(dataset, settings.batch_size, settings.seed, settings.flip)
    model = UNet(config.model, seed=settings.seed, backend=args.backend)
    trainer = Trainer(model, config.diffusion.build(), lr=settings.learning_rate, warmup=settings.warmup,
                      clip=settings.clip, ema=settings.ema, seed=settings.seed, shards=settings.shards,
                      workers=args.workers)
    out = args.out or Path("runs") / preset
    out.mkdir(parents=True, exist_ok=True)
    numbers, tensors = count_parameters(model)
    print(f"{dataset.name}: {len(dataset):,} images of {'×'.join(map(str, dataset.shape))}; net of {numbers:,} "
          f"parameters in {tensors} tensors; {settings.steps:,} steps of {settings.batch_size}; into {out}")
    started = time.perf_counter()
    with FinishTheStep() as interrupt:
        _train(trainer, batches, config, out, interrupt)
    print(f"{trainer.steps:,} steps in {time.perf_counter() - started:.0f} s; images: ddpm-np sample {out}")
    return 130 if interrupt.came else 0


class _Interrupted(Exception):
    """Drawing was cut short."""


class FinishTheStep:
    """A context in which the first Ctrl-C only sets `came`, so that a step is never left half done; a second raises."""

    came = False

    def __enter__(self) -> FinishTheStep:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *error: Any) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, *_: Any) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        print("\nfinishing the step and saving; Ctrl-C again stops at once", file=sys.stderr)


def _train(trainer: Any, batches: Any, config: Any, out: Path, interrupt: FinishTheStep) -> None:
    """The run: a bar, a line of metrics.jsonl a log; pictures and a checkpoint every now and then and at the end."""
    from ddpm_np import checkpoint, plots
    from ddpm_np.cli.progress import Progress

    settings = config.training
    records = []
    with open(out / "metrics.jsonl", "w", encoding="utf-8") as metrics, Progress("train", settings.steps) as progress:
        def on_step(_: int) -> bool:
            progress.advance()
            return interrupt.came

        for record in trainer.run(batches, settings.steps, settings.log_every, on_step):
            records.append(dataclasses.asdict(record))
            metrics.write(json.dumps(records[-1]) + "\n")
            metrics.flush()
            progress.say(f"loss {record.loss:.4f}, {record.images_per_second:.0f} images/s")
            if record.step % settings.sample_every == 0 or record.step == settings.steps or interrupt.came:
                checkpoint.save(out / "checkpoint.safetensors", trainer, config)
                plots.plot_loss(out / "loss.png", records)
                _draw(trainer, config, out / f"samples-{record.step:06d}.png", interrupt)


def _draw(trainer: Any, config: Any, path: Path, interrupt: FinishTheStep, n: int = 64) -> None:
    """A grid of samples from the average weights; after a Ctrl-C, none."""
    from ddpm_np import plots
    from ddpm_np.cli.progress import Progress
    from ddpm_np.pretrained import sample

    with Progress("sample", trainer.schedule.T, leave=False) as progress:
        def on_step(_: int) -> None:
            progress.advance()
            if interrupt.came:
                raise _Interrupted

        try:
            if not interrupt.came:
                images = sample(trainer, n, seed=config.training.seed, variance=config.diffusion.variance,
                                batch_size=n, workers=trainer.workers, on_step=on_step)
                plots.save_images(path, images)
        except _Interrupted:
            return
