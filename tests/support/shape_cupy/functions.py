"""The functions of the CuPy of shapes that are not ufuncs: what each launches, by CuPy's source."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from fake_cupy.c_code import TYPES
from fake_cupy.formulas import enter_types, parameters
from numpy.lib.stride_tricks import as_strided

from shape_cupy.array import _of_shape, ndarray, new, touched, ufunc, view
from shape_cupy.record import record


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(a % ndim for a in axes))


def _blocks(arrays: list[ndarray], shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """Blocks of threads of CuPy's reduction over axes that are not the last: its `_get_block_specs`."""
    kept = [a for a in range(len(shape)) if a not in axes]
    size = max(1, math.prod(shape[a] for a in kept))
    contiguous = 1
    for x in arrays:
        run, stride = 1, x.itemsize
        strides = (0,) * (len(shape) - x.ndim) + x.strides
        for a in reversed(kept):
            if strides[a] != stride:
                break
            run, stride = run * shape[a], stride * shape[a]
        contiguous = max(contiguous, run)
    stride = max(min(contiguous, 32), 512 // max(1, math.prod(shape) // size))
    return -(-size // (1 << (stride.bit_length() - 1)))


def _reduced(name: str, arrays: list[ndarray], dtype: Any, axis: Any, keepdims: bool, out: Any,
             one_pass_each: bool = True) -> ndarray:
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    axes = _axes(axis, len(shape))
    result = tuple(1 if a in axes else n for a, n in enumerate(shape) if keepdims or a not in axes)
    y = new(result, dtype) if out is None else out
    last = axes == tuple(range(len(shape) - len(axes), len(shape)))
    segmented = last and len(arrays) == 1 and arrays[0].flags.c_contiguous and one_pass_each
    blocks = math.prod(result) if segmented and axes != tuple(range(len(shape))) else 1000 if segmented else _blocks(
        arrays, shape, axes)
    record.add("reduce", name, sum(map(touched, arrays)) + y.nbytes, blocks=blocks)
    return y


def reduction(name: str) -> Callable:
    """A reduction: one launch."""

    def call(x: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return _reduced(name, [x], dtype or (bool if name in ("all", "any") else x.dtype), axis, keepdims, out)

    return call


def reshape(x: ndarray, shape: Any) -> ndarray:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        return view(x, np.reshape(x._a, shape, copy=False))
    except ValueError:
        known = math.prod(n for n in shape if n >= 0)
        y = new(tuple(x.size // known if n < 0 else n for n in shape), x.dtype)
        record.add("elementwise", "copy in reshape", touched(x) + y.nbytes)
        return y


def ascontiguousarray(x: ndarray) -> ndarray:
    if x.flags.c_contiguous:
        return x
    y = new(x.shape, x.dtype)
    record.add("elementwise", "contiguous copy", touched(x) + y.nbytes)
    return y


def matmul(a: ndarray, b: ndarray, out: Any = None) -> ndarray:
    """Two matrices: one cuBLAS call, operands of other layouts than C's or Fortran's copied; stacks: C order alone."""
    dtype = np.result_type(a.dtype, b.dtype)
    if max(a.ndim, b.ndim) <= 2:
        for x in (a, b):
            if not (x.flags.c_contiguous or x.flags.f_contiguous):
                record.add("elementwise", "operand copy", 2 * x.nbytes)
        shape = (a.shape[0], b.shape[1])
        batch = 1
    else:
        a, b = ascontiguousarray(a), ascontiguousarray(b)
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape, batch = (*lead, a.shape[-2], b.shape[-1]), math.prod(lead)
        ndim = len(shape)
        if any((1,) * (ndim - x.ndim) + x.shape[:-2] != lead and batch > 1 for x in (a, b)):
            for _ in range(3):  # tables of pointers, which a kernel writes
                record.add("elementwise", "pointers", 8 * batch)
    assert a.shape[-1] == b.shape[-2]
    y = new(shape, dtype) if out is None else out
    assert y.shape == shape
    assert y.flags.c_contiguous
    record.add("product", "product", a.nbytes + b.nbytes + y.nbytes, 2 * batch * shape[-2] * shape[-1] * a.shape[-1])
    return y


def _joined(parts: list[ndarray], shape: tuple[int, ...], name: str) -> ndarray:
    """One copy each; more than eight small ones by one kernel, whose table of pointers is uploaded."""
    y = new(shape, np.result_type(*(x.dtype for x in parts)))
    if len(parts) > 8 and y.nbytes < 2 * 2**20 * len(parts):
        record.hidden_uploads += 1
        record.add("elementwise", name, 2 * y.nbytes)
    else:
        for x in parts:
            record.add("elementwise", name, 2 * x.nbytes)
    return y


def concat(arrays: Any, axis: int = 0) -> ndarray:
    parts = list(arrays)
    shape = list(parts[0].shape)
    shape[axis] = sum(x.shape[axis] for x in parts)
    return _joined(parts, tuple(shape), "concat")


def stack(arrays: Any, axis: int = 0) -> ndarray:
    parts = list(arrays)
    shape = list(parts[0].shape)
    shape.insert(axis % (len(shape) + 1), len(parts))
    return _joined(parts, tuple(shape), "stack")


def asarray(x: Any, dtype: Any = None) -> ndarray:
    if isinstance(x, ndarray):
        return x if dtype is None or np.dtype(dtype) == x.dtype else x.astype(dtype)
    host = np.asarray(x)
    y = new(host.shape, dtype or host.dtype)
    record.add("upload", "asarray", y.nbytes)
    return y


def asnumpy(x: ndarray) -> np.ndarray:
    record.add("download", "asnumpy", x.nbytes)
    return np.zeros(x.shape, x.dtype)


def _created(name: str, shape: Any, dtype: Any) -> ndarray:
    y = new(shape, dtype)
    if name != "empty":
        record.add("fill", name, y.nbytes)
    return y


def creation(name: str) -> Callable:
    """``cupy.zeros`` and its like; `empty` launches nothing."""
    if name == "full":
        return lambda shape, value, dtype=None: _created(name, shape, dtype or np.result_type(value))
    if name.endswith("_like"):
        return lambda x, dtype=None: _created(name, x.shape, dtype or x.dtype)
    return lambda shape, dtype=float: _created(name, shape, dtype)


def arange(*args: Any, dtype: Any = None) -> ndarray:
    like = np.arange(*args, dtype=dtype)
    y = new(like.shape, like.dtype)
    record.add("elementwise", "arange", y.nbytes)
    return y


def take(x: ndarray, indices: ndarray, axis: int = 0) -> ndarray:
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1:])
    y = new(shape, x.dtype)
    record.add("elementwise", "take", 2 * y.nbytes)
    return y


def where(condition: ndarray, a: Any, b: Any) -> ndarray:
    arrays = [x for x in (condition, a, b) if isinstance(x, ndarray)]
    dtype = np.result_type(*(x.dtype if isinstance(x, ndarray) else x for x in (a, b)))
    y = new(np.broadcast_shapes(*(x.shape for x in arrays)), dtype)
    record.add("elementwise", "where", sum(map(touched, arrays)) + y.nbytes)
    return y


def clip(x: ndarray, low: Any = None, high: Any = None) -> ndarray:
    y = new(x.shape, x.dtype)
    record.add("elementwise", "clip", touched(x) + y.nbytes)
    return y


class ElementwiseKernel:
    """CuPy's class of this name: one launch."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel", preamble: str = ""):
        self.inputs, self.outputs, self.name = parameters(in_params), parameters(out_params), name

    def __call__(self, *args: Any) -> Any:
        inputs, outputs, types = args[: len(self.inputs)], list(args[len(self.inputs):]), {}
        if outputs:
            enter_types(self.outputs, _as_arrays(outputs), types)
        enter_types(self.inputs, _as_arrays(inputs), types)
        shape = np.broadcast_shapes(*(x.shape for x in args if isinstance(x, ndarray)))
        read = touched_all(inputs) + touched_all(outputs)  # an output may be read
        outputs = outputs or [new(shape, TYPES.get(kind, types.get(kind))) for kind in self.outputs.values()]
        record.add("elementwise", self.name, read + sum(x.nbytes for x in outputs))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


class ReductionKernel:
    """CuPy's class of this name: one launch."""

    def __init__(self, in_params: str, out_params: str, map_expr: str, reduce_expr: str, post_map_expr: str,
                 identity: str, name: str = "reduce_kernel", preamble: str = ""):
        self.inputs, self.name = parameters(in_params), name

    def __call__(self, *args: Any, out: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
        types: dict[str, np.dtype] = {}
        enter_types(self.inputs, _as_arrays(args), types)
        return _reduced(self.name, [x for x in args if isinstance(x, ndarray)], types["T"], axis, keepdims, out,
                        one_pass_each=len(args) == 1)


def touched_all(arrays: Any) -> int:
    """The bytes that reading some operands moves."""
    return sum(map(touched, arrays))


def _as_arrays(args: Any) -> list[Any]:
    """The operands as `fake_cupy.formulas` knows them: arrays by their class."""
    from fake_cupy.array import wrap

    return [wrap(x._a) if isinstance(x, ndarray) else x for x in args]


def strided(x: ndarray, shape: Any, strides: Any) -> ndarray:
    return view(x, as_strided(x._a, shape, strides))


TABLE: dict[str, Any] = {
    **{f.__name__: f for f in (reshape, ascontiguousarray, matmul, concat, stack, asarray, asnumpy, arange, take, where,
                               clip, ElementwiseKernel, ReductionKernel)},
    **{name: reduction(name) for name in ("sum", "max", "min", "mean", "all", "any")},
    **{name: creation(name) for name in ("zeros", "ones", "empty", "full", "zeros_like", "ones_like", "empty_like")},
    "astype": lambda x, dtype, copy=True: x.astype(dtype, copy=copy),
    "matrix_transpose": lambda x: view(x, np.swapaxes(x._a, -1, -2)),
    "permute_dims": lambda x, axes: view(x, np.transpose(x._a, axes)),
    "broadcast_to": lambda x, shape: view(x, np.broadcast_to(x._a, shape)),
    "real": lambda x: x,
    "isdtype": np.isdtype,
}


def look_up(name: str) -> Any:
    """``cupy.name``."""
    from fake_cupy.signatures import MODULE, SPECIAL

    if name in TABLE:
        return TABLE[name]
    if name in MODULE["ufuncs"] or name in SPECIAL["ufuncs"]:
        return ufunc(name)
    if name in MODULE["dtypes"]:
        return getattr(np, name)
    raise AttributeError(f"the CuPy of shapes has no {name!r} yet: add it to tests/support/shape_cupy")


__all__ = ["TABLE", "_of_shape", "look_up", "strided"]
