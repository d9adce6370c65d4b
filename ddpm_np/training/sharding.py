"""Data parallelism on one machine: the fast twin of `gradient_of_batch` and of the update, by several workers.

A batch is divided into shards of whole images. The gradient of the first shard is written into the flat array of the
sum, the others into buffers that are then added in shard order, so that any number of workers gives the same bits. Of
these additions, and of the update by Adam, each worker takes a contiguous span of the parameters. Workers are processes
where they would see all that a step depends on, else threads; each round's first shard is computed in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any, Protocol

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.kernels import costs
from ddpm_np.nn import Module, module_contents
from ddpm_np.parallel.contents import NotPlain, plain_contents
from ddpm_np.parallel.processes import WorkerPool, can_fork, is_shared
from ddpm_np.parallel.threads import contiguous_spans, map_in_order
from ddpm_np.parallel.watch import CallWatch
from ddpm_np.training.adam import Adam
from ddpm_np.training.algorithm1 import Objective, gradient_of_batch
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Span, accumulate, blocks, norm_from_squares
from ddpm_np.training.fused_update import Update, fused_update

_WORTHWHILE = 8  # blocks: for fewer, sending another worker a task takes longer than doing it here


class Task(Protocol):
    """A part of a step's work, which any worker can run; it can be pickled."""

    def run(self, sharded: ShardedGradient) -> Any:
        """Run the task with a worker's view of the training run.

        Parameters
        ----------
        sharded : ShardedGradient
            As it is in the worker: the same in a thread, a copy with shared arrays in a process.

        Returns
        -------
        object
            The result, which can be pickled.
        """


@dataclass(frozen=True, eq=False)
class ShardTask:
    """The gradient of one shard of a batch.

    Attributes
    ----------
    step : int
        The training step.
    first, batch_size : int
        The number of the shard's first image, and that of all images of the batch.
    images : array of shape (n, …)
        The shard's images.
    labels : int array of shape (n,) or None
        Their labels.
    buffer : int
        Which buffer the gradient is written into.
    """

    step: int
    first: int
    batch_size: int
    images: Array
    labels: Ints | None
    buffer: int

    def run(self, sharded: ShardedGradient) -> tuple[Array, tuple[int, ...]]:
        """Write the gradient into the buffer.

        Parameters
        ----------
        sharded : ShardedGradient
            As it is in the worker.

        Returns
        -------
        loss : array of shape ()
            The shard's part of the mean loss.
        still : tuple of int
            The parameters that it has no gradient for, by their numbers.
        """
        loss, gradients = sharded.of_images(self.images, step=self.step, labels=self.labels, first=self.first,
                                            batch_size=self.batch_size, into=sharded.views[self.buffer])
        return loss, tuple(i for i, g in enumerate(gradients) if g is None)


@dataclass(frozen=True)
class AddTask:
    """The sum of the shards' gradients, for a span of the parameters.

    Attributes
    ----------
    buffers : tuple of int
        Which buffers are added to the first.
    span : (int, int)
        (first, end) of the blocks.
    squares : bool
        Whether Σ g² of the sum is wanted: it is of the whole sum, after the last shards.
    """

    buffers: tuple[int, ...]
    span: Span
    squares: bool

    def run(self, sharded: ShardedGradient) -> list[Array]:
        """Add the buffers' blocks to those of the first.

        Parameters
        ----------
        sharded : ShardedGradient
            As it is in the worker.

        Returns
        -------
        list of arrays of shape ()
            Σ g² of each block of the sum; none without `squares`.
        """
        return accumulate(sharded.flat.grad, [sharded.buffers[i] for i in self.buffers], self.span, self.squares)


@dataclass(frozen=True, eq=False)
class UpdateTask:
    """The update by Adam and of the moving average, for a span of the parameters.

    Attributes
    ----------
    update : Update
        The parts to be updated, and the numbers of the update.
    span : (int, int)
        (first, end) of the blocks.
    """

    update: Update
    span: Span

    def run(self, sharded: ShardedGradient) -> None:
        """Update parameters, moments and average in place.

        Parameters
        ----------
        sharded : ShardedGradient
            As it is in the worker.
        """
        fused_update(sharded.flat, sharded.adam.m, sharded.adam.v, self.update, sharded.ema, self.span)


class ShardedGradient:
    """The gradient of a batch and the update from it, computed by several workers.

    Parameters
    ----------
    adam : Adam
        Of the net's parameters; the gradient is written into ``adam.flat.grad``.
    ema : EMA
        Of the same parameters.

    Attributes
    ----------
    buffers : list of arrays of shape (P,)
        The gradient of the first shard, and so of the sum; then those of other shards.
    views : list of lists of arrays
        Each buffer's parts, one for each parameter.
    pool : WorkerPool
        The worker processes.
    of_images : callable
        `gradient_of_batch` of the net that was trained last, for some images.
    """

    of_images: Callable[..., tuple[Array, list[Array]]]

    def __init__(self, adam: Adam, ema: EMA):
        self.adam, self.ema, self.flat = adam, ema, adam.flat
        self.buffers = [self.flat.grad]
        self.views = [self.flat.gradients]
        self.pool = WorkerPool()
        self.watch = CallWatch()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what is between steps: the rest is made anew by the next one."""
        return ShardedGradient, (self.adam, self.ema)

    def gradient_of_batch(self, model: Module, schedule: Schedule, objective: Objective, x_0: Array, *, seed: int,
                          step: int, labels: Ints | None = None, recompute: bool = False, shards: int = 1,
                          workers: int = 1) -> tuple[Array, Array, frozenset[int]]:
        """Compute a batch's loss and gradient as `gradient_of_batch` does, shard by shard.

        Parameters
        ----------
        model : Module
            The net.
        schedule : Schedule
            β₁..β_T.
        objective : callable
            The loss, as in `gradient_of_batch`.
        x_0 : array of shape (N, …)
            The batch's images.
        seed, step : int
            Key and counter of the random numbers.
        labels : int array of shape (N,), optional
            The images' labels.
        recompute : bool
            Whether the backward pass recomputes activations.
        shards : int
            Number of shards; the result depends on it by rounding.
        workers : int
            Number of workers; the result does not depend on it.

        Returns
        -------
        loss : float64 array of shape ()
            The mean loss; its gradient is in ``flat.grad``.
        norm : float64 array of shape ()
            The gradient's global norm.
        still : frozenset of int
            The parameters that no image has a gradient for, by their numbers; theirs is 0.
        """
        self.of_images = partial(gradient_of_batch, model, schedule, objective, seed=seed, recompute=recompute)
        n = x_0.shape[0]
        spans = contiguous_spans(n, shards)
        at_a_time = min(workers, len(spans))
        self._make_buffers(at_a_time + (at_a_time < len(spans)))  # one more for the first worker's later shards
        contents: list[Any] | None = None
        others: list[Any] = []
        if at_a_time > 1 or self.pool.size:
            contents, others = self._contents(model, schedule, objective, seed, recompute)
        if contents is not None and can_fork():
            costs.rates()  # read before the fork, so that all processes choose the same kernels
            self.pool.fork(self._run, at_a_time - 1, [model, objective, *self._arrays()], contents)
        else:
            self.pool.close()
        losses: list[Array] = []
        still: list[set[int]] = []
        squares: list[Array] = []
        known = {id(x) for x in (*model.modules(), *self.flat.parameters, schedule)} if others else set()
        known -= {id(x) for x in others}
        with self.watch.calls(others, known, at_a_time) as threads:
            for start in range(0, len(spans), at_a_time):
                buffers = [0 if start == 0 else at_a_time, *range(1, at_a_time)]
                tasks = [ShardTask(step, first, n, x_0[first:end], None if labels is None else labels[first:end], i)
                         for (first, end), i in zip(spans[start : start + at_a_time], buffers, strict=False)]
                for loss, without in self._map(tasks, threads):
                    losses.append(loss)
                    still.append(set(without))
                addends = tuple(task.buffer for task in tasks if task.buffer != 0)
                last = start + at_a_time >= len(spans)
                if addends or last:
                    sums = self._run_spans(partial(AddTask, addends, squares=last), workers)
                    squares = [x for part in sums for x in part]
        xp = of(x_0)
        loss = reduce(add, (xp.astype(loss, xp.float64) for loss in losses))
        return loss, norm_from_squares(squares), frozenset(set.intersection(*still))

    def update(self, ok: Array, scale: Array | None, workers: int, still: Collection[int] = ()) -> None:
        """Update the parameters by Adam from ``flat.grad``, and the average.

        Parameters
        ----------
        ok : bool array of shape ()
            If false, nothing changes.
        scale : array of shape () or None
            Factor on the gradient.
        workers : int
            Number of workers.
        still : collection of int
            The parameters that have no gradient, by their numbers; they are left alone.
        """
        self._run_spans(partial(UpdateTask, self.adam.factors(ok, scale, self.ema, still)), workers)
        self.adam.count(ok, still)

    def _make_buffers(self, count: int) -> None:
        while len(self.buffers) < count:
            self.buffers.append(self.flat.buffer())
            self.views.append(list(self.flat.views(self.buffers[-1])))

    def _contents(self, model: Module, schedule: Schedule, objective: Objective,
                  *settings: Any) -> tuple[list[Any] | None, list[Any]]:
        """Return all that tasks depend on and that may change between steps, except the parameters' values.

        The first result is None where a worker process could see something else: where code or data are not the
        package's own, or an array of the optimiser is not shared. The second lists what the code of others is in.
        """
        parameters = self.flat.parameters
        labels: dict[int, Any] = {id(p): i for i, p in enumerate(parameters)}
        net, others = module_contents(model, labels)
        contents: list[Any] = [*settings, len(self.buffers), *(p.requires_grad for p in parameters), *(net or ())]
        labels[id(getattr(schedule, "copies", None))] = None  # follows from the tables
        for y in (schedule, objective):
            try:
                plain_contents(y, contents, labels)
            except NotPlain:
                others.append(y)
        shared = all(is_shared(array) for array in self._arrays())
        return (contents if shared and not others else None), others

    def _arrays(self) -> list[Array]:
        """Return the arrays that tasks write to."""
        return [self.flat.data, self.flat.grad, self.adam.m, self.adam.v, self.ema.data, *self.buffers]

    def _run(self, task: Task) -> Any:
        return task.run(self)

    def _map(self, tasks: Sequence[Task], threads: int) -> list[Any]:
        """Run tasks in the processes, the first one here; in threads where there are no processes."""
        if len(tasks) <= 1 + self.pool.size:
            return self.pool.map(self._run, tasks)
        return list(map_in_order(self._run, tasks, threads))

    def _run_spans(self, task: Callable[[Span], Task], workers: int) -> list[Any]:
        """Apply one operation to every block, each worker taking a contiguous span; return the results in order."""
        count = len(list(blocks(self.flat.data)))
        tasks = [task(span) for span in contiguous_spans(count, workers if count >= _WORTHWHILE else 1)]
        return self._map(tasks, workers)
