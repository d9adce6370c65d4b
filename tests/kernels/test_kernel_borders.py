"""Kernels equal their definitions at the thresholds where they are chosen and at the edges of their chunks.

GroupNorm: groups of few and of many channels, runs of pixels or none, one chunk or several; without a tape it saves
nothing and gives the same bits. Images taken together: only the rounding differs.
"""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd import ops
from ddpm_np.autograd.op import are_images_together, images_in_one
from ddpm_np.autograd.ops import REGISTRY, images_together
from ddpm_np.autograd.ops.examples import Example
from ddpm_np.autograd.ops.linear import rows
from ddpm_np.autograd.tensor import no_grad
from ddpm_np.check.gradients.derivatives import error, vjp_parts
from ddpm_np.kernels import numpy_norm
from ddpm_np.kernels.numpy_conv import chunks
from ddpm_np.kernels.numpy_runs import pixels_in_a_run
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.parallel.threads import map_in_order, single_threaded_blas

pytestmark = pytest.mark.usefixtures("one_blas_thread")
TOLERANCE = {"float64": 2e-13, "float32": 2e-5}  # in units of the largest element
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def assert_as_defined(name, example):
    """Assert that the kernel chosen by the op gives the definition's output and gradients."""
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
    """`each` channels per group, `run` pixels per run, in `lots` chunks of images."""
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
    """Integers, so that no sum rounds: each channel gets the sum of its group."""
    sums = generator("groups").integers(-99, 99, (3, 1, groups * each)).astype(np.float64)
    found = numpy_norm._over_group(sums, groups)
    for i, _, j in np.ndindex(found.shape):
        first = j // each * each
        assert found[i, 0, j] == sums[i, 0, first : first + each].sum()


@pytest.mark.parametrize("name", ["group_norm", "group_norm_silu"])
@pytest.mark.parametrize("shape", [(3, 8, 8, 64), (5, 32, 33, 264)])
def test_group_norm_without_a_tape(name, shape):
    """For one chunk of images and for several: the same bits as with a tape, and no gradient."""
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


@every_dtype
@pytest.mark.parametrize("fast", [False, True])
def test_silu_by_either_exponential(fast, dtype, monkeypatch):
    """By e^x and by 2^x, whichever NumPy is faster at here: the definition's numbers, to rounding at both ends."""
    monkeypatch.setattr(numpy_norm, "_has_fast_exp2", lambda: fast)
    rng = generator("exponential")
    x = rng.standard_normal((2, 8, 8, 32)).astype(dtype)
    for scale, bias in ((1, 0), (20, -60), (1, 1000), (1, -1000)):
        arrays = [x, *((a + 0 * x[0, 0, 0]).astype(dtype) for a in (scale, bias))]
        assert_as_defined("group_norm_silu", Example(tuple(arrays), static={"groups": 8, "eps": 1e-6}))


# Images together


def test_rows_of_one_image_or_of_all_images_together():
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    assert rows(x).shape == (2, 12, 5)
    with images_together():
        assert rows(x).shape == (1, 24, 5)
        assert rows(x[:0]).shape == (0, 12, 5)
        with images_together():
            pass
        assert list(map_in_order(lambda i: len(rows(x)), range(4), 2)) == [1, 1, 1, 1]
        with images_together(1):
            assert rows(x).shape == (2, 12, 5)
    with pytest.raises(KeyError), images_together():
        raise KeyError
    with images_together(3):
        assert rows(np.concatenate([x] * 3)).shape == (2, 36, 5)
        assert rows(x).shape == (2, 12, 5)  # no full lots
    assert rows(x).shape == (2, 12, 5)
    np.testing.assert_array_equal(rows(x).ravel(), x.ravel())


def test_rows_of_lots_of_images():
    """The images of each lot are one matrix; where they do not fill the lots, each image is one."""
    x = np.arange(12 * 3 * 4 * 5.0).reshape(12, 3, 4, 5)
    with images_together(4):
        assert not are_images_together()
        for n, shape in ((12, (3, 48, 5)), (4, (1, 48, 5)), (6, (6, 12, 5)), (1, (1, 12, 5)), (0, (0, 48, 5))):
            assert rows(x[:n]).shape == shape
            assert images_in_one(n) == shape[1] // 12
        np.testing.assert_array_equal(rows(x).ravel(), x.ravel())


def test_chunks_of_images_are_whole_lots():
    """As many as fit, but at least one lot; of images together or apart, of any number."""
    assert [part.stop for part in chunks(7, 400_000)] == [2, 4, 6, 7]
    for lot, n, expected in ((4, 12, [4, 8, 12]), (2, 6, [2, 4, 6]), (4, 7, [2, 4, 6, 7]), (0, 7, [2, 4, 6, 7])):
        with images_together(lot):
            assert [part.stop for part in chunks(n, 400_000)] == expected


def test_images_together_change_only_rounding():
    """For the digits net, forward and backward; outside the context an image's bits do not depend on its batch."""
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
