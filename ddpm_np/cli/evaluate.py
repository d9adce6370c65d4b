"""Evaluate a trained net: bits per dimension by term, and the distance of its samples from the data.

Written into the run's folder: evaluation.json, and from it `ddpm-np plot bound` and `plot rate-distortion`. What is
asked for is added to what is there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  ddpm-np evaluate runs/digits                           bits per dimension of 100 images, by term
  ddpm-np evaluate runs/mnist --data-dir DIR --what samples -n 5000
  ddpm-np evaluate runs/mnist --data-dir DIR --what floor     the same figures of train against test images
"""
FILE = "evaluation.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a run's folder")
    parser.add_argument("--what", default="bits", choices=("bits", "samples", "floor"),
                        help="bits: the bound by term, rate and distortion; samples: FID, KID, IS, precision and "
                             "recall of drawn images; floor: those of real ones (default: bits)")
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (default: download them once)")
    parser.add_argument("--split", choices=("train", "test"), help="the images evaluated on or compared with (default: "
                                                                   "test for bits where there is one, else train)")
    parser.add_argument("--images", type=int, default=100, help="bits: how many images (default: 100)")
    parser.add_argument("-n", type=int, default=2000, help="samples, floor: how many images (default: 2000)")
    parser.add_argument("--samples", type=Path, metavar="FILE.npz", help="samples: these, drawn before")
    parser.add_argument("--sampler", default="ddpm", choices=("ddpm", "ddim", "langevin"), help="samples: how to draw")
    parser.add_argument("--steps", type=int, help="samples: how many of the T steps are visited")
    parser.add_argument("--variance", choices=("small", "large"), help="σ² of a step (default: as trained)")
    parser.add_argument("--weights", default="ema", choices=("ema", "model"), help="the average, or the last weights")
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"), help="where to compute")
    parser.add_argument("--batch-size", type=int, default=100, help="images at a time (default: 100)")
    parser.add_argument("--workers", type=int, help="CPU threads (default: one a CPU); the result is the same")
    parser.add_argument("--seed", type=int, default=0, help="of the images and the noise (default: 0)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", type=Path, help=f"where to write (default: {FILE} in the run's folder)")


def run(args: argparse.Namespace) -> int:
    from ddpm_np.progress import passed_over
    from ddpm_np.runs.load import load
    from ddpm_np.storage import write_atomically

    pretrained = load(args.folder, backend=args.backend, say=passed_over)
    out = args.json or (args.folder if args.folder.is_dir() else args.folder.parent) / FILE
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    found[args.what] = {"bits": _bits, "samples": _samples, "floor": _floor}[args.what](pretrained, args)
    write_atomically(out, [json.dumps(found, indent=1, ensure_ascii=False).encode()])
    print(out)
    return 0


def _open(pretrained: Any, args: argparse.Namespace, split: str) -> Any:
    from ddpm_np.data import open_dataset

    config = pretrained.config
    if split == "test" and not _has_test(pretrained):
        raise ValueError(f"{config.training.dataset!r} has no test images: leave --split out")
    shape = (*config.model.size, config.model.in_channels)
    return open_dataset(config.trained_on, split=split, data_dir=args.data_dir, shape=shape)


def _has_test(pretrained: Any) -> bool:
    from ddpm_np.data.known import KNOWN

    return pretrained.config.training.dataset in KNOWN


def _bits(pretrained: Any, args: argparse.Namespace) -> dict[str, Any]:
    import math

    from ddpm_np.evaluate.likelihood import likelihood
    from ddpm_np.progress import Progress
    from ddpm_np.sampling import ImageGenerator

    split = args.split or ("test" if _has_test(pretrained) else "train")
    generator = ImageGenerator(pretrained, weights=args.weights, workers=args.workers, variance=args.variance)
    dataset = _open(pretrained, args, split)
    batches = math.ceil(args.images / max(args.batch_size, 1))
    with Progress("evaluate", batches * (generator.schedule.T + 1), quiet=args.quiet) as progress:
        result = likelihood(generator, dataset, args.images, split=split, weights=args.weights, step=pretrained.step,
                            seed=args.seed, batch_size=args.batch_size, on_step=progress.advance)
    print(result)
    return result.to_dict()


def _samples(pretrained: Any, args: argparse.Namespace) -> dict[str, Any]:
    import math

    import numpy as np

    from ddpm_np.data import read_file, to_levels
    from ddpm_np.data.dataset import scale
    from ddpm_np.progress import Progress
    from ddpm_np.runs.sample import sample
    from ddpm_np.sampling import Sampler

    sampler = Sampler(args.sampler, args.steps)
    if args.samples:
        images = read_file(args.samples).scaled(slice(None))
        how = f"{args.samples.name}"
    else:
        visits = len(sampler.visits(pretrained.schedule.T)) + (args.sampler == "langevin")
        batches = math.ceil(args.n / max(args.batch_size, 1))
        with Progress("sample", batches * visits, quiet=args.quiet) as progress:
            images = sample(pretrained, args.n, seed=args.seed, weights=args.weights, variance=args.variance,
                            sampler=sampler, batch_size=args.batch_size, workers=args.workers, on_step=progress.advance)
        how = f"{args.sampler}, {visits} of {pretrained.schedule.T} steps, seed {args.seed}"
    figures = []
    for split in ("train", "test") if _has_test(pretrained) else ("train",):
        dataset = _open(pretrained, args, split)
        rounded = scale(to_levels(images, dataset.levels), dataset.levels)  # as they would be kept
        chosen = np.sort(np.random.default_rng(args.seed).permutation(len(dataset))[: len(images)])
        figures += _compared(pretrained, args, rounded, dataset.scaled(chosen), f"{dataset.name} {split}")
    return {"drawn": how, "step": pretrained.step, "figures": figures}


def _floor(pretrained: Any, args: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from ddpm_np.evaluate import Pixels, floor

    train, test = (_open(pretrained, args, split) for split in ("train", "test"))
    figures = []
    for features in (_classifier(pretrained, args, train), Pixels()):
        for figure in floor(train, test, features, images=args.n, seed=args.seed):
            print(figure)
            figures.append(asdict(figure))
    return {"figures": figures}


def _compared(pretrained: Any, args: argparse.Namespace, images: Any, reference: Any,
              name: str) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from ddpm_np.evaluate import Pixels, compare

    figures = []
    for features in (_classifier(pretrained, args, _open(pretrained, args, "train")), Pixels()):
        for figure in compare(images, reference, features, reference_name=name, weights=args.weights, seed=args.seed):
            print(figure)
            figures.append(asdict(figure))
    return figures


def _classifier(pretrained: Any, args: argparse.Namespace, train: Any) -> Any:
    from ddpm_np.evaluate import classifier_features

    test = _open(pretrained, args, "test") if _has_test(pretrained) else None
    return classifier_features(train, test)
