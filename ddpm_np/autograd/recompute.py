"""Activation recomputation (Chen, Xu, Zhang & Guestrin 2016): activations made twice, and kept for less long.

A net is cut into segments. Each keeps what went into it and forgets what was computed inside; when the backward pass
comes to a segment, it is run again, and the pass goes on over the ops of that second run. They hang on the tape where
those of the first run did, so every gradient is added up in the same order: the same bits, for more time.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.autograd.randomness import restart_draws
from ddpm_np.autograd.tensor import Node, Tensor, is_recording

_watch: contextvars.ContextVar[Callable[[], Any] | None] = contextvars.ContextVar("watch", default=None)  # None: off


@contextlib.contextmanager
def recomputing(on: bool = True, watch: Callable[[], Any] = lambda: None) -> Iterator[None]:
    """A context in which `recomputed` segments forget what they computed, or (`on` false) keep it, as elsewhere.

    `watch` is called after a segment's first run, while all that its backward pass will need is there.
    """
    token = _watch.set(watch if on else None)
    try:
        yield
    finally:
        _watch.reset(token)


def recomputed(segment: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function, but inside `recomputing` the backward pass runs it a second time instead of keeping its tape.

    Parameters
    ----------
    segment
        A function or method that gives one Tensor, and the same one each time: of what changes between its two runs it
        may use only the numbers that dropout draws, which are those of the first run again. What it is called with is
        kept for the second run. Segments within it are part of it.

    Examples
    --------
    >>> x = Tensor([3.0], requires_grad=True)
    >>> cube = recomputed(lambda x: x * x * x)
    >>> with recomputing():
    ...     y = cube(x)
    >>> y.backward()
    >>> x.grad
    array([27.], dtype=float32)
    """

    @functools.wraps(segment)
    def run(*inputs: Any, **options: Any) -> Tensor:
        watch = _watch.get()
        if watch is None or not is_recording():
            return segment(*inputs, **options)
        with recomputing(False):
            context = contextvars.copy_context()  # the second run's: the same kernels, and the same draws
            restart_draws(context)
            y = segment(*inputs, **options)
            watch()
        if y.node is None or any(isinstance(x, Tensor) and x.node is y.node for x in inputs):  # no op has been recorded
            return y
        return Tensor.from_op(y.data, _Segment(y.node, functools.partial(context.run, segment, *inputs, **options)))

    return run


class _Segment(Node):
    """A whole segment in the place of its last op, as deep as that: the backward pass takes it when it would take that.

    The first run has a tape too, for its depth and for whether anybody wants a gradient, but it is dropped at once.
    """

    __slots__ = ("again",)

    def __init__(self, last: Node, again: Callable[[], Tensor]):
        self.name, self.shape, self.dtype, self.depth = last.name, last.shape, last.dtype, last.depth
        self.vjp = self.edges = None
        self.again: Callable[[], Tensor] | None = again

    def release(self) -> tuple[Callable[[Any], tuple], tuple[Node | Tensor | None, ...]]:
        """What the last op of the second run lets go of."""
        if self.again is None:
            return super().release()  # which says that this is the second time
        again, self.again = self.again, None
        last = again().node
        if last is None or (last.name, last.depth) != (self.name, self.depth):
            raise RuntimeError(
                f"a recomputed segment that ended in {self.name!r} did something else in its second run: leave the net "
                "as it is (such as its mode, train or eval) until the backward pass is done"
            )
        return last.release()
