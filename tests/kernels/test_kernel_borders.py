"""Kernels at the borders of what they are chosen for and of the lots they work in, equal to the definitions.

GroupNorm: groups of few and of many channels, runs of pixels or none, one lot or several; without a tape it keeps
nothing and gives the same bits. Winograd: exactly where it says, and one number less of each. Images together: other
last bits, no more.
"""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd import ops
from ddpm_np.autograd.ops import REGISTRY, images_together
from ddpm_np.autograd.ops.examples import Example
from ddpm_np.autograd.ops.linear import rows
from ddpm_np.autograd.tensor import no_grad
from ddpm_np.check.gradients.derivatives import error, vjp_parts
from ddpm_np.kernels import numpy_norm, numpy_winograd
from ddpm_np.kernels.numpy_runs import pixels_in_a_run
from ddpm_np.kernels.numpy_winograd import winograd
from ddpm_np.kernels.numpy_winograd_together import winograd_together
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.parallel.threads import map_in_order, single_threaded_blas

TOLERANCE = {"float64": 2e-13, "float32": 2e-5}  # in units of the largest element
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def assert_as_defined(name, example):
    """The op's own choice of kernel gives what its definition does, forward and back."""
    op = REGISTRY[name]
    forward = op.choose(list(example.inputs), example.static)
    y, expected = (f(*example.inputs, **example.static)[0] for f in (forward, op.define))
    dtype = expected.dtype
    assert y.dtype == dtype
    g = generator("cotangent", example).standard_normal(y.shape).astype(dtype)
    g.setflags(write=False)
    parts = zip(vjp_parts(forward, example, g), vjp_parts(op.define, example, g), strict=True)
    errors = [error(y, expected), *(error(a, b) for a, b in parts)]
    assert max(errors) <= TOLERANCE[str(dtype)], f"{forward.__name__} on {example}: {errors}"


# GroupNorm


SMALL = [((3, 8, 8, 64), 8, 1), ((2, 9, 10, 64), 9, 1), ((2, 4, 4, 64), 1, 1), ((2, 11, 11, 16), 1, 1),
         ((2, 8, 8, 136), 1, 1)]
LARGE = [((3, 64, 72, 96), 6, 2, 2), ((3, 64, 72, 96), 6, 2, 8), ((2, 96, 96, 120), 6, 2, 4),
         ((5, 32, 33, 264), 1, 2, 1)]


@every_dtype
@pytest.mark.parametrize(("shape", "run", "lots", "each"), [(*s, each) for s in SMALL for each in (1, 2, 4, 8)] + LARGE)
def test_group_norm_kernel_for_every_run_length_and_chunking(shape, run, lots, each, dtype):
    """Of `each` channels a group, `run` pixels to a run, in `lots` of images."""
    n, h, w, c = shape
    assert pixels_in_a_run(h * w, c) == run
    assert len(list(numpy_norm._chunks(n, h * w * c))) == lots
    rng = generator("norm", shape, each)
    x = 3 + rng.standard_normal(shape) * rng.uniform(0.5, 2, (n, 1, 1, c))
    arrays = [a.astype(dtype) for a in (x, rng.standard_normal(c), rng.standard_normal(c))]
    for name in ("group_norm", "group_norm_silu"):
        example = Example(tuple(arrays), static={"groups": c // each, "eps": 1e-5})
        assert REGISTRY[name].choose(arrays, example.static) is not REGISTRY[name].define
        assert_as_defined(name, example)


@pytest.mark.parametrize(("each", "groups"), [(1, 6), (2, 3), (4, 3), (5, 3), (8, 2), (6, 1)])
def test_sums_over_groups(each, groups):
    """Whole numbers, so that no sum has an error: each channel has its group's."""
    sums = generator("groups").integers(-99, 99, (3, 1, groups * each)).astype(np.float64)
    found = numpy_norm._over_group(sums, groups)
    for i, _, j in np.ndindex(found.shape):
        first = j // each * each
        assert found[i, 0, j] == sums[i, 0, first : first + each].sum()


@pytest.mark.parametrize("name", ["group_norm", "group_norm_silu"])
@pytest.mark.parametrize("shape", [(3, 8, 8, 64), (5, 32, 33, 264)])
def test_group_norm_without_a_tape(name, shape):
    """Of one lot of images and of several: the bits that it has with one, and no gradient to be had."""
    rng = generator("no tape", name, shape)
    arrays = [rng.standard_normal(s).astype("float32") for s in (shape, shape[3:], shape[3:])]
    static = {"groups": 4, "eps": 1e-6}
    forward = REGISTRY[name].choose(arrays, static)
    y, _ = forward(*arrays, **static)
    with no_grad():
        found, vjp = forward(*arrays, **static)
    assert found.tobytes() == y.tobytes()
    assert np.abs(y).max() > 0.5
    with pytest.raises(RuntimeError, match="inside no_grad"):
        vjp(y)


# Winograd

ONE = ((1, 1), (1, 1))


def convolution(n, h, w, c, o, padding, dtype="float64"):
    rng = generator("convolution", n, h, w, c, o)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((n, h, w, c), (3, 3, c, o), (o,))]
    return Example(tuple(arrays), static={"stride": 1, "padding": padding})


@every_dtype
@pytest.mark.parametrize(("size", "channels", "padding", "chosen"), [
    ((8, 8), (48, 48), ONE, True), ((8, 8), (48, 47), ONE, False), ((8, 8), (47, 48), ONE, False),
    ((8, 8), (40, 60), ONE, True), ((8, 8), (40, 59), ONE, False), ((8, 8), (24, 200), ONE, False),
    ((8, 8), (200, 28), ONE, True), ((8, 8), (200, 27), ONE, False),
    ((6, 8), (48, 48), ONE, False), ((8, 6), (48, 48), ONE, False), ((9, 8), (48, 48), ONE, False),
    ((8, 9), (48, 48), ONE, False), ((10, 8), (48, 48), ONE, True), ((8, 12), (48, 48), ONE, True),
    ((10, 10), (48, 48), ((0, 0), (0, 0)), True), ((8, 8), (48, 48), ((0, 0), (0, 0)), False),
    ((10, 8), (48, 48), ((0, 0), (2, 0)), True), ((8, 8), (48, 48), ((2, 2), (2, 2)), True),
    ((6, 6), (48, 48), ((2, 2), (2, 2)), True), ((8, 8), (48, 48), ((2, 1), (1, 1)), False),
    ((9, 8), (48, 48), ((0, 1), (1, 1)), False), ((8, 8), (48, 48), ((3, 1), (1, 1)), False),
    ((8, 8), (48, 48), ((1, 1), (1, 3)), False),
    ((8, 16), (32, 32), ONE, True), ((16, 14), (32, 32), ONE, False), ((8, 16), (32, 31), ONE, False),
    ((8, 32), (16, 200), ONE, False), ((8, 30), (18, 144), ONE, True), ((8, 28), (18, 144), ONE, False),
])
def test_winograd_is_chosen_at_its_thresholds_and_equals_the_definition(size, channels, padding, chosen, dtype):
    example = convolution(2, *size, *channels, padding, dtype)
    assert (REGISTRY["conv2d"].choose(list(example.inputs), example.static) is winograd) == chosen
    assert_as_defined("conv2d", example)


@pytest.mark.parametrize(("x", "w", "static"), [
    ((2, 8, 8, 64), (3, 3, 64, 64), {"stride": 2, "padding": ONE}),
    ((2, 8, 8, 64), (1, 1, 64, 64), {}),
    ((2, 8, 8, 64), (3, 2, 64, 64), {"padding": ONE}),
    ((2, 8, 8, 64), (5, 5, 64, 64), {"padding": ((2, 2), (2, 2))}),
    ((0, 8, 8, 64), (3, 3, 64, 64), {"padding": ONE}),
    ((2, 8, 8, 64), (3, 3, 32, 128), {"padding": ONE}),
])
def test_winograd_is_not_chosen_for_unsupported_inputs(x, w, static):
    assert REGISTRY["conv2d"].choose([np.ones(x), np.ones(w)], static) is not winograd
    if x[3] == w[2]:
        for a, b in (("float32", "float64"), ("float64", "float32"), ("complex128", "complex128")):
            arrays = [np.ones((2, 8, 8, 64), a), np.ones((3, 3, 64, 64), b)]
            assert REGISTRY["conv2d"].choose(arrays, {"padding": ONE}) is REGISTRY["conv2d"].define


@every_dtype
@pytest.mark.parametrize(("n", "size", "lots"), [
    (45, (8, 8), {"float32": [(32, 0, 4), (13, 0, 4)], "float64": [(16, 0, 4), (16, 0, 4), (13, 0, 4)]}),
    (5, (32, 16), {"float32": [(4, 0, 16), (1, 0, 16)], "float64": [(2, 0, 16), (2, 0, 16), (1, 0, 16)]}),
    (2, (48, 32), {"float32": 2 * [(1, 0, 24)], "float64": 2 * [(1, 0, 12), (1, 12, 24)]}),
    (2, (54, 64), {"float32": 2 * [(1, 0, 13), (1, 13, 27)],
                   "float64": 2 * [(1, 0, 6), (1, 6, 13), (1, 13, 20), (1, 20, 27)]}),
    (1, (8, 2400), {"float32": [(1, i, i + 1) for i in range(4)], "float64": [(1, i, i + 1) for i in range(4)]}),
])
def test_winograd_over_several_chunks_and_bands(n, size, lots, dtype):
    """More images than fit the budget of tiles, a last lot that is not full, images in bands, equal or not."""
    h, w = size
    work = numpy_winograd._Workspace(n, h // 2, w // 2, 48, 48, ONE, dtype)
    assert [(m, first, end) for _, m, first, end in work.lots()] == lots[dtype]
    for padding in (ONE, ((0, 2), (2, 0)), ((2, 2), (1, 1))):
        example = convolution(n, h, w, 48, 48, padding, dtype)
        assert REGISTRY["conv2d"].choose(list(example.inputs), example.static) is winograd
        assert_as_defined("conv2d", example)


# Images together


def test_rows_of_one_image_or_of_all_images_together():
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    assert rows(x).shape == (2, 12, 5)
    with images_together():
        assert rows(x).shape == (1, 24, 5)
        assert rows(x[:0]).shape == (1, 0, 5)
        with images_together():
            pass
        assert list(map_in_order(lambda i: len(rows(x)), range(4), 2)) == [1, 1, 1, 1]
    with pytest.raises(KeyError), images_together():
        raise KeyError
    assert rows(x).shape == (2, 12, 5)
    np.testing.assert_array_equal(rows(x).ravel(), x.ravel())


@every_dtype
@pytest.mark.parametrize(("n", "size", "channels", "padding", "chosen"), [
    (16, (6, 6), (32, 32), ONE, True), (15, (6, 6), (32, 32), ONE, False), (17, (6, 6), (32, 31), ONE, False),
    (16, (14, 14), (32, 64), ONE, True), (16, (14, 16), (32, 32), ONE, False), (16, (2, 4), (32, 32), ONE, True),
    (16, (2, 2), (32, 32), ONE, False), (8, (7, 7), (64, 64), ONE, True), (8, (7, 7), (64, 63), ONE, False),
    (8, (7, 6), (64, 64), ONE, False), (8, (7, 9), (64, 64), ((0, 0), (1, 1)), False),
    (8, (9, 8), (64, 64), ((0, 0), (1, 1)), True), (8, (8, 8), (64, 64), ((1, 0), (0, 2)), True),
    (8, (10, 11), (64, 64), ((2, 0), (1, 2)), True),
])
def test_winograd_together_is_chosen_at_its_thresholds_and_equals_the_definition(n, size, channels, padding, chosen,
                                                                             dtype):
    """Odd sizes among them, of the image, of the output or of both."""
    example = convolution(n, *size, *channels, padding, dtype)
    choose = REGISTRY["conv2d"].choose
    assert choose(list(example.inputs), example.static) is not winograd_together
    with images_together():
        assert (choose(list(example.inputs), example.static) is winograd_together) == chosen
        assert_as_defined("conv2d", example)


@every_dtype
def test_winograd_with_images_together_equals_the_definition(dtype):
    """In one lot and in several."""
    for n in (2, 45):
        example = convolution(n, 8, 8, 48, 48, ONE, dtype)
        apart = winograd(*example.inputs, **example.static)[0]
        with images_together():
            assert_as_defined("conv2d", example)
            together = winograd(*example.inputs, **example.static)[0]
        assert error(together, apart) <= TOLERANCE[dtype] / 10
        assert winograd(*example.inputs, **example.static)[0].tobytes() == apart.tobytes()


def test_images_together_change_only_rounding():
    """Of the digits net, forward and back; outside the context an image's bits are those of any batch."""
    net, rng = UNet(UNetConfig.preset("digits")).eval(), generator("together")
    for name, p in net.named_parameters():
        p.data = rng.standard_normal(p.shape) * (p.size / p.shape[-1]) ** -0.5 if p.ndim > 1 else p.data + (
            0.3 * rng.standard_normal(p.shape) if "norm" in name else 0)
    x, t = rng.standard_normal((6, *net.config.size, net.config.in_channels)).astype(np.float32), np.arange(1, 7)

    def found():
        for p in net.parameters():
            p.grad = None
        y = net(x, t)
        ops.mean(ops.square(y)).backward()
        return [y.data, *(p.grad for p in net.parameters())]

    with single_threaded_blas():
        apart = found()
        with images_together():
            together = found()
        again = found()
        with no_grad():
            alone = [net(x[i : i + 1], t[i : i + 1]).data for i in range(6)]
    assert np.abs(apart[0]).max() > 0.1
    assert error(together[0], apart[0]) <= 1e-5
    for a, b in zip(together[1:], apart[1:], strict=True):
        assert error(a, b, floor=1e-3) <= 1e-4
    assert [a.tobytes() for a in again] == [a.tobytes() for a in apart]
    assert b"".join(a.tobytes() for a in alone) == apart[0].tobytes()
