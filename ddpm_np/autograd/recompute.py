"""Activation recomputation (Chen, Xu, Zhang & Guestrin 2016): less memory for the activations, for more time.

A net is cut into segments. A segment keeps its inputs and forgets its activations; when the backward pass comes to it,
the segment runs again, and the pass goes on over the ops of that second run. They hang on the tape where those of the
first run did, so gradients are added in the same order and have the same bits; on a GPU the same up to rounding, since
cuBLAS promises no more.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ddpm_np.autograd.randomness import restart_draws
from ddpm_np.autograd.tape import Edge, Node, Vjp, Writes
from ddpm_np.autograd.tensor import Tensor, is_recording

_watch: contextvars.ContextVar[Callable[[], Any] | None] = contextvars.ContextVar("watch", default=None)  # None: off


@contextlib.contextmanager
def recomputing(on: bool = True, watch: Callable[[], Any] = lambda: None) -> Iterator[None]:
    """Provide a context in which `recomputed` segments forget their activations.

    Parameters
    ----------
    on : bool
        False: segments keep their activations, as outside of any such context.
    watch : callable
        Called after each segment's first run, while the activations that its backward pass will need are in memory.
    """
    token = _watch.set(watch if on else None)
    try:
        yield
    finally:
        _watch.reset(token)


def recomputed(segment: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function as a segment: inside `recomputing`, its tape is dropped and the backward pass runs it again.

    Parameters
    ----------
    segment : callable
        A function or method that returns one Tensor, the same in both runs. Of random numbers it may draw dropout's,
        which are the same in the second run. Its arguments are kept for that run. Segments within it are part of it.

    Returns
    -------
    callable
        With the signature and results of `segment`.

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
            context = contextvars.copy_context()  # for the second run: the same kernels, and the same draws
            restart_draws(context)
            y = segment(*inputs, **options)
            watch()
        if y.node is None or any(isinstance(x, Tensor) and x.node is y.node for x in inputs):  # no op has been recorded
            return y
        again = functools.partial(context.run, segment, *inputs, **options)
        before = [x.node for x in inputs if isinstance(x, Tensor)]
        return Tensor.from_op(y.data, _Segment(y.node, again, before), y.writes)

    return run


class _Segment(Node):
    """A whole segment in the place of its last op, at the same depth, so that the backward pass takes it in its turn.

    The first run has a tape too, which tells the depth, whether a gradient is wanted and which arrays must keep their
    numbers; it is dropped at once.
    """

    __slots__ = ("again",)

    def __init__(self, last: Node, again: Callable[[], Tensor], before: Sequence[Node | None]) -> None:
        self.name, self.shape, self.dtype, self.depth = last.name, last.shape, last.dtype, last.depth
        self.vjp = self.edges = None
        self.seen = _seen_between(before, last)
        self.again: Callable[[], Tensor] | None = again

    def release(self) -> tuple[Vjp, tuple[Edge, ...]]:
        """Run the segment again and return the vjp and edges of its last op."""
        if self.again is None:
            return super().release()  # raises: the segment has been released before
        self.check_unchanged()
        again, self.again = self.again, None
        last = again().node
        if last is None or (last.name, last.depth) != (self.name, self.depth):
            raise RuntimeError(
                f"a recomputed segment that ended in {self.name!r} did something else in its second run: do not change "
                "the net (such as its mode, train or eval) until the backward pass is done"
            )
        return last.release()


def _seen_between(before: Sequence[Node | None], last: Node) -> list[tuple[Writes, int]]:
    """Return what the nodes of a segment's first run have `seen`: those from `last` back to the nodes of its inputs."""
    met, nodes = {id(node) for node in before}, [last]
    seen: dict[int, tuple[Writes, int]] = {}
    while nodes:
        node = nodes.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        seen.update((id(count), (count, value)) for count, value in node.seen)
        nodes += [edge for edge in node.edges or () if isinstance(edge, Node)]
    return list(seen.values())
