"""Train our digit net and diffusers' for the same time and compare their images: ``scripts/quality_at_equal_time.py``.

The net of the preset digits and diffusers' UNet2DModel of the same size are trained one after the other for
``--seconds`` of wall-clock time each, the first step's start included, on the same batches, by Adam with the preset's
warm-up, clip and average, with its schedule and on all CPUs. Then each draws ``--images`` digits by all T steps with
the averaged weights. PyTorch has the faster of its two memory layouts, found before its time begins. Printed are

- steps: those done in the time;
- confidence, nine or ten agree, balance: the judge of scripts/tune_digits.py, ten nearest neighbours among the digits;
- Fréchet distance in the features of ``ddpm-np evaluate``'s classifier, and in pixels, to the real digits without as
  many as there are images, with standard errors;
- sampling: seconds for the images.

The last row is the floor: those left-out real digits in place of samples (for the judge, all digits, each against the
others). Needs torch and diffusers. Other work on the machine changes the result: it is printed for each training.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tune_digits

from ddpm_np.bench import class_of, machine, pytorch
from ddpm_np.bench.other_load import OtherLoad
from ddpm_np.config import Config
from ddpm_np.data import Batches, digits, to_levels
from ddpm_np.data.dataset import scale
from ddpm_np.evaluate import Features, Pixels, classifier_features, fid
from ddpm_np.models import UNet
from ddpm_np.parallel.threads import default_workers
from ddpm_np.runs.sample import sample
from ddpm_np.training.trainer import Trainer

COLUMNS = ("steps", "confidence", "nine or ten agree", "balance", "Fréchet, features", "Fréchet, pixels", "sampling")
_TRIED = 3  # steps by which PyTorch's memory layout is chosen, after one of warm-up
Draw = Callable[[int], np.ndarray]  # images (n, H, W, C) in [−1, 1]


def ours(config: Config, seconds: float) -> tuple[int, Draw]:
    """Train our net for a time; return the steps done and what draws from its average."""
    settings = config.training
    trainer = Trainer(UNet(config.model, seed=settings.seed), config.diffusion.build(), lr=settings.learning_rate,
                      warmup=settings.warmup, clip=settings.clip, ema=settings.ema, seed=settings.seed,
                      shards=settings.shards)
    batches, end = Batches(digits(), settings.batch_size, settings.seed), time.perf_counter() + seconds
    for _ in trainer.run(batches, sys.maxsize, on_step=lambda step: time.perf_counter() >= end):
        pass
    return trainer.steps, lambda n: sample(trainer, n, variance=config.diffusion.variance)


class Theirs:
    """diffusers' net with the same training: a step at a time, and images from its average."""

    def __init__(self, config: Config, layout: str):
        self.config, self.side = config, pytorch.PyTorchNet(config.model, layout)
        self.torch, self.net, self.settings = self.side.torch, self.side.net.train(), config.training
        self.schedule = config.diffusion.build()
        self.alpha_bar = self.torch.tensor(self.schedule.alpha_bar, dtype=self.torch.float32)
        self.adam = self.torch.optim.Adam(self.side.parameters, lr=self.settings.learning_rate, fused=True)
        warmup = self.settings.warmup
        self.rate = self.torch.optim.lr_scheduler.LambdaLR(self.adam, lambda k: min(1.0, k / warmup) if warmup else 1.0)
        self.average = [p.detach().clone() for p in self.side.parameters]

    def step(self, images: np.ndarray) -> None:
        """Take one step on a batch: draws, forward, backward, clip, Adam, average."""
        torch, x_0 = self.torch, self.side.images(images)
        t = torch.randint(1, self.schedule.T + 1, (len(x_0),))
        noise, a = torch.randn_like(x_0), self.alpha_bar[t][:, None, None, None]
        loss = torch.nn.functional.mse_loss(self.net(a.sqrt() * x_0 + (1 - a).sqrt() * noise, t - 1).sample, noise)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.side.parameters, self.settings.clip)
        self.adam.step()
        self.rate.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.side.parameters, 1 - self.settings.ema)

    def draw(self, n: int) -> np.ndarray:
        """Draw images by all T steps with the averaged weights, by diffusers' DDPMScheduler."""
        torch = self.torch
        scheduler = pytorch.imported("diffusers", "diffusers").DDPMScheduler(
            num_train_timesteps=self.schedule.T, trained_betas=self.schedule.beta[1:].tolist(),
            variance_type=f"fixed_{self.config.diffusion.variance}", clip_sample=self.config.diffusion.clip_sample)
        scheduler.set_timesteps(self.schedule.T)
        with torch.inference_mode():
            for parameter, average in zip(self.side.parameters, self.average, strict=True):
                parameter.copy_(average)
            self.net.eval()
            x = torch.randn(n, *self.side.shape).contiguous(memory_format=self.side.layout)
            for t in scheduler.timesteps:
                x = scheduler.step(self.net(x, t).sample, t, x).prev_sample
        return np.ascontiguousarray(x.clamp(-1, 1).numpy().transpose(0, 2, 3, 1))


def theirs(config: Config, seconds: float) -> tuple[int, Draw]:
    """Train diffusers' net for a time, in its faster layout; return the steps done and what draws from its average."""
    batches = Batches(digits(), config.training.batch_size, config.training.seed)
    torch = pytorch.imported("torch", "PyTorch")

    def speed(layout: str) -> float:
        trial = Theirs(config, layout)
        trial.step(batches[0][0])
        began = time.perf_counter()
        for k in range(_TRIED):
            trial.step(batches[k][0])
        return time.perf_counter() - began

    layout = min(pytorch.LAYOUTS.values(), key=speed)
    torch.manual_seed(config.training.seed)
    net, steps, end = Theirs(config, layout), 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        net.step(batches[steps][0])
        steps += 1
    return steps, net.draw


def distances(images: np.ndarray, reference: np.ndarray, features: Features) -> list[str]:
    """Return the Fréchet distances to a reference, in features and in pixels, with standard errors."""
    found = []
    for space in (features, Pixels()):
        value, error, _ = fid(space(images), space(reference), np.random.default_rng(0))
        found.append(f"{value:.3f} ± {error:.3f}")
    return found


def row(steps: str, images: np.ndarray, reference: np.ndarray, features: Features, judged: dict[str, float],
        sampling: str) -> list[str]:
    """Return a row's cells, in the order of `COLUMNS`."""
    return [steps, *(f"{judged[name]:.3f}" for name in COLUMNS[1:4]), *distances(images, reference, features), sampling]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=160.0, help="of training, for each (default: 160)")
    parser.add_argument("--images", type=int, default=500, help="to draw from each (default: 500)")
    args = parser.parse_args(arguments)
    data = digits()
    if not args.seconds > 0:
        parser.error(f"--seconds must be above 0, got {args.seconds}")
    if not 20 <= args.images <= len(data) // 2:
        parser.error(f"--images must be from 20 to {len(data) // 2}, half of the digits, got {args.images}")
    if absent := pytorch.why_absent():
        parser.error(absent)
    config, features = tune_digits.variant(""), classifier_features(data, say=print)
    order = np.random.default_rng(0).permutation(len(data))
    left_out, reference = data.scaled(np.sort(order[:args.images])), data.scaled(np.sort(order[args.images:]))
    described = machine.describe()
    print(f"{class_of(described)}; {described['cpus']} CPUs; {args.seconds:g} s of training each, {args.images} images "
          f"by {config.diffusion.build().T} steps; features: {features.name}", flush=True)

    rows: dict[str, list[str]] = {}
    sides: dict[str, Callable[[Config, float], tuple[int, Draw]]] = {"ddpm_np": ours, "PyTorch": theirs}
    for name, train in sides.items():
        with pytorch.threads(default_workers()):
            with OtherLoad() as load:
                steps, draw = train(config, args.seconds)
            began = time.perf_counter()
            drawn = draw(args.images)
            took = time.perf_counter() - began
        busy = "unknown" if load.cpus is None else f"{load.cpus:.2f} CPUs"
        print(f"{name}: {steps} steps; other work on the machine meanwhile: {busy}", flush=True)
        images = scale(to_levels(drawn, data.levels), data.levels)
        rows[name] = row(str(steps), images, reference, features, tune_digits.figures(images), f"{took:.1f} s")
    rows["real digits"] = row("", left_out, reference, features,
                              tune_digits.figures(data.scaled(slice(None)), leave_one_out=True), "")
    cells: list[list[Any]] = [["", *COLUMNS], *([name, *found] for name, found in rows.items())]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
