"""Every fast kernel equals the definition of its op: output and all gradients, on every layout, in both precisions."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from gradient_inputs import few, generator
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np.autograd.ops import REGISTRY, images_together
from ddpm_np.autograd.ops.examples import Example, examples
from ddpm_np.check.gradients.derivatives import error, vjp_parts
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out

KERNELS = [(name, i) for name, op in sorted(REGISTRY.items()) for i in range(len(op.kernels.get("numpy", ())))]
every_kernel = pytest.mark.parametrize(("name", "kernel"), KERNELS)
TOLERANCE = {"float64": 1e-13, "float32": 2e-5}  # in units of the largest element


def compare(op, kernel, example, rng):
    """The kernel's errors, output first, then the gradients."""
    y, expected = (np.asarray(f(*example.inputs, **example.static)[0]) for f in (kernel.forward, op.define))
    assert y.dtype == expected.dtype
    g = rng.standard_normal(y.shape).astype(y.dtype)
    g.setflags(write=False)
    grads = zip(vjp_parts(kernel.forward, example, g), vjp_parts(op.define, example, g), strict=True)
    return [error(y, expected), *(error(a, b) for a, b in grads)]


def together(op):
    """The kernels that are for images taken together alone."""
    return [kernel.forward for kernel in op.kernels["numpy"] if kernel.together]


def test_kernels_are_registered():
    assert {"conv2d", "group_norm", "group_norm_silu"} <= {name for name, _ in KERNELS}


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
    """Some example gets this kernel, not one registered before it; and complex numbers get the definition."""
    op = REGISTRY[name]
    fast = op.kernels["numpy"][kernel]
    cases = examples(name, generator("chosen", name))
    with images_together() if fast.together else contextlib.nullcontext():
        assert any(op.choose(list(e.inputs), e.static) is fast.forward for e in cases)
    assert fast.together or all(op.choose(list(e.inputs), e.static) not in together(op) for e in cases)
    for e in cases:
        inputs = [a.astype(np.complex128) if isinstance(a, np.ndarray) else a for a in e.inputs]
        assert op.choose(inputs, e.static) is op.define


@given(st.sampled_from(KERNELS), st.integers(0, 2**32), st.data())
@few
def test_kernels_accept_cotangents_of_any_layout(which, seed, data):
    """A vjp is handed what the tape has: a view, a broadcast number, a transposed array; not always C order."""
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
    """The output for one image, alone and with others beside it, by every kernel and by the definition."""
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
                if not k.together and k.when(*example.inputs, **example.static)]
        for forward in (op.define, *fast):
            found = {}
            for first, end in [(0, n), (0, 1), (2, 4), (1, n), (n - 1, n)]:
                y = forward(*(pool[first:end] for pool in pools), *example.arrays[batched:], **example.static)[0]
                for i in range(first, end):
                    bits = y[i - first].tobytes()
                    assert found.setdefault(i, bits) == bits, f"{forward.__name__} on {example}: image {i}"
