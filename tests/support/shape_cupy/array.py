"""The array of shapes: it has a shape, strides, a dtype and a place in memory, and no numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fake_cupy import memory as device_memory
from fake_cupy.signatures import MODULE, SPECIAL, find_loop
from fake_cupy.ufuncs import _operand
from numpy.lib.stride_tricks import as_strided

from shape_cupy.record import record

_UFUNCS = {**SPECIAL["ufuncs"], **MODULE["ufuncs"]}
_one_number: dict[np.dtype, np.ndarray] = {}


class Memory:
    """A block of the device's memory, counted while it lives."""

    __slots__ = ("give_back", "size")

    def __init__(self, size: int) -> None:
        self.size, self.give_back = 0, None
        self.give_back = device_memory.memory.malloc(size)
        self.size = record.allocate(size)

    def __del__(self) -> None:
        if record is None:
            return  # the interpreter ends, and has taken this module apart
        record.memory -= self.size
        if self.give_back is not None:  # None where memory was full
            self.give_back()


def _of_shape(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None = None) -> np.ndarray:
    """A NumPy array of this shape that takes no memory: all its numbers are one, whatever its strides say."""
    dtype = np.dtype(dtype)
    base = _one_number.setdefault(dtype, np.zeros(1, dtype))
    if strides is None:
        sizes = [dtype.itemsize]
        for n in reversed(shape[1:]):
            sizes.append(sizes[-1] * n)
        strides = tuple(reversed(sizes[: len(shape)])) if shape else ()
    return as_strided(base, shape, strides)


def new(shape: Any, dtype: Any) -> ndarray:
    """A fresh array in C order."""
    shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)
    a = _of_shape(shape, dtype)
    return _wrapped(a, Memory(a.nbytes))


def view(x: ndarray, a: np.ndarray) -> ndarray:
    """A view of the memory of x."""
    return _wrapped(a, x.memory)


def _wrapped(a: np.ndarray, memory: Memory) -> ndarray:
    self = object.__new__(ndarray)
    self._a, self.memory = a, memory
    return self


def touched(x: Any) -> int:
    """The bytes that reading an operand moves: a broadcast axis counts once."""
    if not isinstance(x, ndarray):
        return 0
    n = 1
    for size, stride in zip(x._a.shape, x._a.strides, strict=True):
        n *= size if stride != 0 else min(size, 1)
    return n * x.itemsize


class Flags:
    """What is known of an array's memory."""

    def __init__(self, a: np.ndarray):
        self.c_contiguous, self.f_contiguous = a.flags.c_contiguous, a.flags.f_contiguous


def ufunc(name: str) -> Callable:
    """``cupy.name``, with CuPy's choice of dtype."""

    def call(*args: Any, out: Any = None, dtype: Any = None) -> Any:
        arrays = [x for x in args if isinstance(x, ndarray)]
        operands = tuple(_operand(x, ndarray) for x in args)
        loop = find_loop(name, _UFUNCS[name], operands, None if dtype is None else np.dtype(dtype))
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
        y = new(shape, loop.outputs[0]) if out is None else out
        assert y.shape == shape, f"{name}: an output of {y.shape} for {shape}"
        record.add("elementwise", name, sum(map(touched, arrays)) + y.nbytes)
        return y

    return call


def _operators(name: str) -> tuple[Callable, Callable, Callable]:
    function = ufunc(name)

    def defers(x: Any) -> bool:
        return getattr(type(x), "__array_ufunc__", False) is None

    return (lambda self, other: NotImplemented if defers(other) else function(self, other),
            lambda self, other: NotImplemented if defers(other) else function(other, self),
            lambda self, other: function(self, other, out=self))


class ndarray:
    """An array of shapes."""

    __module__ = "cupy"  # what ddpm_np.backend knows a device array by
    __slots__ = ("_a", "memory")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    dtype = property(lambda self: self._a.dtype)
    shape = property(lambda self: self._a.shape)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a))
    T = property(lambda self: view(self, self._a.T))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getitem__(self, index: Any) -> ndarray:
        return view(self, self._a[_index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        y = self._a[_index(index)]
        if not isinstance(value, ndarray):
            record.add("fill", "fill", y.nbytes)
        elif value.memory is self.memory and (value.shape, value.strides) == (y.shape, y.strides):
            return  # itself, after an operation in place
        elif value.strides == y.strides and value.shape == y.shape and y.flags.c_contiguous and value.dtype == y.dtype:
            record.add("copy", "copy", 2 * y.nbytes)
        else:
            record.add("elementwise", "copy", y.nbytes + touched(value))

    __add__, __radd__, __iadd__ = _operators("add")
    __sub__, __rsub__, __isub__ = _operators("subtract")
    __mul__, __rmul__, __imul__ = _operators("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _operators("true_divide")
    __pow__, __rpow__, __ipow__ = _operators("power")
    __lshift__, __rlshift__, __ilshift__ = _operators("left_shift")
    __rshift__, __rrshift__, __irshift__ = _operators("right_shift")
    __and__, __rand__, __iand__ = _operators("bitwise_and")
    __or__, __ror__, __ior__ = _operators("bitwise_or")
    __xor__, __rxor__, __ixor__ = _operators("bitwise_xor")
    __lt__, __le__, __gt__ = _operators("less")[0], _operators("less_equal")[0], _operators("greater")[0]
    __ge__, __eq__, __ne__ = _operators("greater_equal")[0], _operators("equal")[0], _operators("not_equal")[0]

    def __neg__(self) -> Any: return ufunc("negative")(self)
    def __invert__(self) -> Any: return ufunc("invert")(self)

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        if np.dtype(dtype) == self.dtype and not copy:
            return self
        y = new(self.shape, dtype)
        record.add("elementwise", "astype", touched(self) + y.nbytes)
        return y

    def view(self, dtype: Any) -> ndarray:
        *shape, last = self.shape
        ratio = self.itemsize / np.dtype(dtype).itemsize
        assert self._a.flags.c_contiguous
        return view(self, _of_shape((*shape, int(last * ratio)), dtype))


def _index(index: Any) -> tuple[Any, ...]:
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        assert part is None or part is Ellipsis or isinstance(part, (slice, int)), f"{part!r} as an index"
    return parts if Ellipsis in parts else (*parts, ...)
