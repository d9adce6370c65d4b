"""The strict fake of CuPy refuses what C++ or a device leaves undefined: overlapping writes, some casts, forked use."""

from __future__ import annotations

import os

import fake_cupy
import numpy as np
import pytest
from fake_cupy import OverlappingWrite, UndefinedCast
from fake_cupy.array import unwrap

from ddpm_np import backend


@pytest.fixture(params=["awkward", "plain"])
def cp(request):
    """The fake module."""
    with fake_cupy.installed(request.param) as module:
        yield module


@pytest.fixture
def x(cp):
    """A float64 array (12,) on the device: 0, 1, …, 11."""
    return cp.asarray(np.arange(12.0))


def strided(cp, x, shape, strides):
    """Return a view with these strides, in elements."""
    return cp.lib.stride_tricks.as_strided(x, shape, [x.itemsize * s for s in strides])


def test_a_block_copied_onto_itself_shifted_raises(cp, x):
    for overlapping in (lambda: x.__setitem__(slice(1, None), x[:-1]), lambda: cp.copyto(x[:-1], x[1:]),
                        lambda: cp.copyto(cp.reshape(x[2:10], (2, 4)), cp.reshape(x[:8], (2, 4)))):
        with pytest.raises(OverlappingWrite):
            overlapping()
        assert np.array_equal(unwrap(x), np.arange(12))
    x[1:] = x[:-1].copy()
    assert unwrap(x).tolist() == [0, *range(11)]


def test_overlaps_that_cupy_copies_are_allowed(cp, x):
    """CuPy copies an operand of a ufunc that overlaps with the result, and where strides differ it runs a ufunc."""
    expected = np.arange(12.0)
    expected[1:] += expected[:-1].copy()
    x[1:] += x[:-1]
    assert np.array_equal(unwrap(x), expected)
    x[...] = x[::-1]
    assert np.array_equal(unwrap(x), expected[::-1])
    x[:] = x
    x[3:6] = x[3:6]
    cp.copyto(x, x)
    square = cp.asarray(np.arange(9.0).reshape(3, 3))
    square += square.T
    assert np.array_equal(unwrap(square), np.arange(9).reshape(3, 3) + np.arange(9).reshape(3, 3).T)
    cp.multiply(x[:6], x[6:], out=x[3:9])
    assert np.array_equal(unwrap(x)[3:9], expected[::-1][:6] * expected[::-1][6:])


def test_arrays_with_one_element_at_two_positions_are_not_written_to(cp, x):
    row = cp.broadcast_to(x, (3, 12))
    windows = strided(cp, x, (10, 3), (1, 1))
    for a in (row, windows, windows[:, 1:], strided(cp, x, (4, 2), (0, 1)), row.T):
        for write in (lambda a: a.__iadd__(1), lambda a: a.__setitem__(..., 2.0), lambda a: a.fill(0.0),
                      lambda a: cp.exp(a, out=a), lambda a: cp.copyto(a, 1.0),
                      lambda a: a.__setitem__(cp.asarray([0]), cp.ones(a.shape[1:]))):
            with pytest.raises(OverlappingWrite, match="elements are the same"):
                write(a)
    assert np.array_equal(unwrap(x), np.arange(12))
    for a in (strided(cp, x, (4, 3), (3, 1)), strided(cp, x, (3, 4), (1, 3)), strided(cp, x, (2, 2), (5, 2)), row[1],
              strided(cp, x, (2, 3), (3, 2)), cp.broadcast_to(x, (1, 12)), x[::-2], x[3:3]):
        cp.add(a, 1, out=a)  # strides of 3 and 2 meet 0 2 4 and 3 5 7: interleaved, none twice
    with pytest.raises(IndexError, match="beyond"):
        strided(cp, x, (4, 4), (3, 1))


def test_indexed_assignments_from_their_own_memory_raise(cp, x):
    i = cp.asarray([0, 1, 2])
    with pytest.raises(OverlappingWrite, match="indexed"):
        x[i] = x[1:4]
    n = cp.asarray([2, 0, 1])
    with pytest.raises(OverlappingWrite, match="indexed"):
        n[n] = n[::-1]
    with pytest.raises(OverlappingWrite, match="indexed"):
        n[n] = 5
    x[i] = x[1:4].copy()
    x[i] = cp.astype(x, cp.float32)[3:6]
    assert unwrap(x)[:4].tolist() == [3, 4, 5, 3]


@pytest.mark.parametrize("number", [np.nan, np.inf, -1e30, 2.0**31])
def test_floats_that_are_no_integer_of_the_type_are_not_cast(cp, number):
    bad = cp.asarray([1.5, number])
    ints = cp.zeros(2, dtype=cp.int32)
    for undefined in (lambda: cp.astype(bad, cp.int32), lambda: bad.astype("int32"), lambda: ints.__setitem__(..., bad),
                      lambda: cp.asarray(bad, dtype=cp.int32), lambda: cp.array(bad, dtype=cp.int32),
                      lambda: cp.copyto(ints, bad, casting="unsafe"), lambda: ints.fill(bad[1]),
                      lambda: cp.add(bad, bad, out=ints, casting="unsafe"), lambda: ints.__setitem__(0, bad[1]),
                      lambda: ints.__setitem__(cp.asarray([0, 1]), bad),
                      lambda: ints.__setitem__(0, np.float64(number)),
                      lambda: cp.ascontiguousarray(bad, dtype=cp.int32)):
        with pytest.raises(UndefinedCast):
            undefined()
    assert cp.astype(bad, cp.bool_).dtype == bool


def test_casts_that_are_defined(cp):
    for dtype in (np.int8, np.uint8, np.int64, np.uint64, np.int32):
        info = np.iinfo(dtype)
        ends = cp.asarray(np.array([info.min, info.max if info.bits < 64 else 2.0**62, -0.9, 2.9]))
        assert unwrap(cp.astype(ends, dtype)).tolist()[2:] == [0, 2]
        with pytest.raises(UndefinedCast):
            cp.astype(cp.asarray([float(info.max) + 1]), dtype)
        with pytest.raises(UndefinedCast):
            cp.astype(cp.asarray([float(info.min) * 2 - 1]), dtype)
    assert unwrap(cp.astype(cp.asarray([-1, 2**40]), cp.uint32)).tolist() == [2**32 - 1, 0]  # integers wrap around
    assert unwrap(cp.astype(cp.asarray([1e300]), cp.float32)).tolist() == [np.inf]


def test_shifts_by_more_bits_than_there_are_raise(cp):
    words = cp.asarray(np.array([1, 2], np.uint64))
    assert unwrap(words << 63).tolist() == [2**63, 0]
    for shift in (lambda: words << 64, lambda: words >> cp.asarray(np.array([1, 64], np.uint64)),
                  lambda: cp.asarray([1]) << -1):
        with pytest.raises(ValueError, match="bits"):
            shift()


def in_child(work):
    """Return the name of the exception that `work` ends with in a forked child, or "" for none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        name = ""
        try:
            work()
        except BaseException as error:
            name = type(error).__name__
        os.write(writer, name.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        name = file.read()
    os.waitpid(child, 0)
    return name


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_of_a_process_that_used_the_device_cannot(cp):
    assert in_child(lambda: cp.zeros(3) + 1) == ""  # nothing here has used it
    x, _ = cp.ones(3), backend.get_backend("cupy")
    kernel = cp.ElementwiseKernel("T x", "T y", "y = x + x")
    for work in (lambda: cp.zeros(3), lambda: x + 1, lambda: x[0], lambda: cp.asnumpy(x), x.sum,
                 lambda: cp.asarray([1.0]), lambda: x.__setitem__(0, 1.0), lambda: kernel(x), lambda: cp.exp(x),
                 lambda: backend.to_host(x), cp.cuda.runtime.getDeviceCount, lambda: cp.concat([x, x])):
        assert in_child(work) == "CUDARuntimeError"
    assert in_child(lambda: (x.shape, x.dtype, x.flags.c_contiguous, repr(x))) == ""  # the host knows these
    assert unwrap(x).tolist() == [1, 1, 1]
