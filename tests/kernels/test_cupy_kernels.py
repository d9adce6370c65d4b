"""Every kernel for CuPy equals the definition of its op on the host: it runs on the strict fake of CuPy."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd.ops import REGISTRY
from ddpm_np.autograd.ops.examples import examples
from ddpm_np.autograd.tape import Into
from ddpm_np.backend import get_backend, to_host
from ddpm_np.check.gradients.derivatives import error
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out

KERNELS = [(name, i) for name, op in sorted(REGISTRY.items()) for i in range(len(op.kernels.get("cupy", ())))]
every_kernel = pytest.mark.parametrize(("name", "kernel"), KERNELS)
TOLERANCE = {"float64": 1e-13, "float32": 2e-5}  # in units of the largest element


@pytest.fixture
def device():
    """The backend "cupy" on a fresh fake."""
    with fake_cupy.installed():
        yield get_backend("cupy")


def on(device, example):
    """Return an example's arrays on the device, and what follows them."""
    return [None if a is None else device.to_device(a) for a in example.arrays] + list(example.extra)


def evaluated(part):
    """Return a gradient on the host."""
    part = part() if callable(part) else part
    return None if part is None else to_host(part)


def taken(name, kernel, device, layout="contiguous", dtype="float64"):
    """Yield (example, inputs on the device) of the examples that a kernel takes."""
    rng, fast = generator("cupy", name, layout), REGISTRY[name].kernels["cupy"][kernel]
    for example in (laid_out(e, layout, dtype) for e in examples(name, rng)):
        inputs = on(device, example)
        if fast.when(*inputs, **example.static):
            yield example, inputs


def test_the_ops_of_the_unet_have_kernels():
    assert {"attention", "conv2d", "dropout", "group_norm", "group_norm_silu", "linear", "silu", "upsample_conv2d"} <= {
        name for name, _ in KERNELS}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", LAYOUTS)
@every_kernel
def test_kernel_equals_its_definition(name, kernel, layout, dtype, device):
    op, rng, tried = REGISTRY[name], generator("cotangents", name), 0
    forward = op.kernels["cupy"][kernel].forward
    for example, inputs in taken(name, kernel, device, layout, dtype):
        y, vjp = op.define(*example.inputs, **example.static)
        found, through = forward(*inputs, **example.static)
        assert found.dtype == y.dtype
        assert error(to_host(found), np.asarray(y)) <= TOLERANCE[dtype], example
        g = rng.standard_normal(y.shape).astype(y.dtype)
        for i, parts in enumerate(zip(through(device.to_device(g)), vjp(g), strict=True)):
            gradient, expected = map(evaluated, parts)
            if expected is not None:
                assert error(gradient, expected) <= TOLERANCE[dtype], f"{example}, gradient {i}"
        tried += 1
    assert tried, f"no example reaches {forward.__name__}: write one in ddpm_np/autograd/ops/examples.py"


@every_kernel
def test_every_kernel_is_chosen_for_some_example_and_never_for_complex_numbers(name, kernel, device):
    op = REGISTRY[name]
    forward = op.kernels["cupy"][kernel].forward
    cases = list(taken(name, kernel, device))
    assert any(op.choose(inputs, e.static) is forward for e, inputs in cases)
    for e, _ in cases:
        inputs = [device.to_device(a.astype(np.complex128)) if isinstance(a, np.ndarray) and a.dtype != bool else a
                  for a in e.inputs]
        assert op.choose(inputs, e.static) is op.define


@every_kernel
def test_gradients_of_weights_are_written_into_given_arrays(name, kernel, device):
    """Into one block of memory, and into an array with gaps: the same numbers, and the array that was given."""
    xp, rng = device.xp, generator("into", name)
    op = REGISTRY[name]
    written = 0
    for example, inputs in taken(name, kernel, device):
        y, vjp = op.kernels["cupy"][kernel].forward(*inputs, **example.static)
        parts = vjp(device.to_device(rng.standard_normal(y.shape)))
        for part in parts:  # the first gradient may leave something for the next
            expected = evaluated(part)
            if not isinstance(part, Into):
                continue
            for gaps in (1, 2):
                wide = xp.empty((*expected.shape[:-1], expected.shape[-1] * gaps), dtype=expected.dtype)
                out = wide[..., ::gaps]
                part.write(out)
                assert np.array_equal(to_host(out), expected)
            written += 1
    assert bool(written) == (name in ("conv2d", "group_norm", "group_norm_silu", "linear", "upsample_conv2d"))


@pytest.mark.parametrize("name", ["conv2d", "group_norm_silu", "attention", "dropout"])
def test_nothing_is_uploaded_or_waited_for(name, device):
    op, rng = REGISTRY[name], generator("transfers", name)
    example, inputs = next(taken(name, len(op.kernels["cupy"]) - 1, device))
    g = device.to_device(rng.standard_normal(op.define(*example.inputs, **example.static)[0].shape))
    fake_cupy.counts.reset()
    _, vjp = op.choose(inputs, example.static)(*inputs, **example.static)
    for part in vjp(g):
        if callable(part):
            part()
    assert (fake_cupy.counts.uploads, fake_cupy.counts.transfers) == (0, 0)
