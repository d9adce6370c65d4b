"""Plot the schedule or the forward process of a preset, or the paper's figures for a trained net."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_np.cli.options import NET, add_backend, command, count, index, refuse_without_effect, seed

EXAMPLES = """examples:
  ddpm-np plot schedule --preset cifar10
  ddpm-np plot forward --out forward.png
  ddpm-np plot loss runs/digits
  ddpm-np plot progressive runs/digits             x̂₀ along the chain (figure 6)
  ddpm-np plot progressive digits                  the same for the trained net in the package
  ddpm-np plot latents runs/digits                 images that share x_t (figure 7)
  ddpm-np plot interpolation runs/digits           between two images of the data set, at several depths (figure 8)
  ddpm-np plot neighbours runs/digits              samples beside the nearest training images
  ddpm-np plot bound runs/digits                   after ddpm-np evaluate
  ddpm-np plot rate-distortion runs/digits         after ddpm-np evaluate (figure 5)
"""
PRESETS = ("schedule", "forward")
SAMPLED = ("progressive", "latents", "interpolation", "neighbours")
RUNS = ("loss", *SAMPLED, "bound", "rate-distortion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=(*PRESETS, *RUNS), help="the plot")
    parser.add_argument("folder", nargs="?", metavar="NET", help=f"for {', '.join(RUNS)}: {NET}")
    parser.add_argument("--data-dir", type=Path, metavar="DIR",
                        help="folder with the data set's files (default: download them once)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz",
                        help="the data set (default: the preset's, or the one the net was trained on)")
    parser.add_argument("--preset", metavar="NAME",
                        help=f"{', '.join(PRESETS)}: preset that names the schedule and data set (default: digits)")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the noise (default: 0)")
    parser.add_argument("--steps", type=count, metavar="N", help="sampling steps (default: all T)")
    parser.add_argument("--images", type=index, nargs=2, metavar=("I", "J"),
                        help="interpolation: indices of the two images in the data set (default: 0 1)")
    add_backend(parser)
    parser.add_argument("--workers", type=count, metavar="N",
                        help="CPU threads (default: one per CPU); any number gives the same result")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="FILE.png, .svg or .pdf (default: WHAT.png, in the run's folder if one is given; "
                             "NET-WHAT.png for a trained net of the package)")


def run(args: argparse.Namespace) -> int:
    from ddpm_np.runs.load import beside

    if args.what in RUNS and args.folder is None:
        raise ValueError(f"plot {args.what} needs a run's folder: ddpm-np plot {args.what} runs/digits")
    name = f"{args.what}.png"
    out = args.out or (beside(args.folder, name) if args.what in RUNS else Path(name))
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--out must end in .png, .svg or .pdf, got {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    drawn, data = args.what in SAMPLED, args.what in ("forward", "interpolation", "neighbours")
    refuse_without_effect(args, {
        "--preset": args.what in PRESETS, "--dataset": data, "--data-dir": data, "--steps": drawn, "--workers": drawn,
        "--seed": drawn or args.what == "forward", "--images": args.what == "interpolation",
        "--backend": drawn or args.backend == "numpy", "--device": drawn}, f"plot {args.what}")
    args.preset, args.seed, args.images = args.preset or "digits", args.seed or 0, args.images or (0, 1)
    draw: dict[str, Callable[[argparse.Namespace, Path], None]] = {
        "schedule": _preset, "forward": _preset, "loss": _loss, "progressive": _progressive, "latents": _latents,
        "interpolation": _interpolation, "neighbours": _neighbours, "bound": _bound, "rate-distortion": _bound}
    draw[args.what](args, out)
    print(out)
    return 0


def _preset(args: argparse.Namespace, out: Path) -> None:
    from ddpm_np import viz
    from ddpm_np.config import Config

    config = Config.preset(args.preset)
    if args.what == "schedule":
        viz.plot_schedule(out, config.diffusion.build())
    else:
        viz.plot_forward(out, config.diffusion.build(), _dataset(config, args), seed=args.seed)


def _dataset(config: Any, args: argparse.Namespace) -> Any:
    from ddpm_np.data import open_dataset
    from ddpm_np.progress import warn

    shape = (*config.model.size, config.model.in_channels)
    return open_dataset(args.dataset or config.trained_on, data_dir=args.data_dir, shape=shape, say=warn)


def _loss(args: argparse.Namespace, out: Path) -> None:
    from ddpm_np import viz
    from ddpm_np.progress import warn
    from ddpm_np.runs.load import beside
    from ddpm_np.runs.metrics import read_metrics

    path = beside(args.folder, "metrics.jsonl")
    if not path.exists():
        raise FileNotFoundError(f"no record of training at {path}: ddpm-np train writes one into a run's folder")
    viz.plot_loss(out, read_metrics(path, warn))


def _load(args: argparse.Namespace) -> Any:
    from ddpm_np.progress import passed_over
    from ddpm_np.runs.load import load

    return load(args.folder, backend=args.backend, say=passed_over)


def _progressive(args: argparse.Namespace, out: Path) -> None:
    from ddpm_np import viz
    from ddpm_np.progress import Progress
    from ddpm_np.runs.sample import progressive_predictions
    from ddpm_np.sampling import Sampler

    pretrained, sampler = _load(args), Sampler(steps=args.steps)
    with Progress("sample", 8 * len(sampler.visits(pretrained.schedule.T)), quiet=args.quiet) as progress:
        seen = progressive_predictions(pretrained, 8, seed=args.seed, sampler=sampler, workers=args.workers,
                                       on_step=progress.add)
    viz.save_rows(out, seen, [""] * len(seen), ["noise", *[""] * (seen.shape[1] - 2), "image"])


def _latents(args: argparse.Namespace, out: Path) -> None:
    from ddpm_np import viz
    from ddpm_np.evaluate import paper_figures
    from ddpm_np.progress import Progress
    from ddpm_np.sampling import ImageGenerator

    generator = ImageGenerator(_load(args), workers=args.workers)
    T = args.steps or generator.schedule.T
    with Progress("sample", T + sum(paper_figures.depths(T, 4)), quiet=args.quiet) as progress:
        depths, images = paper_figures.shared_latents(generator, seed=args.seed, steps=args.steps,
                                                      on_step=progress.advance)
    viz.save_rows(out, images, [f"share x at t = {t}" for t in depths], ["x at t"])


def _interpolation(args: argparse.Namespace, out: Path) -> None:
    from ddpm_np import viz
    from ddpm_np.evaluate import paper_figures
    from ddpm_np.progress import Progress
    from ddpm_np.sampling import ImageGenerator

    pretrained = _load(args)
    generator, dataset = ImageGenerator(pretrained, workers=args.workers), _dataset(pretrained.config, args)
    for i in args.images:
        if not 0 <= i < len(dataset):
            raise ValueError(f"--images: {dataset.name!r} has the images 0 to {len(dataset) - 1}, got {i}")
    x, y = dataset.scaled(list(args.images))
    T = args.steps or generator.schedule.T
    with Progress("sample", sum(paper_figures.depths(T, 4)) + 5, quiet=args.quiet) as progress:
        depths, images = paper_figures.interpolations(generator, x, y, seed=args.seed, steps=args.steps,
                                                on_step=progress.advance)
    marks = ["source", *[f"λ = {i / 8:.3g}" for i in range(9)], "source"]
    viz.save_rows(out, images, [f"t = {t}" for t in depths], marks)


def _neighbours(args: argparse.Namespace, out: Path) -> None:
    import numpy as np

    from ddpm_np import viz
    from ddpm_np.evaluate import paper_figures
    from ddpm_np.progress import Progress
    from ddpm_np.runs.sample import sample
    from ddpm_np.sampling import Sampler

    pretrained, sampler = _load(args), Sampler(steps=args.steps)
    dataset = _dataset(pretrained.config, args)
    with Progress("sample", 8 * len(sampler.visits(pretrained.schedule.T)), quiet=args.quiet) as progress:
        images = sample(pretrained, 8, seed=args.seed, sampler=sampler, workers=args.workers, on_step=progress.add)
    near = paper_figures.nearest(images, dataset)  # (8, 5)
    rows = np.stack([np.concatenate([image[None], dataset.scaled(index)])
                     for image, index in zip(images, near, strict=True)])
    viz.save_rows(out, rows, [""] * len(rows), ["sample", "nearest", *["…"] * (near.shape[1] - 1)])


def _bound(args: argparse.Namespace, out: Path) -> None:
    from ddpm_np import viz
    from ddpm_np.cli.evaluate import FILE, read_evaluation
    from ddpm_np.evaluate.likelihood import Likelihood
    from ddpm_np.runs.load import beside

    path = beside(args.folder, FILE)
    found = read_evaluation(path)
    if "bits" not in found:
        raise ValueError(f"{path} has no bits per dimension: run {command('evaluate', args.folder)} first")
    try:
        result = Likelihood.from_dict(found["bits"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: delete it, and evaluate again") from error
    title = f"{f'{result.dataset} {result.split}'.strip()}, {result.images} images"
    if args.what == "bound":
        viz.plot_bound(out, result.unclipped.terms, title)
    else:
        curve = result.clipped  # as the authors evaluate: at large t the error of an unclipped x̂₀ has no bound
        viz.plot_rate_distortion(out, curve.rate, curve.distortion, result.levels, f"{title}, x̂₀ clipped")
