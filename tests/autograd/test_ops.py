"""Every op's vjp is its derivative: on every example, in every memory layout, with random cotangents."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import few, generator
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from ddpm_np.autograd.ops import REGISTRY
from ddpm_np.autograd.ops.examples import Example, examples, nonzero
from ddpm_np.check.gradients.derivatives import adjoint_error, fast_and_reference, gradient_errors
from ddpm_np.check.gradients.examples import numbers
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out
from ddpm_np.check.gradients.runner import ADJOINT, ELEMENT, PAIRED, PAIRED_OF, SMALL

OPS = sorted(REGISTRY)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [name for name in OPS if name != "astype"])  # which rounds: see its adjoint below
def test_vjp_is_the_derivative(name, layout):
    op, rng = REGISTRY[name], generator(name, layout)
    for example in examples(name, rng):
        one_by_one = layout == "contiguous" and numbers(example) <= SMALL
        paired, element = gradient_errors(op, laid_out(example, layout), rng, one_by_one)
        assert paired <= PAIRED_OF.get(name, PAIRED), f"{example}: {paired:.1e}"
        assert element <= PAIRED_OF.get(name, ELEMENT), f"{example}: {element:.1e}"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [name for name in OPS if REGISTRY[name].linear])
def test_linear_ops_satisfy_the_adjoint_identity(name, layout):
    op, rng = REGISTRY[name], generator("adjoint", name, layout)
    for example in (laid_out(e, layout) for e in examples(name, rng)):
        assert adjoint_error(op, example, rng) <= ADJOINT, str(example)


def test_every_op_has_examples_and_a_docstring():
    rng = np.random.default_rng(0)
    for name, op in REGISTRY.items():
        cases = examples(name, rng)
        assert len(cases) >= 3, name
        assert any(np.size(op(*e.inputs, **e.static)) == 0 for e in cases), f"{name} has no empty example"
        assert op.__doc__, name
        assert op.linear or op.analytic or name == "clip", f"{name}: by what is its gradient checked?"
    with pytest.raises(ValueError, match="no examples"):
        examples("no such op", rng)


BINARY = ("add", "subtract", "multiply", "divide")


@given(st.sampled_from(BINARY), mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0))
@few
def test_binary_op_gradients_for_any_broadcastable_shapes(name, shapes):
    (a, b), op = shapes.input_shapes, REGISTRY[name]
    rng = generator(name, a, b)
    example = Example((rng.standard_normal(a), nonzero(rng, b)))
    np.testing.assert_array_equal(op(*example.arrays), getattr(np, name)(*example.arrays))
    assert gradient_errors(op, Example(tuple(np.asarray(x) for x in example.arrays)), rng)[0] <= PAIRED


@st.composite
def convolutions(draw):
    """A convolution of any small size whose kernel fits its padded image."""
    n, c, o = draw(st.integers(0, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kh, kw = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(2))
    h = draw(st.integers(max(1, kh - sum(pads[0])), 7))
    w = draw(st.integers(max(1, kw - sum(pads[1])), 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bias = rng.standard_normal(o) if draw(st.booleans()) else None
    static = {"stride": draw(st.integers(1, 3)), "padding": pads}
    return Example((rng.standard_normal((n, h, w, c)), rng.standard_normal((kh, kw, c, o)), bias), static=static), rng


@given(convolutions())
@few
def test_convolution_gradients_for_any_size(case):
    example, rng = case
    op = REGISTRY["conv2d"]
    assert gradient_errors(op, example, rng)[0] <= PAIRED
    assert max(fast_and_reference(op, example, rng)) <= 1e-13


@st.composite
def normalisations(draw):
    """A group norm of any small size; ε large enough for a group of one number."""
    groups = draw(st.integers(1, 4))
    c = groups * draw(st.integers(1, 4))
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4)), c)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    arrays = (rng.standard_normal(shape) + draw(st.integers(-3, 3)), rng.standard_normal(c), rng.standard_normal(c))
    return Example(arrays, static={"groups": groups, "eps": draw(st.sampled_from([1e-3, 0.1, 2.0]))}), rng


@given(st.sampled_from(["group_norm", "group_norm_silu"]), normalisations())
@few
def test_normalisation_gradients_for_any_size(name, case):
    example, rng = case
    assert gradient_errors(REGISTRY[name], example, rng)[0] <= 1e-11  # x̂ is near 0/0 in a group of nearly equal numbers
    assert max(fast_and_reference(REGISTRY[name], example, rng)) <= 1e-11
