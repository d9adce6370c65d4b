"""Train the net in the package, ``ddpm_np/trained/digits.safetensors``: ``python scripts/train_digits.py``.

It trains by the preset digits-labels into runs/digits-labels, or continues the run there; takes the average of the
weights in half precision; measures it; and writes the file, docs/trained-digits.md's picture, and its tables to the
terminal. The same seed gives the same weights on the same machine. Measured are

- FID, KID, inception score, precision and recall of samples without a label, against all 1,797 digits, by the
  classifier of ``ddpm-np evaluate`` and by pixels; and their median distance to the nearest digit of the data (between
  the digits themselves it is 2.02; far below would be copies);
- with labels 0..9 in turn and guidance 0, 1, 2 and 4, the share of samples in which the classifier finds the label that
  was asked for, and the same figures;
- what the rounding to half precision changes: the same noise by the weights before and after;
- bits per dimension.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ddpm_np import trained, viz
from ddpm_np.bench import machine
from ddpm_np.config import Config
from ddpm_np.data import digits, to_levels
from ddpm_np.data.dataset import scale
from ddpm_np.evaluate import Pixels, classifier_features, compare
from ddpm_np.evaluate.likelihood import likelihood
from ddpm_np.models import UNet
from ddpm_np.runs import Run, TrainedNet, history, load, weights
from ddpm_np.runs.metrics import read_metrics
from ddpm_np.runs.sample import sample
from ddpm_np.sampling import ImageGenerator

ROOT = Path(__file__).resolve().parent.parent
PRESET = "digits-labels"
STRENGTHS = (0.0, 1.0, 2.0, 4.0)
LICENCE = "MIT (the package's licence)"
CREDIT = ("trained on Optical Recognition of Handwritten Digits by E. Alpaydin and C. Kaynak (UCI Machine Learning "
          "Repository, 1998, doi:10.24432/C50P49), CC BY 4.0")
LARGEST = 1_500_000  # bytes of the file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / PRESET, help="folder of the run")
    parser.add_argument("--file", type=Path, default=trained.path_of("digits"), help="the file to write")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "trained-digits.png")
    parser.add_argument("--steps", type=int, help="training steps (default: the preset's)")
    parser.add_argument("--images", type=int, default=2000, help="samples without a label; half as many by strength")
    parser.add_argument("--workers", type=int, help="CPUs to use (default: all); the result is the same")
    args = parser.parse_args()
    net = train(args.out, args.steps, args.workers)
    rounded = in_half_precision(net)
    figures = {"training": training_time(args.out), **measured(net, rounded, args.images, args.workers)}
    kept = weights.Weights(net.config, net.step, weights.halved(net.ema.model.state_dict()), LICENCE, CREDIT, figures)
    weights.save(args.file, kept)
    size = args.file.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"error: {args.file} has {size:,} bytes, more than {LARGEST:,}: train a smaller net")
    picture(args.picture, rounded, args.workers)
    print(f"\n{args.file}: {size:,} bytes\n\n{tables(figures)}")


def train(folder: Path, steps: int | None, workers: int | None) -> TrainedNet:
    """Train the net in a run's folder, or train it to the end there; return it."""
    def given(config: Config) -> Config:
        return config.replace(steps=steps)

    if history.holds_run(folder):
        run = Run.resume(folder, given, workers=workers, say=print)
    else:
        run = Run.start(given(Config.preset(PRESET)), folder, workers=workers, say=print)
    with run:
        for record in run:
            print(f"step {record.step:,}: loss {record.loss:.4f}, {record.images_per_second:.0f} images/s", flush=True)
    return load(folder)


def in_half_precision(net: TrainedNet) -> TrainedNet:
    """Return the net as it will be loaded: its average rounded to half precision and widened."""
    halved = UNet(net.config.model, weights=weights.halved(net.ema.model.state_dict()))
    return dataclasses.replace(net, model=halved, ema=SimpleNamespace(model=halved))


def training_time(folder: Path) -> dict[str, Any]:
    """Return the duration of the training and the kind of machine."""
    records = read_metrics(folder / "metrics.jsonl")
    batch = load(folder).config.training.batch_size
    steps = np.diff([0, *(record["step"] for record in records)])
    seconds = sum(step * batch / record["images_per_second"] for step, record in zip(steps, records, strict=True))
    kind = machine.describe()
    return {"seconds": round(float(seconds)), "machine": f"{kind['cpus']} CPUs, {kind.get('cpu', 'unknown')}"}


def measured(net: TrainedNet, rounded: TrainedNet, images: int, workers: int | None) -> dict[str, Any]:
    """Return all figures by name, as plain values."""
    data = digits()
    judge = classifier_features(data, say=print)

    def drawn(which: TrainedNet, n: int, **options: Any) -> np.ndarray:
        started = time.perf_counter()
        found = sample(which, n, seed=0, workers=workers, **options)
        asked = f"by label, guidance {options['guidance']:g}" if options else "without a label"
        print(f"{n} samples {asked} in {time.perf_counter() - started:.0f} s", flush=True)
        return found

    plain, exact = drawn(rounded, images), drawn(net, images)
    labels = np.arange(images // 2) % 10
    guided = {}
    for strength in STRENGTHS:
        found = drawn(rounded, len(labels), labels=labels, guidance=strength)
        share = float((judge.probabilities(found).argmax(1) == labels).mean())
        guided[f"{strength:g}"] = {"asked": share, **judged(found, judge)}
    bits = likelihood(ImageGenerator(rounded, workers=workers), data, 100, split="", step=net.step)
    changed = abs(plain - exact)
    return {
        "samples": images, "guided samples": len(labels), "classifier": judge.name,
        "classifier on data": float((judge.probabilities(data.scaled(slice(None))).argmax(1) == data.labels).mean()),
        "plain": judged(plain, judge), "guided": guided,
        "rounding": {"largest": float(changed.max()), "mean": float(changed.mean()), "exact": judged(exact, judge)},
        "bits": [bits.unclipped.bits, bits.unclipped.error],
    }


def judged(images: np.ndarray, judge: Any) -> dict[str, Any]:
    """Return the figures of samples against all digits, each with its standard error, and the distance to the data."""
    data = digits()
    rounded, real = scale(to_levels(images, data.levels), data.levels), data.scaled(slice(None))
    found = {f"{figure.name}{suffix}": [figure.value, figure.error] for features, suffix in (
        (judge, ""), (Pixels(), " of pixels")) for figure in compare(rounded, real, features, reference_name="digits",
                                                                     weights="ema")}
    x, y = real.reshape(len(real), -1), rounded.reshape(len(rounded), -1)  # (M, 64), (N, 64)
    squared = (y**2).sum(1)[:, None] - 2 * y @ x.T + (x**2).sum(1)  # (N, M)
    return {**found, "distance": float(np.median(np.sqrt(np.maximum(squared.min(axis=1), 0))))}


def picture(path: Path, net: TrainedNet, workers: int | None) -> None:
    """Draw a row of samples for each label, four for each strength of guidance, from the same noise."""
    labels = np.repeat(np.arange(10), 4)
    each = [sample(net, len(labels), seed=1, labels=labels, guidance=strength, workers=workers)
            for strength in STRENGTHS]
    white = np.ones((10, 1, *net.config.model.size, 1))  # between the strengths
    blocks = [block for images in each for block in (images.reshape(10, 4, *images.shape[1:]), white)]
    rows = np.concatenate(blocks[:-1], axis=1)  # (10, 19, 8, 8, 1)
    viz.save_images(path, rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])


def tables(figures: dict[str, Any]) -> str:
    """Return the tables of docs/trained-digits.md."""
    columns = ("FID", "KID", "IS", "precision", "recall", "FID of pixels", "distance")
    lines = [f"| samples | label found | {' | '.join(columns)} |", "|---|---" + "|---" * len(columns) + "|"]
    rows = [(f"{figures['samples']:,} without a label", None, figures["plain"])]
    rows += [(f"{figures['guided samples']:,} by label, guidance {strength}", found["asked"], found)
             for strength, found in figures["guided"].items()]
    rows.append((f"{figures['samples']:,} without a label, before rounding", None, figures["rounding"]["exact"]))
    for name, share, found in rows:
        cells = [shown(found[column]) for column in columns]
        lines.append(f"| {name} | {'' if share is None else f'{share:.1%}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(figure: Any) -> str:
    """Return a figure with its standard error, to two digits of that; or a number alone."""
    if not isinstance(figure, list):
        return f"{figure:.2f}"
    value, error = figure
    places = int(max(0, 1 - np.floor(np.log10(error)))) if error else 2
    return f"{value:.{places}f} ± {error:.{places}f}"


if __name__ == "__main__":
    main()
