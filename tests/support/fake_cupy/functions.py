"""The fake module's functions that are not ufuncs, each with CuPy's own signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fake_cupy import device, ufuncs, writes
from fake_cupy.array import asarray, ndarray, unwrap, wrap
from fake_cupy.device import HiddenTransfer, counts

# Take arrays first, give arrays; NumPy's function of the same name does the arithmetic.
ARRAYS = [
    "all", "amax", "amin", "angle", "any", "append", "argmax", "argmin", "argsort", "around", "array_split",
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "concat",
    "concatenate", "cross", "cumprod", "cumsum", "diag", "diagonal", "diff", "digitize", "dot", "dsplit",
    "dstack", "einsum", "expand_dims", "flip", "fliplr", "flipud", "hsplit", "hstack", "imag", "inner",
    "isclose", "isneginf", "isposinf", "kron", "matrix_transpose", "max", "mean", "meshgrid", "min",
    "moveaxis", "nan_to_num", "nanmean", "nansum", "outer", "pad", "permute_dims", "prod",
    "ptp", "ravel", "real", "repeat", "reshape", "roll", "rollaxis", "rot90", "round", "searchsorted", "sort",
    "split", "squeeze", "stack", "std", "sum", "swapaxes", "take", "take_along_axis", "tensordot", "tile", "trace",
    "transpose", "trapezoid", "tril", "triu", "var", "vdot", "vsplit", "vstack", "allclose", "array_equal",
    "column_stack", "count_nonzero", "iscomplex", "isreal",
]
# How many of the first arguments are arrays, where it is not one. The others are the host's.
OPERANDS = {"append": 2, "array_equal": 2, "allclose": 2, "cross": 2, "digitize": 2, "dot": 2, "inner": 2, "isclose": 2,
            "kron": 2, "outer": 2, "searchsorted": 2, "take": 2, "take_along_axis": 2, "tensordot": 2, "trapezoid": 2,
            "vdot": 2, "broadcast_arrays": None, "meshgrid": None, "einsum": None}
_JOINS = ("column_stack", "concat", "concatenate", "dstack", "hstack", "stack", "vstack")
# Take shapes and numbers, give arrays.
CREATION = [
    "arange", "eye", "full", "full_like", "identity", "linspace", "logspace", "ones", "ones_like", "tri", "zeros",
    "zeros_like",
]
# Ask about dtypes and shapes alone: nothing on the device is touched.
HOST = [
    "broadcast_shapes", "can_cast", "iscomplexobj", "isdtype", "isrealobj", "isscalar", "issubdtype",
    "may_share_memory", "ndim", "promote_types", "result_type", "shape", "shares_memory", "size", "min_scalar_type",
    "finfo", "iinfo",
]
# The size or value of their result depends on the numbers: CuPy waits for the device inside. Or it makes arrays of
# numbers on the way.
WAITS = [
    "argwhere", "average", "bincount", "choose", "compress", "corrcoef", "cov", "delete", "extract", "flatnonzero",
    "gradient", "histogram", "histogram2d", "histogramdd", "in1d", "interp", "intersect1d", "isin", "median",
    "nanmax", "nanmedian", "nanmin", "nonzero", "percentile", "place", "put", "put_along_axis", "putmask", "quantile",
    "setdiff1d", "setxor1d", "trim_zeros", "union1d", "unique", "unique_all", "unique_counts", "unique_inverse",
    "unique_values",
]


def _check_arrays(name: str, x: Any) -> None:
    """Raise unless `x` is an array of the device, or a sequence of such."""
    sequence = x if isinstance(x, (list, tuple)) and x else [x]
    for item in sequence:
        if not isinstance(item, ndarray):
            raise TypeError(f"cupy.{name} takes arrays on the device, got {type(item)}")


def call_numpy(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """NumPy's function on what the arrays wrap: views stay views, what is fresh gets an awkward layout.

    But a reshaped copy is in C order, as CuPy's is.
    """
    out = kwargs.pop("out", None)
    if out is not None:
        raise NotImplementedError("out= of a function that is no ufunc: add it to the fake when it is needed")
    inputs = unwrap(list(args)), unwrap(kwargs)
    with np.errstate(all="ignore"):
        result = function(*inputs[0], **inputs[1])
    return wrap(result) if function in (np.reshape, np.ravel) else _wrap_result(result, _arrays_in(inputs))


def _arrays_in(x: Any) -> list[np.ndarray]:
    if isinstance(x, np.ndarray):
        return [x]
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ()
    return [a for part in parts for a in _arrays_in(part)]


def _wrap_result(result: Any, inputs: list[np.ndarray]) -> Any:
    if isinstance(result, (list, tuple)):
        return type(result)(_wrap_result(r, inputs) for r in result)
    result = np.asarray(result)  # NumPy's reductions give scalars: on a device they are 0-d arrays
    if any(np.may_share_memory(result, a) for a in inputs):
        return wrap(result)
    return wrap(device.lay_out(result))


def of_arrays(name: str) -> Callable:
    """``cupy.name`` of arrays."""
    function = getattr(np, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[1:] if name == "einsum" else args[: OPERANDS.get(name, 1)]
        for x in first:
            if not (name == "take" and device.is_scalar(x)):
                _check_arrays(name, x)
        if not first:
            raise TypeError(f"cupy.{name} takes arrays on the device, got {[type(x).__name__ for x in args]}")
        if any(isinstance(x, ndarray) for x in (*args[len(first) :], *kwargs.values())) and name not in (
                "einsum", "diff"):
            raise HiddenTransfer(f"cupy.{name} of a number on the device: pass a Python number")
        if name == "repeat" and not isinstance(args[1] if len(args) > 1 else kwargs.get("repeats"), (int, np.integer)):
            raise HiddenTransfer("cupy.repeat by several numbers waits for the device to learn their sum")
        if name in _JOINS:
            _count_addresses(args[0])
        return call_numpy(function, args, kwargs)

    return call


def _count_addresses(arrays: Any) -> None:
    """Count what CuPy uploads to join many small arrays of one dtype by one kernel: their addresses, at least."""
    if len(arrays) <= 8 or len({x.dtype for x in arrays}) > 1:
        return
    if sum(x.nbytes for x in arrays) >= 2 * 2**20 * len(arrays):
        return
    first = arrays[0]
    alike = all(x.shape == first.shape and x.flags.c_contiguous for x in arrays)
    counts.hidden_uploads += 1 if alike else 3  # else strides and sizes as well


def creating(name: str) -> Callable:
    """``cupy.name`` that makes an array, in C order as CuPy does."""
    function = getattr(np, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        first = 1 if name.endswith("_like") else 0
        if first:
            _check_arrays(name, args[0])
        if any(isinstance(x, ndarray) for x in (*args[first:], *kwargs.values())) and name not in ("full", "full_like"):
            raise HiddenTransfer(f"cupy.{name} of a number on the device: pass a Python number")
        result = function(*unwrap(list(args)), **unwrap(kwargs))
        device.supported(result.dtype)
        return wrap(result)

    return call


def asking(name: str) -> Callable:
    """``cupy.name``, whose answer is on the host without a copy."""
    return lambda *args, **kwargs: getattr(np, name)(*unwrap(list(args)), **unwrap(kwargs))


def waiting(name: str) -> Callable:
    """``cupy.name``, which a step must not call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        raise HiddenTransfer(f"cupy.{name} waits for the device to learn how large its result is")

    return call


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    dtype = device.supported(dtype)
    return wrap(np.full(shape, device.junk(dtype), dtype=dtype, order=order))


def empty_like(prototype: ndarray, dtype: Any = None, order: str = "K", subok: None = None,
               shape: Any = None) -> ndarray:
    _check_arrays("empty_like", prototype)
    dtype = device.supported(prototype.dtype if dtype is None else dtype)
    return wrap(np.full_like(prototype._a, device.junk(dtype), dtype=dtype, order=order, shape=shape))


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    """The one way back to the host, counted."""
    if stream is not None or out is not None:
        raise NotImplementedError("asnumpy(stream=, out=): add them to the fake when they are needed")
    if not isinstance(a, ndarray):
        return np.asarray(a, order=order)
    counts.transfers += 1
    return a._a.copy(order=order)


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    if not isinstance(x, ndarray):
        raise TypeError(f"Input should be a CuPy array. It is a {type(x)} instead.")
    return x.astype(dtype, copy=copy)


def clip(a: ndarray, a_min: Any, a_max: Any, out: Any = None) -> ndarray:
    _check_arrays("clip", a)
    return a.clip(a_min, a_max, out=out)


def where(condition: ndarray, x: Any = None, y: Any = None) -> ndarray:
    if x is None and y is None:
        raise HiddenTransfer("cupy.where of a condition alone waits for the device")
    _check_arrays("where", condition)  # CuPy calls condition.astype: a Python bool has no such thing
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    return ufuncs.call("where", condition.astype(bool, copy=False), x, y)


def matmul(*args: Any, out: Any = None, **kwargs: Any) -> ndarray:
    """Both operands made C-contiguous first: NumPy is slow on odd strides, and a GEMM's result is no view."""
    if len(args) != 2 or kwargs:
        raise NotImplementedError("matmul beyond matmul(a, b): add it to the fake when it is needed")
    for x in args:
        if not isinstance(x, ndarray):
            raise device.unsupported(x)
    with np.errstate(all="ignore"):
        result = np.asarray(np.matmul(*(np.ascontiguousarray(x._a) for x in args)))
    if out is None:
        return wrap(device.lay_out(result))
    if out.shape != result.shape:
        raise ValueError(f"Output array has an invalid size: {out.shape} for {result.shape}")
    writes.write(out._a, result, "a product")  # where `out` overlaps with an operand, CuPy takes a temporary
    return out


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if not isinstance(dst, ndarray) or not (isinstance(src, ndarray) or device.is_scalar(src)):
        raise device.unsupported(src)
    values = unwrap(src)
    if isinstance(src, ndarray):
        if not np.can_cast(src.dtype, dst.dtype, casting):
            raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} in {casting} casting mode")
        one_block = any(src.flags[order] and dst.flags[order] for order in ("c_contiguous", "f_contiguous"))
        if where is None and one_block and src.dtype == dst.dtype and src.size == dst.size:
            writes.check_copy(dst._a, values)
        values = writes.cast(values.copy(), dst.dtype)
    writes.check_destination(dst._a)
    np.copyto(dst._a, values, casting=casting, where=True if where is None else unwrap(where))


def ascontiguousarray(a: ndarray, dtype: Any = None) -> ndarray:
    _check_arrays("ascontiguousarray", a)
    return wrap(np.ascontiguousarray(a._a if dtype is None else writes.cast(a._a, device.supported(dtype))))


def asfortranarray(a: ndarray, dtype: Any = None) -> ndarray:
    _check_arrays("asfortranarray", a)
    return wrap(np.asfortranarray(a._a if dtype is None else writes.cast(a._a, device.supported(dtype))))


def copy(a: ndarray, order: str = "K") -> ndarray:
    _check_arrays("copy", a)
    return a.copy(order=order)


def array(obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", subok: bool = False, ndmin: int = 0, *,
          blocking: bool = False) -> ndarray:
    if isinstance(obj, ndarray):
        converted = obj._a if dtype is None else writes.cast(obj._a, device.supported(dtype))
        return wrap(np.array(converted, copy=copy or None, order=order, ndmin=ndmin))
    result = asarray(obj, dtype=dtype, order=order)
    return wrap(np.array(result._a, copy=None, ndmin=ndmin))


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    """A view with these strides, which must stay inside the memory that `x` is a view of."""
    _check_arrays("as_strided", x)
    start, shape, strides = x._a.__array_interface__["data"][0], tuple(shape), tuple(strides)
    reach = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
    low, high = np.lib.array_utils.byte_bounds(_owner(x._a))
    first, last = start + sum(min(r, 0) for r in reach), start + sum(max(r, 0) for r in reach) + x.itemsize
    if 0 not in shape and not (low <= first and last <= high):
        raise IndexError(f"as_strided beyond the array's memory: shape {shape}, strides {strides}")
    return wrap(np.lib.stride_tricks.as_strided(x._a, shape, strides))


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    """A view, which on CuPy may be written to."""
    _check_arrays("broadcast_to", array)
    view = np.broadcast_to(array._a, shape)
    return wrap(np.lib.stride_tricks.as_strided(array._a, view.shape, view.strides))


def _owner(a: np.ndarray) -> np.ndarray:
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


def get_array_module(*args: Any) -> Any:
    import cupy  # the pretend one, while it is installed

    return cupy if any(isinstance(x, ndarray) for x in args) else np


OWN: dict[str, Callable] = {f.__name__: f for f in (
    array, asarray, ascontiguousarray, asfortranarray, asnumpy, astype, broadcast_to, clip, copy, copyto, empty,
    empty_like, get_array_module, matmul, where,
)}
TABLE: dict[str, Callable] = {
    **{name: of_arrays(name) for name in ARRAYS if callable(getattr(np, name, None))},
    **{name: creating(name) for name in CREATION},
    **{name: asking(name) for name in HOST if hasattr(np, name)},
    **{name: waiting(name) for name in WAITS},
    **OWN,
}
