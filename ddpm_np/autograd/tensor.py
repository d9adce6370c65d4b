"""Tensor: an array with a record of how it was computed, and its derivatives along that record, the `tape`."""

from __future__ import annotations

import contextlib
import contextvars
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from ddpm_np import backend
from ddpm_np.arguments import described
from ddpm_np.autograd.tape import Edge, Gradients, Node, Writes, kept, walk
from ddpm_np.backend import Array, Namespace, of

Axes = int | tuple[int, ...] | None  # of a reduction; None: all

_recording: contextvars.ContextVar[bool] = contextvars.ContextVar("recording", default=True)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Provide a context in which ops on Tensors record no tape.

    Examples
    --------
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
    """Return whether ops on Tensors record a tape here: True outside `no_grad`.

    Returns
    -------
    bool
    """
    return _recording.get()


def nothing_kept(gradient: Array) -> Gradients:
    """Raise an error: the vjp of a kernel that ran inside `no_grad` and saved nothing.

    Parameters
    ----------
    gradient : array
        Ignored.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError("what was computed inside no_grad has no gradient: compute it outside")


class _OpTable(Namespace):
    """The namespace of Tensors: the ops by their array API names. `ops` fills it."""

    concat: Any  # takes a sequence, as in the array API

    def __init__(self) -> None:
        self.name = "tensor"

    def __getattr__(self, attribute: str) -> Any:
        importlib.import_module("ddpm_np.autograd.ops")  # fills the table, unless it has been imported before
        if attribute in vars(self):
            return vars(self)[attribute]
        raise AttributeError(f"there is no op {attribute!r} for Tensors; ddpm_np.autograd.ops has those that exist")

    def __reduce__(self) -> str:  # type: ignore[override]
        return "OPS"  # there is one

    @staticmethod
    def stop_gradient(x: Any) -> Any:
        """Return the values of `x` without their tape, so that ∂/∂x is 0."""
        return Tensor.from_op(x.data, None, x.writes) if isinstance(x, Tensor) else x


OPS = _OpTable()


class Tensor:
    """An array with a gradient.

    Parameters
    ----------
    data : array, Tensor, list or number
        An array of any backend is shared, not copied; a list or number becomes a float32 NumPy array.
    requires_grad : bool
        Whether `backward` gives this Tensor a `grad`. Needs a floating dtype.

    Attributes
    ----------
    data : array
        The array. Assigning copies into it: ``p.data = array``. Between forward and backward that is refused, by
        `backward`, where a gradient needs the old numbers. Writing into the array itself, as in ``p.data[0] = 1``, is
        not noticed: do it before the forward pass or after `backward`.
    grad : array or None
        The gradient, of the shape and dtype of `data`. Each `backward` adds to it.
    shape, dtype, ndim, size : those of `data`

    Raises
    ------
    TypeError
        If `data` is not an array, or a gradient is required of integers or booleans.
    ValueError
        If a list's rows have different lengths.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.], dtype=float32)
    """

    __slots__ = ("_data", "grad", "node", "requires_grad", "writes")
    __array_ufunc__ = None  # an array times a Tensor calls Tensor.__rmul__
    depth = 0  # of a leaf on the tape

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.writes: Writes = [0]
        if isinstance(data, Tensor):
            self.writes = data.writes  # it shares the array
            data = data.data
        elif isinstance(data, (list, tuple, int, float)) and not hasattr(data, "dtype"):  # a NumPy float64 is a float
            try:
                data = backend.get_backend("numpy").to_device(data, "float32")
            except (TypeError, ValueError) as error:
                raise type(error)(f"a list must hold numbers, in rows of one length, got {described(data)}") from error
        else:
            of(data)  # raises unless it is an array
            data = backend.asarray(data)
            if not hasattr(data, "dtype"):
                raise TypeError(f"expected an array, a list or a real number, got {data!r}")
        if requires_grad and not backend.is_floating(data):
            raise TypeError(f"only floating-point data has a gradient, got dtype {data.dtype}: convert the data first")
        self._data = data
        self.requires_grad = requires_grad
        self.grad: Any = None
        self.node: Node | None = None

    @classmethod
    def from_op(cls, data: Array, node: Node | None, writes: Writes) -> Tensor:
        """Return the output of an op.

        Parameters
        ----------
        data : array
        node : Node or None
            The op on the tape, or None where no gradient is wanted.
        writes : list of one int
            The count of assignments to the array, shared with Tensors that share its memory.

        Returns
        -------
        Tensor
        """
        self = cls.__new__(cls)
        self._data, self.node, self.requires_grad, self.grad = data, node, node is not None, None
        self.writes = writes
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled; a tape is neither, as it belongs to one computation."""
        if self.node is not None:
            raise TypeError("a Tensor that was computed cannot be copied or pickled with its tape: take Tensor(x.data)")
        return {"_data": self._data, "requires_grad": self.requires_grad, "grad": self.grad,
                "writes": self.writes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._data, self.requires_grad, self.grad = state["_data"], state["requires_grad"], state["grad"]
        self.node, self.writes = None, state["writes"]

    @property
    def data(self) -> Array:
        """The array.

        Returns
        -------
        array
        """
        return self._data

    @data.setter
    def data(self, value: Any) -> None:  # numpydoc ignore=GL08
        value = backend.backend_of(self._data).to_device(value.data if isinstance(value, Tensor) else value)
        for kind in ("complex", "float"):  # what a conversion would cut off
            if kind in str(value.dtype) and "complex" not in str(self.dtype) and kind not in str(self.dtype):
                raise TypeError(f"expected data of dtype {self.dtype}, got {value.dtype}: convert it first")
        if not getattr(getattr(self._data, "flags", None), "writeable", True):
            raise ValueError("this Tensor's array is read-only: make the Tensor of a copy of it")
        if value.shape != self._data.shape:
            raise ValueError(f"expected data of shape {self._data.shape}, got {value.shape}: reshape it first")
        self._data[...] = value
        self.writes[0] += 1

    shape = property(lambda self: self._data.shape)
    dtype = property(lambda self: self._data.dtype)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("a Tensor of shape () has no rows to iterate over: its number is float(x.data)")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Tensor({self._data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return OPS

    # Without these, NumPy would make an array of objects, `if x` would mean len(x) > 0, and x == y would mean x is y.
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError("a Tensor is not a NumPy array: pass its array, x.data")

    def __bool__(self) -> bool:
        raise TypeError("a Tensor has no truth value: use its array, x.data")

    def __eq__(self, other: object) -> bool:
        raise TypeError("Tensors cannot be compared: compare their arrays, x.data")

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = object.__hash__  # by identity

    def backward(self, gradient: Any = None) -> None:
        """Add ∂(self · gradient)/∂leaf to the `grad` of every leaf that requires one.

        Parameters
        ----------
        gradient : array or Tensor, optional
            The cotangent, of this Tensor's shape. It is 1 by default, for a single number.

        Raises
        ------
        ValueError
            If nothing on the tape requires a gradient, or `gradient` has another shape.
        RuntimeError
            If the tape has been walked before.
        """
        for leaf, g, owned in _backward(self, gradient):
            if leaf.grad is not None:
                leaf.grad += g
            else:
                leaf.grad = g if owned else of(g).astype(g, g.dtype, copy=True)

    # Arithmetic goes to the op table by the array API's names.
    def __add__(self, other: Any) -> Tensor: return OPS.add(self, other)
    def __radd__(self, other: Any) -> Tensor: return OPS.add(other, self)
    def __sub__(self, other: Any) -> Tensor: return OPS.subtract(self, other)
    def __rsub__(self, other: Any) -> Tensor: return OPS.subtract(other, self)
    def __mul__(self, other: Any) -> Tensor: return OPS.multiply(self, other)
    def __rmul__(self, other: Any) -> Tensor: return OPS.multiply(other, self)
    def __truediv__(self, other: Any) -> Tensor: return OPS.divide(self, other)
    def __rtruediv__(self, other: Any) -> Tensor: return OPS.divide(other, self)
    def __matmul__(self, other: Any) -> Tensor: return OPS.matmul(self, other)
    def __rmatmul__(self, other: Any) -> Tensor: return OPS.matmul(other, self)
    def __neg__(self) -> Tensor: return OPS.negative(self)
    def __pow__(self, exponent: float) -> Tensor: return OPS.pow(self, exponent)
    def __getitem__(self, index: Any) -> Tensor: return OPS.getitem(self, index)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Return the sum over axes, as the op of this name.

        Parameters
        ----------
        axis : int or tuple of int, optional
            All axes by default.
        keepdims : bool
            Whether to keep the axes, with length 1.

        Returns
        -------
        Tensor
        """
        return OPS.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Return the mean over axes, as the op of this name.

        Parameters
        ----------
        axis : int or tuple of int, optional
            All axes by default.
        keepdims : bool
            Whether to keep the axes, with length 1.

        Returns
        -------
        Tensor
        """
        return OPS.mean(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """Return the same elements in another shape, in C order.

        Parameters
        ----------
        *shape : int, or one tuple of int

        Returns
        -------
        Tensor
        """
        return OPS.reshape(self, shape[0] if len(shape) == 1 else shape)


def gradients(output: Tensor, inputs: Sequence[Tensor], cotangent: Any = None,
              into: Sequence[Array] | None = None) -> list[Any]:
    """Return ∂(output · cotangent)/∂x for each leaf x of `inputs`, touching no `grad`.

    Several threads may therefore differentiate with respect to the same Tensors.

    Parameters
    ----------
    output : Tensor
        What is differentiated.
    inputs : sequence of Tensor
        The leaves.
    cotangent : array or Tensor, optional
        Of the output's shape. It is 1 by default, for a single number.
    into : sequence of array, optional
        One array for each input, to write its gradient into as soon as it is known (zeros where the output does not
        depend on the input).

    Returns
    -------
    list of array or None
        The arrays of `into`; without it read-only arrays, which may share memory. None for an input that the output
        does not depend on.

    Raises
    ------
    ValueError
        If nothing on the tape requires a gradient, or `cotangent` has another shape.
    RuntimeError
        If the tape has been walked before.

    Examples
    --------
    >>> x = Tensor([3.0], requires_grad=True)
    >>> gradients((x * x).sum(), [x])
    [array([6.], dtype=float32)]
    """
    buffers = {} if into is None else {id(x): array for x, array in zip(inputs, into, strict=True)}
    found = {id(leaf): g for leaf, g, _ in _backward(output, cotangent, buffers)}
    for key in buffers.keys() - found.keys():
        buffers[key][...] = 0
    return [found.get(id(x)) for x in inputs]


def edge_of(x: Any) -> Edge:
    """Return where a gradient for `x` goes: the node that made it, the leaf itself, or None.

    Parameters
    ----------
    x : Tensor, or anything else, which has no gradient

    Returns
    -------
    Node, Tensor or None
    """
    return (x.node or x) if isinstance(x, Tensor) and x.requires_grad else None


def _backward(output: Tensor, cotangent: Any,
              buffers: dict[int, Array] | None = None) -> Iterator[tuple[Tensor, Array, bool]]:
    """Yield (leaf, gradient, whether the leaf may keep that array) for every leaf: see `walk`."""
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
        yield output, *kept(cotangent, output, buffers)
    else:
        yield from walk(output.node, cotangent, buffers)
