"""Train a net on images by Algorithm 1.

In the folder --out: metrics.jsonl (a record a log), loss.png, samples-STEP.png, checkpoint-STEP.safetensors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
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
  ddpm-np train --set learning_rate=1e-3 --set model.channels=64 --out runs/wide
  ddpm-np train --resume                        go on with the run in runs/digits
  ddpm-np train --backend cupy                  on a GPU
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", help="the recipe (default: the data set's name)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz",
                        help="the data set (default: the preset's, or digits)")
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (default: download them once)")
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"), help="where to compute")
    parser.add_argument("--kernels", default="fast", choices=("fast", "reference"),
                        help="fast twins of the ops, or the ops' definitions: the same to rounding, and slower")
    parser.add_argument("--steps", type=int, help="how many steps (default: the preset's)")
    parser.add_argument("--batch-size", type=int, help="images a step (default: the preset's)")
    parser.add_argument("--seed", type=int, help="of the weights, data order and noise (default: 0)")
    parser.add_argument("--workers", type=int, help="how many CPUs to use (default: all); the result is the same")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values",
                        help="any value of the recipe, such as learning_rate=1e-3 or model.channels=64; repeatable")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, bit for bit")
    parser.add_argument("--override", action="store_true", help="with --resume: go on though the configuration differs")


def run(args: argparse.Namespace) -> int:
    from ddpm_np.backend import get_backend
    from ddpm_np.data import Ahead, Batches, open_dataset
    from ddpm_np.models import UNet
    from ddpm_np.nn import count_parameters
    from ddpm_np.runs import checkpoint
    from ddpm_np.training.memory import check_memory, free_memory
    from ddpm_np.training.trainer import Trainer

    config, out, saved = _plan(args)
    settings = config.training
    expected = (*config.model.size, config.model.in_channels)
    dataset = open_dataset(settings.dataset, data_dir=args.data_dir, shape=expected)
    if dataset.shape != expected:
        raise ValueError(f"the images of {dataset.name!r} are {dataset.shape}, the net takes {expected}: choose the "
                         "preset that goes with the data set")
    _check_labels(dataset, config.no_label)
    _say_what_the_average_keeps(settings)
    workers = _workers(args, settings.shards)
    check_memory(config.model, settings.batch_size, settings.shards, workers, free_memory(get_backend(args.backend)),
                 settings.recompute)
    batches = Ahead(Batches(dataset, settings.batch_size, settings.seed, settings.flip))
    model = UNet(config.model, seed=settings.seed, backend=args.backend)
    trainer = Trainer(model, config.diffusion.build(), config.objective(dataset.levels), lr=settings.learning_rate,
                      warmup=settings.warmup, clip=settings.clip, ema=settings.ema, seed=settings.seed,
                      shards=settings.shards, recompute=settings.recompute,
                      workers=workers, no_label=config.no_label, label_dropout=settings.label_dropout)
    out.mkdir(parents=True, exist_ok=True)
    if saved:
        checkpoint.restore(trainer, saved)
    numbers, tensors = count_parameters(model)
    print(f"{dataset.name}: {len(dataset):,} images of {'×'.join(map(str, dataset.shape))}; net of {numbers:,} "
          f"parameters in {tensors} tensors; {settings.steps:,} steps of {settings.batch_size}"
          f"{f' from step {saved.step:,} on' if saved else ''}; into {out}", flush=True)
    started, first = time.perf_counter(), trainer.steps
    with FinishTheStep() as interrupt:
        _train(trainer, batches, config, out, interrupt, args.quiet)
    print(f"{trainer.steps - first:,} steps in {time.perf_counter() - started:.0f} s; images: ddpm-np sample {out}")
    if interrupt.came:
        print(f"stopped after step {trainer.steps:,}; go on with: ddpm-np train --resume --out {shlex.quote(str(out))}")
        return 130
    return 0


def _check_labels(dataset: Any, no_label: int | None) -> None:
    """A net with labels needs data with labels, and one more class than there are, for "no label"."""
    if no_label is None:
        return
    if dataset.labels is None:
        raise ValueError(f"{dataset.name!r} has no labels, the net wants some: leave model.num_classes out")
    classes = int(dataset.labels.max()) + 1
    if no_label != classes:
        raise ValueError(f"{dataset.name!r} has {classes} labels and the net needs one more, for none: --set "
                         f"model.num_classes={classes + 1}")


def _say_what_the_average_keeps(settings: Any) -> None:
    """An average too slow for the run still holds the first weights, and what is drawn from it is noise."""
    kept = settings.ema**settings.steps
    if kept > 0.01 and settings.steps >= 100:  # of fewer, nobody expects samples
        fitting = 1 - 10 / settings.steps
        print(f"ddpm-np: after {settings.steps:,} steps with ema={settings.ema} the average is {kept:.0%} the first "
              f"weights, and samples will be noisy: --set ema={fitting:.4g} forgets them", file=sys.stderr)


def _workers(args: argparse.Namespace, shards: int) -> int:
    """How many threads take the shards; says so where there is work for fewer than were asked for."""
    from ddpm_np.parallel.threads import default_workers

    if args.backend != "numpy":
        return 1
    if args.workers is not None and args.workers > shards:
        print(f"ddpm-np: {args.workers} workers, but a step has {shards} shards: {shards} will have work; "
              f"--set shards={args.workers} gives all of them some", file=sys.stderr)
    return min(default_workers() if args.workers is None else args.workers, shards)


def _plan(args: argparse.Namespace) -> tuple[Any, Path, Any]:
    """What the arguments ask for: the configuration, the run's folder, and the checkpoint to go on from or None."""
    from ddpm_np import presets
    from ddpm_np.config import Config, differences
    from ddpm_np.progress import passed_over
    from ddpm_np.runs import checkpoint

    if args.preset is None and args.dataset is not None and args.dataset not in presets.names() and not args.resume:
        raise ValueError(f"--dataset {args.dataset} needs a --preset, the recipe: there are "
                         f"{', '.join(presets.names())}; did you mean the data set of one of these?")
    preset = args.preset or (args.dataset if args.dataset in presets.names() else "digits")
    out = args.out or Path("runs") / preset
    given = {"dataset": args.dataset, "steps": args.steps, "batch_size": args.batch_size, "seed": args.seed}
    if not args.resume:
        if sorted(out.glob(checkpoint.PATTERN)):
            raise ValueError(f"{out} holds a run already: --resume goes on with it, --out names another folder")
        return Config.preset(preset).replace(**given).with_values(args.values), out, None
    saved = checkpoint.newest(out, passed_over)
    config = (Config.preset(args.preset) if args.preset else saved.config).replace(**given).with_values(args.values)
    changed = differences(saved.config, config)
    if changed and not args.override:
        raise ValueError(f"the run in {out} was started with another configuration ({'; '.join(changed)}): leave the "
                         "arguments out to go on as it was, or add --override")
    return config, out, saved


class _Interrupted(Exception):
    """Drawing was cut short."""


class FinishTheStep:
    """A context in which the first Ctrl-C or SIGTERM only sets `came`: the step is finished. A second one raises."""

    came = False

    def __enter__(self) -> FinishTheStep:
        self._before = {kind: signal.signal(kind, self._handle) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: Any) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)

    def _handle(self, *_: Any) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        print("\nfinishing the step and saving; Ctrl-C again stops at once", file=sys.stderr)


def _train(trainer: Any, batches: Any, config: Any, out: Path, interrupt: FinishTheStep, quiet: bool) -> None:
    """The run: a bar, a line of metrics.jsonl a log; pictures and a checkpoint every now and then and at the end."""
    from ddpm_np import viz
    from ddpm_np.progress import Progress
    from ddpm_np.runs import checkpoint

    settings = config.training
    records = _logged(out / "metrics.jsonl", trainer.steps, settings.log_every)
    with (open(out / "metrics.jsonl", "a", encoding="utf-8") as metrics,
          Progress("train", settings.steps, done=trainer.steps, quiet=quiet) as progress):
        def on_step(_: int) -> bool:
            progress.advance()
            return interrupt.came

        for record in trainer.run(batches, settings.steps, settings.log_every, on_step):
            records.append(dataclasses.asdict(record))
            metrics.write(json.dumps(records[-1]) + "\n")
            metrics.flush()
            progress.say(f"loss {record.loss:.4f}, {record.images_per_second:.0f} images/s")
            last = record.step == settings.steps or interrupt.came
            if record.step % settings.save_every == 0 or last:
                checkpoint.save(checkpoint.path_of(out, record.step), trainer, config, record.loss)
                checkpoint.keep_last(out, settings.keep)
            if record.step % settings.sample_every == 0 or last:
                viz.plot_loss(out / "loss.png", records)
                _draw(trainer, config, out / f"samples-{record.step:06d}.png", interrupt, quiet)


def _logged(path: Path, step: int, log_every: int) -> list[dict[str, Any]]:
    """The whole records of the run up to a step; what the file holds beyond them is cut off."""
    from ddpm_np.runs.metrics import read_metrics
    from ddpm_np.storage import write_atomically

    records = read_metrics(path) if path.exists() else []
    kept = [record for record in records if record["step"] <= step and record["step"] % log_every == 0]
    if len(kept) != len(records) or not path.exists():
        write_atomically(path, (json.dumps(record).encode() + b"\n" for record in kept))
    return kept


def _draw(trainer: Any, config: Any, path: Path, interrupt: FinishTheStep, quiet: bool, n: int = 64) -> None:
    """A grid of samples from the average weights; after a Ctrl-C, none."""
    from ddpm_np import viz
    from ddpm_np.progress import Progress
    from ddpm_np.runs.sample import sample

    with Progress("sample", trainer.schedule.T, leave=False, quiet=quiet) as progress:
        def on_step(_: int) -> None:
            progress.advance()
            if interrupt.came:
                raise _Interrupted

        try:
            if not interrupt.came:
                images = sample(trainer, n, seed=config.training.seed, predicts=config.diffusion.predicts,
                                variance=config.diffusion.variance,
                                batch_size=n, workers=trainer.workers, on_step=on_step)
                viz.save_images(path, images)
        except _Interrupted:
            return
