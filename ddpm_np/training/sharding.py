"""A step's shards: their losses, the sum of their gradients and the update, by any number of workers.

Worker processes where that is possible, else threads; the first shard of each lot is done here. The gradient of the
first shard goes straight into the flat array of all, the others into arrays of their own that are then added in order:
the same sums, and so the same bits, whoever did what. Of these additions and of the update each worker does a span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ddpm_np.parallel.processes import Team, can_fork
from ddpm_np.parallel.threads import cut, map_in_order
from ddpm_np.training.adam import Adam, Update
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import blocks, global_norm, squares

Work = Callable[[Any, Sequence[Any]], Any]  # (task, arrays for the gradient, one a parameter) -> the loss

_WORTHWHILE = 8  # blocks: below, telling another worker takes longer than doing it


class Shards:
    """The workers of one training run.

    Parameters
    ----------
    adam
        Of the parameters; their gradient is left in ``adam.flat.grad``.
    ema
        Of the same parameters.
    """

    def __init__(self, adam: Adam, ema: EMA):
        self.adam, self.ema, self.flat = adam, ema, adam.flat
        self.buffers = [self.flat.grad]  # (P,) each: of the first shard, and so of the sum; of the others of a lot
        self.views = [list(self.flat.views(self.flat.grad))]
        self.team = Team()

    def add_up(self, work: Work, tasks: Sequence[Any], workers: int,
               state: Sequence[Any] | None) -> tuple[list[Any], Any]:
        """The losses of all tasks in order, and the norm of their gradients' sum.

        Parameters
        ----------
        work
            Computes a task's loss, and writes its gradient into the arrays it is given.
        tasks
            One a shard.
        workers
            How many take them.
        state
            All that `work` depends on and that may change from one call to the next, beside the parameters' numbers:
            processes that were forked with another one are replaced. None: threads.
        """
        at_a_time = min(workers, len(tasks))
        while len(self.buffers) < at_a_time + (len(tasks) > at_a_time):
            self.buffers.append(self.flat.buffer())
            self.views.append(list(self.flat.views(self.buffers[-1])))

        def done(task: tuple[Any, ...]) -> Any:
            if task[0] != "shard":
                return self._in_span(task)
            return work(task[1], self.views[task[2]])

        losses: list[Any] = []
        norm: Any = None
        for start in range(0, len(tasks), at_a_time):
            lot = tasks[start : start + at_a_time]
            into = [0 if start == 0 else at_a_time, *range(1, len(lot))]
            shards = [("shard", task, buffer) for task, buffer in zip(lot, into, strict=True)]
            if state is None or not can_fork():
                losses += map_in_order(done, shards, at_a_time)
            else:
                losses += self.team.run(done, shards, [*state, len(self.buffers)])
            norm = global_norm([x for part in self._spread("add", [i for i in into if i], workers) for x in part])
        return losses, norm

    def update(self, ok: Any, scale: Any, workers: int) -> None:
        """Adam and the average, of the sum that is there."""
        self.adam.update(ok, scale, self.ema, lambda new: self._spread("update", new, workers))

    def _spread(self, kind: str, what: Any, workers: int) -> list[Any]:
        """The same done to all blocks, a span of them by each worker; what comes of each span, in order."""
        count = len(list(blocks(self.flat.data)))
        spans = cut(count, workers if count >= _WORTHWHILE else 1)
        tasks = [(kind, what, span) for span in spans]
        if len(tasks) > 1 and self.team.size >= len(tasks) - 1 and self.team.crew is not None:
            return self.team.go_on(self._in_span, tasks)
        return list(map_in_order(self._in_span, tasks, workers))

    def _in_span(self, task: tuple[Any, ...]) -> Any:
        kind, what, span = task
        if kind == "add":
            return squares(self.flat.grad, [self.buffers[i] for i in what], span)
        update: Update = what
        return self.adam.apply(update, self.ema, span)
