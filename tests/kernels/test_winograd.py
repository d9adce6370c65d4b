"""Winograd's F(4×4, 3×3) equals the definition on every shape that it takes; its rounding errors beside others'."""

from __future__ import annotations

import contextlib
from itertools import product

import numpy as np
import pytest
from gradient_inputs import generator
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np.autograd.ops import REGISTRY, images_together
from ddpm_np.autograd.ops.conv import output_size
from ddpm_np.autograd.ops.examples import Example
from ddpm_np.check.gradients.derivatives import error, vjp_parts
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out
from ddpm_np.kernels import costs, numpy_winograd
from ddpm_np.kernels.numpy_winograd import POINTS, fits, winograd
from ddpm_np.kernels.toom_cook import toom_cook

pytestmark = pytest.mark.usefixtures("one_blas_thread")
CONV = REGISTRY["conv2d"]
ONE = ((1, 1), (1, 1))
TOLERANCE = {"float64": 2e-13, "float32": 2e-5}  # in units of the largest element
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
SIDES = list(product(range(3), repeat=2))
PADDINGS = list(product(SIDES, SIDES))


def convolution(n, h, w, c, o, padding=ONE, dtype="float64", bias=True):
    """Return the inputs of a convolution."""
    rng = generator("convolution", n, h, w, c, o)
    x, taps, b = (rng.standard_normal(shape).astype(dtype) for shape in ((n, h, w, c), (3, 3, c, o), (o,)))
    return Example((x, taps, b if bias else None), static={"stride": 1, "padding": padding})


def takes(example):
    """Return whether `fits` holds."""
    return fits(*example.inputs, **example.static)


def assert_as_defined(example):
    """Assert that Winograd gives the definition's output and gradients."""
    assert takes(example)
    y, expected = (f(*example.inputs, **example.static)[0] for f in (winograd, CONV.define))
    assert y.dtype == expected.dtype
    g = generator("cotangent", example).standard_normal(y.shape).astype(y.dtype)
    g.setflags(write=False)
    parts = zip(vjp_parts(winograd, example, g), vjp_parts(CONV.define, example, g), strict=True)
    errors = [error(y, expected), *(error(a, b) for a, b in parts)]
    assert max(errors) <= TOLERANCE[str(y.dtype)], f"{example}: {errors}"


# Equal to the definition


@every_dtype
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (4, 4), (5, 2), (6, 7), (8, 8), (9, 13), (11, 5)])
def test_every_padding_of_images_whose_sides_are_multiples_of_four_or_not(size, dtype):
    tried = 0
    for padding in PADDINGS:
        if min(output_size(side, 3, 1, zeros) for side, zeros in zip(size, padding, strict=True)) >= 1:
            assert_as_defined(convolution(2, *size, 3, 2, padding, dtype))
            tried += 1
    assert tried == 81 if min(size) >= 3 else 0 < tried < 81


@every_dtype
@given(st.data())
def test_drawn_shapes_in_lots_of_any_size(dtype, data):
    """Lots of one image and of many, bands of it, rows of a power of two of bytes; apart and together."""
    n, h, w = (data.draw(st.integers(1, most)) for most in (5, 14, 14))
    c, o = (data.draw(st.sampled_from((1, 2, 5, 16, 32))) for _ in range(2))
    padding = data.draw(st.sampled_from(PADDINGS))
    example = convolution(n, h, w, c, o, padding, dtype, bias=data.draw(st.booleans()))
    example = laid_out(example, data.draw(st.sampled_from(sorted(set(LAYOUTS) - {"broadcast_first"}))))
    if not takes(example):
        return
    context = images_together() if data.draw(st.booleans()) else contextlib.nullcontext()
    size = data.draw(st.sampled_from((1, 10_000, 100_000, 3 << 20)))
    with costs.using(costs.Rates(tiles=size)), context:
        assert_as_defined(example)


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs_in_any_layout(layout, dtype):
    assert_as_defined(laid_out(convolution(3, 7, 10, 16, 17, ((0, 1), (2, 1)), dtype), layout))


def lots(n, h, w, channels, dtype):
    """Return the lots of `_Tiling`, as (number of images, first row of tiles, end)."""
    tiling = numpy_winograd._Tiling(n, h, w, ONE, channels, np.dtype(dtype))
    return [(part.stop - part.start, first, end) for part, first, end in tiling.lots()]


@every_dtype
@pytest.mark.parametrize("together", [False, True])
def test_lots_of_images_and_bands_of_an_image(together, dtype):
    """An unequal last lot, one image at a time, a band for each row of tiles; each is the definition."""
    row = 36 * 5 * 7 * np.dtype(dtype).itemsize  # of five tiles, with three and four channels
    for size, expected in (
        (15 * row, [(2, 0, 5), (3, 0, 5)]), (5 * row, 5 * [(1, 0, 5)]),
        (2 * row, 5 * [(1, 0, 1), (1, 1, 3), (1, 3, 5)]), (1, 5 * [(1, i, i + 1) for i in range(5)]),
    ):
        with costs.using(costs.Rates(tiles=size)):
            assert lots(5, 18, 20, 7, dtype) == expected
            with images_together() if together else contextlib.nullcontext():
                for padding in (ONE, ((0, 2), (2, 0)), ((2, 2), (1, 1))):
                    assert_as_defined(convolution(5, 18, 20, 3, 4, padding, dtype))


def test_every_image_and_every_row_is_in_one_lot():
    for size in (1, 5_000, 20_000, 1 << 20):
        with costs.using(costs.Rates(tiles=size)):
            for n, h in product((1, 2, 7), (1, 4, 5, 33)):
                tiling = numpy_winograd._Tiling(n, h, 9, ONE, 6, np.dtype("float32"))
                seen = np.zeros((n, tiling.th), int)
                for part, first, end in tiling.lots():
                    seen[part, first:end] += 1
                assert (seen == 1).all()
                assert tiling.th == -(-h // 4)


@every_dtype
def test_an_image_is_the_same_bits_in_any_batch(dtype):
    """In lots of any size; together images differ by rounding."""
    for (h, w), (c, o), size in product(((4, 4), (5, 8), (14, 13)), ((17, 16), (64, 64)), (1, 40_000, 3 << 20)):
        with costs.using(costs.Rates(tiles=size)):
            x, *others = convolution(6, h, w, c, o, ONE, dtype).inputs
            y = winograd(x, *others, padding=ONE)[0]
            for part in (slice(0, 1), slice(1, 3), slice(5, 6), slice(None, None, -1)):
                assert winograd(x[part], *others, padding=ONE)[0].tobytes() == y[part].tobytes()
            with images_together():
                together = winograd(x, *others, padding=ONE)[0]
            assert error(together, y) <= TOLERANCE[dtype] / 4
            assert winograd(x, *others, padding=ONE)[0].tobytes() == y.tobytes()


@every_dtype
def test_each_gradient_alone(dtype):
    """The kernel's gradient without the input's, before and after it, and again: it is computed with the other."""
    x, w, b = convolution(3, 9, 8, 16, 16, ONE, dtype).inputs
    g = generator("alone").standard_normal((3, 9, 8, 16)).astype(dtype)
    expected = [part() if callable(part) else part for part in CONV.define(x, w, b, stride=1, padding=ONE)[1](g)]
    _, vjp = winograd(x, w, b, padding=ONE)
    for order in ((0, 1, 2), (1, 0, 2), (2, 1), (0,), (0, 0, 1, 1), (1, 1)):
        parts = vjp(g)
        for i in order:
            found = parts[i]()
            assert found.dtype == dtype
            assert error(found, expected[i]) <= TOLERANCE[dtype]


# When it is chosen


@pytest.mark.parametrize(("x", "w", "static"), [
    ((2, 8, 8, 64), (3, 3, 64, 64), {"stride": 2, "padding": ONE}),
    ((2, 8, 8, 64), (1, 1, 64, 64), {}),
    ((2, 8, 8, 64), (3, 2, 64, 64), {"padding": ONE}),
    ((2, 8, 8, 64), (2, 3, 64, 64), {"padding": ONE}),
    ((2, 8, 8, 64), (5, 5, 64, 64), {"padding": ((2, 2), (2, 2))}),
    ((0, 8, 8, 64), (3, 3, 64, 64), {"padding": ONE}),
    ((2, 8, 8, 64), (3, 3, 32, 128), {"padding": ONE}),
    ((2, 8, 8, 64), (3, 3, 64, 64), {"padding": ((3, 1), (1, 1))}),
    ((2, 8, 8, 64), (3, 3, 64, 64), {"padding": ((1, 1), (1, 3))}),
    ((2, 8, 8, 64), (3, 3, 64, 64), {"padding": ((-1, 1), (1, 1))}),
    ((2, 8, 2, 64), (3, 3, 64, 64), {}),
    ((2, 1, 8, 64), (3, 3, 64, 64), {"padding": ((0, 1), (1, 1))}),
])
def test_it_is_not_chosen_for_unsupported_inputs(x, w, static):
    arrays = [np.ones(x), np.ones(w)]
    assert not fits(*arrays, None, static.get("stride", 1), static.get("padding", ((0, 0), (0, 0))))
    for context in (contextlib.nullcontext(), images_together()):
        with context:
            assert CONV.choose(arrays, static) is not winograd


def test_other_types_of_numbers_get_the_definition():
    for a, b in (("float32", "float64"), ("float64", "float32"), ("complex128", "complex128"), ("float16", "float16")):
        arrays = [np.ones((2, 16, 16, 64), a), np.ones((3, 3, 64, 64), b)]
        assert CONV.choose(arrays, {"padding": ONE}) is CONV.define


def test_what_is_chosen_fits_and_layers_of_the_unet_are_chosen():
    """For any number of images: an image's bits must not depend on its batch."""
    sizes, channels = (1, 2, 3, 4, 5, 8, 14, 32), (1, 3, 16, 64)
    paddings = [((0, 0), (0, 0)), ONE, ((2, 0), (1, 2)), ((3, 1), (1, 1)), ((1, 1), (-1, 1))]
    for h, w, c, o, stride, padding in product(sizes, sizes, channels, channels, (1, 2), paddings):
        arrays = [np.zeros((2, h, w, c), "float32"), np.zeros((3, 3, c, o), "float32"), None]
        static = {"stride": stride, "padding": padding}
        chosen = CONV.choose(arrays, static) is winograd
        assert not chosen or fits(*arrays, stride, padding), (h, w, c, o, static)
        assert (CONV.choose([arrays[0][:1], *arrays[1:]], static) is winograd) == chosen
    for size, c in ((32, 128), (16, 256)):  # of the paper's net for CIFAR-10
        arrays = [np.zeros((1, size, size, c), "float32"), np.zeros((3, 3, c, c), "float32")]
        assert CONV.choose(arrays, {"padding": ONE}) is winograd


# Rounding errors


def by_tiles(x, w, points, m):
    """Return F(m×m, 3×3) of one image without padding by the definition, all in x's precision."""
    b, g, a = (matrix.astype(x.dtype) for matrix in toom_cook(points, m, 3))
    n, (ho, wo) = m + 2, (size - 2 for size in x.shape[:2])
    tiles = np.lib.stride_tricks.sliding_window_view(x, (n, n), (0, 1))[::m, ::m].transpose(3, 4, 0, 1, 2)  # (n, n, …)
    places = np.einsum("ij,kl,jltuc->iktuc", b, b, tiles, optimize=True).reshape(n * n, -1, x.shape[2])
    products = (places @ np.einsum("ij,kl,jlco->ikco", g, g, w, optimize=True).reshape(n * n, *w.shape[2:]))
    y = np.einsum("ij,kl,jlto->tiko", a, a, products.reshape(n, n, -1, w.shape[3]), optimize=True)
    return y.reshape(ho // m, wo // m, m, m, -1).transpose(0, 2, 1, 3, 4).reshape(ho, wo, -1)


SMALL_INTEGERS = (0, 1, -1, 2, -2)


@pytest.fixture(scope="module")
def layer():
    """A layer of 128 channels in float32, weights as initialised, and its exact output: (x, w, y)."""
    rng, c = generator("errors"), 128
    x = rng.standard_normal((18, 18, c)).astype(np.float32)
    w = (rng.standard_normal((3, 3, c, c)) / (9 * c) ** 0.5).astype(np.float32)
    return x, w, CONV.define(x[None].astype(float), w.astype(float))[0][0]


def rms(found, exact):
    """Return the root mean square of the error, in units of that of the exact numbers."""
    return float(np.sqrt(np.mean(np.square(found.astype(float) - exact)) / np.mean(np.square(exact))))


def test_errors_in_float32_are_at_most_four_times_those_of_smaller_tiles(layer):
    """Measured: F(2×2, 3×3) 3.6e-7, F(4×4, 3×3) 1.1e-6, with the points 0, ±1, ±2 2.5e-6."""
    x, w, exact = layer
    ours = rms(winograd(x[None], w)[0][0], exact)
    two, four, integers = (rms(by_tiles(x, w, points, m), exact)
                           for points, m in (((0, 1, -1), 2), (POINTS, 4), (SMALL_INTEGERS, 4)))
    assert rms(by_tiles(x.astype(float), w.astype(float), POINTS, 4), exact) < 1e-14
    assert ours <= 1.5e-6
    assert 2 * two <= ours <= 4 * two
    assert four / 1.3 <= ours <= 1.3 * four
    assert ours <= integers / 2


@pytest.mark.peers
def test_errors_in_float32_beside_pytorch(layer):
    """Measured: PyTorch 2.2e-7, ours five times that."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
    x, w, exact = layer
    theirs = torch.nn.functional.conv2d(torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))[None]),
                                        torch.from_numpy(np.ascontiguousarray(w.transpose(3, 2, 0, 1))))
    theirs = rms(theirs[0].numpy().transpose(1, 2, 0), exact)
    assert theirs <= rms(winograd(x[None], w)[0][0], exact) <= 8 * theirs
