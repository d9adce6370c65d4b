"""Tensor: an array that remembers how it was made, and reverse-mode differentiation over that memory.

Each op on Tensors makes a `Node`: the node knows the nodes of its inputs and a closure, the op's vjp, that maps
the gradient of its output to the gradients of its inputs. The tape is those nodes, hung on the Tensors; nothing
is global, and the tape does not keep an intermediate array alive unless a vjp captured it. The backward pass
takes nodes from the deepest up, frees each as it goes, and adds in place only into buffers that it made itself.
"""

from __future__ import annotations

import contextlib
import contextvars
import heapq
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ddpm_np import backend
from ddpm_np.backend import Namespace, of

_recording: contextvars.ContextVar[bool] = contextvars.ContextVar("recording", default=True)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """A context in which ops on Tensors leave no tape.

    >>> with no_grad():
    ...     y = Tensor([1.0], requires_grad=True) * 2
    >>> y.requires_grad
    False
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def is_recording() -> bool:
    """Whether ops on Tensors leave a tape here: true outside `no_grad`."""
    return _recording.get()


def nothing_kept(gradient: Any) -> tuple[Any, ...]:
    """The vjp of a kernel that ran inside `no_grad` and kept nothing for it."""
    raise RuntimeError("there is no gradient of what was computed inside no_grad: compute it outside")


class _OpTable(Namespace):
    """The namespace of Tensors: the ops, each under its array API name. `ops` fills it."""

    concat: Any  # takes a sequence, as the array API has it

    def __init__(self) -> None:
        self.name = "tensor"

    def __getattr__(self, attribute: str) -> Any:
        importlib.import_module("ddpm_np.autograd.ops")  # fills the table, where nobody has imported the ops yet
        if attribute in vars(self):
            return vars(self)[attribute]
        raise AttributeError(f"there is no op {attribute!r} for Tensors; see ddpm_np.autograd.ops for those there are")

    @staticmethod
    def stop_gradient(x: Any) -> Any:
        """The same values with no tape behind them: ∂/∂x is taken as 0."""
        return Tensor(x.data) if isinstance(x, Tensor) else x


OPS = _OpTable()


class Node:
    """One op on the tape: the edges to what its inputs came from, and the vjp that leads back along them."""

    __slots__ = ("depth", "dtype", "edges", "name", "shape", "vjp")

    def __init__(self, name: str, inputs: Sequence[Any], vjp: Callable[[Any], tuple], output: Any):
        self.name = name
        self.edges: tuple[Node | Tensor | None, ...] | None = tuple(_edge(x) for x in inputs)
        self.vjp: Callable[[Any], tuple] | None = vjp
        self.shape, self.dtype = output.shape, output.dtype
        self.depth: int = 1 + max(edge.depth for edge in self.edges if edge is not None)

    def release(self) -> tuple[Callable[[Any], tuple], tuple[Node | Tensor | None, ...]]:
        """The vjp and edges, let go of here: what they keep alive is freed once the caller is done."""
        if self.vjp is None or self.edges is None:
            raise RuntimeError(
                f"backward came twice to the same {self.name!r}: the tape is freed as it is walked; compute the "
                "output again, or add the outputs up before one backward"
            )
        vjp, edges = self.vjp, self.edges
        self.vjp = self.edges = None
        return vjp, edges


def _edge(x: Any) -> Node | Tensor | None:
    """Where a gradient for `x` goes: the node that made it, the leaf itself, or nowhere."""
    return (x.node or x) if isinstance(x, Tensor) and x.requires_grad else None


class Tensor:
    """An array with a gradient.

    Parameters
    ----------
    data
        An array of any backend, shared, not copied; a list or number becomes a float32 NumPy array.
    requires_grad
        Whether `backward` gives this Tensor a `.grad`. Needs a floating dtype.

    Attributes
    ----------
    data
        The array. Assigning copies into it: ``p.data = array``.
    grad
        None, or an array like `data`, this Tensor's own, to which each `backward` adds.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.], dtype=float32)
    """

    __slots__ = ("_data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # an array times a Tensor asks the Tensor
    depth = 0  # of a leaf on the tape

    def __init__(self, data: Any, requires_grad: bool = False):
        if isinstance(data, Tensor):
            data = data.data
        elif isinstance(data, (list, tuple, int, float)) and not hasattr(data, "dtype"):  # a NumPy float64 is a float
            data = backend.get_backend("numpy").to_device(data, "float32")
        else:
            of(data)  # raises for what is no array
            data = backend.asarray(data)
        if requires_grad and not backend.is_floating(data):
            raise TypeError(f"only floating numbers have gradients, got dtype {data.dtype}: convert the data first")
        self._data = data
        self.requires_grad = requires_grad
        self.grad: Any = None
        self.node: Node | None = None

    @classmethod
    def from_op(cls, data: Any, node: Node | None) -> Tensor:
        """The output of an op: `data`, made by `node` (None: no gradient wanted)."""
        self = cls.__new__(cls)
        self._data, self.node, self.requires_grad, self.grad = data, node, node is not None, None
        return self

    @property
    def data(self) -> Any:
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        value = backend.backend_of(self._data).to_device(getattr(value, "data", value) if isinstance(value, Tensor)
                                                         else value)
        if value.shape != self._data.shape:
            raise ValueError(f"expected data of shape {self._data.shape}, got {value.shape}: reshape it first")
        self._data[...] = value

    shape = property(lambda self: self._data.shape)
    dtype = property(lambda self: self._data.dtype)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"Tensor({self._data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return OPS

    def backward(self, gradient: Any = None) -> None:
        """Add ∂(self · gradient)/∂leaf to the `.grad` of every leaf that requires one.

        Parameters
        ----------
        gradient
            The cotangent, of this Tensor's shape; may be left out for a single number, where it is 1.
        """
        for leaf, g, owned in _walk(self, gradient):
            if leaf.grad is not None:
                leaf.grad += g
            else:
                leaf.grad = g if owned else of(g).astype(g, g.dtype, copy=True)

    # Arithmetic asks the op table by the array API's names.
    def __add__(self, other): return OPS.add(self, other)
    def __radd__(self, other): return OPS.add(other, self)
    def __sub__(self, other): return OPS.subtract(self, other)
    def __rsub__(self, other): return OPS.subtract(other, self)
    def __mul__(self, other): return OPS.multiply(self, other)
    def __rmul__(self, other): return OPS.multiply(other, self)
    def __truediv__(self, other): return OPS.divide(self, other)
    def __rtruediv__(self, other): return OPS.divide(other, self)
    def __matmul__(self, other): return OPS.matmul(self, other)
    def __rmatmul__(self, other): return OPS.matmul(other, self)
    def __neg__(self): return OPS.negative(self)
    def __pow__(self, exponent): return OPS.pow(self, exponent)
    def __getitem__(self, index): return OPS.getitem(self, index)
    def sum(self, axis=None, keepdims=False): return OPS.sum(self, axis=axis, keepdims=keepdims)
    def mean(self, axis=None, keepdims=False): return OPS.mean(self, axis=axis, keepdims=keepdims)
    def reshape(self, *shape): return OPS.reshape(self, shape[0] if len(shape) == 1 else shape)


def gradients(output: Tensor, inputs: Sequence[Tensor], cotangent: Any = None,
              into: Sequence[Any] | None = None) -> list[Any]:
    """∂(output · cotangent)/∂x for each leaf x of `inputs`; None for one that `output` does not depend on.

    Touches no `.grad`, so that several threads may differentiate with respect to the same Tensors. The arrays
    are read-only and may share memory; or they are those of `into`, one an input, each written as soon as it is known
    (and zeros where there is no dependence).

    >>> x = Tensor([3.0], requires_grad=True)
    >>> gradients((x * x).sum(), [x])
    [array([6.], dtype=float32)]
    """
    buffers = {} if into is None else {id(x): array for x, array in zip(inputs, into, strict=True)}
    found = {id(leaf): g for leaf, g, _ in _walk(output, cotangent, buffers)}
    for key in buffers.keys() - found.keys():
        buffers[key][...] = 0
    return [found.get(id(x)) for x in inputs] if into is None else list(into)


def _walk(output: Tensor, cotangent: Any, buffers: dict[int, Any] | None = None) -> Iterator[tuple[Tensor, Any, bool]]:
    """The backward pass: yield (leaf, gradient, whether its buffer was made here) for every leaf.

    `buffers` holds arrays for the gradients of some leaves, by the leaf's id.
    """
    buffers = buffers or {}
    if not isinstance(output, Tensor) or not output.requires_grad:
        raise ValueError("backward needs an output that depends on a Tensor with requires_grad=True (outside no_grad)")
    xp = of(output.data)
    if cotangent is None:
        if output.size != 1:
            raise ValueError(f"backward of a Tensor of shape {output.shape} needs a gradient of that shape")
        cotangent = xp.ones_like(output.data)
    else:
        cotangent = cotangent.data if isinstance(cotangent, Tensor) else cotangent
        cotangent = backend.backend_of(output.data).to_device(cotangent, output.dtype)
    if tuple(cotangent.shape) != tuple(output.shape):
        raise ValueError(f"expected a gradient of shape {output.shape}, got {tuple(cotangent.shape)}")
    if output.node is None:
        yield output, *_kept(cotangent, output, buffers)
        return

    pending: dict[int, tuple[Any, bool]] = {id(output.node): (cotangent[...], False)}
    leaves: dict[int, Tensor] = {}
    order = 0
    heap: list[tuple[int, int, Node]] = [(-output.node.depth, order, output.node)]
    while heap:
        node = heapq.heappop(heap)[2]
        g, _ = pending.pop(id(node))
        vjp, edges = node.release()
        parts = vjp(backend.freeze(g))
        if len(parts) < len(edges):
            raise AssertionError(f"the vjp of {node.name} gave {len(parts)} gradients for {len(edges)} inputs")
        for edge, part in zip(edges, parts, strict=False):  # an optional input left out has a part and no edge
            if edge is None:
                continue  # a gradient nobody wants: a part that is a function is not called
            if part is None:
                raise TypeError(f"{node.name} has no gradient for one of its inputs: pass that one as an array")
            add = _fit(part() if callable(part) else part, edge, node)
            if id(edge) in pending:
                pending[id(edge)] = (_accumulate(*pending[id(edge)], add), True)
                continue
            pending[id(edge)] = _kept(add, edge, buffers)
            if isinstance(edge, Tensor):
                leaves[id(edge)] = edge
            else:
                order += 1
                heapq.heappush(heap, (-edge.depth, order, edge))
        del g, vjp, edges, parts, part, add  # what the closures kept is freed before the next one runs
    for key, leaf in leaves.items():
        yield (leaf, *pending[key])


def _kept(g: Any, edge: Node | Tensor, buffers: dict[int, Any]) -> tuple[Any, bool]:
    """The first gradient of an edge, in its buffer if it has one, and whether it may be added to in place."""
    buffer = buffers.get(id(edge))
    if buffer is None:
        return g, False
    buffer[...] = g
    return buffer, True


def _accumulate(total: Any, owned: bool, g: Any) -> Any:
    """total + g, in place where `total` is a buffer of the backward pass's own."""
    if not owned:
        return backend.asarray(total + g)
    total += g
    return total


def _fit(g: Any, edge: Node | Tensor, node: Node) -> Any:
    """`g` with the shape and dtype of what it is the gradient of: broadcasting is undone here, for all ops."""
    xp = of(g)
    g = backend.asarray(g)
    if g.shape != edge.shape:
        g = undo_broadcasting(g, edge.shape, node.name)
    if g.dtype != edge.dtype:
        g = xp.astype(g, edge.dtype)
    return g


def undo_broadcasting(g: Any, shape: tuple[int, ...], name: str = "op") -> Any:
    """Sum `g` over the axes along which an array of `shape` was broadcast to ``g.shape``."""
    xp = of(g)
    extra = g.ndim - len(shape)
    if extra < 0 or any(g.shape[extra + i] != n and n != 1 for i, n in enumerate(shape)):
        raise AssertionError(f"the vjp of {name} gave a gradient of shape {g.shape} for an input of shape {shape}")
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1
    )
    if axes and axes == tuple(range(axes[0], axes[-1] + 1)) and axes[-1] < g.ndim - 1:
        # Neighbouring axes, not the last: a row of ones times stacked matrices, many times as fast as NumPy's sums.
        before, along, after = (math.prod(part) for part in (
            g.shape[: axes[0]], g.shape[axes[0] : axes[-1] + 1], g.shape[axes[-1] + 1 :]))
        g = xp.matmul(xp.ones((1, along), dtype=g.dtype), xp.reshape(g, (before, along, after)))
    else:
        g = xp.sum(g, axis=axes)
    return backend.asarray(xp.reshape(g, shape))
