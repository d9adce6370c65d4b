"""Example inputs of every op: inside its domain, away from its kinks, of several shapes.

The tests and the maths checker enumerate these beside the registry, so an op is not done before it has examples here,
and an independent value in ``check/gradients/reference_ops.py``.
This is host code in NumPy: examples are made once and copied to the namespace under test.

    for example in examples("conv2d", rng):
        y = REGISTRY["conv2d"](*example.inputs, **example.static)

Each array is float64 (a condition is bool), contiguous, and the caller's own. An op's last example has no elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Example:
    """One set of inputs of an op: called as ``op(*arrays, *extra, **static)``.

    Attributes
    ----------
    arrays : tuple of array or None
        The operands: float64, bool for a condition, or None for an optional operand left out.
    extra : tuple
        The positional arguments after the arrays: a shape, axes, a dtype, an index, a number.
    static : dict
        The keyword-only arguments.
    """

    arrays: tuple[np.ndarray | None, ...]
    extra: tuple[Any, ...] = ()
    static: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[Any, ...]:
        """All positional arguments.

        Returns
        -------
        tuple
        """
        return self.arrays + self.extra

    @property
    def empty(self) -> bool:
        """Whether an operand has no elements.

        Returns
        -------
        bool
        """
        return any(a is not None and a.size == 0 for a in self.arrays)

    def with_arrays(self, arrays: Any) -> Example:
        """Return the same example with other operands.

        Parameters
        ----------
        arrays : iterable of array or None

        Returns
        -------
        Example
        """
        return Example(tuple(arrays), self.extra, self.static)

    def __str__(self) -> str:
        shapes = [None if a is None else a.shape for a in self.arrays]
        return ", ".join(map(str, [*shapes, *self.extra, *(f"{k}={v}" for k, v in self.static.items())]))


def examples(name: str, rng: Rng) -> list[Example]:
    """Return the examples of an op.

    Parameters
    ----------
    name : str
        The op's name.
    rng : numpy.random.Generator
        The arrays are drawn from it.

    Returns
    -------
    list of Example

    Raises
    ------
    ValueError
        If there are none for this op.
    """
    if name not in _MAKERS:
        raise ValueError(f"the op {name!r} has no examples: write some in {__name__}")
    return [e.with_arrays(None if a is None else np.asarray(a) for a in e.arrays) for e in _MAKERS[name](rng)]


Draw = Callable[[Rng, tuple[int, ...]], np.ndarray]  # (generator, shape) -> float64 array of that shape


def real(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:  # numpydoc ignore=PR01,RT01
    """Draw standard normal numbers."""
    return rng.standard_normal(shape)


def wide(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:  # numpydoc ignore=PR01,RT01
    """Draw numbers far into both tails: uniform on ±30."""
    return rng.uniform(-30, 30, shape)


def positive(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:  # numpydoc ignore=PR01,RT01
    """Draw positive numbers: uniform on [1/3, 3]."""
    return rng.uniform(1 / 3, 3, shape)


def nonzero(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:  # numpydoc ignore=PR01,RT01
    """Draw numbers of either sign, between 1/3 and 3 in magnitude."""
    return positive(rng, shape) * rng.choice([-1.0, 1.0], shape)


def above_minus_one(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:  # numpydoc ignore=PR01,RT01
    """Draw numbers above −1: uniform on [−0.9, 3]."""
    return rng.uniform(-0.9, 3, shape)


def away_from(kinks: tuple[float, ...], rng: Rng, shape: tuple[int, ...], gap: float = 0.01) -> np.ndarray:
    """Draw normal numbers of standard deviation 2, none nearer than `gap` to a kink.

    Parameters
    ----------
    kinks : tuple of float
    rng : numpy.random.Generator
    shape : tuple of int
    gap : float

    Returns
    -------
    float64 array of shape `shape`
    """
    x = 2 * rng.standard_normal(shape)
    for kink in kinks:
        x = np.where(np.abs(x - kink) < gap, kink + np.where(x < kink, -2, 2) * gap, x)
    return x


def _unary(draw: Draw, *draws: Draw) -> Callable[[Rng], list[Example]]:
    """Return a maker of examples of an elementwise op of one array; each of `draws` adds one."""

    def make(rng: Rng) -> list[Example]:
        drawn = [(draw, (3, 4)), (draw, ()), (draw, (2, 3, 1, 5)), *((d, (5, 7)) for d in draws), (draw, (0, 3))]
        return [Example((d(rng, shape),)) for d, shape in drawn]

    return make


def _binary(draw_a: Draw, draw_b: Draw) -> Callable[[Rng], list[Example]]:
    """Return a maker of examples of an elementwise op of two arrays that broadcast."""
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 4), (3, 4)), ((3, 1, 4), (5, 1)), ((2, 3), ()), ((4,), (2, 3, 4)), ((1, 3), (2, 1)),
        ((2, 3, 2, 4), (3, 1, 4)), ((0, 3), (3,)),
    ]
    return lambda rng: [Example((draw_a(rng, a), draw_b(rng, b))) for a, b in shapes]


def _pow(rng: Rng) -> list[Example]:
    return [Example((positive(rng, shape),), (p,))
            for shape, p in [((3, 4), 2), ((2, 3), 3), ((5,), 0.5), ((), -1.5), ((0, 2), 2)]]


def _clip(rng: Rng) -> list[Example]:
    return [Example((away_from(bounds, rng, shape),), bounds)
            for shape, bounds in [((4, 5), (-1.0, 1.0)), ((2, 3, 4), (0.0, 0.5)), ((), (-2.0, 2.0)),
                                  ((0, 3), (-1.0, 1.0))]]


def _where(rng: Rng) -> list[Example]:
    shapes: list[tuple[tuple[int, ...], ...]] = [
        ((3, 4), (3, 4), (3, 4)), ((5, 1), (3, 1, 4), ()), ((3,), (2, 3), (2, 1)), ((0, 3), (0, 3), (3,)),
    ]
    return [Example((rng.random(c) < 0.5, real(rng, a), real(rng, b))) for c, a, b in shapes]


def _dropout(rng: Rng) -> list[Example]:
    shapes: list[tuple[int, ...]] = [(3, 4), (2, 3, 1, 4), (), (0, 3)]
    return [Example((real(rng, shape), rng.random(shape) < 0.7), (1.25,)) for shape in shapes]


def _astype(rng: Rng) -> list[Example]:
    def exact(shape: tuple[int, ...]) -> np.ndarray:
        """Draw numbers that float32 holds exactly, so that the conversion is linear to the last bit."""
        return real(rng, shape).astype(np.float32).astype(np.float64)

    return [Example((exact(shape),), (dtype,))
            for shape, dtype in [((3, 4), np.float32), ((2, 1, 3), np.float64), ((), np.float32), ((0, 3), np.float32)]]


def _matmul(rng: Rng) -> list[Example]:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 4), (4, 2)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((1, 6), (6, 1)), ((3, 4), (2, 4, 3)),
        ((0, 3, 4), (4, 2)),
    ]
    return [Example((real(rng, a), real(rng, b))) for a, b in shapes]


def _linear(rng: Rng) -> list[Example]:
    shapes = [((3, 4), 2, True), ((2, 5, 3), 4, True), ((2, 3, 2, 4), 3, False), ((1, 7), 1, True),
              ((0, 3, 4), 2, True)]
    return [Example((real(rng, x), real(rng, (x[-1], out)), real(rng, (out,)) if bias else None))
            for x, out, bias in shapes]


def _softmax(rng: Rng) -> list[Example]:
    return [Example((real(rng, (3, 4)),)), Example((3 * real(rng, (2, 3, 5)),)), Example((real(rng, (6,)),)),
            Example((real(rng, (2, 1, 7)) + 800,)), Example((real(rng, (0, 3)),))]


def _attention(rng: Rng) -> list[Example]:
    """Make examples from (leading axes, L, S, D, E): queries, keys, width of both, width of the values."""
    sizes: list[tuple[tuple[int, ...], int, int, int, int]] = [
        ((), 3, 3, 4, 4), ((2,), 4, 5, 3, 2), ((2, 3), 5, 5, 4, 4), ((1,), 1, 6, 2, 3), ((2,), 64, 64, 16, 16),
        ((0,), 3, 4, 2, 2),
    ]
    return [Example((real(rng, (*lead, n, d)), real(rng, (*lead, s, d)), real(rng, (*lead, s, e))))
            for lead, n, s, d, e in sizes]


def _conv2d(rng: Rng) -> list[Example]:
    """Make examples from (shape of x, (kh, kw, C_out), bias, stride, padding)."""
    none, one, after = ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 1), (0, 1))
    sizes: list[tuple[tuple[int, int, int, int], tuple[int, int, int], bool, int, Any]] = [
        ((2, 4, 5, 3), (3, 3, 2), True, 1, one),
        ((2, 6, 4, 2), (3, 3, 3), True, 2, after),
        ((2, 7, 5, 2), (3, 3, 2), True, 2, one),
        ((1, 5, 4, 3), (1, 1, 4), True, 1, none),
        ((2, 5, 6, 2), (1, 1, 3), False, 2, none),
        ((2, 4, 5, 2), (2, 3, 2), False, 1, none),
        ((1, 7, 8, 2), (2, 3, 3), True, 3, ((1, 0), (2, 1))),
        ((3, 3, 3, 1), (3, 3, 1), True, 1, none),
        ((2, 4, 6, 1), (2, 3, 2), True, 1, none),
        ((2, 5, 5, 1), (3, 3, 4), False, 3, one),
        ((2, 8, 8, 32), (3, 3, 32), True, 1, one),
        ((5, 16, 18, 64), (3, 3, 64), True, 1, one),
        ((1, 18, 16, 64), (3, 3, 66), False, 1, ((0, 0), (2, 0))),
        ((1, 8, 8, 48), (3, 3, 48), True, 1, ((1, 1), (1, 3))),
        ((2, 8, 8, 16), (3, 3, 32), True, 2, after),
        ((2, 8, 9, 40), (3, 3, 42), True, 1, ((0, 0), (1, 1))),
        ((33, 8, 10, 32), (3, 3, 34), False, 1, ((0, 2), (1, 1))),
        ((8, 9, 7, 64), (3, 3, 64), True, 1, ((0, 0), (1, 1))), ((8, 7, 7, 64), (3, 3, 64), True, 1, one),
        ((0, 4, 4, 2), (3, 3, 3), True, 1, one),
    ]
    return [Example((real(rng, x), real(rng, (*taps, x[3], out)), real(rng, (out,)) if bias else None),
                    static={"stride": stride, "padding": padding})
            for x, (*taps, out), bias, stride, padding in sizes]


def _upsample_conv2d(rng: Rng) -> list[Example]:
    sizes = [((2, 3, 4, 3), 2, True), ((1, 1, 1, 2), 3, False), ((5, 8, 10, 16), 8, True), ((3, 16, 16, 32), 24, True),
             ((2, 2, 3, 130), 2, True), ((1, 3, 16, 4), 32, True), ((0, 2, 2, 2), 3, True)]
    return [Example((real(rng, x), real(rng, (3, 3, x[3], o)), real(rng, (o,)) if bias else None))
            for x, o, bias in sizes]


def _group_norm(rng: Rng) -> list[Example]:
    """Make examples from (shape of x, groups, ε, mean): one group to one for each channel; some with long runs."""
    sizes: list[tuple[tuple[int, int, int, int], int, float, float]] = [
        ((2, 3, 4, 6), 1, 1e-6, 0.0), ((2, 4, 3, 6), 3, 1e-5, 0.0), ((3, 2, 5, 4), 4, 1e-6, 0.0),
        ((1, 3, 3, 4), 2, 0.5, 0.0), ((2, 3, 2, 4), 2, 1e-6, 10.0), ((2, 8, 8, 64), 32, 1e-6, 0.0),
        ((2, 9, 10, 64), 8, 1e-6, 0.0), ((1, 8, 9, 64), 64, 1e-6, 0.0), ((1, 8, 8, 132), 33, 1e-6, 0.0),
        ((0, 3, 3, 4), 2, 1e-6, 0.0),
    ]
    return [Example((real(rng, x) + offset, real(rng, (x[3],)), real(rng, (x[3],))),
                    static={"groups": groups, "eps": eps})
            for x, groups, eps, offset in sizes]


def _reduction(rng: Rng) -> list[Example]:
    settings: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}), ((3, 4), {"axis": 1}), ((2, 3, 4), {"axis": (0, -1)}), ((2, 3), {"keepdims": True}),
        ((2, 3, 4), {"axis": -2, "keepdims": True}), ((), {}), ((2, 3), {"axis": ()}), ((0, 3), {"axis": 1}),
    ]
    return [Example((real(rng, shape),), static=static) for shape, static in settings]


def _move(*settings: tuple[tuple[int, ...], Any]) -> Callable[[Rng], list[Example]]:
    """Return a maker of examples of an op that moves the elements of one array, from (shape, second argument)."""
    return lambda rng: [Example((real(rng, shape),), (how,)) for shape, how in settings]


def _concat(rng: Rng) -> list[Example]:
    settings: list[tuple[list[tuple[int, ...]], int]] = [
        ([(2, 3), (2, 1), (2, 4)], -1), ([(2, 3, 4, 5), (2, 3, 4, 1)], 3), ([(1, 3), (2, 3)], 0), ([(2, 2)], 1),
        ([(0, 3), (0, 2)], 1),
    ]
    return [Example(tuple(real(rng, shape) for shape in shapes), static={"axis": axis}) for shapes, axis in settings]


def _upsample(rng: Rng) -> list[Example]:
    return [Example((real(rng, shape),), static={"factor": factor})
            for shape, factor in [((2, 3, 4, 2), 2), ((1, 2, 1, 3), 3), ((2, 2, 2, 1), 1), ((0, 2, 3, 2), 2)]]


_MAKERS: dict[str, Callable[[Rng], list[Example]]] = {
    "add": _binary(real, real),
    "subtract": _binary(real, real),
    "multiply": _binary(real, real),
    "divide": _binary(real, nonzero),
    "negative": _unary(real),
    "pow": _pow,
    "square": _unary(real),
    "sqrt": _unary(positive),
    "exp": _unary(real),
    "expm1": _unary(real),
    "log": _unary(positive),
    "log1p": _unary(above_minus_one),
    "sin": _unary(real),
    "cos": _unary(real),
    "tanh": _unary(real),
    "sigmoid": _unary(real, wide),
    "silu": _unary(real, wide),
    "log_ndtr": _unary(real, wide),
    "clip": _clip,
    "where": _where,
    "dropout": _dropout,
    "astype": _astype,
    "matmul": _matmul,
    "linear": _linear,
    "softmax": _softmax,
    "attention": _attention,
    "conv2d": _conv2d,
    "upsample_conv2d": _upsample_conv2d,
    "group_norm": _group_norm,
    "group_norm_silu": _group_norm,
    "sum": _reduction,
    "mean": _reduction,
    "reshape": _move(((3, 4), (2, 6)), ((2, 3, 4), (4, -1)), ((6,), (1, 2, 3)), ((), (1, 1)), ((0, 3), (3, 0, 2))),
    "permute_dims": _move(((3, 4), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 1, 4), (0, 2, 1, 3)), ((0, 3), (1, 0))),
    "broadcast_to": _move(((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((2, 3), (2, 3)), ((1, 3), (0, 3))),
    "concat": _concat,
    "getitem": _move(
        ((3, 4), 1), ((3, 4), (slice(None), slice(1, None, 2))), ((2, 3, 4), (..., -1)),
        ((4, 3), slice(None, None, -1)), ((2, 3, 4), (1, ..., slice(3, None, -2))), ((2, 3), (slice(None), None, 2)),
        ((0, 3), (slice(None), 1)),
    ),
    "upsample_nearest": _upsample,
}
