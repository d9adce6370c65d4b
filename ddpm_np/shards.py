"""The loss and gradient of a batch, added up over its shards in their order, by any number of workers.

Worker processes where that is possible, else threads; the first shard of each lot is done here. The gradient of the
first shard goes straight into the flat array of all, the others into arrays of their own that are then added in order:
the same sums, and so the same bits, whoever did what.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from typing import Any

from ddpm_np.crew import Crew, can_fork
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
        self.crew: Crew | None = None
        self.known: list[Any] = []  # what the crew's processes were forked with
        self.size = 0  # of the crew

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
        apart = at_a_time > 1 and can_fork()
        self._make_buffers(at_a_time + (len(tasks) > at_a_time))
        if state is None:
            apart = False
        elif apart:
            context = [x for pair in contextvars.copy_context().items() for x in pair]
            self._make_crew(work, at_a_time - 1, [*state, *context])
        losses: list[Any] = []
        norm: Any = None
        for start in range(0, len(tasks), at_a_time):
            lot = tasks[start : start + at_a_time]
            into = [0 if start == 0 else at_a_time, *range(1, len(lot))]
            losses += self._done_apart(work, lot, into) if apart else list(
                map_in_order(lambda pair: work(pair[0], self.views[pair[1]]), list(zip(lot, into, strict=True)),
                             at_a_time))
            norm = global_norm(self.flat.grad, [self.buffers[i] for i in into if i], workers)
        return losses, norm

    def _done_apart(self, work: Work, lot: Sequence[Any], into: Sequence[int]) -> list[Any]:
        """The losses of a lot: its first task here, each other one by a process."""
        crew: Any = self.crew
        try:
            for i, task in enumerate(lot[1:]):
                crew.send(i, task)
            first = list(map_in_order(lambda task: work(task, self.views[into[0]]), lot[:1]))
            return first + [crew.receive(i) for i in range(len(lot) - 1)]
        except BaseException:  # answers that nobody took are still to come: no use for these processes any more
            crew.close()
            self.crew = None
            raise

    def _make_buffers(self, count: int) -> None:
        while len(self.buffers) < count:
            self.buffers.append(self.flat.buffer())
            self.views.append(list(self.flat.views(self.buffers[-1])))

    def _make_crew(self, work: Work, size: int, state: list[Any]) -> None:
        """A crew of so many processes at least, forked in this state."""
        if self.crew is not None and self.size >= size and _same(self.known, state):
            return
        if self.crew is not None:
            self.crew.close()
        self.crew, self.known, self.size = Crew(lambda i, task: work(task, self.views[i + 1]), size), state, size


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether these are the same objects, or equal numbers and words."""
    plain = (bool, int, float, str, tuple)
    return len(a) == len(b) and all(
        x is y or (type(x) is type(y) and isinstance(x, plain) and x == y) for x, y in zip(a, b, strict=True))
