"""The strict fake of CuPy refuses each of CuPy's traps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fake_cupy
import numpy as np
import pytest
from fake_cupy import DuplicateIndices, HiddenTransfer, counts, signatures
from fake_cupy.array import ndarray, unwrap

from ddpm_np import Tensor, backend

SCRIPT = Path(__file__).parents[2] / "scripts" / "record_cupy_signatures.py"


@pytest.fixture
def cp():
    """The fake module."""
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture
def x(cp):
    """A float64 array (3, 4) on the device: 0, 1, …, 11."""
    return cp.asarray(np.arange(12.0).reshape(3, 4))


def values(a):
    """Return the numbers, bypassing the fake's rules."""
    return unwrap(a)


def test_the_fake_is_installed_and_removed():
    before = {name: module for name, module in sys.modules.items() if name.startswith("cupy")}
    known = backend._BACKENDS.get("cupy")
    with fake_cupy.installed() as module:
        import cupy
        import cupyx.scipy.special as special

        assert cupy is module
        assert special.ndtri.__name__ == "ndtri"
        first = backend.get_backend("cupy")
        first.to_device([1.0])
        assert counts.uploads == 1
    assert {name: module for name, module in sys.modules.items() if name.startswith("cupy")} == before
    assert backend._BACKENDS.get("cupy") is known
    with fake_cupy.installed():
        assert counts.uploads == 0
        assert backend.get_backend("cupy") is not first


@pytest.mark.parametrize("hidden", [
    float, int, complex, bool, list, tuple, "{:.3f}".format, np.array_repr, lambda v: v.item(), lambda v: v.tolist(),
    lambda v: v.get(), lambda v: v.tobytes(), lambda v: v.nonzero(), lambda v: f"{v:.3f}", lambda v: [1][v],
    lambda v: 0 in v, lambda v: max(v, v + 1), range, np.asarray, np.array, np.exp, np.sum,
    lambda v: np.add(v, v), lambda v: np.concatenate([v, v]), memoryview, lambda v: 1 if v else 0, np.float64,
])
def test_implicit_transfers_to_the_host_raise(cp, hidden):
    flat = cp.asarray(np.arange(2, 5))
    for a in (flat, flat[0]):
        with pytest.raises((HiddenTransfer, TypeError)):
            hidden(a)
    assert counts.transfers == 0
    assert cp.asnumpy(flat).tolist() == [2, 3, 4]
    assert counts.transfers == 1


@pytest.mark.parametrize("refused", [
    lambda cp, x, h: x + h, lambda cp, x, h: h + x, lambda cp, x, h: h * x, lambda cp, x, h: x @ h.T,
    lambda cp, x, h: h @ x.T, lambda cp, x, h: x < h, lambda cp, x, h: h == x, lambda cp, x, h: x.__iadd__(h),
    lambda cp, x, h: x.__setitem__(..., h), lambda cp, x, h: x[np.array([0, 1])], lambda cp, x, h: x[[0, 1]],
    lambda cp, x, h: x[np.array(1)], lambda cp, x, h: cp.take(x, np.array([0]), axis=0), lambda cp, x, h: cp.exp(h),
    lambda cp, x, h: cp.sum(h), lambda cp, x, h: cp.where(x > 0, x, h), lambda cp, x, h: cp.concat([x, h]),
    lambda cp, x, h: cp.stack([h, x]), lambda cp, x, h: cp.matmul(x, h.T), lambda cp, x, h: cp.clip(x, h, None),
    lambda cp, x, h: cp.reshape(h, (4, 3)), lambda cp, x, h: cp.broadcast_to(h, (2, 3, 4)),
    lambda cp, x, h: cp.zeros_like(h), lambda cp, x, h: x + np.array(1.0), lambda cp, x, h: cp.add(x, 1, out=h),
    lambda cp, x, h: cp.astype(h, "float32"), lambda cp, x, h: x.fill(h[0]), lambda cp, x, h: cp.maximum(x, [1.0] * 4),
    lambda cp, x, h: cp.full_like(x, h), lambda cp, x, h: cp.where(True, x, x), lambda cp, x, h: cp.sum([1.0, 2.0]),
    lambda cp, x, h: cp.add(x, Tensor(x)), lambda cp, x, h: cp.sum(Tensor(x)), lambda cp, x, h: cp.concat(h, x),
])
def test_host_arrays_are_refused(cp, x, refused):
    host = np.ones((3, 4))
    with pytest.raises(TypeError):
        refused(cp, x, host)
    assert np.array_equal(host, np.ones((3, 4)))
    assert np.array_equal(values(x), np.arange(12.0).reshape(3, 4))


def test_python_and_numpy_scalars_are_operands(cp, x):
    for y in (x + 1, 1 + x, x + np.float64(1), np.float64(1) + x, np.int64(1) + x):
        assert type(y) is ndarray
        assert np.array_equal(values(y), values(x) + 1)
    assert values(np.float64(5) < x).sum() == 6
    y = cp.astype(x, cp.float32)
    assert (y * 2.5).dtype == (y / 3).dtype == (2**0.5 * y).dtype == np.float32
    assert (y * np.float64(2)).dtype == np.float64
    words = cp.asarray(np.array([2**64 - 1], np.uint64))
    assert (words * 0xD2E7470EE14C6C93 >> 12).dtype == np.uint64
    with pytest.raises(OverflowError):
        words & 2**64


def test_arithmetic_with_a_tensor_gives_a_tensor(cp, x):
    t = Tensor(x, requires_grad=True)
    for y in (x + t, x * t, x - t, x / (t + 1), np.float64(2) * t):
        assert isinstance(y, Tensor)
    (x * t).sum().backward()
    assert np.array_equal(values(t.grad), values(x))


def test_reductions_stay_on_the_device(cp, x):
    for y in (cp.sum(x), x.max(), cp.isfinite(x).all(), x[1, 2], cp.sqrt(x[0, 1])):
        assert type(y) is ndarray
        assert y.shape == ()
    assert type(cp.sum(x, axis=(0, 1), keepdims=True)) is ndarray


def test_empty_memory_is_not_zero(cp, x):
    assert np.isnan(values(cp.empty((2, 3)))).all()
    assert np.isnan(values(cp.empty_like(x, dtype=cp.complex64))).all()
    assert (values(cp.empty(3, dtype=cp.int32)) == 2**31 - 1).all()


def test_out_of_range_and_duplicate_indices_raise(cp, x):
    with pytest.raises(IndexError):
        cp.take(x, cp.asarray([0, 3]), axis=0)
    with pytest.raises(IndexError):
        x[cp.asarray([-4])]
    with pytest.raises(IndexError):
        x[3]
    with pytest.raises(HiddenTransfer):
        x[x > 3]
    with pytest.raises(HiddenTransfer):
        x[x > 3] = 0.0
    i = cp.asarray([0, 2])
    x[i] = 7.0
    assert values(x)[:, 0].tolist() == [7, 4, 7]
    for twice in ([0, 0], [0, -3]):
        with pytest.raises(DuplicateIndices):
            x[cp.asarray(twice)] = 1.0
    with pytest.raises(DuplicateIndices):
        x[cp.asarray([0, 1, 0]), cp.asarray([2, 2, 2])] = 1.0


def test_results_have_varied_non_contiguous_layouts(cp, x):
    layouts = {(x + k).strides for k in range(6)}
    assert len(layouts) == 3
    assert (32, 8) not in layouts
    some = cp.asarray([0, 2])
    for y in (x + 0, cp.matmul(x, x.T), cp.concat([x, x]), cp.sum(x[None], axis=0), x[some], cp.stack([x, x]),
              cp.where(x > 3, x, 0.0), cp.astype(x, cp.float32), cp.take(x, some, axis=1)):
        assert not y.flags.c_contiguous
    for y in (cp.zeros((2, 3)), cp.reshape(x.T, (2, 6)), (x + 0).copy(), cp.ascontiguousarray(x + 0)):
        assert y.flags.c_contiguous


def test_plain_results_are_in_c_order(cp):
    with fake_cupy.installed("plain") as plain:
        x = plain.asarray(np.arange(12.0).reshape(3, 4))
        some = plain.asarray([0, 2])
        for y in (x.T + 0, plain.matmul(x, x.T), plain.concat([x.T, x.T]), plain.sum(x.T[None], axis=0), x.T[:, some],
                  plain.stack([x.T, x.T]), plain.where(x.T > 3, x.T, 0.0), plain.take(x.T, some, axis=1),
                  plain.max(x.T, axis=0, keepdims=True), -x.T, plain.cumsum(x.T, axis=0)):
            assert y.flags.c_contiguous
        for y in (plain.astype(x.T, plain.float32), plain.empty_like(x.T), plain.copy(x.T)):
            assert y.flags.f_contiguous  # CuPy keeps these operands' order
    with pytest.raises(ValueError, match="layouts"), fake_cupy.installed("smooth"):
        pass


def hidden(cp, work):
    """Return how many copies to the device CuPy makes unasked."""
    counts.reset()
    work()
    assert counts.uploads == 0
    return counts.hidden_uploads


@pytest.mark.parametrize("join", ["concat", "stack", "vstack"])
def test_joining_more_than_eight_small_arrays_uploads_their_addresses(cp, join):
    parts, function = [cp.ones((2, 3), dtype=cp.float32) for _ in range(9)], getattr(cp, join)
    assert hidden(cp, lambda: function(parts)) == 1
    assert hidden(cp, lambda: function(parts[:8])) == 0
    assert hidden(cp, lambda: function([*parts, cp.ones((3, 2), dtype=cp.float32).T])) == 3  # strides and sizes as well
    assert hidden(cp, lambda: function([*parts, cp.ones((2, 3))])) == 0  # of two dtypes: one copy after the other
    large = [cp.ones((2**19,), dtype=cp.float32)] * 9  # 2 MiB each
    assert hidden(cp, lambda: function(large)) == 0
    assert hidden(cp, lambda: function([*large, large[0][:1]]) if join == "concat" else function(parts)) == (
        3 if join == "concat" else 1)


def test_a_number_assigned_to_indexed_elements_is_uploaded(cp, x):
    i = cp.asarray([0, 2])
    assert hidden(cp, lambda: x.__setitem__(i, 7.0)) == 1
    assert hidden(cp, lambda: x.__setitem__(i, x[1:] + 1)) == 0
    assert hidden(cp, lambda: x.__setitem__(slice(0, 2), 7.0)) == 0
    assert hidden(cp, lambda: cp.matmul(cp.ones((9, 1, 2, 3)), cp.ones((9, 3, 2)))) == 0  # addresses made by a kernel


@pytest.mark.parametrize("waits", [
    lambda cp, x, i: cp.where(x > 3), lambda cp, x, i: cp.repeat(x, i), lambda cp, x, i: x.repeat([1, 2], axis=0),
    lambda cp, x, i: cp.interp(x[0], x[1], x[2]), lambda cp, x, i: cp.percentile(x, 5), lambda cp, x, i: cp.median(x),
    lambda cp, x, i: cp.bincount(i), lambda cp, x, i: cp.average(x, weights=x), lambda cp, x, i: cp.nanmax(x),
    lambda cp, x, i: cp.unique(i), lambda cp, x, i: cp.arange(i[0]), lambda cp, x, i: cp.linspace(0, i[1], 3),
    lambda cp, x, i: cp.roll(x, i[0]), lambda cp, x, i: cp.sum(x, axis=i[0]), lambda cp, x, i: cp.gradient(x[0]),
    lambda cp, x, i: cp.reshape(x, i), lambda cp, x, i: cp.zeros(i[0]), lambda cp, x, i: x.reshape(i[0], -1),
])
def test_functions_that_wait_for_the_device_raise(cp, x, waits):
    i = cp.asarray([1, 2])
    with pytest.raises((HiddenTransfer, TypeError)):
        waits(cp, x, i)


@pytest.mark.parametrize("uploads", [
    lambda cp, x: cp.take(x, [0, 1]), lambda cp, x: x.take([0, 1]), lambda cp, x: cp.searchsorted(x[0], 2.0),
    lambda cp, x: cp.append(x, [1.0]), lambda cp, x: x[0, [1, 2]], lambda cp, x: cp.digitize(x, [1.0, 2.0]),
])
def test_lists_and_numbers_for_arrays_are_refused(cp, x, uploads):
    with pytest.raises(TypeError):
        uploads(cp, x)


def test_views_share_memory(cp, x):
    for view in (x[1:], x[..., ::2], cp.reshape(x, (12,)), x.reshape(2, 6), x.T, cp.permute_dims(x, (1, 0)), x[None],
                 cp.matrix_transpose(x), cp.broadcast_to(x, (2, 3, 4)), x[0], x[...], cp.astype(x, x.dtype, copy=False),
                 cp.asarray(x), cp.expand_dims(x, 0), cp.real(x)):
        assert np.shares_memory(values(view), values(x))
    for fresh in (x.copy(), cp.reshape(x.T, (12,)), cp.astype(x, x.dtype), x + 0, cp.array(x), x[cp.asarray([0])]):
        assert not np.shares_memory(values(fresh), values(x))
    row = x[1]
    row += 1
    row *= 2
    x[1:2, 0] = cp.asarray([-1.0])
    assert values(x)[1].tolist() == [-1, 12, 14, 16]
    with pytest.raises(TypeError, match="casting"):
        cp.astype(x, cp.int64).__itruediv__(2)


def test_functions_and_keywords_are_those_of_cupy(cp, x):
    for missing in ("unstack", "from_device", "linalg_norm", "asscalar"):
        assert not hasattr(cp, missing)
    assert not hasattr(x, "__array_namespace__")
    assert not hasattr(x, "__index__")
    assert not hasattr(x, "to_device")
    assert not hasattr(x.flags, "writeable")
    for wrong in (lambda: cp.sum(x, where=x > 0), lambda: cp.exp(x, where=x > 0), lambda: cp.zeros(3, device=None),
                  lambda: cp.take(x, 0, mode="clip"), lambda: x.sum(initial=0), lambda: cp.clip(x, min=0, max=1),
                  lambda: cp.astype(x, cp.float32, device=None), lambda: cp.max(x, initial=0), cp.sum,
                  lambda: cp.add(x), lambda: cp.concat(x, x, x, x), lambda: cp.argmax(x, 0, None, None, True, 1)):
        with pytest.raises((TypeError, ValueError)):
            wrong()
    own = {name for name in dir(ndarray) if name not in dir(object)}
    assert own <= set(signatures.NDARRAY) | set(signatures.RECORD["ndarray special"]) | {"_a", "_memory"}


def test_result_dtypes_are_those_of_cupy(cp):
    half = cp.asarray(np.array([1.0], np.float16))
    import cupyx.scipy.special as special

    assert special.log_ndtr(half).dtype == np.float64  # SciPy's is float16
    with pytest.raises(TypeError, match="Wrong type"):
        special.log_ndtr(cp.asarray([1j]))
    with pytest.raises(TypeError, match="Wrong type"):
        cp.asarray([1.0]) << 2
    words, flags, complex_ = cp.asarray([1, 2]), cp.asarray([True, False]), cp.asarray([1j])
    short = cp.astype(words, cp.int32)
    assert cp.where(flags, cp.astype(words, cp.uint64), words).dtype == np.float64  # there is no integer for both
    assert cp.where(flags, half, 1.0).dtype == cp.where(half, half, half).dtype == np.float16
    assert cp.where(flags, short, 1.5).dtype == cp.clip(short, 0.5, None).dtype == np.float64
    assert cp.where(flags, 1.0, short[0]).dtype == np.float64
    assert cp.clip(half, 0, 1).dtype == np.float16
    assert cp.clip(flags, False, True).dtype == bool
    assert cp.clip(half, np.float64(0), None).dtype == np.float64
    with pytest.raises(TypeError, match="Wrong type"):
        cp.clip(complex_, 0, 1)
    with pytest.raises(OverflowError):
        cp.clip(short, 0, 2**40)
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cp.asarray(["a"])


def test_the_signature_record_matches_the_installed_cupy():
    """In another process, since the fake may replace CuPy in this one."""
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(Path(fake_cupy.__file__).with_name("signatures.json").read_text())["cupy"] in done.stdout
