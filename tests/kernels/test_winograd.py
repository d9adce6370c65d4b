"""Winograd's F(4×4, 3×3) and F(2×2, 3×3) equal the definition on every shape; their rounding errors beside others'."""

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
from ddpm_np.kernels import costs, fixed, numpy_winograd
from ddpm_np.kernels.numpy_winograd import F2, F4, convolve, fits, gradients, kernel_places, winograd
from ddpm_np.kernels.toom_cook import toom_cook

pytestmark = pytest.mark.usefixtures("one_blas_thread")
CONV = REGISTRY["conv2d"]
ONE = ((1, 1), (1, 1))
TOLERANCE = {"float64": 2e-13, "float32": 2e-5}  # in units of the largest element
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
every_scheme = pytest.mark.parametrize("scheme", [F4, F2], ids=["F4", "F2"])
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


def by(scheme):
    """Return the kernel with this scheme, whatever another one would cost."""

    def forward(*inputs, **static):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_winograd, "scheme_for", lambda x, w, padding: scheme)
            return winograd(*inputs, **static)

    return forward


def assert_as_defined(scheme, example):
    """Assert that a scheme gives the definition's output and gradients."""
    assert takes(example)
    y, expected = (f(*example.inputs, **example.static)[0] for f in (by(scheme), CONV.define))
    assert y.dtype == expected.dtype
    g = generator("cotangent", example).standard_normal(y.shape).astype(y.dtype)
    g.setflags(write=False)
    parts = zip(vjp_parts(by(scheme), example, g), vjp_parts(CONV.define, example, g), strict=True)
    errors = [error(y, expected), *(error(a, b) for a, b in parts)]
    assert max(errors) <= TOLERANCE[str(y.dtype)], f"{example}: {errors}"


# Equal to the definition


@every_dtype
@every_scheme
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (4, 4), (5, 2), (6, 7), (8, 8), (9, 13), (11, 5)])
def test_every_padding_of_images_whose_sides_are_multiples_of_a_tiles_or_not(size, scheme, dtype):
    tried = 0
    for padding in PADDINGS:
        if min(output_size(side, 3, 1, zeros) for side, zeros in zip(size, padding, strict=True)) >= 1:
            assert_as_defined(scheme, convolution(2, *size, 3, 2, padding, dtype))
            tried += 1
    assert tried == 81 if min(size) >= 3 else 0 < tried < 81


@every_dtype
@every_scheme
@given(st.data())
def test_drawn_shapes_in_lots_of_any_size(scheme, dtype, data):
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
        assert_as_defined(scheme, example)


@every_dtype
@every_scheme
@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs_in_any_layout(layout, scheme, dtype):
    assert_as_defined(scheme, laid_out(convolution(3, 7, 10, 16, 17, ((0, 1), (2, 1)), dtype), layout))


@every_dtype
@every_scheme
def test_even_and_odd_rows_apart_give_all_places(scheme, dtype):
    """Bᵀ d B of each tile, by the definition's matrix, in the order of the kernel's places."""
    b, (count, columns) = toom_cook(scheme.points, scheme.m, 3)[0], (scheme.n**2, 3 * 35)
    tiles = generator("places", scheme.m).standard_normal((count, columns)).astype(dtype)
    apart = np.concatenate([tiles.reshape(scheme.n, -1)[i::2] for i in (0, 1)]).reshape(count, columns)
    for matrices in (1, 3, 35):
        found = numpy_winograd._to_places(scheme, apart, matrices)
        assert error(found, np.kron(b, b) @ tiles.astype(float)) <= TOLERANCE[dtype] / 10


@every_scheme
def test_rows_of_opposite_points_have_equal_even_columns_and_opposite_odd_ones(scheme):
    """In floating point too, with no even column at ∞ and no odd one at 0: the transform relies on it."""
    b, pairs = toom_cook(scheme.points, scheme.m, 3)[0], scheme.m // 2
    assert scheme.points == (0, *scheme.points[1 : pairs + 1], *(-p for p in scheme.points[1 : pairs + 1]))
    plus, minus = b[1 : pairs + 1], b[pairs + 1 : -1]
    assert np.array_equal(plus[:, 0::2], minus[:, 0::2])
    assert np.array_equal(plus[:, 1::2], -minus[:, 1::2])
    assert not b[0, 1::2].any()
    assert not b[-1, 0::2].any()


@every_dtype
@every_scheme
def test_the_convolution_and_its_gradients_by_themselves(scheme, dtype):
    """Images together, in lots and apart; the kernel's gradient at its places, with and without the input's."""
    for padding in (ONE, ((0, 2), (1, 0))):
        x, w, b = convolution(6, 9, 10, 5, 7, padding, dtype).inputs
        y, through = CONV.define(x, w, b, stride=1, padding=padding)
        g = generator("by itself", padding).standard_normal(y.shape).astype(dtype)
        places = kernel_places(w, scheme.to_places)
        for lot, (bias, expected) in product((0, 1, 2, 3, 6), ((b, y), (None, y - b))):
            found = convolve(scheme, x, places, padding, *y.shape[1:3], bias, lot=lot)
            assert error(found, expected) <= TOLERANCE[dtype]
        expected_x, expected_w, _ = (part() for part in through(g))
        for with_input in (True, False):
            gx, places = gradients(scheme, x, w, g, padding, with_input=with_input)
            assert places.shape == (scheme.n**2, 5 * 7)
            assert error((scheme.flipped.T @ places).reshape(w.shape), expected_w) <= TOLERANCE[dtype]
            assert (gx is not None) == with_input
            assert gx is None or error(gx, expected_x) <= TOLERANCE[dtype]


def lots(scheme, n, h, w, channels, dtype):
    """Return the lots of `_Tiling`, as (number of images, first row of tiles, end)."""
    tiling = numpy_winograd._Tiling(scheme, n, h, w, ONE, channels, np.dtype(dtype))
    return [(part.stop - part.start, first, end) for part, first, end in tiling.lots()]


@every_dtype
@every_scheme
@pytest.mark.parametrize("together", [False, True])
def test_lots_of_images_and_bands_of_an_image(together, scheme, dtype):
    """An unequal last lot, one image at a time, a band for each row of tiles; each is the definition."""
    row = scheme.n**2 * 5 * 7 * np.dtype(dtype).itemsize  # of five tiles, with three and four channels
    h, w = (5 * scheme.m - 1, 5 * scheme.m)
    for size, expected in (
        (15 * row, [(2, 0, 5), (3, 0, 5)]), (5 * row, 5 * [(1, 0, 5)]),
        (2 * row, 5 * [(1, 0, 1), (1, 1, 3), (1, 3, 5)]), (1, 5 * [(1, i, i + 1) for i in range(5)]),
    ):
        with costs.using(costs.Rates(tiles=size)):
            assert lots(scheme, 5, h, w, 7, dtype) == expected
            with images_together() if together else contextlib.nullcontext():
                for padding in (ONE, ((0, 2), (2, 0)), ((2, 2), (1, 1))):
                    assert_as_defined(scheme, convolution(5, h, w, 3, 4, padding, dtype))


@every_scheme
def test_every_image_and_every_row_is_in_one_lot(scheme):
    for size in (1, 5_000, 20_000, 1 << 20):
        with costs.using(costs.Rates(tiles=size)):
            for (n, lot), h in product(((1, 1), (2, 1), (7, 1), (6, 2), (8, 4)), (1, 4, 5, 33)):
                tiling = numpy_winograd._Tiling(scheme, n, h, 9, ONE, 6, np.dtype("float32"), lot)
                seen = np.zeros((n, tiling.th), int)
                for part, first, end in tiling.lots():
                    seen[part, first:end] += 1
                    assert part.start % lot == part.stop % lot == 0
                assert (seen == 1).all()
                assert tiling.th == -(-h // scheme.m)


@every_dtype
@every_scheme
def test_an_image_is_the_same_bits_in_any_batch(scheme, dtype):
    """In lots of any size; together images differ by rounding."""
    forward = by(scheme)
    for (h, w), (c, o), size in product(((4, 4), (5, 8), (14, 13)), ((17, 16), (64, 64)), (1, 40_000, 3 << 20)):
        with costs.using(costs.Rates(tiles=size)):
            x, *others = convolution(6, h, w, c, o, ONE, dtype).inputs
            y = forward(x, *others, padding=ONE)[0]
            for part in (slice(0, 1), slice(1, 3), slice(5, 6), slice(None, None, -1)):
                assert forward(x[part], *others, padding=ONE)[0].tobytes() == y[part].tobytes()
            with images_together():
                together = forward(x, *others, padding=ONE)[0]
            assert error(together, y) <= TOLERANCE[dtype] / 4
            assert forward(x, *others, padding=ONE)[0].tobytes() == y.tobytes()


@every_dtype
@every_scheme
def test_an_image_is_the_same_bits_in_any_batch_of_lots(scheme, dtype):
    """At the same place of a lot, whatever stands beside it, and however many lots are worked on at once."""
    forward = by(scheme)
    for (h, w), (c, o), size in product(((4, 4), (9, 8)), ((17, 16), (64, 64)), (1, 40_000, 3 << 20)):
        x, *others = convolution(12, h, w, c, o, ONE, dtype).inputs
        for lot in (2, 4):
            with images_together(lot), costs.using(costs.Rates(tiles=size)):
                y = forward(x, *others, padding=ONE)[0]
                for part in (slice(lot), slice(lot, None), slice(4, 8)):
                    assert forward(x[part], *others, padding=ONE)[0].tobytes() == y[part].tobytes()
                other = x.copy()
                other[1::lot] = x[0]
                assert forward(other, *others, padding=ONE)[0][::lot].tobytes() == y[::lot].tobytes()
                odd = forward(x[: lot + 1], *others, padding=ONE)[0]  # no whole lots: each by itself
            with costs.using(costs.Rates(tiles=size)):
                assert odd.tobytes() == forward(x[: lot + 1], *others, padding=ONE)[0].tobytes()


@every_dtype
@every_scheme
def test_each_gradient_alone(scheme, dtype):
    """The kernel's gradient without the input's, before and after it, and again: it is computed with the other."""
    x, w, b = convolution(3, 9, 8, 16, 16, ONE, dtype).inputs
    g = generator("alone").standard_normal((3, 9, 8, 16)).astype(dtype)
    expected = [part() if callable(part) else part for part in CONV.define(x, w, b, stride=1, padding=ONE)[1](g)]
    _, vjp = by(scheme)(x, w, b, padding=ONE)
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


def test_what_is_chosen_fits():
    """For any number of images: an image's bits must not depend on its batch."""
    sizes, channels = (1, 2, 3, 4, 5, 8, 14, 32), (1, 3, 16, 64)
    paddings = [((0, 0), (0, 0)), ONE, ((2, 0), (1, 2)), ((3, 1), (1, 1)), ((1, 1), (-1, 1))]
    for h, w, c, o, stride, padding in product(sizes, sizes, channels, channels, (1, 2), paddings):
        arrays = [np.zeros((2, h, w, c), "float32"), np.zeros((3, 3, c, o), "float32"), None]
        static = {"stride": stride, "padding": padding}
        chosen = CONV.choose(arrays, static) is winograd
        assert not chosen or fits(*arrays, stride, padding), (h, w, c, o, static)
        assert (CONV.choose([arrays[0][:1], *arrays[1:]], static) is winograd) == chosen


@pytest.mark.parametrize(("x", "out", "scheme", "together"), [
    ((1, 32, 32, 128), 128, F4, F4), ((1, 16, 16, 256), 256, F4, F2), ((1, 4, 4, 256), 256, F2, None),  # CIFAR-10's
    ((1, 6, 6, 48), 48, F2, None), ((64, 6, 6, 48), 48, F2, F2), ((4, 10, 10, 512), 512, F4, F2),
    ((64, 28, 28, 1), 32, None, None), ((64, 28, 28, 32), 1, None, None), ((2, 8, 8, 32), 32, F4, None),
])
def test_the_cheapest_scheme_is_chosen(x, out, scheme, together):
    """Apart as for sixteen images, whatever their number; together by their number."""
    arrays, static = [np.zeros(x, "float32"), np.zeros((3, 3, x[3], out), "float32")], {"padding": ONE}
    for context, expected in ((contextlib.nullcontext(), scheme), (images_together(), together)):
        with context:
            assert numpy_winograd.scheme_for(*arrays, ONE) is expected
            assert (CONV.choose(arrays, static) is winograd) == (expected is not None)


def test_the_size_of_the_output_counts():
    """F(4×4, 3×3) fits 8×8 outputs, not the 6×6 of the same images without padding."""
    arrays = [np.zeros((2, 8, 8, 64), "float32"), np.zeros((3, 3, 64, 64), "float32")]
    assert numpy_winograd.scheme_for(*arrays, ONE) is F4
    assert numpy_winograd.scheme_for(*arrays, ((0, 0), (0, 0))) is F2


def test_transforms_of_fixed_weights_are_kept_for_each_scheme(monkeypatch):
    """Used again for the same weights, in the same bits, and not for other weights or another scheme."""
    x, w, b = convolution(2, 8, 8, 16, 16, dtype="float32").inputs
    computed, apart = [], {scheme: by(scheme)(x, w, b, padding=ONE)[0] for scheme in (F4, F2)}
    places = numpy_winograd.kernel_places
    monkeypatch.setattr(numpy_winograd, "kernel_places", lambda *args: computed.append(args) or places(*args))
    with fixed.FixedWeights().in_use():
        for _ in range(3):
            for scheme, y in apart.items():
                assert by(scheme)(x, w, b, padding=ONE)[0].tobytes() == y.tobytes()
        assert len(computed) == 2
        by(F4)(x, 2 * w, b, padding=ONE)
        assert len(computed) == 3


def test_fixed_weights_in_images_of_several_sizes():
    """Each size with the scheme that is chosen for it, of which the transforms are kept."""
    _, w, b = convolution(1, 1, 1, 64, 64, dtype="float32").inputs
    with fixed.FixedWeights().in_use():
        for size, scheme in 2 * [(6, F2), (8, F4), (12, F4), (20, F4)]:
            x = convolution(2, size, size, 64, 64, dtype="float32").inputs[0]
            assert numpy_winograd.scheme_for(x, w, ONE) is scheme
            y = CONV.choose([x, w, b], {"padding": ONE})(x, w, b, padding=ONE)[0]
            assert error(y, CONV.define(x, w, b, stride=1, padding=ONE)[0]) <= TOLERANCE["float32"]


def test_kept_transforms_speak_for_winograd():
    """Few images of many channels together; not where an image has so many outputs that transforms cost little."""
    w = np.zeros((3, 3, 256, 256), "float32")
    with images_together():
        assert numpy_winograd.scheme_for(np.zeros((1, 8, 8, 256), "float32"), w, ONE) is None
        with fixed.FixedWeights().in_use():
            assert numpy_winograd.scheme_for(np.zeros((1, 8, 8, 256), "float32"), w, ONE) is F4
            assert numpy_winograd.scheme_for(np.zeros((1, 17, 16, 256), "float32"), w, ONE) is F2
        assert numpy_winograd.scheme_for(np.zeros((1, 17, 16, 256), "float32"), w, ONE) is F2


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
    ours, ours_of_two = (rms(by(scheme)(x[None], w)[0][0], exact) for scheme in (F4, F2))
    two, four, integers = (rms(by_tiles(x, w, points, m), exact)
                           for points, m in ((F2.points, 2), (F4.points, 4), (SMALL_INTEGERS, 4)))
    assert rms(by_tiles(x.astype(float), w.astype(float), F4.points, 4), exact) < 1e-14
    assert ours <= 1.5e-6
    assert 2 * two <= ours <= 4 * two
    assert two / 1.3 <= ours_of_two <= 1.3 * two
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
    assert theirs <= rms(by(F4)(x[None], w)[0][0], exact) <= 8 * theirs
