"""The functions of TensorFlow 1 that the paper's code computes with, on NumPy arrays in float64.

TensorFlow 1 cannot be installed for a Python of today. `tensorflow()` is a stand-in for ``tensorflow.compat.v1`` with
those of its functions that have an equivalent in NumPy. Its float32 is float64, so that rounding hides no error of a
formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Shape(tuple):
    """A shape that equals a list of the same numbers, as TensorFlow's does."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, list)) and tuple(self) == tuple(other)

    __hash__ = tuple.__hash__

    def as_list(self) -> list[int]:
        """Return the shape as a list."""
        return list(self)


class Tensor(np.ndarray):
    """An array whose `shape` is a `Shape`."""

    @property  # type: ignore[misc]
    def shape(self) -> Shape:  # type: ignore[override]
        """The shape."""
        return Shape(np.asarray(self).shape)


def tensor(array: Any) -> Tensor:
    """Convert an array to a `Tensor`."""
    return np.asarray(array).view(Tensor)


def _ints(shape: Sequence[Any]) -> list[int]:
    return [int(n) for n in shape]


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _while_loop(cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Sequence[Any], **options: Any) -> Any:
    values = list(loop_vars)
    while cond(*values):
        values = list(body(*values))
    return values


def _random_normal(shape: Sequence[int], dtype: Any = None) -> Any:
    raise NotImplementedError("noise is handed over")


_FUNCTIONS: dict[str, Callable[..., Any]] = {  # by their names there, with its names of parameters
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "pow": np.power,
    "equal": np.equal, "greater_equal": np.greater_equal, "floordiv": np.floor_divide, "maximum": np.maximum,
    "where": np.where, "clip_by_value": np.clip, "pad": np.pad, "concat": np.concatenate,
    "squared_difference": lambda x, y: (x - y) ** 2,
    "gather": lambda params, indices: np.asarray(params)[np.asarray(indices)],
    "convert_to_tensor": lambda value, dtype=None: np.asarray(value, dtype),
    "constant": lambda value, dtype=None: np.asarray(value, dtype),
    "cast": lambda x, dtype: np.asarray(x).astype(dtype),
    "reshape": lambda tensor, shape: np.reshape(np.asarray(tensor), _ints(shape)),
    "ones": lambda shape, dtype=None: np.ones(_ints(shape)),
    "zeros": lambda shape, dtype=None: np.zeros(_ints(shape)),
    "fill": lambda dims, value: np.full(_ints(dims), np.asarray(value)),
    "range": lambda *limits, dtype=np.int64: np.arange(*limits).astype(dtype),
    "reduce_mean": lambda x, axis=None: np.mean(np.asarray(x), axis=_axes(axis)),
    "reduce_sum": lambda x, axis=None: np.sum(np.asarray(x), axis=_axes(axis)),
}


def tensorflow() -> dict[str, Any]:
    """Return the stand-in's names and what they are.

    Returns
    -------
    dict
        The functions by name, with the dtypes.

    Examples
    --------
    >>> tf = tensorflow()
    >>> tf["reduce_mean"](tf["squared_difference"](tensor([3.0, 1.0]), tensor([1.0, 1.0])), [0])
    Tensor(2.)
    """
    def on_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: tensor(function(*args, **options))

    return {"float32": np.float64, "int32": np.int64, "while_loop": _while_loop, "random_normal": _random_normal,
            "split": lambda value, parts, axis: [tensor(part) for part in np.split(np.asarray(value), parts, axis)],
            **{name: on_tensors(function) for name, function in _FUNCTIONS.items()}}
