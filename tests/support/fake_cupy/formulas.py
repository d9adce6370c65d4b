"""ElementwiseKernel and ReductionKernel, whose C is Python as well: see `ddpm_np.formulas`."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import numpy as np

from fake_cupy import device, writes
from fake_cupy.array import ndarray, wrap
from fake_cupy.c_code import TYPES, Code, evaluate, expression


def parameters(text: str) -> dict[str, str]:
    """``"T x, bool keep"`` as {"x": "T", "keep": "bool"}."""
    found: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        *words, kind, name = part.split()
        if words:
            raise NotImplementedError(f"{part!r}: add it to the fake when it is needed")
        if kind not in TYPES and len(kind) != 1:
            raise TypeError(f"data type {kind!r} not understood")
        if name in found:
            raise SyntaxError(f"two parameters {name!r}")
        found[name] = kind
    return found


def enter_types(names: dict[str, str], arrays: list[Any], types: dict[str, np.dtype]) -> None:
    """Enter the dtypes that arrays give to one-letter types; raise where two arrays differ."""
    for (name, kind), x in zip(names.items(), arrays, strict=True):
        if not isinstance(x, ndarray):
            continue
        expected = TYPES.get(kind, types.get(kind))
        if expected is None:
            types[kind] = x.dtype
        elif expected != x.dtype:
            raise TypeError(f"Type is mismatched. {name} {x.dtype} {expected}")


def _value(kind: str, x: Any, types: dict[str, np.dtype]) -> np.ndarray:
    """What a kernel gets of an argument: an array, or a number in its parameter's type."""
    if isinstance(x, ndarray):
        return x._a
    if not device.is_scalar(x):
        raise device.unsupported(x)
    dtype = TYPES.get(kind, types.get(kind))
    if dtype is None:
        raise KeyError(kind)  # CuPy's error where no array gives the type
    if not np.can_cast(np.min_scalar_type(x) if type(x) is int else np.asarray(x).dtype, dtype, "same_kind"):
        raise TypeError(f"{x!r} for a parameter of {dtype}")
    return np.asarray(x, dtype=dtype)


def _values(names: dict[str, str], arguments: list[Any], types: dict[str, np.dtype]) -> dict[str, np.ndarray]:
    return {name: _value(kind, x, types) for (name, kind), x in zip(names.items(), arguments, strict=True)}


def _check_renaming(code: str, name: str) -> None:
    """Raise where CuPy's renaming of a sum's only input, or of its output, changes other words: x in exp(x)."""
    if code.replace(name, "0") != re.sub(rf"\b{name}\b", "0", code):
        raise SyntaxError(f"CuPy replaces {name!r} inside other words as well: name it otherwise: {code}")


def _shape(arrays: list[ndarray]) -> tuple[int, ...]:
    if not arrays:
        raise ValueError("Loop size is undecided.")
    return np.broadcast_shapes(*(x.shape for x in arrays))


class ElementwiseKernel:
    """CuPy's class of this name."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel", reduce_dims: bool = True,
                 preamble: str = "", no_return: bool = False, return_tuple: bool = False):
        if not name.isidentifier():
            raise ValueError(f'Invalid kernel name: "{name}"')
        self.inputs, self.outputs, self.name = parameters(in_params), parameters(out_params), name
        if "i" in {**self.inputs, **self.outputs}:
            raise ValueError("Can not use 'i' as a parameter name")
        self.code = Code(operation, {**self.inputs, "i": "int64"}, self.outputs)

    def __call__(self, *args: Any, size: int = -1) -> Any:
        device.use()
        n = len(self.inputs)
        if len(args) not in (n, n + len(self.outputs)):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        inputs, outputs, types = list(args[:n]), list(args[n:]), {}
        if not all(isinstance(x, ndarray) for x in outputs):
            raise TypeError("Output arguments must be cupy.ndarray")
        if outputs:
            enter_types(self.outputs, outputs, types)
        enter_types(self.inputs, inputs, types)
        values = _values(self.inputs, inputs, types)
        arrays = [x for x in (*inputs, *outputs) if isinstance(x, ndarray)]
        if size != -1 and arrays:
            raise ValueError("Specified 'size' can be used only if all of the ndarray are 'raw'.")
        shape = (size,) if size != -1 else _shape(arrays)
        if any(x.shape != shape for x in outputs):
            raise ValueError(f"Out shape is mismatched: {[x.shape for x in outputs]} for a loop of {shape}")
        given = dict(zip(self.outputs, (x._a for x in outputs), strict=False))
        same = _same_memory(values, given, shape)
        values["i"] = np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)
        results = self.code.run(values | {name: x.copy() for name, x in given.items()}, types, same)
        found = {name: np.broadcast_to(results[name], shape) for name in self.outputs}
        for name, x in given.items():
            writes.write(x, found[name], f"the output {name!r} of a kernel")
        arrays = outputs or [wrap(device.lay_out(x.copy())) for x in found.values()]
        return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _same_memory(inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray],
                 shape: tuple[int, ...]) -> dict[str, set[str]]:
    """The inputs, by each output's name, that are the same array; raise where memory overlaps in another way."""
    for (name, a), (other, b) in combinations(outputs.items(), 2):
        if writes.overlap(a, b):
            raise writes.OverlappingWrite(f"the outputs {name!r} and {other!r} of a kernel overlap")
    same: dict[str, set[str]] = {}
    for name, out in outputs.items():
        for other, x in inputs.items():
            if writes.overlap(out, x):
                if not writes.same_elements(np.broadcast_to(x, shape), out):
                    raise writes.OverlappingWrite(f"the output {name!r} of a kernel overlaps with its input {other!r}: "
                                                  "a thread may read what another has written")
                same.setdefault(name, set()).add(other)
    return same


class ReductionKernel:
    """CuPy's class of this name, for sums."""

    def __init__(self, in_params: str, out_params: str, map_expr: str, reduce_expr: str, post_map_expr: str,
                 identity: str, name: str = "reduce_kernel", reduce_type: Any = None, reduce_dims: bool = True,
                 preamble: str = "", options: tuple = ()):
        if (reduce_expr, identity, reduce_type) != ("a + b", "0", None):
            raise NotImplementedError("a reduction that is no sum: add it to the fake when it is needed")
        if not name.isidentifier():
            raise ValueError(f'Invalid kernel name: "{name}"')
        self.inputs, self.outputs, self.name = parameters(in_params), parameters(out_params), name
        if "a" in self.inputs:
            raise SyntaxError("the sum is called a")
        if len(self.inputs) == 1:
            _check_renaming(map_expr, *self.inputs)
            _check_renaming(post_map_expr, *self.outputs)
        self.term = expression(map_expr)
        self.result = Code(post_map_expr, {**self.inputs, "a": "T"}, self.outputs)

    def __call__(self, *args: Any, out: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
        device.use()
        types: dict[str, np.dtype] = {}
        if len(args) != len(self.inputs):
            raise TypeError(f"Wrong number of arguments for {self.name}")
        if out is not None:
            if not isinstance(out, ndarray):
                raise device.unsupported(out)
            enter_types(self.outputs, [out], types)
        enter_types(self.inputs, list(args), types)
        values = _values(self.inputs, list(args), types)
        shape = _shape([x for x in args if isinstance(x, ndarray)])
        ((name, kind),) = self.outputs.items()
        dtype = TYPES[kind] if kind in TYPES else types[kind]
        terms = writes.cast(np.asarray(evaluate(self.term, values, types)), dtype)
        with np.errstate(all="ignore"):
            total = np.asarray(np.broadcast_to(terms, shape).sum(axis=axis, keepdims=keepdims, dtype=dtype))
        numbers = {key: x for (key, x), given in zip(values.items(), args, strict=True)
                   if not isinstance(given, ndarray)}  # the only inputs that C knows by name when the sum is done
        result = np.broadcast_to(self.result.run({**numbers, "a": total}, types, {})[name], total.shape)
        if out is None:
            return wrap(device.lay_out(result.copy()))
        if out.shape != result.shape:
            raise ValueError(f"Out shape is mismatched: {out.shape} for {result.shape}")
        if any(writes.overlap(out._a, x) for x in values.values()):
            raise writes.OverlappingWrite("the output of a sum overlaps with an input: a thread may read what another "
                                          "has written")
        writes.write(out._a, result, "a sum")
        return out
