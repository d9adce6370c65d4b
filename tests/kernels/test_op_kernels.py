"""Every kernel equals the definition of its op: output and gradients, in every layout and both precisions."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from gradient_inputs import generator
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np.autograd.ops import REGISTRY, images_together
from ddpm_np.autograd.ops.examples import Example, examples
from ddpm_np.check.gradients.derivatives import error, vjp_parts
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out
from ddpm_np.kernels.numpy_winograd import F2, F4, fits, scheme_for

KERNELS = [(name, i) for name, op in sorted(REGISTRY.items()) for i in range(len(op.kernels.get("numpy", ())))]
one_thread = pytest.mark.usefixtures("one_blas_thread")
every_kernel = pytest.mark.parametrize(("name", "kernel"), KERNELS)
TOLERANCE = {"float64": 1e-13, "float32": 2e-5}  # in units of the largest element


def compare(op, kernel, example, rng):
    """Return the kernel's errors, output first, then the gradients."""
    y, expected = (np.asarray(f(*example.inputs, **example.static)[0]) for f in (kernel.forward, op.define))
    assert y.dtype == expected.dtype
    g = rng.standard_normal(y.shape).astype(y.dtype)
    g.setflags(write=False)
    grads = zip(vjp_parts(kernel.forward, example, g), vjp_parts(op.define, example, g), strict=True)
    return [error(y, expected), *(error(a, b) for a, b in grads)]


def test_the_examples_of_convolution_reach_each_way_of_a_3x3_kernel():
    """Several images together, too."""
    cases = [e for e in examples("conv2d", generator("ways")) if fits(*e.inputs, **e.static)]
    for context, expected in ((contextlib.nullcontext(), {F4, F2, None}), (images_together(), {F4, None})):
        with context:
            assert {scheme_for(e.arrays[0], e.arrays[1], e.static["padding"]) for e in cases} == expected


def test_kernels_are_registered():
    assert {"conv2d", "group_norm", "group_norm_silu"} <= {name for name, _ in KERNELS}


@one_thread
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", LAYOUTS)
@every_kernel
def test_kernel_equals_its_definition(name, kernel, layout, dtype):
    op, rng = REGISTRY[name], generator("kernel", name, layout)
    fast, tried = op.kernels["numpy"][kernel], 0
    for example in (laid_out(e, layout, dtype) for e in examples(name, rng)):
        if fast.when(*example.inputs, **example.static):
            errors = compare(op, fast, example, rng)
            assert max(errors) <= TOLERANCE[dtype], f"{fast.forward.__name__} on {example}: {errors}"
            tried += 1
    assert tried, f"no example reaches {fast.forward.__name__}: write one in ddpm_np/autograd/ops/examples.py"


@every_kernel
def test_every_kernel_is_chosen_for_some_example(name, kernel):
    """Not a kernel registered before it; complex numbers get the definition."""
    op = REGISTRY[name]
    fast = op.kernels["numpy"][kernel]
    cases = examples(name, generator("chosen", name))
    for context in (contextlib.nullcontext(), images_together()):
        with context:
            assert any(op.choose(list(e.inputs), e.static) is fast.forward for e in cases)
    for e in cases:
        inputs = [a.astype(np.complex128) if isinstance(a, np.ndarray) else a for a in e.inputs]
        assert op.choose(inputs, e.static) is op.define


@one_thread
@given(st.sampled_from(KERNELS), st.integers(0, 2**32), st.data())
def test_kernels_accept_cotangents_of_any_layout(which, seed, data):
    """A vjp gets a view, a broadcast number or a transposed array, not always C order."""
    (name, number), rng = which, np.random.default_rng(seed)
    op = REGISTRY[name]
    fast = op.kernels["numpy"][number]
    cases = [e for e in examples(name, rng) if fast.when(*e.inputs, **e.static)]
    example = cases[data.draw(st.integers(0, len(cases) - 1))]
    shape = op.define(*example.inputs, **example.static)[0].shape
    layout = data.draw(st.sampled_from(sorted(LAYOUTS)))
    g = laid_out(Example((rng.standard_normal(shape),)), layout).arrays[0]
    for a, b in zip(vjp_parts(fast.forward, example, g), vjp_parts(op.define, example, g), strict=True):
        assert error(a, b) <= TOLERANCE["float64"], f"{example}, cotangent {layout}"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["attention", "conv2d", "group_norm", "group_norm_silu", "linear"])
def test_an_image_is_the_same_bits_in_any_batch(name, dtype):
    """The output for one image, alone and beside others, by every kernel and by the definition."""
    op, rng = REGISTRY[name], generator("batch", name)
    for example in (laid_out(e, "contiguous", dtype) for e in examples(name, rng)):
        x = example.arrays[0]
        if len(x) == 0 or (name == "attention" and x.ndim < 3):
            continue
        batched = 3 if name == "attention" else 1  # how many of the operands are images
        pools = [np.concatenate([a, rng.standard_normal((5, *a.shape[1:])).astype(dtype)])
                 for a in example.arrays[:batched]]
        n = len(pools[0])
        fast = [k.forward for k in op.kernels.get("numpy", ())
                if k.when(*example.inputs, **example.static)]
        for forward in (op.define, *fast):
            found = {}
            for first, end in [(0, n), (0, 1), (2, 4), (1, n), (n - 1, n)]:
                y = forward(*(pool[first:end] for pool in pools), *example.arrays[batched:], **example.static)[0]
                for i in range(first, end):
                    bits = y[i - first].tobytes()
                    assert found.setdefault(i, bits) == bits, f"{forward.__name__} on {example}: image {i}"
