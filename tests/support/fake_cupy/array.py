"""The fake device's array: a NumPy array behind CuPy's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from fake_cupy import device, memory, ufuncs, writes
from fake_cupy.device import DuplicateIndices, HiddenTransfer, counts
from fake_cupy.signatures import NDARRAY, check_call

__all__ = ["asarray", "ndarray", "unwrap", "wrap"]


_COMPARISONS = ("less", "less_equal", "equal", "not_equal", "greater", "greater_equal")


class Flags:
    """What CuPy knows of an array's memory: nothing of its being writeable."""

    def __init__(self, a: np.ndarray):
        self.c_contiguous, self.f_contiguous = a.flags.c_contiguous, a.flags.f_contiguous
        self.owndata = a.flags.owndata

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


class MemoryPointer:
    """Stands where CuPy has a pointer into the device: no array, and nothing that NumPy can read."""


def _refuse(what: str) -> Callable[..., NoReturn]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> NoReturn:
        raise HiddenTransfer(f"{what} of a device array waits for the device and copies from it: "
                             "ddpm_np.backend.to_host is the one way back")

    return method


def _defers_to(other: Any) -> bool:
    """Whether CuPy leaves an operation to the other operand, as it does to a Tensor."""
    return getattr(type(other), "__array_ufunc__", False) is None


def _binary(name: str) -> tuple[Callable, Callable, Callable]:
    """The forward, reflected and in-place operators of a ufunc."""

    def forward(self: ndarray, other: Any) -> Any:
        return NotImplemented if _defers_to(other) else ufuncs.call(name, self, other)

    def reflected(self: ndarray, other: Any) -> Any:
        return NotImplemented if _defers_to(other) else ufuncs.call(name, other, self)

    def in_place(self: ndarray, other: Any) -> Any:
        return ufuncs.call(name, self, other, out=self)

    return forward, reflected, in_place


def _method(name: str) -> Callable:
    """A method that is the function of the same name, with the method's own parameters."""

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        from fake_cupy.functions import TABLE

        check_call(f"ndarray.{name}", NDARRAY[name], (self, *args), kwargs)
        return TABLE[name](self, *args, **kwargs)

    return method


class ndarray:
    """An array of the pretend device. Made by the module's functions alone."""

    __module__ = "cupy"  # what ddpm_np.backend knows a device array by
    __slots__ = ("_memory",)
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError("cupy.ndarray(shape): make an array with zeros, empty or asarray")

    @property
    def _a(self) -> np.ndarray:
        device.use()
        return self._memory

    # What the host knows of an array without asking the device.
    dtype = property(lambda self: self._memory.dtype)
    shape = property(lambda self: self._memory.shape)
    ndim = property(lambda self: self._memory.ndim)
    size = property(lambda self: self._memory.size)
    nbytes = property(lambda self: self._memory.nbytes)
    itemsize = property(lambda self: self._memory.itemsize)
    strides = property(lambda self: self._memory.strides)
    flags = property(lambda self: Flags(self._memory))
    data = property(lambda self: MemoryPointer())
    T = property(lambda self: wrap(self._a.T))
    mT = property(lambda self: wrap(self._a.mT))
    real = property(lambda self: wrap(self._a.real))
    imag = property(lambda self: wrap(self._a.imag))

    def __repr__(self) -> str:
        return f"<device array {self.dtype} {self.shape}>"  # CuPy would copy the numbers; a test's report need not

    # What would copy to the host without being asked.
    __float__, __int__, __complex__ = _refuse("float()"), _refuse("int()"), _refuse("complex()")
    __bool__, __bytes__, __reduce__ = _refuse("the truth value"), _refuse("bytes()"), _refuse("a pickle")
    get, item, tolist = _refuse(".get()"), _refuse(".item()"), _refuse(".tolist()")
    tobytes, tofile, dump, dumps = _refuse(".tobytes()"), _refuse(".tofile()"), _refuse(".dump()"), _refuse(".dumps()")
    nonzero, __format__ = _refuse(".nonzero()"), _refuse("formatting")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """``np.float64(2) * x`` comes here and is meant; ``np.exp(x)`` does too, works on CuPy, and is not."""
        if method == "__call__" and len(inputs) == 2 and isinstance(inputs[1], ndarray) and not kwargs:
            left = inputs[0]
            if isinstance(left, np.ndarray) and left.ndim == 0 and ufunc.__name__ in _COMPARISONS:
                left = left.item()  # NumPy's scalars compare as 0-d arrays
            if device.is_scalar(left):
                return ufuncs.call(ufunc.__name__, left, inputs[1])
        for x in inputs:
            if isinstance(x, np.ndarray):
                raise device.unsupported(x)
        raise TypeError(f"numpy.{ufunc.__name__} of a device array: compute through xp = of(x)")

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise TypeError(f"numpy.{func.__name__} of a device array: compute through xp = of(x)")

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[ndarray]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        if self.ndim == 1:
            raise HiddenTransfer("going through a device array number by number: compute on the whole array")
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, index: Any) -> ndarray:
        index, arrays = _prepare_index(index)
        if arrays:
            return wrap(device.lay_out(np.asarray(self._a[index])))
        return wrap(self._a[index if Ellipsis in index else (*index, ...)])  # with an Ellipsis no scalar comes out

    def __setitem__(self, index: Any, value: Any) -> None:
        index, arrays = _prepare_index(index)
        if not (isinstance(value, ndarray) or device.is_scalar(value)):
            raise device.unsupported(value)
        if arrays:
            _scatter(self, index, value)
            return
        destination = self._a[index if Ellipsis in index else (*index, ...)]
        if isinstance(value, ndarray):
            source = value._a
            if source.ndim > destination.ndim and source.shape[: source.ndim - destination.ndim].count(1) == (
                    source.ndim - destination.ndim):
                source = source.reshape(source.shape[source.ndim - destination.ndim :])
            if source.shape == destination.shape and source.strides == destination.strides:
                if writes.same_elements(source, destination):
                    return  # what `x[1:] += 1` comes to
                if destination.flags.c_contiguous and source.dtype == destination.dtype:
                    writes.check_copy(destination, source)  # else CuPy copies an operand that overlaps
            value = source.copy()
        writes.write(destination, value)

    __add__, __radd__, __iadd__ = _binary("add")
    __sub__, __rsub__, __isub__ = _binary("subtract")
    __mul__, __rmul__, __imul__ = _binary("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _binary("true_divide")
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary("floor_divide")
    __mod__, __rmod__, __imod__ = _binary("remainder")
    __pow__, __rpow__, __ipow__ = _binary("power")
    __lshift__, __rlshift__, __ilshift__ = _binary("left_shift")
    __rshift__, __rrshift__, __irshift__ = _binary("right_shift")
    __and__, __rand__, __iand__ = _binary("bitwise_and")
    __or__, __ror__, __ior__ = _binary("bitwise_or")
    __xor__, __rxor__, __ixor__ = _binary("bitwise_xor")
    __lt__, __le__, __gt__ = _binary("less")[0], _binary("less_equal")[0], _binary("greater")[0]
    __ge__, __eq__, __ne__ = _binary("greater_equal")[0], _binary("equal")[0], _binary("not_equal")[0]

    def __matmul__(self, other: Any) -> Any:
        from fake_cupy.functions import matmul

        return NotImplemented if _defers_to(other) else matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        raise device.unsupported(other)  # what is on the device has come to __matmul__

    def __neg__(self) -> Any: return ufuncs.call("negative", self)
    def __pos__(self) -> ndarray: return self
    def __abs__(self) -> Any: return ufuncs.call("absolute", self)
    def __invert__(self) -> Any: return ufuncs.call("invert", self)
    def __copy__(self) -> ndarray: return self.copy()
    def __deepcopy__(self, memo: Any) -> ndarray: return self.copy()
    def conj(self) -> Any: return ufuncs.call("conj", self)
    conjugate = conj

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
               copy: bool = True) -> ndarray:
        dtype = device.supported(dtype)
        if dtype == self.dtype and not copy:
            return self
        a = np.array(writes.cast(self._a, dtype, order), order=order)
        return wrap(device.keep_layout(a) if order == "K" else a)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> ndarray:
        limits = np.iinfo(self.dtype) if self.dtype.kind in "iu" else None
        if self.dtype.kind == "f":
            min = self.dtype.type("-inf") if min is None else min
            max = self.dtype.type("inf") if max is None else max
        elif limits is not None:
            min, max = limits.min if min is None else min, limits.max if max is None else max
        return ufuncs.call("clip", self, min, max, out=out)

    def copy(self, order: str = "C") -> ndarray: return wrap(self._a.copy(order=order))
    def flatten(self, order: str = "C") -> ndarray: return wrap(self._a.flatten(order=order))
    def view(self, dtype: Any = None, type: Any = None) -> ndarray: return wrap(self._a.view(dtype or self.dtype))

    def fill(self, value: Any) -> None:
        self[...] = value

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> ndarray:
        options = {} if copy is None else {"copy": copy}  # NumPy 2.0 does not know it
        return wrap(self._a.reshape(*shape, order=order, **options))

    def transpose(self, *axes: Any) -> ndarray: return wrap(self._a.transpose(*axes))

    all, any, argmax, argmin = map(_method, ("all", "any", "argmax", "argmin"))
    argsort, cumprod, cumsum, diagonal = map(_method, ("argsort", "cumprod", "cumsum", "diagonal"))
    dot, max, mean, min = map(_method, ("dot", "max", "mean", "min"))
    prod, ravel, repeat, round = map(_method, ("prod", "ravel", "repeat", "round"))
    squeeze, std, sum, swapaxes = map(_method, ("squeeze", "std", "sum", "swapaxes"))
    take, trace, var = map(_method, ("take", "trace", "var"))


def wrap(a: np.ndarray) -> ndarray:
    """A device array that is `a`: nothing is copied."""
    device.use()
    self = object.__new__(ndarray)
    self._memory = a
    memory.count(a)
    return self


def unwrap(x: Any) -> Any:
    """`x` with NumPy arrays for device arrays, in lists, tuples and dicts too; a NumPy array among them is refused."""
    if isinstance(x, ndarray):
        return x._a
    if isinstance(x, np.ndarray):
        raise device.unsupported(x)
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)(unwrap(part) for part in x)
    if isinstance(x, dict):
        return {key: unwrap(value) for key, value in x.items()}
    if hasattr(type(x), "__array_ufunc__") and not isinstance(x, np.generic):
        raise device.unsupported(x)  # a Tensor, say
    return x


def _prepare_index(index: Any) -> tuple[Any, bool]:
    """The index as NumPy takes it, and whether there is an array in it."""
    parts = index if isinstance(index, tuple) else (index,)
    prepared, arrays = [], False
    for part in parts:
        if isinstance(part, ndarray):
            if part.dtype.kind == "b":
                raise HiddenTransfer("indexing by a mask waits for the device to learn how many there are: use where")
            if part.dtype.kind not in "iu":
                raise IndexError(f"arrays used as indices must be of integer or boolean type, got {part.dtype}")
            arrays = True
            prepared.append(part._a)
        elif isinstance(part, (np.ndarray, list, tuple)):
            raise TypeError(f"a host {type(part).__name__} as an index is copied to the device: use a device array")
        elif isinstance(part, (bool, np.bool_)):
            raise TypeError("a bool as an index is copied to the device")
        elif part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer)):
            prepared.append(part)
        else:
            raise IndexError(f"{type(part).__name__} is no index")
    return tuple(prepared), arrays


def _scatter(a: ndarray, index: tuple, value: Any) -> None:
    """Assign to elements that arrays of integers choose: one kernel, which copies nothing that overlaps."""
    positions = np.arange(a.size).reshape(a.shape)[index]
    if np.unique(positions).size != positions.size:
        raise DuplicateIndices("an assignment with duplicate indices: on a device either value may stay")
    writes.check_destination(a._a)
    operands = [i for i in index if isinstance(i, np.ndarray)]
    if isinstance(value, ndarray):
        value = value._a
        if value.dtype == a.dtype:
            operands.append(value)  # of another dtype, CuPy takes a copy
    else:
        counts.hidden_uploads += 1  # CuPy makes an array of the number
        value = np.asarray(value) if isinstance(value, np.generic) else np.asarray(value, dtype=a.dtype)
    if any(writes.overlap(a._a, x) for x in operands):
        raise writes.OverlappingWrite("an assignment to indexed elements from the array's own memory: on a device some "
                                      "of it may have been written before it is read")
    a._a[index] = writes.cast(value, a.dtype)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None,
            blocking: bool = False) -> ndarray:
    """`a` on the device: itself if it is there, else an upload, which is counted."""
    if isinstance(a, ndarray):
        same = dtype is None or np.dtype(dtype) == a.dtype
        if same and order is None and not copy:
            return a
        converted = a._a if dtype is None else writes.cast(a._a, device.supported(dtype))
        return wrap(np.array(converted, copy=copy, order=order))
    if isinstance(a, (list, tuple)) and any(isinstance(x, ndarray) for x in a):
        raise TypeError("a list of device arrays: join them with stack")
    host = np.asarray(a)
    device.supported(host.dtype)
    counts.uploads += 1
    return wrap(np.array(host, dtype=None if dtype is None else device.supported(dtype), order=order or "K"))
