"""Evaluate a trained net: bits per dimension by term, and the distance of its samples from the data.

The results are added to evaluation.json in the run's folder, from which `ddpm-np plot bound` and
`ddpm-np plot rate-distortion` draw.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  ddpm-np evaluate runs/digits                           bits per dimension of 100 images, by term
  ddpm-np evaluate runs/mnist --data-dir DIR --what samples -n 5000
  ddpm-np evaluate runs/mnist --data-dir DIR --what floor     the same figures for train images against test images
"""
FILE = "evaluation.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a run's folder")
    parser.add_argument("--what", default="bits", choices=("bits", "samples", "floor"),
                        help="bits: the bound by term, rate and distortion; samples: FID, KID, IS, precision and "
                             "recall of generated images; floor: the same for real images (default: bits)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR",
                        help="folder with the data set's files (default: download them once)")
    parser.add_argument("--split", choices=("train", "test"),
                        help="bits: images to evaluate on (default: test if the data set has test images, else train)")
    parser.add_argument("--images", type=int, default=100, metavar="N", help="bits: number of images (default: 100)")
    parser.add_argument("-n", type=int, default=2000, help="samples, floor: number of images (default: 2000)")
    parser.add_argument("--samples", type=Path, metavar="FILE.npz",
                        help="samples: evaluate these images instead of generating some")
    parser.add_argument("--sampler", default="ddpm", choices=("ddpm", "ddim", "langevin"),
                        help="samples: the sampler (default: ddpm)")
    parser.add_argument("--steps", type=int, metavar="N", help="samples: sampling steps (default: all T; ddim: 50)")
    parser.add_argument("--variance", choices=("small", "large"), help="σ² of a step: β̃ or β (default: as trained)")
    parser.add_argument("--weights", default="ema", choices=("ema", "model"),
                        help="moving average or last weights (default: ema)")
    parser.add_argument("--backend", default="numpy", choices=("numpy", "cupy"),
                        help="array backend (default: numpy)")
    parser.add_argument("--batch-size", type=int, default=100, metavar="N", help="images at a time (default: 100)")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="CPU threads (default: one per CPU); any number gives the same result")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="seed of the choice of images and of the noise (default: 0)")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help=f"file to write (default: {FILE} in the run's folder)")


def run(args: argparse.Namespace) -> int:
    from ddpm_np.progress import passed_over
    from ddpm_np.runs.load import load
    from ddpm_np.storage import write_atomically

    pretrained = load(args.folder, backend=args.backend, say=passed_over)
    out = args.json or (args.folder if args.folder.is_dir() else args.folder.parent) / FILE
    read_evaluation(out)  # a damaged file is refused before hours of work
    result = {"bits": _bits, "samples": _samples, "floor": _floor}[args.what](pretrained, args)
    found = {**read_evaluation(out), args.what: result}  # another evaluation may have ended meanwhile
    write_atomically(out, [json.dumps(found, indent=1, ensure_ascii=False).encode()])
    print(out)
    return 0


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return the results in a file, by --what; none if there is no file."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: delete it, and evaluate again")
    return found


def _open(pretrained: Any, args: argparse.Namespace, split: str) -> Any:
    from ddpm_np.data import open_dataset

    config = pretrained.config
    if split == "test" and not _has_test(pretrained):
        raise ValueError(f"{config.training.dataset!r} has no test images: leave --split out")
    shape = (*config.model.size, config.model.in_channels)
    return open_dataset(config.trained_on, split=split, data_dir=args.data_dir, shape=shape)


def _has_test(pretrained: Any) -> bool:
    from ddpm_np.data.published import PUBLISHED

    return pretrained.config.training.dataset in PUBLISHED


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
        rounded = scale(to_levels(images, dataset.levels), dataset.levels)  # as a file of images would hold them
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
