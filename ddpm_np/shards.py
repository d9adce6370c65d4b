"""The loss and gradient of a batch, added up over its shards in their order, by any number of workers.

Worker processes where that is possible, else threads; the first shard of each lot is done here. The gradient of the
first shard goes straight into the flat array of all, the others into arrays of their own that are then added in order:
the same sums, and so the same bits, whoever did what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ddpm_np.crew import Team, can_fork
from ddpm_np.optim import Flat, global_norm
from ddpm_np.workers import map_in_order

Work = Callable[[Any, Sequence[Any]], Any]  # (task, arrays for the gradient, one a parameter) -> the loss


class Shards:
    """The workers of one training run.

    Parameters
    ----------
    flat
        The parameters; their gradient is left in ``flat.grad``.
    """

    def __init__(self, flat: Flat):
        self.flat = flat
        self.buffers = [flat.grad]  # (P,) each: of the first shard, and so of the sum; of the others of a lot
        self.views = [list(flat.views(flat.grad))]
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

        def done(pair: tuple[Any, int]) -> Any:
            task, buffer = pair
            return work(task, self.views[buffer])

        losses: list[Any] = []
        norm: Any = None
        for start in range(0, len(tasks), at_a_time):
            lot = tasks[start : start + at_a_time]
            into = [0 if start == 0 else at_a_time, *range(1, len(lot))]
            pairs = list(zip(lot, into, strict=True))
            if state is None or not can_fork():
                losses += map_in_order(done, pairs, at_a_time)
            else:
                losses += self.team.run(done, pairs, state)
            norm = global_norm(self.flat.grad, [self.buffers[i] for i in into if i], workers)
        return losses, norm
