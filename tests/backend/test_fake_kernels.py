"""The fake's ElementwiseKernel and ReductionKernel compute what C computes, and refuse what CuPy or a compiler does."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from fake_cupy import OverlappingWrite, UndefinedCast
from fake_cupy.array import unwrap


@pytest.fixture(params=["awkward", "plain"])
def cp(request):
    """The fake module."""
    with fake_cupy.installed(request.param) as module:
        yield module


def kernel(cp, inputs, outputs, code):
    """Return a formula for each element."""
    return cp.ElementwiseKernel(inputs, outputs, code, "formula")


def total(cp, inputs, term, result="a"):
    """Return a sum."""
    return cp.ReductionKernel(inputs, "T y", term, "a + b", f"y = {result}", "0", "total")


def test_variables_have_the_types_that_c_gives_them(cp):
    """An assignment rounds to the type of the variable: T h of doubles is a float where T is."""
    x = cp.asarray(np.array([1 / 3, 2 / 3], np.float32))
    one = cp.asarray(1 / 3)
    y = kernel(cp, "T x, float64 third", "T y", "T h = third; y = (h - x) * 3")(x, one)
    assert y.dtype == np.float32
    assert unwrap(y)[0] == 0  # 1/3 in double precision less 1/3 in single would be 1e-8
    z = kernel(cp, "T x, float64 third", "T y", "float64 h = third; y = (h - x) * 3")(x, one)
    assert z.dtype == np.float32
    assert unwrap(z)[0] != 0
    flags = kernel(cp, "T x", "bool y", "bool positive = x - T(1); y = positive")(cp.asarray([1.0, 2.0]))
    assert unwrap(flags).tolist() == [False, True]
    words = kernel(cp, "uint64 w", "uint32 low", "low = w * 3")(cp.asarray(np.array([2**63 + 5, 2**32], np.uint64)))
    assert unwrap(words).tolist() == [15, 0]
    with pytest.raises(UndefinedCast):
        kernel(cp, "T x", "uint64 n", "n = x")(cp.asarray([-1.0]))


def test_outputs_may_be_read_and_written_in_place(cp):
    p, g = cp.asarray([1.0, 2.0]), cp.asarray([0.5, 0.5])
    move = kernel(cp, "T g, T rate", "T p", "p = p - rate * g")
    assert move(g, 2, p) is p
    assert unwrap(p).tolist() == [0, 1]
    double = kernel(cp, "T x", "T y", "y = x + x")
    double(p, p)  # each thread reads its own element before it writes it
    assert unwrap(p).tolist() == [0, 2]
    part = p[1:]
    double(cp.ones((1,)), part)
    assert unwrap(p).tolist() == [0, 2]
    with pytest.raises(NameError, match="no value yet"):
        move(g, 2)


def test_outputs_that_overlap_raise(cp):
    x = cp.asarray(np.arange(8.0))
    double = kernel(cp, "T x", "T y", "y = x + x")
    twice = kernel(cp, "T x", "T y, T z", "y = x + x; z = x")
    for race in (lambda: double(x[:-1], x[1:]), lambda: double(x[::-1], x), lambda: double(x[0], x),
                 lambda: double(1.0, cp.broadcast_to(x, (2, 8))), lambda: twice(1.0, x[:4], x[2:6]),
                 lambda: double(1.0, cp.lib.stride_tricks.as_strided(x, (3, 3), (8, 8)))):
        with pytest.raises(OverlappingWrite):
            race()
    with pytest.raises(OverlappingWrite, match="'x' is read after 'y'"):
        twice(x, x, cp.empty_like(x))  # C has references: z would be 2 x
    assert np.array_equal(unwrap(x), np.arange(8))
    twice(x, cp.empty_like(x), x)
    y = cp.asarray(np.ones((3, 4)))
    double(y.T, y.T)
    assert (unwrap(y) == 2).all()


@pytest.mark.parametrize("code", [
    "y = 0.5 * x", "y = x if x else x", "y = x ** 2", "y = x // 2", "y = x % 2", "y = x < 1 < 2", "y = not x",
    "y = x and x", "y = x & 1 == 0", "y = 1 == x | 1", "y = where(x == x ^ 1, x, x)", "x = 1; y = x", "h = x; y = h",
    "T h = x; T h = x; y = h", "T x = 1; y = x", "T h = x", "y += x", "y = (x, x)", "y = x[0]", "y = True", "y =", "",
    "y = +x", "y = exp(x=x)", "y = 'a'",
])
def test_code_that_is_no_c_or_means_something_else_in_it_is_refused(cp, code):
    with pytest.raises(SyntaxError):
        kernel(cp, "T x", "T y", code)


@pytest.mark.parametrize("code", [
    "y = x / 2 + x / 3", "y = (x > 1) + (x > 2)", "y = -(x > 1)", "y = where(x, x, x)", "y = where(x > 1, x, 0)",
    "y = exp(x)", "y = sqrt(1)", "y = pow(x, 2)", "y = floor(x)", "y = x << 64", "y = x << -1", "y = mulhi(x, 3)",
    "y = x + s", "y = x > s", "y = ~(x > 1)", "y = (1 / 2) * x", "y = (65536 * 65536) * x", "y = S(x)", "y = exp(x, x)",
    "y = (x > 1) * 2", "y = u + -1", "y = -u",
])
def test_operations_whose_type_is_another_in_c_raise(cp, code):
    x, s, u = cp.asarray([1, 2]), cp.asarray(np.array([1, 2], np.float32)), cp.asarray(np.array([1, 2], np.uint64))
    with pytest.raises((TypeError, OverflowError)):
        kernel(cp, "T x, float32 s, uint64 u", "T y", code)(x, s, u)


def test_what_is_the_same_in_both_is_computed(cp):
    x = cp.asarray([-1.0, 0.0, 3.0])
    numbers = np.array([-1.0, 0.0, 3.0])
    for code, expected in (("y = x / 2 + 1", numbers / 2 + 1), ("y = where(x > 0, x, T(0))", np.maximum(numbers, 0)),
                           ("y = (x > 0) * x", np.maximum(numbers, 0)),
                           ("y = exp(-x) - pow(x, T(2))", np.exp(-numbers) - numbers**2),
                           ("y = where((x > 0) & (x < 5), x, -x)", abs(numbers)),
                           ("y = T(i) + x", numbers + np.arange(3)),
                           ("y = sqrt(x * x)", abs(numbers)), ("const T h = 2; y = h * x", 2 * numbers)):
        assert np.array_equal(unwrap(kernel(cp, "T x", "T y", code)(x)), expected), code
    words = np.array([2**64 - 1, 12345678901234567890, 7], np.uint64)
    high = kernel(cp, "T w", "T y", "y = mulhi(w, 0xD2E7470EE14C6C93) ^ (w >> 7)")(cp.asarray(words))
    assert unwrap(high).tolist() == [(int(w) * 0xD2E7470EE14C6C93 >> 64) ^ (int(w) >> 7) for w in words]


def test_arguments_are_those_of_cupy(cp):
    x, y = cp.ones((3, 1)), cp.ones((1, 4))
    add = kernel(cp, "T x, T z", "T y", "y = x + z")
    assert add(x, y).shape == (3, 4)
    assert add(x, 1).dtype == np.float64
    assert add(cp.ones((0, 4)), y).shape == (0, 4)
    single = cp.ones((1, 4), dtype=cp.float32)
    for wrong, error in ((lambda: add(x), TypeError), (lambda: add(x, single), TypeError),
                         (lambda: add(1, 2), KeyError), (lambda: add(x, np.ones(3)), TypeError),
                         (lambda: add(x, [1.0]), TypeError),
                         (lambda: add(x, y, single), TypeError), (lambda: add(x, y, cp.ones((3, 1))), ValueError),
                         (lambda: add(x, y, np.ones((3, 4))), TypeError), (lambda: add(x, 1j), TypeError),
                         (lambda: add(x, y, size=3), ValueError),
                         (lambda: add(cp.ones((2, 1), dtype=int), 0.5), TypeError)):
        with pytest.raises(error):
            wrong()
    for parameters in ("T i", "T x, T x", "tuple x"):
        with pytest.raises((ValueError, SyntaxError, TypeError)):
            kernel(cp, parameters, "T y", "y = 1")
    with pytest.raises(ValueError, match="name"):
        cp.ElementwiseKernel("T x", "T y", "y = x", "a name")
    fill = kernel(cp, "float32 x", "T y", "y = x")
    assert unwrap(fill(2, cp.empty(3))).tolist() == [2, 2, 2]


def test_sums(cp):
    numbers = np.arange(24.0).reshape(2, 3, 4)
    x = cp.asarray(numbers)
    squares = total(cp, "T x, T r", "x * x * r", "a / r")
    assert np.array_equal(unwrap(squares(x, 2, axis=(0, 2))), (numbers**2).sum((0, 2)))
    assert squares(x, 2, axis=None).shape == ()
    kept = squares(x, 2, axis=1, keepdims=True)
    assert kept.shape == (2, 1, 4)
    out = cp.empty((2, 4))
    assert squares(x, 2, axis=1, out=out) is out
    assert np.array_equal(unwrap(out), (numbers**2).sum(1))
    assert unwrap(squares(cp.ones((0, 3)), 2, axis=0)).tolist() == [0, 0, 0]
    assert squares(cp.asarray(np.ones((2, 2), np.float32)), 2, axis=0).dtype == np.float32
    with pytest.raises(OverlappingWrite):
        squares(x, 2, axis=0, out=x[0])
    with pytest.raises(OverlappingWrite):
        squares(x, 2, axis=0, out=cp.broadcast_to(cp.ones(4), (3, 4)))
    with pytest.raises(ValueError, match="Out shape"):
        squares(x, 2, axis=0, out=out)
    with pytest.raises(NameError):
        total(cp, "T x", "x", "a * x")(x, axis=0)  # no single element of x is left
    with pytest.raises(SyntaxError):
        total(cp, "T x", "x", "a * 0.5")
    with pytest.raises(SyntaxError, match="other words"):
        total(cp, "T x", "exp(x)")
    with pytest.raises(SyntaxError, match="is called a"):
        total(cp, "T a, T x", "a * x")
