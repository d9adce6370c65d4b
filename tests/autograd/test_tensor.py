"""The tape: gradients of any graph, leaves and their grad, and errors in one plain line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradient_inputs import generator, leaf, own_op
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np import Tensor, no_grad
from ddpm_np.autograd import ops
from ddpm_np.autograd.recompute import recomputed, recomputing
from ddpm_np.autograd.tensor import gradients
from ddpm_np.check.gradients.derivatives import STEP, error

# Graphs


def test_a_diamond_graph_walks_the_shared_node_once():
    """y = x·sin x + exp(x·sin x): every node is walked once, after all nodes that use it."""
    x = leaf(3, 2)
    cotangent = generator("diamond").standard_normal((3, 2))
    walks = []

    def define(a):
        return a * np.sin(a), lambda g: (walks.append(1) or g * (np.sin(a) + a * np.cos(a)),)

    shared = own_op("shared", define)(x)
    (shared + ops.exp(shared)).backward(cotangent)
    z = x.data + 1j * STEP
    expected = cotangent * np.imag(z * np.sin(z) + np.exp(z * np.sin(z))) / STEP
    assert error(x.grad, expected) <= 1e-15
    assert len(walks) == 1


def test_a_leaf_reached_by_branches_of_different_lengths():
    """The leaf is reached first by a short branch and last by a long one."""
    x = leaf(4)
    long = x
    for _ in range(7):
        long = ops.tanh(long) + 0.3 * x
    (long * x).backward(np.array([1.0, -2.0, 0.5, 3.0]))
    z = y = x.data + 1j * STEP
    for _ in range(7):
        y = np.tanh(y) + 0.3 * z
    assert error(x.grad, np.array([1.0, -2.0, 0.5, 3.0]) * np.imag(y * z) / STEP) <= 1e-15


@given(st.lists(st.tuples(st.sampled_from(["add", "multiply", "subtract", "tanh", "reuse"]), st.integers(0, 100),
                          st.integers(0, 100)), min_size=1, max_size=20))
def test_random_graphs_against_the_complex_step(steps):
    """Random graphs of two leaves against the complex step through the same arithmetic."""
    a, b = leaf(3, name="a"), leaf(2, 1, name="b")
    g = generator("any graph", steps).standard_normal((2, 3))

    def build(a, b):
        xp = ops.OPS if isinstance(a, Tensor) else np
        nodes = [a, b]
        for what, i, j in steps:
            x, y = nodes[i % len(nodes)], nodes[j % len(nodes)]
            if what in ("tanh", "reuse"):
                nodes.append(xp.tanh(x) if what == "tanh" else x * x * 0.1)
            else:
                nodes.append(getattr(xp, what)(x, y) * 0.5)
        return sum(nodes[1:], nodes[0])

    grads = gradients(build(a, b), [a, b], g)
    for i, grad in enumerate(grads):
        for index in np.ndindex(grad.shape):
            moved = [x.data.astype(np.complex128) for x in (a, b)]
            moved[i][index] += 1j * STEP
            assert math.isclose(grad[index], np.sum(g * np.imag(build(*moved)) / STEP), rel_tol=1e-12, abs_tol=1e-13)


def test_a_long_chain_needs_no_recursion():
    x = leaf(2)
    y = x
    for _ in range(5000):
        y = y * 1.0001
    y.backward(np.array([0.7, -1.3]))
    np.testing.assert_allclose(x.grad, np.array([0.7, -1.3]) * 1.0001**5000, rtol=1e-12)
    for _ in range(5000):  # a graph that is dropped without a backward pass, too
        y = y * 1.0001


def test_only_operations_on_tensors_that_require_grad_are_recorded():
    x, constant = leaf(2), Tensor(np.ones(2))
    assert not (constant * 2).requires_grad
    assert (constant * 2).node is None
    y = constant * x
    assert y.requires_grad
    y.backward(np.array([3.0, 4.0]))
    assert constant.grad is None
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])


def test_gradient_is_none_for_a_tensor_the_output_does_not_depend_on():
    x, y = leaf(2, name="x"), leaf(3, name="y")
    found = gradients(x * 2, [y, x], np.array([1.0, 5.0]))
    assert found[0] is None
    np.testing.assert_array_equal(found[1], [2.0, 10.0])
    assert x.grad is None


def test_stop_gradient_cuts_the_tape():
    x = leaf(3)
    (x * ops.OPS.stop_gradient(x * x)).backward(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(x.grad, np.array([1.0, 2.0, 3.0]) * x.data**2, rtol=1e-15)


# Leaves


def test_a_second_backward_is_refused():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match=r"backward reached the same 'sum' twice.*: compute the") as caught:
        y.backward()
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(x.grad, before)


def test_a_second_backward_through_a_shared_part_is_refused():
    x = leaf(3)
    shared = x * x
    first, second = (shared * 2).sum(), (shared * 3).sum()
    first.backward()
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match="'multiply'"):
        second.backward()
    np.testing.assert_array_equal(x.grad, before)


def test_grad_accumulates_over_backward_calls():
    x = leaf(3)
    (x * 2).backward(np.array([1.0, 2.0, 3.0]))
    first = x.grad
    (x * x).backward(np.array([0.5, 0.25, -1.0]))
    assert x.grad is first
    np.testing.assert_allclose(x.grad, [2, 4, 6] + 2 * x.data * [0.5, 0.25, -1.0], rtol=1e-15)


LEAF_GRAPHS = {
    "itself": (lambda x: x, 1),
    "x + x": (lambda x: x + x, 2),
    "reshape": (lambda x: ops.reshape(x, (3, 2)), 1),
    "transpose": (lambda x: ops.permute_dims(x, (1, 0)), 1),
    "broadcast": (lambda x: ops.broadcast_to(x, (4, 2, 3)), 4),
    "astype": (lambda x: ops.astype(x, np.float32), 1),
    "slice": (lambda x: x[:, ::-1][:, ::-1], 1),
    "concat": (lambda x: ops.concat(x, x, axis=0), 2),
    "sum": (lambda x: x.sum(), 1),
    "add": (lambda x: x + np.zeros((2, 3)), 1),
}


@pytest.mark.parametrize("name", LEAF_GRAPHS)
def test_grad_of_a_leaf_is_its_own_writable_array(name):
    """It has the leaf's dtype and shares no memory with the cotangent, the data or another leaf's grad."""
    build, times = LEAF_GRAPHS[name]
    x, other = leaf(2, 3, name="x"), leaf(2, 3, name="other")
    y = build(x + 0 * other) if name != "itself" else x
    cotangent = np.full(y.shape, 0.5, y.dtype)
    y.backward(cotangent)
    assert x.grad.flags.writeable
    assert cotangent.flags.writeable
    assert x.grad.dtype == x.dtype
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 0.5 * times))
    for array in (cotangent, x.data, *([other.grad] if other.grad is not None else [])):
        assert not np.shares_memory(x.grad, array)
    x.grad += 1
    np.testing.assert_array_equal(cotangent, np.full(y.shape, 0.5))
    build(x).backward(cotangent)
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 1 + 2 * 0.5 * times))


def test_two_leaves_of_one_sum_do_not_share_a_grad():
    x, y = leaf(3, name="x"), leaf(3, name="y")
    (x + y).backward(np.array([1.0, 2.0, 3.0]))
    x.grad *= 10
    np.testing.assert_array_equal(y.grad, [1, 2, 3])


def test_a_vjp_receives_a_read_only_cotangent():
    def define(a):
        def vjp(g):
            g *= 2
            return (g,)
        return a + 0, vjp

    x = leaf(3)
    with pytest.raises(ValueError, match="read-only"):
        (own_op("greedy", define)(x) * 1).backward(np.ones(3))


@pytest.mark.parametrize("kind", ["float", "list", "Tensor", "float32"])
def test_backward_accepts_a_float_list_array_or_tensor(kind):
    x = leaf(2)
    given_as = {"float": 2.0, "list": [2.0, 2.0], "Tensor": Tensor(np.array([2.0, 2.0])),
                "float32": np.array([2, 2], np.float32)}[kind]
    y = (x * 3).sum() if kind == "float" else x * 3
    y.backward(given_as)
    np.testing.assert_array_equal(x.grad, [6, 6])
    assert x.grad.dtype == np.float64


def test_backward_of_a_leaf_itself_keeps_its_dtype():
    x = leaf(2, dtype=np.float32)
    x.backward(np.array([1.0, 2.0]))
    assert x.grad.dtype == np.float32


# Assignment between forward and backward


ASSIGNED = {  # a graph of x and w, and what is then assigned
    "an operand of a product": lambda x, w: (x * w, w),
    "an input whose own gradient is not wanted": lambda x, w: (Tensor(x.data) * 1.0 * w, w),
    "an output that its op has kept": lambda x, w: (y := ops.exp(x), y),
    "an input seen through a reshaped view": lambda x, w: (ops.square(ops.reshape(x, (3, 2))), x),
    "an input seen through a slice of a slice": lambda x, w: (ops.square(x[0][1:]), x),
    "an input seen through a detached Tensor": lambda x, w: (ops.OPS.stop_gradient(x) * w, x),
    "a view of the input": lambda x, w: (ops.square(x), x[1]),
    "a Tensor of the same Tensor": lambda x, w: (ops.square(x), Tensor(x)),
}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ASSIGNED)
def test_backward_refuses_a_graph_whose_numbers_were_assigned(name, recompute):
    x, w = leaf(2, 3), leaf(2, 3)
    with recomputing(recompute):
        assigned = []

        def segment(x, w):
            out, target = ASSIGNED[name](x, w)
            assigned.append(target)
            return ops.sum_(out)
        y = recomputed(segment)(x, w)
    assigned[0].data = np.full(assigned[0].shape, 7.0)
    words = r"of '\w+' was assigned between forward and backward.*: assign after"
    with pytest.raises(RuntimeError, match=words) as caught:
        y.backward()
    assert "\n" not in str(caught.value)


def test_assignment_is_allowed_where_no_gradient_needs_the_old_numbers():
    x, w = leaf(2, 3), leaf(2, 3)
    y = ops.sum_(ops.concat(x + w, -x[:, 1:], axis=1))  # linear: its gradient needs no numbers
    x.data = np.zeros((2, 3))
    y.backward()
    np.testing.assert_array_equal(w.grad, np.ones((2, 3)))
    before = w.data.copy()
    x.data = before  # after backward, and before the next forward pass
    (x * w).sum().backward()
    np.testing.assert_array_equal(w.grad, 1 + before)
    stale = x * w
    x.data = before + 1  # a graph that nobody walks
    del stale


# Errors


def test_backward_errors_are_one_plain_line():
    x = leaf(2, 3)
    for call, words in [
        ((x * 2).backward, r"backward of a Tensor of shape \(2, 3\) needs a gradient of that shape"),
        (lambda: (x * 2).backward(np.ones((3, 2))), r"expected a gradient of shape \(2, 3\), got \(3, 2\)"),
        (lambda: Tensor(np.ones(2)).backward(), "an output that depends on a Tensor with requires_grad=True"),
    ]:
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    with no_grad():
        y = x.sum()
    with pytest.raises(ValueError, match="outside no_grad"):
        y.backward()


def test_backward_through_an_input_without_a_gradient_is_refused():
    p = Tensor(np.array(2.0), requires_grad=True)
    with pytest.raises(TypeError, match="pow has no gradient for one of its inputs"):
        ops.OPS.pow(Tensor(np.array([1.0, 2.0])), p).sum().backward()


def test_data_without_gradients_is_refused():
    for data, words in [(np.arange(3), "only floating-point data has a gradient, got dtype int64"),
                        (np.array([True]), "got dtype bool")]:
        with pytest.raises(TypeError, match=words):
            Tensor(data, requires_grad=True)
    with pytest.raises(TypeError, match="expected an array or a Tensor, got str: convert it"):
        Tensor("abc")
    for data, error_type, words in [
        ([[1.0], [1.0, 2.0]], ValueError, r"numbers, in rows of one length, got \[\[1.0\], \[1.0, 2.0\]\]"),
        (["a"], ValueError, "a list must hold numbers"), ([None, {}], TypeError, "a list must hold numbers"),
        (None, TypeError, "expected an array, a list or a real number, got None"),
        (1j, TypeError, "expected an array, a list or a real number, got 1j"),
    ]:
        with pytest.raises(error_type, match=words) as caught:
            Tensor(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(AttributeError, match="there is no op 'median' for Tensors"):
        _ = ops.OPS.median


def test_too_few_or_misshapen_gradients_are_reported_as_a_fault_of_the_op():
    x = leaf(2, 3)
    for define, words in [(lambda a, b: (a * b, lambda g: (g,)), "gave 1 gradients for 2 inputs"),
                          (lambda a, b: (a * b, lambda g: (g[0, 0], g)), r"gradient of shape \(\) for an input of"),
                          (lambda a, b: (a * b, lambda g: (g.T, g)), r"gradient of shape \(3, 2\) for an input of")]:
        with pytest.raises(AssertionError, match=words):
            own_op("broken", define)(x, x).backward(np.ones((2, 3)))
