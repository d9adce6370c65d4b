"""Rules for every op and kernel: no writes to inputs, no shared memory, dtypes kept, saved arrays declared."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator
from threadpoolctl import threadpool_limits

from ddpm_np.autograd.ops import REGISTRY, kernels
from ddpm_np.autograd.ops.examples import examples
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.gradients.derivatives import differentiate, is_floating, vjp_parts
from ddpm_np.check.gradients.rules import (
    LAYOUTS,
    cotangent,
    gives_the_same_bits_again,
    keeps_what_it_says,
    laid_out,
    shares_no_writable_memory,
    writes_to_nothing,
)

pytestmark = pytest.mark.usefixtures("one_blas_thread")
OPS = sorted(REGISTRY)
FORWARDS = [(name, None) for name in OPS] + [
    (name, i) for name in OPS for i in range(len(REGISTRY[name].kernels.get("numpy", ())))
]


def forward_of(name, kernel):
    """Return (forward, when, saves) of an op's definition, or of its NumPy kernel with that number."""
    op = REGISTRY[name]
    return (op.define, lambda *inputs, **static: True, op.saves) if kernel is None else op.kernels["numpy"][kernel][:3]


def cases(name, kernel, layout="contiguous", dtype=None):
    """Yield (example, forward, a random read-only cotangent) for the examples that the forward accepts."""
    forward, when, _ = forward_of(name, kernel)
    rng = generator("rules", name, layout)
    for example in examples(name, rng):
        laid = laid_out(example, layout, dtype)
        if when(*laid.inputs, **laid.static):
            yield laid, forward, cotangent(forward, laid, rng)


every_forward = pytest.mark.parametrize(("name", "kernel"), FORWARDS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", [writes_to_nothing, shares_no_writable_memory, gives_the_same_bits_again])
@every_forward
def test_memory_and_determinism_rules_hold_for_every_op_and_kernel(name, kernel, rule, layout):
    for example, forward, g in cases(name, kernel, layout):
        rule(forward, example, g)


@every_forward
def test_several_blas_threads_give_the_same_bits_again(name, kernel):
    with threadpool_limits(2, "blas"):
        for example, forward, g in cases(name, kernel):
            gives_the_same_bits_again(forward, example, g)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_forward
def test_output_and_gradients_keep_the_input_dtype(name, kernel, dtype):
    """Gradients are those the vjp itself returns, before the tape could convert them."""
    for example, forward, g in cases(name, kernel, dtype=dtype):
        if name == "astype":
            assert g.dtype == example.extra[0]
            for grad in differentiate(REGISTRY[name], example, g):
                assert grad.dtype == dtype
            continue
        assert g.dtype == dtype, str(example)
        for grad in vjp_parts(forward, example, g):
            assert grad.dtype == dtype, str(example)


@pytest.mark.parametrize("name", [name for name in OPS if REGISTRY[name].analytic])
def test_complex_input_with_zero_imaginary_part_gives_the_real_output(name):
    """By the definition, which complex numbers get; kernels' rounding is in tests/kernels."""
    op = REGISTRY[name]
    for example in examples(name, generator("complex", name)):
        with kernels("reference"):
            y = op(*example.inputs, **example.static)
        inputs = [a.astype(np.complex128) if is_floating(a) else a for a in example.arrays]
        z = op(*inputs, *example.extra, **example.static)
        assert z.dtype == np.complex128
        np.testing.assert_allclose(z.real, y, rtol=1e-13, atol=1e-13)
        assert not np.imag(z).any()


def test_where_has_no_gradient_for_its_condition():
    for example in examples("where", generator("where")):
        y, vjp = REGISTRY["where"].define(*example.arrays)
        assert vjp(np.ones(y.shape))[0] is None


@every_forward
def test_saves_lists_the_arrays_that_the_vjp_keeps_alive(name, kernel):
    reached = list(cases(name, kernel))
    assert reached
    keeps_what_it_says(reached[0][1], [example for example, _, _ in reached], forward_of(name, kernel)[2])


def has_several_operands(example):
    """Whether a vjp could compute one gradient and leave out another."""
    return sum(map(is_floating, example.arrays)) >= 2


@pytest.mark.parametrize("name", [name for name in OPS if any(map(has_several_operands, examples(name, generator())))])
def test_vjp_of_several_operands_returns_thunks_or_views(name):
    """A thunk computes its gradient on request; a view of the cotangent costs nothing."""
    for example, _, g in cases(name, None):
        if has_several_operands(example) and g.size:
            parts = REGISTRY[name].define(*example.inputs, **example.static)[1](g)
            for part in parts[: len(example.arrays)]:
                assert part is None or callable(part) or np.shares_memory(part, g), str(example)


@pytest.mark.parametrize("name", ["multiply", "matmul", "where", "conv2d", "linear", "group_norm", "attention"])
def test_unrequested_gradients_are_not_computed(name, monkeypatch):
    """The gradient of one operand at a time is requested; the other operands' thunks are not called."""
    op = REGISTRY[name]
    example = examples(name, generator(name))[0]
    define, called = op.define, []

    def counted(*inputs, **static):
        y, vjp = define(*inputs, **static)

        def call(i, part):
            called.append(i)
            return part()

        def counting(g):
            return tuple((lambda i=i, p=part: call(i, p)) if callable(part) else part for i, part in enumerate(vjp(g)))

        return y, counting

    monkeypatch.setattr(op, "define", counted)
    monkeypatch.setattr(op, "kernels", {})
    for i, a in enumerate(example.arrays):
        if is_floating(a):
            called.clear()
            x = Tensor(a, requires_grad=True)
            y = op(*(x if j == i else b for j, b in enumerate(example.arrays)), *example.extra, **example.static)
            gradients(y, [x], np.full(y.shape, 0.3))
            assert called == [i], f"{name}: wanted {i}, computed {called}"


def test_kernels_context_selects_kernels_and_is_undone_afterwards():
    """`kernels` is a context; the choice before it returns even after an exception."""
    op = REGISTRY["group_norm_silu"]
    example = examples(op.name, generator(op.name))[0]
    fast = op.choose(list(example.arrays), example.static)
    with kernels("reference"):
        assert op.choose(list(example.arrays), example.static) is op.define
        with kernels("fast"):
            assert op.choose(list(example.arrays), example.static) is fast
    with pytest.raises(KeyError), kernels("reference"):
        raise KeyError
    assert op.choose(list(example.arrays), example.static) is fast
