"""ElementwiseKernel and ReductionKernel, whose C is Python as well: see `ddpm_np.formulas`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from fake_cupy import device
from fake_cupy.array import ndarray, wrap

_TYPES = {"bool": np.dtype(bool), "uint64": np.dtype(np.uint64), "uint32": np.dtype(np.uint32),
          "float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
_NUMBER = re.compile(r"(?<![\w.])\d*\.\d+|(?<![\w.])\d+\.|(?<![\w.])\d+[eE]\d")
_NOT_SHARED = ("?", "&&", "||", "**", "//", "!", "->", "{", "[", "#", "//", "%")  # C or Python alone, or unlike in them


def _mulhi(a: Any, b: int) -> Any:
    """The high words of 64-bit products, from 32-bit ones."""
    low = np.uint64(0xFFFFFFFF)
    b = np.uint64(b)
    a_low, a_high, b_low, b_high = a & low, a >> np.uint64(32), b & low, b >> np.uint64(32)
    middle = (a_low * b_low >> np.uint64(32)) + (a_high * b_low & low) + a_low * b_high
    return a_high * b_high + (a_high * b_low >> np.uint64(32)) + (middle >> np.uint64(32))


_FUNCTIONS = {"exp": np.exp, "sqrt": np.sqrt, "pow": np.power, "where": np.where, "mulhi": _mulhi}


def _parameters(text: str) -> list[tuple[str, str]]:
    """``"T x, bool keep"`` as [("T", "x"), ("bool", "keep")]."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        kind, name = part.split()
        if kind not in _TYPES and len(kind) != 1:
            raise TypeError(f"data type {kind!r} not understood")
        found.append((kind, name))
    return found


def _checked(code: str) -> str:
    """The code without its C types, once it is sure to mean the same in both languages."""
    for token in _NOT_SHARED:
        if token in code:
            raise SyntaxError(f"{token!r} in a formula is not the same in C and Python: {code}")
    if _NUMBER.search(code):
        raise SyntaxError(f"a number with a point is a double in C: pass it as an input: {code}")
    return re.sub(r"(^|;)\s*(?:const\s+)?(?:T|bool)\s+(\w+)\s*=(?!=)", r"\1 \2 =", code)


def _check_renaming(code: str, name: str) -> None:
    """Raise where CuPy's renaming of a sum's only input, or of its output, changes other words: x in exp(x)."""
    if code.replace(name, "0") != re.sub(rf"\b{name}\b", "0", code):
        raise SyntaxError(f"CuPy replaces {name!r} inside other words as well: name it otherwise: {code}")


def _types(parameters: list[tuple[str, str]], arrays: list[Any], types: dict[str, np.dtype]) -> None:
    """Enter the dtypes that arrays give to one-letter types; raise where two arrays differ."""
    for (kind, name), x in zip(parameters, arrays, strict=True):
        if not isinstance(x, ndarray):
            continue
        expected = _TYPES.get(kind, types.get(kind))
        if expected is None:
            types[kind] = x.dtype
        elif expected != x.dtype:
            raise TypeError(f"Type is mismatched. {name} {x.dtype} {expected}")


def _value(kind: str, x: Any, types: dict[str, np.dtype]) -> Any:
    if isinstance(x, ndarray):
        return x._a
    if not device.is_scalar(x):
        raise device.unsupported(x)
    return _TYPES.get(kind, types.get(kind)).type(x)


class ElementwiseKernel:
    """CuPy's class of this name."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel", reduce_dims: bool = True,
                 preamble: str = "", no_return: bool = False, return_tuple: bool = False):
        self.inputs, self.outputs, self.name = _parameters(in_params), _parameters(out_params), name
        if "i" in (parameter for _, parameter in self.inputs + self.outputs):
            raise ValueError("Can not use 'i' as a parameter name")
        self.code = compile(_checked(operation).strip(), f"<formula {name}>", "exec")

    def __call__(self, *args: Any, size: int = -1) -> Any:
        n = len(self.inputs)
        if len(args) not in (n, n + len(self.outputs)):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        inputs, outputs, types = list(args[:n]), list(args[n:]), {}
        for x in outputs:
            if not isinstance(x, ndarray):
                raise TypeError("Output arguments must be cupy.ndarray")
        if outputs:
            _types(self.outputs, outputs, types)
        _types(self.inputs, inputs, types)
        values = [_value(kind, x, types) for (kind, _), x in zip(self.inputs, inputs, strict=True)]
        arrays = [x for x in (*inputs, *outputs) if isinstance(x, ndarray)]
        if size == -1 and not arrays:
            raise ValueError("Loop size is undecided.")
        shape = (size,) if size != -1 else np.broadcast_shapes(*(x.shape for x in arrays))
        if any(x.shape != shape for x in outputs):
            raise ValueError(f"Out shape is mismatched: {[x.shape for x in outputs]} for a loop of {shape}")
        names: dict[str, Any] = {**_FUNCTIONS, "i": np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape),
                                 **{kind: dtype.type for kind, dtype in types.items()}}
        names.update((name, value) for (_, name), value in zip(self.inputs, values, strict=True))
        names.update((name, x._a.copy()) for (_, name), x in zip(self.outputs, outputs, strict=False))
        with np.errstate(all="ignore"):
            exec(self.code, names)
        results = []
        for j, (kind, name) in enumerate(self.outputs):
            result = np.broadcast_to(np.asarray(names[name], dtype=_TYPES.get(kind, types.get(kind))), shape)
            if outputs:
                outputs[j]._a[...] = result
            results.append(outputs[j] if outputs else wrap(result.copy()))
        return results[0] if len(results) == 1 else tuple(results)


class ReductionKernel:
    """CuPy's class of this name, for sums."""

    def __init__(self, in_params: str, out_params: str, map_expr: str, reduce_expr: str, post_map_expr: str,
                 identity: str, name: str = "reduce_kernel", reduce_type: Any = None, reduce_dims: bool = True,
                 preamble: str = "", options: tuple = ()):
        if (reduce_expr, identity) != ("a + b", "0"):
            raise NotImplementedError("a reduction that is no sum: add it to the fake when it is needed")
        self.inputs, self.outputs, self.name = _parameters(in_params), _parameters(out_params), name
        if len(self.inputs) == 1:
            _check_renaming(map_expr, self.inputs[0][1])
            _check_renaming(post_map_expr, self.outputs[0][1])
        self.term = compile(_checked(map_expr).strip(), f"<sum {name}>", "eval")
        self.result = compile(_checked(post_map_expr).strip(), f"<sum {name}>", "exec")

    def __call__(self, *args: Any, out: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
        types: dict[str, np.dtype] = {}
        if len(args) != len(self.inputs):
            raise TypeError(f"Wrong number of arguments for {self.name}")
        if out is not None:
            _types(self.outputs, [out], types)
        _types(self.inputs, list(args), types)
        values = [_value(kind, x, types) for (kind, _), x in zip(self.inputs, args, strict=True)]
        shape = np.broadcast_shapes(*(x.shape for x in args if isinstance(x, ndarray)))
        scalars = {name: value for (_, name), value, x in zip(self.inputs, values, args, strict=True)
                   if not isinstance(x, ndarray)}  # the only inputs that C knows by name when the sum is done
        (kind, name), = self.outputs
        dtype = _TYPES.get(kind, types.get(kind))
        with np.errstate(all="ignore"):
            terms = eval(self.term, {**_FUNCTIONS, **dict(zip((n for _, n in self.inputs), values, strict=True))})
            total = np.broadcast_to(terms, shape).sum(axis=axis, keepdims=keepdims, dtype=dtype)
            names = {**_FUNCTIONS, **scalars, "a": total}
            exec(self.result, names)
        result = np.asarray(names[name], dtype=dtype)
        if out is None:
            return wrap(device.lay_out(result))
        if out.shape != result.shape:
            raise ValueError(f"Out shape is mismatched: {out.shape} for {result.shape}")
        out._a[...] = result
        return out
