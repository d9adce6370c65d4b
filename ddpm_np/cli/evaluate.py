"""Evaluate a trained net: bits per dimension by term, and the distance of its samples from the data.

The results are added to evaluation.json in the run's folder, from which `ddpm-np plot bound` and
`ddpm-np plot rate-distortion` draw. Generated images are kept beside it, in generated.npz.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ddpm_np.cli.options import NET, add_backend, check_weights, count, refuse_without_effect, seed

EXAMPLES = """examples:
  ddpm-np evaluate runs/digits                           bits per dimension of 100 images, by term
  ddpm-np evaluate runs/mnist --data-dir DIR --what samples -n 5000
  ddpm-np evaluate runs/mnist --data-dir DIR --what floor     the same figures for train images against test images
  ddpm-np evaluate digits                                the trained net in the package
"""
FILE, GENERATED = "evaluation.json", "generated.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="NET", help=NET)
    parser.add_argument("--what", default="bits", choices=("bits", "samples", "floor"),
                        help="bits: the bound by term, rate and distortion; samples: FID, KID, IS, precision and "
                             "recall of generated images; floor: the same for real images (default: bits)")
    parser.add_argument("--dataset", metavar="NAME|folder:PATH|FILE.npz",
                        help="the data set to compare with (default: the one the net was trained on)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR",
                        help="folder with the data set's files (default: download them once)")
    parser.add_argument("--split", choices=("train", "test"),
                        help="bits: images to evaluate on (default: test if the data set has test images, else train)")
    parser.add_argument("--images", type=count, metavar="N", help="bits: number of images (default: 100)")
    parser.add_argument("-n", type=count, help="samples, floor: number of images (default: 2000)")
    parser.add_argument("--samples", type=Path, metavar="FILE.npz",
                        help="samples: evaluate these images instead of generating some")
    parser.add_argument("--sampler", choices=("ddpm", "ddim", "langevin"), help="samples: the sampler (default: ddpm)")
    parser.add_argument("--steps", type=count, metavar="N", help="samples: sampling steps (default: all T; ddim: 50)")
    parser.add_argument("--variance", choices=("small", "large"), help="σ² of a step: β̃ or β (default: as trained)")
    parser.add_argument("--weights", choices=("ema", "model"), help="moving average or last weights (default: ema)")
    add_backend(parser)
    parser.add_argument("--batch-size", type=count, metavar="N",
                        help="images at a time (default: 100); any number gives the same result, on a GPU "
                             "up to rounding")
    parser.add_argument("--workers", type=count, metavar="N",
                        help="CPU threads (default: one per CPU); any number gives the same result")
    parser.add_argument("--seed", type=seed, default=0, metavar="N",
                        help="seed of the choice of images and of the noise (default: 0)")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help=f"file to write (default: {FILE} in the run's folder; NET-{FILE} here for a trained net "
                             "of the package)")


def run(args: argparse.Namespace) -> int:
    """Evaluate, keep the result, and print it."""
    from ddpm_np.progress import passed_over
    from ddpm_np.runs.load import beside, load
    from ddpm_np.storage import write_atomically

    _check_options(args)
    pretrained = load(args.folder, backend=args.backend, say=passed_over)
    check_weights(pretrained, args.weights, args.folder)
    out = args.json or beside(args.folder, FILE)
    read_evaluation(out)  # a damaged file is refused before hours of work
    result, lines = {"bits": _bits, "samples": _samples, "floor": _floor}[args.what](pretrained, args)
    try:
        found = {**read_evaluation(out), args.what: result}  # another evaluation may have ended meanwhile
        write_atomically(out, [json.dumps(found, indent=1, ensure_ascii=False).encode()])
    finally:  # if it cannot be written, the result is still on the terminal
        print(*lines, sep="\n")
    print(out)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options without effect, and fill in the defaults of the others."""
    bits, samples = args.what == "bits", args.what == "samples"
    refuse_without_effect(args, {
        "--images": bits, "--split": bits, "-n": not bits, "--samples": samples, "--sampler": samples,
        "--steps": samples, "--variance": bits or samples, "--weights": bits or samples,
        "--batch-size": bits or samples, "--workers": bits or samples, "--device": bits or samples,
        "--backend": bits or samples or args.backend == "numpy"}, f"--what {args.what}")
    if args.samples:
        refuse_without_effect(args, {"--backend": args.backend == "numpy"} | dict.fromkeys(
            ("-n", "--sampler", "--steps", "--variance", "--weights", "--batch-size", "--workers", "--device"), False),
            "--samples, whose images are drawn already")
    refuse_without_effect(args, {"--variance": args.sampler in (None, "ddpm")}, f"--sampler {args.sampler}")
    for name, default in (("images", 100), ("n", 2000), ("sampler", "ddpm"), ("weights", "ema"), ("batch_size", 100)):
        if getattr(args, name) is None:
            setattr(args, name, default)


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


def _name(pretrained: Any, args: argparse.Namespace) -> str:
    """Return the data set's name."""
    return args.dataset or pretrained.config.trained_on


def _open(pretrained: Any, args: argparse.Namespace, split: str) -> Any:
    """Open a split of the data set, and check that its images are of the net's size."""
    from ddpm_np.data import open_dataset
    from ddpm_np.progress import warn

    if split == "test" and not _has_test(pretrained, args):
        raise ValueError(f"{_name(pretrained, args)!r} has no test images of its own: "
                         + ("leave --split out" if args.what == "bits" else "--what floor needs some"))
    shape = (*pretrained.config.model.size, pretrained.config.model.in_channels)
    dataset = open_dataset(_name(pretrained, args), split=split, data_dir=args.data_dir, shape=shape, say=warn)
    if dataset.shape != shape:
        raise ValueError(f"the images of {dataset.name!r} are {dataset.shape}, those of the net {shape}: evaluate on "
                         "the data set that it was trained on")
    return dataset


def _has_test(pretrained: Any, args: argparse.Namespace) -> bool:
    from ddpm_np.data.published import PUBLISHED

    return _name(pretrained, args) in PUBLISHED


def _splits(pretrained: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Open all splits of the data set, by name; a data set without a split is called "all"."""
    if _has_test(pretrained, args):
        return {split: _open(pretrained, args, split) for split in ("train", "test")}
    return {"all": _open(pretrained, args, "train")}


def _bits(pretrained: Any, args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from ddpm_np.evaluate.likelihood import likelihood
    from ddpm_np.progress import Progress
    from ddpm_np.sampling import ImageGenerator

    split = args.split or ("test" if _has_test(pretrained, args) else "train")
    dataset = _open(pretrained, args, split)
    generator = ImageGenerator(pretrained, weights=args.weights, workers=args.workers, variance=args.variance)
    with Progress("evaluate", args.images * (generator.schedule.T + 1), quiet=args.quiet) as progress:
        result = likelihood(generator, dataset, args.images, split=split if _has_test(pretrained, args) else "",
                            weights=args.weights, step=pretrained.step, seed=args.seed, batch_size=args.batch_size,
                            on_step=progress.add)
    return result.to_dict(), [str(result)]


def _samples(pretrained: Any, args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from ddpm_np.data import to_levels
    from ddpm_np.data.dataset import scale

    splits = _splits(pretrained, args)
    features = _features(splits)
    for dataset in splits.values():
        _need_images(len(dataset), f"{dataset.name!r} has")
    images, note, path = _drawn(pretrained, args)
    figures = []
    for split, dataset in splits.items():
        rounded = scale(to_levels(images, dataset.levels), dataset.levels)  # as a file of images would hold them
        chosen = dataset.scaled(_chosen(len(dataset), len(images), args.seed))
        name = dataset.name if split == "all" else f"{dataset.name} {split}"
        figures += _compared(rounded, chosen, features, name, note.get("weights", "unknown"), args.seed)
    return {"drawn": note, "file": str(path), "figures": [figure for figure, _ in figures]}, [
        *(line for _, line in figures), f"of the images in {path}"]


def _drawn(pretrained: Any, args: argparse.Namespace) -> tuple[Any, dict[str, Any], Path]:
    """Read images, or generate and keep them; return them with a note of what they are, and their file."""
    from ddpm_np.data.files import read_file
    from ddpm_np.progress import Progress
    from ddpm_np.runs.drawn import note_of, read_note, save_drawn
    from ddpm_np.runs.load import beside
    from ddpm_np.runs.sample import sample
    from ddpm_np.sampling import Sampler

    path = args.samples
    if path is None:
        _need_images(args.n, "-n is")
        sampler = Sampler(args.sampler, args.steps)
        visits = len(sampler.visits(pretrained.schedule.T)) + (args.sampler == "langevin")
        with Progress("sample", args.n * visits, quiet=args.quiet) as progress:
            images = sample(pretrained, args.n, seed=args.seed, weights=args.weights, variance=args.variance,
                            sampler=sampler, batch_size=args.batch_size, workers=args.workers, on_step=progress.add)
        path = args.json.parent / GENERATED if args.json else beside(args.folder, GENERATED)
        save_drawn(path, images, note_of(pretrained, sampler, weights=args.weights, seed=args.seed,
                                         variance=args.variance))
    dataset = read_file(path)
    _need_images(len(dataset), f"{path} has")
    shape = (*pretrained.config.model.size, pretrained.config.model.in_channels)
    if dataset.shape != shape:
        raise ValueError(f"the images in {path} are {dataset.shape}, those of the net {shape}")
    return dataset.scaled(slice(None)), read_note(path), path


def _need_images(n: int, what: str) -> None:
    """Raise unless there are enough images to compare."""
    from ddpm_np.evaluate.compare import LEAST

    if n < LEAST:
        raise ValueError(f"{what} {n}: the figures need at least {LEAST} images on each side")


def _chosen(size: int, n: int, seed: int) -> Any:
    """Return the places of n images of a data set, chosen by the seed; all of a smaller one."""
    import numpy as np

    return np.sort(np.random.default_rng(seed).permutation(size)[:n])


def _floor(pretrained: Any, args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from dataclasses import asdict

    from ddpm_np.evaluate import floor

    _need_images(args.n, "-n is")
    splits = {split: _open(pretrained, args, split) for split in ("train", "test")}
    figures = [figure for features in _features(splits)
               for figure in floor(splits["train"], splits["test"], features, images=args.n, seed=args.seed)]
    return {"figures": [asdict(figure) for figure in figures]}, [str(figure) for figure in figures]


def _compared(images: Any, reference: Any, features: list[Any], name: str, weights: str,
              seed: int) -> list[tuple[dict[str, Any], str]]:
    """Return the figures of images against a reference, as values and as lines."""
    from dataclasses import asdict

    from ddpm_np.evaluate import compare

    return [(asdict(figure), str(figure)) for kind in features
            for figure in compare(images, reference, kind, reference_name=name, weights=weights, seed=seed)]


def _features(splits: dict[str, Any]) -> list[Any]:
    """Return a data set's classifier and its pixels; pixels alone if the images have no labels."""
    from ddpm_np.evaluate import Pixels, classifier_features
    from ddpm_np.progress import warn

    train, test = next(iter(splits.values())), splits.get("test")
    if train.labels is None:
        warn(f"the images of {train.name!r} have no labels to train a classifier on: figures are by pixels alone")
        return [Pixels()]
    return [classifier_features(train, test, say=warn), Pixels()]
