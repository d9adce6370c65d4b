"""A Tensor's array: shared on creation, copied on assignment; dtypes, operators and broadcasting."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from gradient_inputs import generator, leaf
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np import Tensor
from ddpm_np.autograd.tape import undo_broadcasting
from ddpm_np.autograd.tensor import gradients
from ddpm_np.check.gradients.derivatives import STEP, error

# Data


def test_data_is_the_given_array_and_assignment_copies_into_it():
    array = np.arange(3.0)
    x = Tensor(array, requires_grad=True)
    assert x.data is array
    for new in (np.array([5, 6, 7], np.float32), [5, 6, 7], Tensor(np.array([5.0, 6.0, 7.0]))):
        array[...] = 0
        x.data = new
        assert x.data is array
        np.testing.assert_array_equal(array, [5, 6, 7])
    for wrong in (np.zeros(2), np.zeros((1, 3)), np.array(1.0)):
        with pytest.raises(ValueError, match=r"expected data of shape \(3,\), got"):
            x.data = wrong
    np.testing.assert_array_equal(array, [5, 6, 7])


def test_assignments_that_would_lose_something_are_refused():
    for x, new, words in [
        (Tensor(np.zeros(2)), np.array([1j, 2]), "expected data of dtype float64, got complex128"),
        (Tensor(np.zeros(2, int)), [0.5, 1.5], "expected data of dtype int64, got float64"),
    ]:
        with pytest.raises(TypeError, match=words):
            x.data = new
    array = np.zeros(2)
    array.setflags(write=False)
    with pytest.raises(ValueError, match="this Tensor's array is read-only: make the Tensor of a copy"):
        Tensor(array).data = [1.0, 2.0]


@pytest.mark.parametrize(("data", "dtype"), [
    ([1.0, 2.0], "float32"), (3, "float32"), (2.5, "float32"), (np.float64(2.5), "float64"), (np.arange(3), "int64"),
    (np.array(1.0), "float64"), (np.ones(2, np.complex128), "complex128"),
])
def test_dtypes_are_kept_and_python_numbers_are_float32(data, dtype):
    x = Tensor(data)
    assert isinstance(x.data, np.ndarray)
    assert str(x.dtype) == dtype
    assert (x.shape, x.ndim, x.size) == (np.shape(data), np.ndim(data), np.size(data))
    assert Tensor(x).data is x.data


def test_repr_len_and_iteration_of_a_tensor():
    assert repr(Tensor(np.array([1.0]), requires_grad=True)) == "Tensor(array([1.]), requires_grad=True)"
    assert len(Tensor(np.zeros((4, 2)))) == 4
    assert [float(row.data[1]) for row in Tensor(np.arange(4.0).reshape(2, 2))] == [1.0, 3.0]


# What has no meaning for a Tensor is an error in one line

NUMPY = "a Tensor is not a NumPy array: pass its array, x.data"
TRUTH = "a Tensor has no truth value: use its array, x.data"
COMPARED = "Tensors cannot be compared: compare their arrays, x.data"
ERRORS = {
    "asarray": (np.asarray, NUMPY), "array": (np.array, NUMPY),
    "array of a dtype": (lambda x: np.asarray(x, dtype="float64"), NUMPY),
    "array without a copy": (lambda x: np.array(x, copy=False), NUMPY),
    "array of a list": (lambda x: np.array([x, x]), NUMPY), "concatenate": (lambda x: np.concatenate([x, x]), NUMPY),
    "assigned to an array": (lambda x: np.zeros(x.shape).__setitem__(..., x), NUMPY),
    "bool": (bool, TRUTH), "if": (lambda x: 1 if x else 2, TRUTH), "not": (lambda x: not x, TRUTH),
    "and": (lambda x: x and 1, TRUTH),
    "equals": (lambda x: x == 1, COMPARED), "is not": (lambda x: x != 1, COMPARED), "less": (lambda x: x < 1, COMPARED),
    "at most": (lambda x: x <= x, COMPARED), "more": (lambda x: x > x.data, COMPARED),
    "at least": (lambda x: x >= 1, COMPARED), "an array equals": (lambda x: x.data == x, COMPARED),
    "an array is less": (lambda x: x.data < x, COMPARED),
    "a NumPy number equals": (lambda x: np.float64(1) == x, COMPARED),
    "in": (lambda x: 1 in x, COMPARED),
}


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name in ERRORS for shape in [(2,), ()]
                                             if shape or name not in ("in", "concatenate")])
def test_errors_say_to_use_the_array(name, shape):
    f, message = ERRORS[name]
    with pytest.raises(TypeError) as caught:
        f(Tensor(np.ones(shape)))
    assert str(caught.value) == message


def test_rows_are_iterated_and_a_number_has_none():
    x = leaf(3, 2)
    rows = list(x)
    assert [type(row) for row in rows] == [Tensor] * 3
    np.testing.assert_array_equal([row.data for row in rows], x.data)
    (rows[0] * rows[2]).sum().backward()
    np.testing.assert_array_equal(x.grad, [x.data[2], [0, 0], x.data[0]])
    with pytest.raises(TypeError, match=r"a Tensor of shape \(\) has no rows to iterate over"):
        iter(Tensor(1.0))


def test_a_tensor_is_hashed_and_found_by_identity():
    x, y = Tensor([1.0]), Tensor([1.0])
    assert {x: 1, y: 2}[x] == 1
    assert x in [x]
    assert len({x, y, x}) == 2


# Operators

OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
}
OTHERS = {"array": np.array([[2.0, 4.0, 8.0], [0.5, 0.25, 1.5]]), "np scalar": np.float64(4.0), "float": 4.0, "int": 4,
          "0-d array": np.array(4.0), "row": np.array([2.0, -4.0, 8.0])}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("sign", OPERATORS)
def test_operators_with_arrays_and_numbers_on_either_side(sign, other):
    f, b, x = OPERATORS[sign], OTHERS[other], leaf(2, 3)
    for left in (False, True):
        y = f(b, x) if left else f(x, b)
        assert type(y) is Tensor
        expected = f(b, x.data) if left else f(x.data, b)
        np.testing.assert_array_equal(y.data, expected)
        g = generator(sign, other).standard_normal((2, 3))
        z = x.data + 1j * STEP
        jv = np.imag(f(b, z) if left else f(z, b)) / STEP
        assert error(gradients(y, [x], g)[0], g * jv) <= 1e-15


@pytest.mark.parametrize("scalar", [2.0, 3, np.float32(1.5)])
@pytest.mark.parametrize("sign", OPERATORS)
def test_scalars_do_not_promote_float32(sign, scalar):
    x = leaf(2, dtype=np.float32)
    assert OPERATORS[sign](x, scalar).dtype == OPERATORS[sign](scalar, x).dtype == np.float32


def test_matrix_products_and_powers():
    a, b = leaf(2, 3, name="a"), leaf(3, 4, name="b")
    for y in (a @ b, a.data @ b, a @ b.data):
        assert type(y) is Tensor
        np.testing.assert_array_equal(y.data, a.data @ b.data)
    g = generator("matrix").standard_normal((2, 4))
    ga, gb = gradients(a @ b, [a, b], g)
    np.testing.assert_allclose(ga, np.einsum("ij,kj->ik", g, b.data), rtol=1e-13)
    np.testing.assert_allclose(gb, np.einsum("ki,kj->ij", a.data, g), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal((a**2).data, a.data**2)
    np.testing.assert_array_equal((-a).data, -a.data)
    np.testing.assert_array_equal(a.mean(axis=0, keepdims=True).data, a.data.mean(axis=0, keepdims=True))
    assert a.reshape(3, 2).shape == a.reshape((3, 2)).shape == a.reshape(-1, 2).shape


@given(st.lists(st.integers(1, 4), max_size=4), st.data())
def test_undo_broadcasting_sums_over_the_repeated_axes(shape, data):
    """For any shape that broadcasts to `shape`, against sums over the repeated axes in explicit loops."""
    small = [data.draw(st.sampled_from([1, n])) for n in shape][data.draw(st.integers(0, len(shape))):]
    g = generator("undo", shape, small).standard_normal(shape)
    expected = np.zeros(small)
    for index in np.ndindex(*shape):
        place = index[len(shape) - len(small):]
        expected[tuple(0 if n == 1 else i for i, n in zip(place, small, strict=True))] += g[index]
    np.testing.assert_allclose(undo_broadcasting(g, tuple(small)), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("space", ["numpy", "strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize(("large", "small"), [
    ((), ()), ((3, 4), (3, 4)), ((3, 4), ()), ((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 4), (1, 4)), ((3, 4), (1, 1)),
    ((2, 3, 4, 5), (2, 1, 1, 5)), ((2, 3, 4, 5), (1, 3, 1, 5)), ((2, 3, 4, 5), (4, 1)), ((2, 3, 4, 5), (1, 1, 4, 5)),
    ((2, 1, 4), (1, 1, 4)), ((0, 4), (4,)), ((0, 4), (1, 4)), ((3, 0), (1, 0)), ((3, 0), (3, 1)), ((0,), ()),
    ((2, 0, 3), (2, 1, 3)), ((2, 0, 3), (1, 0, 1)), ((0, 5, 3), (0, 1, 3)),
])
def test_undo_broadcasting_in_any_dtype_and_namespace(large, small, dtype, space):
    """Against NumPy's sum in extended precision; an empty sum is 0, and the result is always an array."""
    g = np.asarray(generator("undo", large, dtype).standard_normal(large)).astype(dtype)
    if dtype == "complex128":
        g *= 1 + 0.5j
    extra = len(large) - len(small)
    axes = (*range(extra), *(extra + i for i, n in enumerate(small) if n == 1 and large[extra + i] != 1))
    expected = g.sum(axis=axes, dtype=np.clongdouble if dtype == "complex128" else np.longdouble).reshape(small)
    given = array_api_strict.asarray(g) if space == "strict" else g
    found = undo_broadcasting(given, small)
    assert type(found) is type(given)
    found = np.asarray(found)
    assert (found.shape, found.dtype) == (small, dtype)
    np.testing.assert_allclose(found, expected, rtol=0, atol=32 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("large", "small"), [
    ((), (1,)), ((3,), (1, 3)), ((3,), (4,)), ((2, 3), (3, 1)), ((1, 3), (2, 3)), ((0, 3), (2, 3)),
])
def test_a_gradient_of_an_unbroadcastable_shape_is_refused(large, small):
    with pytest.raises(AssertionError, match=r"the vjp of tried gave a gradient of shape .* for an input of shape"):
        undo_broadcasting(np.ones(large), small, "tried")
