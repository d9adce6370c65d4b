"""The tape: nodes that lead from an output back to the leaves, and the backward pass along them.

Each op on Tensors makes a `Node`, which holds an edge for each input and the op's vjp: a closure that maps the gradient
of the output to the gradients of the inputs. Nodes hang on the Tensors; nothing is global, and an intermediate array
stays alive only where a vjp has captured it. The backward pass takes the deepest node first, frees each as it goes, and
adds in place only into buffers that it made itself.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ddpm_np import backend
from ddpm_np.backend import Array, of

Gradients = tuple[Any, ...]  # one for each input: an array, a function that computes it when it is wanted, or None
Vjp = Callable[[Array], Gradients]  # from the gradient of an output to those of the inputs
Edge = Any  # where a gradient goes: a Node, a leaf (a Tensor), or None for nowhere
Writes = list[int]  # one number: how often an array, or one whose memory it shares, has been assigned to


class Into:
    """A gradient that a vjp can write into a given array, such as the leaf's part of the flat gradient, without a copy.

    Parameters
    ----------
    write : callable
        ``write(out)`` computes the gradient into `out`, or into a new array where that is None, and returns the array.
    """

    __slots__ = ("write",)

    def __init__(self, write: Callable[[Array | None], Array]) -> None:
        self.write = write

    def __call__(self) -> Array:
        return self.write(None)


class Node:
    """One op on the tape: its vjp, and for each input an edge to where that input's gradient goes.

    Parameters
    ----------
    name : str
        The op's name, for messages.
    edges : sequence
        For each input, where its gradient goes: a Node, a leaf, or None.
    vjp : callable
        From the gradient of the output to those of the inputs.
    output : array
        The op's result; its shape and dtype are kept.
    writes : iterable of list
        The counts of assignments to the arrays that the vjp may have captured.
    """

    __slots__ = ("depth", "dtype", "edges", "name", "seen", "shape", "vjp")

    def __init__(self, name: str, edges: Iterable[Edge], vjp: Vjp, output: Array,
                 writes: Iterable[Writes] = ()) -> None:
        self.name = name
        self.seen: list[tuple[Writes, int]] = [(count, count[0]) for count in writes]
        self.edges: tuple[Edge, ...] | None = tuple(edges)
        self.vjp: Vjp | None = vjp
        self.shape, self.dtype = output.shape, output.dtype
        self.depth: int = 1 + max(edge.depth for edge in self.edges if edge is not None)

    def release(self) -> tuple[Vjp, tuple[Edge, ...]]:
        """Return the vjp and the edges, and forget them, so that their memory is freed once the caller drops them.

        Returns
        -------
        vjp : callable
        edges : tuple

        Raises
        ------
        RuntimeError
            If they have been released before, or an array that the vjp may have captured has been assigned to.
        """
        self.check_unchanged()
        if self.vjp is None or self.edges is None:
            raise RuntimeError(
                f"backward reached the same {self.name!r} twice, but the tape is freed as it is walked: compute the "
                "output again, or add the outputs before one backward"
            )
        vjp, edges = self.vjp, self.edges
        self.vjp = self.edges = None
        return vjp, edges

    def check_unchanged(self) -> None:
        """Raise an error if an array that the vjp may have captured has been assigned to since the forward pass.

        Raises
        ------
        RuntimeError
            If so: the gradient would be that of the new numbers.
        """
        for count, before in self.seen:
            if count[0] != before:
                raise RuntimeError(
                    f"the data of an input or output of {self.name!r} was assigned between forward and backward, and "
                    "its gradient needs the old numbers: assign after backward, or compute the output again"
                )


def walk(node: Node, cotangent: Array, buffers: dict[int, Array]) -> Iterator[tuple[Any, Array, bool]]:
    """Run the backward pass from a node.

    Parameters
    ----------
    node : Node
        The op that gave the output.
    cotangent : array
        The gradient of the output.
    buffers : dict
        Arrays for the gradients of some leaves, by the leaf's id.

    Yields
    ------
    leaf : Tensor
    gradient : array
    owned : bool
        Whether the array was made here, or is one of `buffers`.

    Raises
    ------
    RuntimeError
        If a node has been walked before.
    """
    pending: dict[int, tuple[Any, bool]] = {id(node): (cotangent[...], False)}
    leaves: dict[int, Any] = {}
    order = 0
    heap: list[tuple[int, int, Node]] = [(-node.depth, order, node)]
    while heap:
        node = heapq.heappop(heap)[2]
        g, _ = pending.pop(id(node))
        vjp, edges = node.release()
        parts = vjp(backend.freeze(g))
        if len(parts) < len(edges):
            raise AssertionError(f"the vjp of {node.name} gave {len(parts)} gradients for {len(edges)} inputs")
        add: Any = None
        for edge, part in zip(edges, parts, strict=False):  # an optional input left out has a part and no edge
            if edge is None:
                continue  # nobody wants this gradient: if the part is a function, it is not called
            if part is None:
                raise TypeError(f"{node.name} has no gradient for one of its inputs: pass that one as an array")
            first, buffer = id(edge) not in pending, buffers.get(id(edge))
            if first and buffer is not None and isinstance(part, Into):
                pending[id(edge)], leaves[id(edge)] = (part.write(buffer), True), edge
                continue
            add = _fit(part() if callable(part) else part, edge, node)
            if not first:
                pending[id(edge)] = (_accumulate(*pending[id(edge)], add), True)
                continue
            pending[id(edge)] = kept(add, edge, buffers)
            if isinstance(edge, Node):
                order += 1
                heapq.heappush(heap, (-edge.depth, order, edge))
            else:
                leaves[id(edge)] = edge
        del g, vjp, edges, parts, part, add  # what the closures kept is freed before the next one runs
    for key, leaf in leaves.items():
        yield (leaf, *pending[key])


def kept(g: Array, edge: Edge, buffers: dict[int, Array]) -> tuple[Array, bool]:
    """Return the first gradient of an edge, in the edge's buffer if there is one.

    Parameters
    ----------
    g : array
    edge : Node or leaf
    buffers : dict
        Arrays for the gradients of some leaves, by the leaf's id.

    Returns
    -------
    g : array
    owned : bool
        Whether another gradient may be added to the array in place.
    """
    buffer = buffers.get(id(edge))
    if buffer is None:
        return g, False
    buffer[...] = g
    return buffer, True


def _accumulate(total: Array, owned: bool, g: Array) -> Array:
    """Return total + g, computed in place where the backward pass made the buffer `total` itself."""
    if not owned:
        return backend.asarray(total + g)
    total += g
    return total


def _fit(g: Array, edge: Edge, node: Node) -> Array:
    """Return `g` in the shape and dtype of its edge: broadcasting is undone here, for all ops."""
    xp = of(g)
    g = backend.asarray(g)
    if g.shape != edge.shape:
        g = undo_broadcasting(g, edge.shape, node.name)
    if g.dtype != edge.dtype:
        g = xp.astype(g, edge.dtype)
    return g


def undo_broadcasting(g: Array, shape: tuple[int, ...], name: str = "op") -> Array:
    """Sum `g` over the axes along which an array of `shape` was broadcast to ``g.shape``.

    Parameters
    ----------
    g : array
    shape : tuple of int
    name : str
        The op whose vjp gave `g`, for the message.

    Returns
    -------
    array of shape `shape`

    Raises
    ------
    AssertionError
        If `shape` does not broadcast to ``g.shape``.
    """
    xp = of(g)
    extra = g.ndim - len(shape)
    if extra < 0 or any(g.shape[extra + i] != n and n != 1 for i, n in enumerate(shape)):
        raise AssertionError(f"the vjp of {name} gave a gradient of shape {g.shape} for an input of shape {shape}")
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1
    )
    if axes and axes == tuple(range(axes[0], axes[-1] + 1)) and axes[-1] < g.ndim - 1:
        # Neighbouring axes, not the last: a row of ones times stacked matrices is many times as fast as NumPy's sums,
        # and times one matrix as CuPy's, which gives few blocks of threads to the columns of a tall one.
        before, along, after = (math.prod(part) for part in (
            g.shape[: axes[0]], g.shape[axes[0] : axes[-1] + 1], g.shape[axes[-1] + 1 :]))
        stack = xp.reshape(g, (before, along, after))
        if xp.name == "cupy" and before > 1:
            g = xp.sum(stack, axis=1)
        else:
            g = xp.matmul(xp.ones((1, along), dtype=g.dtype), stack if before != 1 else stack[0, :, :])
    else:
        g = xp.sum(g, axis=axes)
    return backend.asarray(xp.reshape(g, shape))
