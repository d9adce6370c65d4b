"""The training step and the loop over steps: Algorithm 1 of the paper, with Adam, clip and moving average.

A step is the gradient of the batch, the clip, and the update. Gradient and update each have a definition
(`gradient_of_batch`; `Adam.update` and `EMA.update`) and a fast twin by several workers (`ShardedGradient`).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ddpm_np import arguments
from ddpm_np.autograd.op import chosen_kernels
from ddpm_np.backend import Array, Ints, asarray, backend_of, get_backend, of, to_host
from ddpm_np.diffusion.loss import simple_loss
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.nn import Module
from ddpm_np.parallel.threads import default_workers, single_threaded_blas
from ddpm_np.training.adam import Adam
from ddpm_np.training.algorithm1 import Objective, gradient_of_batch
from ddpm_np.training.clip import clip_scale, global_norm
from ddpm_np.training.device_memory import DeviceShards
from ddpm_np.training.ema import EMA
from ddpm_np.training.memory import StepMemory
from ddpm_np.training.sharding import ShardedGradient


class TrainingDiverged(RuntimeError):
    """A loss or gradient was not finite; the weights are those before it."""


@dataclass(frozen=True)
class Record:
    """What is logged.

    Attributes
    ----------
    step : int
        Training steps taken.
    loss, grad_norm : float
        Means over the steps since the last record; the norm is that before the clip.
    learning_rate : float
        η of the last step.
    images_per_second : float
        Speed since the last record.
    """

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    images_per_second: float


_LARGEST = 100.0  # of data: 100·√ᾱ_T of the paper's schedule is 0.6, so that x_T would not be noise


def check_images(x: Any) -> None:
    """Check a batch before a step: bytes 0..255 and other data far from [−1, 1] are refused.

    Data of the same size are allowed, such as latents and data of variance 1. Values are checked on the host only, to
    avoid a device sync.

    Parameters
    ----------
    x : array of shape (N, …), or list
        The batch.

    Raises
    ------
    TypeError
        If it has another dtype than floating numbers.
    ValueError
        If it is empty, beyond ±100, or made of whole numbers beyond ±1, as bytes are.

    Examples
    --------
    >>> import numpy as np
    >>> check_images(np.full((1, 2, 2, 1), 255.0))
    Traceback (most recent call last):
    ValueError: images must be in [-1, 1], got whole numbers from 255 to 255: scale them first (bytes: x / 127.5 - 1)
    """
    host = get_backend("numpy").xp
    if not hasattr(x, "dtype"):
        x = host.asarray(x)
    if "float" not in str(x.dtype):
        raise TypeError(f"images must be floating numbers in [-1, 1], got dtype {x.dtype}: scale them first "
                        "(bytes: x / 127.5 - 1)")
    if x.ndim == 0 or x.shape[0] == 0:
        raise ValueError(f"a batch needs at least one image, got shape {tuple(x.shape)}")
    if of(x).name != "numpy" or x.size == 0:
        return
    low, high = float(x.min()), float(x.max())
    if (low >= -1 and high <= 1) or not math.isfinite(high - low):  # what is not finite is `TrainingDiverged`'s
        return
    whole = bool((host.trunc(x) == x).all())
    if max(-low, high) > _LARGEST or whole:
        raise ValueError(f"images must be in [-1, 1], got {'whole numbers' if whole else 'values'} from {low:g} to "
                         f"{high:g}: scale them first (bytes: x / 127.5 - 1)")


class Trainer:
    """Algorithm 1 on a net: draws, forward, backward, clip, Adam, moving average.

    On the CPU a step's batch is divided into `shards` of whole images, whose gradients are added in order. The weights
    are the same bits for any number of workers, whatever is changed between steps. Where the system allows, workers
    after the first are processes (`parallel.processes`), if net, objective and schedule are of this package. Code of
    your own runs in threads, which see all that it reads; if it stores values when it is called, one call follows
    another.

    On a device a batch is taken in as few shards as fit its memory, usually one, whatever `shards` is. To find out, the
    first step calls net and objective twice more, on the batch's first image and on the first two, unless `step_memory`
    has measured it before. If memory turns out to be full, the step takes the batch in twice as many, with a warning.

    Frozen parameters, and those that a step's loss does not depend on, are left alone with their moments, see `Adam`.
    A copy (by `copy` or `pickle`) is a trainer of its own, with a net of its own, and continues with the same bits
    (on a GPU, the same up to rounding).

    Parameters
    ----------
    model : Module
        ``model(x, t) -> Tensor``. Its parameters become views of one array, so they cannot be replaced afterwards;
        their values and `requires_grad` can change.
    schedule : Schedule
        β₁..β_T.
    objective : callable
        ``(schedule, model, x_0, t, noise) -> losses``, one for each image, (N,); L_simple if not given.
    lr : float
        Learning rate of `Adam`; the defaults of all options are the paper's, for 800,000 steps.
    betas : (float, float)
        β₁ and β₂ of `Adam`.
    eps : float
        ε of `Adam`.
    warmup : int
        Updates until the full learning rate.
    clip : float or None
        The largest global norm of the gradient; None: no clip.
    ema : float
        Decay of the moving average: see `EMA`.
    seed : int
        Seed of t, ε and dropout.
    shards : int
        On the CPU, the parts that a batch is divided into, and so the most workers that have work. Not chosen by the
        machine, since the sums depend on it: give as many as there are cores, or more to need less memory. On a device
        it has no effect.
    workers : int or None
        Workers on the CPU; None: one for each CPU.
    no_label : int or None
        For a net with labels: the unconditional class ∅, which replaces an image's label with probability
        `label_dropout`, so that the net learns both q(x) and q(x | y) (classifier-free guidance). None: the net takes
        no labels.
    label_dropout : float
        Probability of ∅.
    recompute : bool
        Whether the backward pass recomputes the activations of the net's segments instead of keeping them (see
        `recomputing`): less memory, more time, the same bits (on a GPU, the same up to rounding).

    Attributes
    ----------
    steps : int
        Training steps taken; the next one draws as step number `steps`.
    unlogged : (array, array, int)
        Sums of loss and norm over the steps since the last whole record, and the number of those steps.

    Raises
    ------
    ValueError
        If an option is out of range.

    Notes
    -----
    Algorithm 1 of Ho et al. (2020). Verified by ``ddpm-np check --equation algorithm-1``.

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
        arguments.number("label_dropout", label_dropout, least=0, most=1)
        arguments.count("shards", shards)
        arguments.seed(seed)
        if workers is not None:
            arguments.count("workers", workers)
        if clip is not None:
            arguments.number("clip", clip, above=0, advice="or None for no clip")
        self.model, self.schedule, self.objective = model.train(), schedule, objective
        self.adam = Adam(model.parameters(), lr, betas, eps, warmup)
        self.ema = EMA(model, ema)
        self.flat = self.adam.flat
        self.sharded = ShardedGradient(self.adam, self.ema)
        self.clip, self.seed, self.shards, self.workers = clip, seed, shards, workers
        self.no_label, self.label_dropout = no_label, label_dropout
        self.recompute = recompute
        self.backend = backend_of(self.flat.data)
        self.on_device = DeviceShards(self.backend, self.flat.data.nbytes)
        self.steps = 0
        self.unlogged = self._no_sums()

    def __copy__(self) -> Trainer:
        """Return a deep copy, since one that shared the weights would be neither the same run nor another."""
        return copy.deepcopy(self)

    @single_threaded_blas()  # its results may depend on its number of threads
    def step(self, x_0: Array, labels: Ints | None = None) -> dict[str, Array]:
        """Take one training step on a batch.

        Parameters
        ----------
        x_0 : array of shape (N, H, W, C)
            Images in [−1, 1], or other data (N, …) of that size, such as latents; on the host or the device. See
            `check_images`.
        labels : int array of shape (N,), optional
            The images' labels, for a net with labels.

        Returns
        -------
        dict
            ``loss`` and ``grad_norm`` (before the clip): arrays of shape () on the model's device, not waited for.
            Where one of them is not finite, weights, moments and average have not changed.

        Raises
        ------
        ValueError
            If the batch is empty, images are out of range, labels are missing or not ints from 0 (negative ones are
            found on NumPy only, to avoid a device sync; `Batches` checks those of a data set), or the objective's
            result has another shape than (N,).
        TypeError
            If images are not floating numbers, or the objective returns no Tensor.
        RuntimeError
            If a parameter of the net has been replaced since the trainer was made.
        """
        check_images(x_0)
        x_0 = self.backend.to_device(x_0, self.flat.data.dtype)  # (N, H, W, C)
        if list(map(id, self.model.parameters())) != list(map(id, self.flat.parameters)):
            raise RuntimeError("the net's parameters are not those that this trainer was made with: assign values to "
                               "them (p.data = …) in place of new Tensors, or make a new Trainer")
        labels = None if self.no_label is None else self._drop_labels(labels, x_0.shape[0])  # (N,)
        if self.backend.name == "numpy":
            loss, norm, still = self._gradient(x_0, labels, self.shards)
        else:
            loss, norm, still = self.on_device.take(
                self._kind(x_0), x_0.shape[0], partial(self._gradient_of, x_0, labels),
                partial(self._gradient, x_0, labels))
        scale, ok = clip_scale(norm, self.clip, x_0.dtype)
        self._update(ok & self.backend.xp.isfinite(loss), scale, still)
        self.steps += 1
        return {"loss": asarray(loss), "grad_norm": norm}

    def _gradient(self, x_0: Array, labels: Ints | None, shards: int) -> tuple[Array, Array, Collection[int]]:
        """Return the mean loss, the norm of its gradient, and which parameters have none; it is in ``flat.grad``."""
        if chosen_kernels() == "reference" and shards == 1:
            loss, grads = gradient_of_batch(
                self.model, self.schedule, self.objective, x_0, seed=self.seed, step=self.steps, labels=labels,
                recompute=self.recompute, into=self.flat.gradients)
            xp, still = self.backend.xp, [i for i, g in enumerate(grads) if g is None]
            return xp.astype(loss, xp.float64), global_norm(self.flat.grad), still
        return self.sharded.gradient_of_batch(
            self.model, self.schedule, self.objective, x_0, seed=self.seed, step=self.steps, labels=labels,
            recompute=self.recompute, shards=shards, workers=self._workers())

    def _gradient_of(self, x_0: Array, labels: Ints | None, images: int, recompute: bool | None = None) -> None:
        """Compute the gradient of a batch's first images, as a shard does."""
        gradient_of_batch(self.model, self.schedule, self.objective, x_0[:images], seed=self.seed, step=self.steps,
                          labels=None if labels is None else labels[:images], into=self.flat.gradients,
                          recompute=self.recompute if recompute is None else recompute)

    def _kind(self, x_0: Array, recompute: bool | None = None) -> tuple[Any, ...]:
        """Return all that the memory of an image depends on."""
        return tuple(x_0.shape[1:]), chosen_kernels(), self.recompute if recompute is None else recompute

    def step_memory(self, x_0: Array, labels: Ints | None = None, recompute: bool | None = None) -> StepMemory:
        """Measure what a step needs on a device. The result is kept, so that the first step need not measure it again.

        Parameters
        ----------
        x_0 : array of shape (2, …)
            Two images on the device, with which net and objective are called.
        labels : int array of shape (2,), optional
            Their labels, for a net with labels.
        recompute : bool, optional
            Whether the backward pass recomputes activations; by default as in steps.

        Returns
        -------
        StepMemory
            The parts, in bytes.

        Raises
        ------
        MemoryError
            Or CUDA's error, if one image does not fit.
        """
        return self.on_device.step_memory(self._kind(x_0, recompute),
                                          partial(self._gradient_of, x_0, labels, recompute=recompute))

    def _update(self, ok: Array, scale: Array, still: Collection[int]) -> None:
        """Update the parameters and their average, unless the flag `ok` is false."""
        if chosen_kernels() == "reference":
            self.adam.update(ok, scale, still)
            self.ema.update(ok)
        else:
            self.sharded.update(ok, scale, self._workers(), still)

    def _workers(self) -> int:
        return (self.workers or default_workers()) if self.backend.name == "numpy" else 1

    def _drop_labels(self, labels: Ints | None, n: int) -> Ints:
        """Replace labels by ∅ at random; image i's draw is a function of the seed, the step and i."""
        xp = self.backend.xp
        labels = None if labels is None else self.backend.to_device(labels)
        if labels is None or tuple(labels.shape) != (n,):
            raise ValueError(f"a net with labels needs one label for each image, shape ({n},), got "
                             f"{None if labels is None else tuple(labels.shape)}")
        if not xp.isdtype(labels.dtype, "integral"):
            raise ValueError(f"labels must be ints from 0, got {labels.dtype}")
        labels = xp.astype(labels, xp.int64)
        if xp.name == "numpy" and xp.min(labels) < 0:  # here, since a label that is dropped reaches no net
            raise ValueError(f"labels must be ints from 0, got {xp.min(labels)}")
        dropped = self.backend.uniform(self.seed, "label", self.steps, 0, n, ()) < self.label_dropout  # (n,)
        return xp.where(dropped, self.no_label, labels)

    def run(self, batches: Sequence[tuple[Array, Ints | None]], steps: int, log_every: int = 100,
            on_step: Callable[[int], bool | None] = lambda step: None) -> Iterator[Record]:
        """Take steps until there have been `steps`; step k trains on ``batches[k]``.

        The device is waited for only at a record. A last record between two multiples of `log_every` keeps the sums
        since the last whole one, so that a run that continues from there logs the same as one without the break.

        Parameters
        ----------
        batches : sequence of (array, array or None)
            Images and labels.
        steps : int
            Where to stop: the number of steps taken in all.
        log_every : int
            Steps between records.
        on_step : callable
            Called after each step with its number; the run ends there, with a last record, if it returns True.

        Yields
        ------
        Record
            After every `log_every` steps, and at the end.

        Raises
        ------
        TrainingDiverged
            At a record, if a loss or gradient since the last one was not finite.
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
                self.unlogged = self._no_sums()
            yield Record(self.steps, float(mean[0]) / count, float(mean[1]) / count, float(mean[2]),
                         images / (time.perf_counter() - since))
            images, since = 0, time.perf_counter()
            if stop:
                return

    def _no_sums(self) -> tuple[Array, Array, int]:
        """Return the sums over no steps."""
        xp = self.backend.xp
        return xp.zeros((), dtype=xp.float64), xp.zeros((), dtype=xp.float64), 0
