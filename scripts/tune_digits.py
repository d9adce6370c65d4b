"""Choose the digit preset by figures: train variants of it, draw 500 samples of each, compare them with real digits.

``python scripts/tune_digits.py`` judges the preset; each argument judges a variant, such as ``steps=1200,T=100``: the
names are those of UNetConfig, DiffusionConfig and TrainingConfig.

The judge is a 10-nearest-neighbour classifier on the pixels of the 1,797 real digits. Printed are

- confidence: the mean share of the ten neighbours that carry the commonest label among them (real digits, each against
  all others: 0.971), and the share of samples with nine or ten agreeing (real: 0.928);
- balance: the entropy of the ten classes' shares over ln 10 (1 is even), the smallest and largest class;
- distance: the median distance to the nearest real digit (real to real: 2.02; far below would be copies).
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import dataclasses
import sys
import time

import numpy as np

from ddpm_np.config import Config
from ddpm_np.data import Batches, digits
from ddpm_np.models import UNet
from ddpm_np.runs.sample import sample
from ddpm_np.training.trainer import Trainer

NEIGHBOURS = 10


def figures(images: np.ndarray, leave_one_out: bool = False) -> dict[str, float]:
    """The figures of images (N, 8, 8, 1) in [−1, 1], by name."""
    real = digits()
    x, y = real.scaled(slice(None)).reshape(-1, 64), images.reshape(-1, 64)  # (1797, 64), (N, 64)
    squared = (y**2).sum(1)[:, None] - 2 * y @ x.T + (x**2).sum(1)  # (N, 1797)
    if leave_one_out:
        np.fill_diagonal(squared, np.inf)
    labels = real.labels[np.argsort(squared, axis=1)[:, :NEIGHBOURS]]  # (N, 10)
    votes = (labels[:, :, None] == np.arange(10)).sum(axis=1)  # (N, 10): votes for each class
    agreeing, counts = votes.max(axis=1), np.bincount(votes.argmax(axis=1), minlength=10)
    shares = counts[counts > 0] / len(y)
    balance = -(shares * np.log(shares)).sum() / np.log(10)
    distance = np.median(np.sqrt(squared.min(axis=1)))
    return {"confidence": agreeing.mean() / NEIGHBOURS, "nine or ten agree": (agreeing >= 9).mean(),
            "balance": balance, "smallest": counts.min(), "largest": counts.max(), "distance": distance}


def judge(images: np.ndarray, leave_one_out: bool = False) -> str:
    """The figures of images in a line."""
    found = figures(images, leave_one_out)
    return (f"confidence {found['confidence']:.3f}, nine or ten agree {found['nine or ten agree']:.3f}, balance "
            f"{found['balance']:.3f} ({found['smallest']} to {found['largest']}), distance {found['distance']:.2f}")


def variant(text: str) -> Config:
    """The digit preset with the changes that a text such as "steps=1200,T=100" names."""
    config = Config.preset("digits")
    for change in filter(None, text.split(",")):
        key, _, value = change.partition("=")
        for table in ("model", "diffusion", "training"):
            part = getattr(config, table)
            if key in {field.name for field in dataclasses.fields(part)}:
                kind = type(getattr(part, key))
                parsed = tuple(map(int, value.split("+"))) if kind is tuple else kind(value)
                config = dataclasses.replace(config, **{table: dataclasses.replace(part, **{key: parsed})})
                break
        else:
            sys.exit(f"error: the configuration has no {key!r}")
    return config


def main() -> None:
    print("real digits:", judge(digits().scaled(slice(None)), leave_one_out=True))
    for text in sys.argv[1:] or [""]:
        config = variant(text)
        settings, schedule = config.training, config.diffusion.build()
        trainer = Trainer(UNet(config.model, seed=settings.seed), schedule, lr=settings.learning_rate,
                          warmup=settings.warmup, clip=settings.clip, ema=settings.ema, seed=settings.seed,
                          shards=settings.shards)
        started = time.perf_counter()
        *_, last = trainer.run(Batches(digits(), settings.batch_size, settings.seed), settings.steps)
        trained = time.perf_counter()
        for variance in ("large", "small"):
            images = sample(trainer, 500, variance=variance)
            print(f"{text or 'preset'}: loss {last.loss:.4f}, {variance}: {judge(images)}", flush=True)
        print(f"  {trained - started:.0f} s of training, {(time.perf_counter() - trained) / 2:.0f} s for 500 samples",
              flush=True)


if __name__ == "__main__":
    main()
