"""NumPy's loops over long runs: buffer sizes set and restored, the same bits; and pixel sums as products."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import threading

import numpy as np
import pytest
from gradient_inputs import generator
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np import kernels
from ddpm_np.autograd.ops import REGISTRY
from ddpm_np.autograd.ops.examples import examples
from ddpm_np.autograd.tape import Into
from ddpm_np.check.gradients.derivatives import error, vjp_parts
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out
from ddpm_np.kernels.numpy_runs import (
    RUN,
    SHORTEST_RUN,
    channel_sums,
    long_runs,
    pixel_sums,
    pixels_in_a_run,
    product,
    repeated,
)

pytestmark = pytest.mark.usefixtures("one_blas_thread")

# NumPy's settings


def settings():
    """Return NumPy's buffer size and error handling in this thread and context."""
    return np.getbufsize(), np.geterr()


@pytest.fixture
def unusual():
    """Set NumPy to unusual settings and return them."""
    with np.errstate(divide="raise", under="warn"):
        np.setbufsize(4096)
        yield settings()
        assert np.getbufsize() == 4096
    assert np.getbufsize() != 4096


def test_long_runs_sets_and_restores_the_buffer_size(unusual):
    for run, size in ((SHORTEST_RUN, SHORTEST_RUN), (RUN - 1, SHORTEST_RUN), (RUN, RUN), (RUN + 1, RUN), (10**9, RUN)):
        with long_runs(run):
            assert settings() == (size, unusual[1])
        assert settings() == unusual
    with long_runs():
        assert np.getbufsize() == RUN
    assert settings() == unusual


@pytest.mark.parametrize("run", [1, SHORTEST_RUN - 1])
def test_short_runs_keep_the_buffer_size(unusual, run):
    with long_runs(run):
        assert settings() == unusual
    assert settings() == unusual


def test_the_buffer_size_is_restored_after_an_error(unusual):
    for run in (RUN, 1):
        with pytest.raises(FloatingPointError), long_runs(run):
            np.divide(np.ones(3), 0.0)
        assert settings() == unusual


def test_long_runs_nests_within_itself_and_errstate(unusual):
    with long_runs():
        with long_runs(), np.errstate(over="raise"):
            assert np.getbufsize() == RUN
            with long_runs(1):
                assert settings() == (RUN, {**unusual[1], "over": "raise"})
            np.setbufsize(1024)
        assert settings() == (RUN, unusual[1])
        with contextlib.suppress(KeyError), long_runs():
            raise KeyError
        assert settings() == (RUN, unusual[1])
    assert settings() == unusual


def test_other_threads_keep_their_buffer_size(unusual):
    inside, seen = threading.Barrier(2, timeout=20), []

    def work():
        seen.append(np.getbufsize())
        with long_runs():
            inside.wait()
            inside.wait()
        seen.append(np.getbufsize())

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    assert settings() == unusual
    inside.wait()
    thread.join()
    assert seen[0] == seen[1] != RUN


# The same bits

OPERATIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "add in place": lambda a, b: np.add(c := np.array(a), b, out=c),
    "into every second": lambda a, b: np.multiply(a, b, out=np.zeros((*a.shape[:-1], 2 * a.shape[-1]),
                                                                     a.dtype)[..., ::2]),
    "copy": lambda a, b: np.ascontiguousarray(a),
    "sum over the last axis": lambda a, b: a.sum(axis=-1),
    "sum over the first axis": lambda a, b: a.sum(axis=0),
    "product": lambda a, b: np.matmul(a, b.swapaxes(-1, -2)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_operations_inside_long_runs_give_the_same_bits(layout, operation, dtype):
    rng, compute = generator(layout, operation), OPERATIONS[operation]
    for shape in ((3, 7, 600), (2, 40, 512), (1, 3, 5), (9, 1, 2000)):
        a, b = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
        for b_shape in (b, b[:, :1], b[:1]):
            operands = LAYOUTS[layout](a), b_shape
            if operation == "product" and b_shape.shape != b.shape:
                continue
            expected = compute(*operands)
            with long_runs():
                assert compute(*operands).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_that_overlap_their_inputs_give_the_same_bits(dtype):
    a = generator("overlap").standard_normal((4, 3000)).astype(dtype)
    for first, second, out in (
        (np.s_[:, :-1], np.s_[:, 1:], np.s_[:, 1:]), (np.s_[:, 1:], np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, :1500], np.s_[:, 1499::-1], np.s_[:, 700:2200]), (np.s_[:3], np.s_[3:0:-1], np.s_[1:]),
    ):
        expected, found = a.copy(), a.copy()
        expected[out] = a[first] * a[second]
        with long_runs():
            np.multiply(found[first], found[second], out=found[out])
        assert found.tobytes() == expected.tobytes()


MODULES = [importlib.import_module(m.name) for m in pkgutil.iter_modules(kernels.__path__, "ddpm_np.kernels.")]
USERS = [m for m in MODULES if hasattr(m, "long_runs") and m.__name__ != "ddpm_np.kernels.numpy_runs"]
KERNELS = [(name, kernel) for name, op in sorted(REGISTRY.items()) for kernel in op.kernels.get("numpy", ())
           if kernel.forward.__module__ in {m.__name__ for m in USERS}]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "kernel"), KERNELS, ids=lambda k: k if isinstance(k, str) else k.forward.__name__)
def test_kernels_give_the_same_bits_with_numpys_own_buffers(name, kernel, layout, dtype, monkeypatch):
    rng = generator("buffers", name, layout)
    cases = [e for e in (laid_out(e, layout, dtype) for e in examples(name, rng))
             if kernel.when(*e.inputs, **e.static)]
    asked = []

    def results():
        for example, g in zip(cases, cotangents, strict=True):
            yield kernel.forward(*example.inputs, **example.static)[0]
            yield from vjp_parts(kernel.forward, example, g)

    def not_long(run=RUN):
        asked.append(run)
        return contextlib.nullcontext()

    cotangents = [rng.standard_normal(kernel.forward(*e.inputs, **e.static)[0].shape).astype(dtype) for e in cases]
    found = [a.tobytes() for a in results()]
    for module in USERS:
        monkeypatch.setattr(module, "long_runs", not_long)
    assert [a.tobytes() for a in results()] == found
    assert not asked or max(asked) >= RUN


# Runs of pixels


@given(st.integers(1, 6000), st.integers(1, 600))
def test_pixels_in_a_run_is_the_smallest_divisor_that_is_long_enough(pixels, channels):
    r = pixels_in_a_run(pixels, channels)
    assert pixels % r == 0
    long_ones = [n for n in range(1, pixels // 4 + 1) if pixels % n == 0 and n * channels >= RUN]
    if r > 1:
        assert r == min(long_ones)
    elif pixels >= 64 and channels <= 128:
        assert not long_ones


def test_runs_of_the_nets_images():
    assert [pixels_in_a_run(size * size, c) for size, c in [
        (28, 32), (14, 64), (8, 32), (8, 64), (9, 64), (32, 128), (64, 64),  # repeated
        (4, 64), (7, 128), (32, 129), (32, 256), (11, 16), (8, 16),  # too few pixels, too many channels, no divisor
    ]] == [16, 14, 16, 8, 9, 4, 8, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_vector_is_repeated(dtype):
    vectors = generator("repeated").standard_normal((3, 1, 5)).astype(dtype)
    for times in (1, 2, 7):
        found = repeated(vectors, times)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.tile(vectors, (1, 1, times)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pixels", [0, 1, 7, 64, 784, 20_000])
def test_pixel_sums_round_no_more_than_sequential_sums(pixels, layout, dtype):
    """Against sums in extended precision; rounding one number at a time, errors grow as √n."""
    x = LAYOUTS[layout]((10 + generator(pixels).standard_normal((3, pixels, 5))).astype(dtype))
    exact = x.astype(np.longdouble)
    allowed = (4 + pixels**0.5) * np.finfo(dtype).eps * np.abs(exact).sum(axis=1, keepdims=True)
    found = pixel_sums(x)
    assert found.dtype == dtype
    assert found.shape == (3, 1, 5)
    assert (np.abs(found - exact.sum(axis=1, keepdims=True)) <= allowed).all()
    for i in range(3):
        assert pixel_sums(x[i : i + 1]).tobytes() == found[i].tobytes()  # alone and in a batch
    for shape in (x.shape, (3, pixels, 1, 5), (3 * pixels, 5)):
        found = channel_sums(x.reshape(shape))
        assert found.dtype == dtype
        assert found.shape == (5,)
        assert (np.abs(found - exact.sum(axis=(0, 1))) <= allowed.sum(axis=(0, 1))).all()


def test_pixel_sums_of_one_length_in_both_precisions():
    """The cached row of ones of one precision is not used for the other."""
    x = generator("both").standard_normal((2, 33, 4))
    for dtype in (np.float32, np.float64, np.float32):
        found = pixel_sums(x.astype(dtype))
        assert found.dtype == dtype
        found += 1  # nobody else's
        np.testing.assert_allclose(pixel_sums(x.astype(dtype))[:, 0], x.sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_product_in_a_new_array_or_in_a_given_one(layout, dtype):
    """Into one block of memory, into a part of one, and into an array with gaps; nothing is written beside it."""
    rng = generator("product", layout)
    a, b = (LAYOUTS[layout](rng.standard_normal(shape).astype(dtype)) for shape in ((6, 5), (5, 4)))
    expected, shape = (a @ b).reshape(2, 3, 4), (2, 3, 4)
    found = product(a, b, None, shape)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    whole = np.full((3, 2, 3, 8), 7, dtype)
    for out in (np.empty(shape, dtype), np.empty(30, dtype)[3:27].reshape(shape), whole[1, :, :, ::2],
                np.empty((4, 3, 2), dtype).T):
        assert product(a, b, out, shape) is out
        np.testing.assert_allclose(out, expected, rtol=0, atol=10 * np.finfo(dtype).eps)
    assert (whole[[0, 2]] == 7).all()
    assert (whole[1, :, :, 1::2] == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kernel"), KERNELS, ids=lambda k: k if isinstance(k, str) else k.forward.__name__)
def test_gradients_of_weights_are_written_into_given_arrays(name, kernel, dtype):
    """Into one block of memory, and into an array with gaps: the same numbers, in the array that was given."""
    rng, written = generator("into", name), 0
    for example in (laid_out(e, "contiguous", dtype) for e in examples(name, rng)):
        if not kernel.when(*example.inputs, **example.static):
            continue
        y, vjp = kernel.forward(*example.inputs, **example.static)
        for part in vjp(rng.standard_normal(y.shape).astype(dtype)):  # the first may leave something for the next
            expected = part() if callable(part) else part
            if not isinstance(part, Into):
                continue
            for gaps in (1, 2):
                out = np.empty((*expected.shape[:-1], expected.shape[-1] * gaps), dtype)[..., ::gaps]
                assert part.write(out) is out
                assert error(out, expected) <= (1e-14 if dtype == "float64" else 1e-5)
            written += 1
    assert bool(written) == (kernel.forward.__name__ in ("dense", "pointwise", "winograd", "in_two_steps"))
