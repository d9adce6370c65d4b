"""Algorithm 1: the training step, and the only loop over steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

from ddpm_np.autograd import ops
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.recompute import recomputing
from ddpm_np.autograd.tensor import gradients
from ddpm_np.backend import asarray, backend_of, of, to_host
from ddpm_np.diffusion.loss import simple_loss
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.nn import Module
from ddpm_np.parallel.processes import keeps_nothing
from ddpm_np.parallel.threads import cut, default_workers
from ddpm_np.training.adam import Adam
from ddpm_np.training.clip import clip_scale
from ddpm_np.training.ema import EMA
from ddpm_np.training.sharding import Shards

Objective = Callable[[Schedule, Any, Any, Any, Any], Any]  # (schedule, model, x_0, t, noise) -> (N,)


class TrainingDiverged(RuntimeError):
    """A loss or gradient was not finite. The weights are those before it."""


@dataclass(frozen=True)
class Record:
    """What is logged: means over the steps since the last record."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    images_per_second: float


class Trainer:
    """Algorithm 1 on a net: draws, forward, backward, clip, Adam, EMA.

    A step's batch is cut into `shards` of whole images, and their gradients are added in order. Any number of
    workers takes the shards: the weights come out the same bits. Where the system allows, the workers after the first
    are processes (`crew`), unless the objective is a closure, an object or a function of the running script, which may
    store things: then, threads. A net that stores things when it is called should be given ``workers=1``.

    Checked as: algorithm-1.

    Parameters
    ----------
    model
        ``model(x, t) -> Tensor``; its parameters are moved into one array, of which they become views.
    schedule
        β₁..β_T.
    objective
        (schedule, model, x_0, t, noise) -> one loss an image, (N,); L_simple if not given.
    lr, betas, eps, warmup, clip, ema
        As in `Adam`, `clip_flat` (None: no clip) and `EMA`; the defaults are the paper's, for 800,000 steps.
    seed
        Of t, the noise and dropout.
    shards
        Parts a batch is cut into, and so the most workers that have something to do. The same on every machine, since
        the sums depend on it: give as many as there are cores, more to need less memory.
    workers
        Threads, on the CPU; None for one a CPU.
    no_label
        For a net with labels: the label ∅, shown in place of an image's own with probability `label_dropout`, so that
        the net learns both q(x) and q(x | y) (classifier-free guidance). None: the net takes no labels.
    recompute
        Whether the net's segments forget their activations and are run again in the backward pass (`recomputing`): less
        memory, more time, the same bits.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import linear_schedule
    >>> from ddpm_np.models import UNet, UNetConfig
    >>> trainer = Trainer(UNet(UNetConfig.preset("digits")), linear_schedule(1000))
    >>> sorted(trainer.step(np.zeros((2, 8, 8, 1), np.float32)))
    ['grad_norm', 'loss']
    """

    def __init__(self, model: Module, schedule: Schedule, objective: Objective = simple_loss, *, lr: float = 2e-4,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, warmup: int = 5000,
                 clip: float | None = 1.0, ema: float = 0.9999, seed: int = 0, shards: int = 2,
                 workers: int | None = None, no_label: int | None = None, label_dropout: float = 0.1,
                 recompute: bool = False):
        if not 0 <= label_dropout <= 1:
            raise ValueError(f"label_dropout must be from 0 to 1, got {label_dropout}")
        if shards < 1 or (workers is not None and workers < 1):
            raise ValueError(f"shards and workers must be at least 1, got {shards} and {workers}")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be positive, or None for no clip, got {clip}")
        self.model, self.schedule, self.objective = model.train(), schedule, objective
        self.adam = Adam(model.parameters(), lr, betas, eps, warmup)
        self.ema = EMA(model, ema)
        self.flat = self.adam.flat
        self.sums = Shards(self.adam, self.ema)
        self.clip, self.seed, self.shards, self.workers = clip, seed, shards, workers
        self.no_label, self.label_dropout = no_label, label_dropout
        self.recompute = recompute
        self.backend = backend_of(self.flat.data)
        self.steps = 0  # how many have been taken; the next one draws as number `steps`
        self.unlogged = self._nothing()  # loss and norm summed over the steps since the last record, and how many

    def step(self, x_0: Any, labels: Any = None) -> dict[str, Any]:
        """One whole step on a batch: t ~ U{1..T}, ε ~ N(0, I), a step down ∇ of the mean objective.

        Parameters
        ----------
        x_0
            Array (N, H, W, C) in [−1, 1], host or device.
        labels
            Int array (N,), for a net with labels.

        Returns
        -------
        dict
            ``loss`` and ``grad_norm`` (before the clip): 0-d arrays of the model's backend, not waited for. Where one
            of them is not finite, the weights, moments and average have not changed.
        """
        xp, dtype = self.backend.xp, self.flat.data.dtype
        x_0 = self.backend.to_device(x_0, dtype)  # (N, H, W, C)
        n = x_0.shape[0]
        if n == 0:
            raise ValueError("a batch needs at least one image")
        if self.no_label is not None:
            labels = self._some_dropped(labels, n)  # (N,)
        workers = (self.workers or default_workers()) if xp.name == "numpy" else 1

        tasks = [(self.steps, first, n, x_0[first:end], None if labels is None else labels[first:end])
                 for first, end in cut(n, self.shards)]
        losses, norm = self.sums.add_up(self._shard, tasks, workers, self._state())
        loss = reduce(add, (xp.astype(part, xp.float64) for part in losses))
        scale, ok = clip_scale(norm, self.clip, dtype)
        self.sums.update(ok & xp.isfinite(loss), scale, workers)
        self.steps += 1
        return {"loss": asarray(loss), "grad_norm": norm}

    def _shard(self, task: tuple[int, int, int, Any, Any], into: Sequence[Any]) -> Any:
        """Some images' part of the mean loss, a 0-d array; its gradient is written `into` arrays like the parameters.

        A task is the step, the number of the first image, the size of the whole batch, the images and their labels.
        """
        step, first, n, x_0, labels = task
        size = x_0.shape[0]
        t = self.backend.integers(self.seed, "t", step, first, size, 1, self.schedule.T)  # (size,)
        noise = self.backend.normal(self.seed, "noise", step, first, size, x_0.shape[1:], x_0.dtype)
        model = self.model if self.no_label is None else partial(_with_labels, self.model, labels)
        with ops.images_together():
            with randomness(self.seed, step, first), recomputing(self.recompute):
                losses = self.objective(self.schedule, model, x_0, t, noise)  # (size,)
            loss = ops.sum_(losses) / n
            gradients(loss, self.flat.parameters, into=into)
        return loss.data

    def _state(self) -> list[Any] | None:
        """All that `_shard` depends on beside the weights' numbers; None where the objective may store things here."""
        if not keeps_nothing(self.objective):
            return None
        modules = [x for module in self.model.modules() for x in (module, *module.settings())]
        wanted = [p.requires_grad for p in self.flat.parameters]
        settings = [self.objective, self.schedule, self.seed, self.no_label, self.recompute, self.adam.eps]
        return [*settings, *modules, *wanted]

    def _some_dropped(self, labels: Any, n: int) -> Any:
        """The labels, some of them replaced by ∅; image i's chance is a function of the seed, the step and i."""
        xp = self.backend.xp
        if labels is None or tuple(labels.shape) != (n,):
            raise ValueError(f"a net with labels needs one an image, shape ({n},), got "
                             f"{None if labels is None else tuple(labels.shape)}")
        dropped = self.backend.uniform(self.seed, "label", self.steps, 0, n, ()) < self.label_dropout  # (n,)
        return xp.where(dropped, self.no_label, self.backend.to_device(labels, xp.int64))

    def run(self, batches: Sequence[Any], steps: int, log_every: int = 100,
            on_step: Callable[[int], bool | None] = lambda step: None) -> Iterator[Record]:
        """Take steps until there have been `steps`; step k trains on ``batches[k]``, (images, labels or None).

        Yields a `Record` every `log_every` steps and at the end; only then is the device waited for. `on_step` is
        called after each step with its number; if it returns True, the run ends there, with a last record. A last
        record between two multiples of `log_every` leaves the sums as they are, so that a run that goes on from there
        logs what it would have logged without the break.

        Raises
        ------
        TrainingDiverged
            At a log, if a loss or gradient since the last one was not finite.
        """
        xp = self.backend.xp
        images, since = 0, time.perf_counter()
        while self.steps < steps:
            x_0, labels = batches[self.steps]
            rate = self.adam.rate()
            result = self.step(x_0, labels)
            loss, norm, count = self.unlogged
            self.unlogged = loss, norm, count = loss + result["loss"], norm + result["grad_norm"], count + 1
            images += len(x_0)
            stop = on_step(self.steps)
            if self.steps % log_every and self.steps < steps and not stop:
                continue
            mean = to_host(xp.stack([xp.asarray(loss), xp.asarray(norm), xp.asarray(rate)]))  # the one wait
            if not of(mean).all(of(mean).isfinite(mean)):
                raise TrainingDiverged(
                    f"a loss or gradient between steps {self.steps - count + 1} and {self.steps} was not finite: try a "
                    "smaller learning_rate, a longer warmup, or a smaller clip"
                )
            if self.steps % log_every == 0:
                self.unlogged = self._nothing()
            yield Record(self.steps, float(mean[0]) / count, float(mean[1]) / count, float(mean[2]),
                         images / (time.perf_counter() - since))
            images, since = 0, time.perf_counter()
            if stop:
                return

    def _nothing(self) -> tuple[Any, Any, int]:
        """The sums of no steps."""
        xp = self.backend.xp
        return xp.zeros((), dtype=xp.float64), xp.zeros((), dtype=xp.float64), 0


def _with_labels(model: Module, labels: Any, x: Any, t: Any) -> Any:
    """A net with labels as a function of (x, t)."""
    return model(x, t, labels)
