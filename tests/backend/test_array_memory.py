"""The memory of arrays: what is free, the peak while something runs, and fewer images at a time where it is full."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from fake_cupy import memory as fake_memory

from ddpm_np.backend import get_backend
from ddpm_np.memory import free_memory, in_more_parts, is_full, measured, memory_of_images

NUMPY = get_backend("numpy")


@pytest.fixture
def device():
    with fake_cupy.installed(memory=1_000_000):
        yield get_backend("cupy")


@pytest.mark.parametrize("where", ["numpy", "cupy"])
def test_the_peak_is_what_arrays_take_at_most(device, where):
    backend = get_backend(where)
    xp, slack = backend.xp, {"numpy": 3_000, "cupy": 512}[where]
    before = xp.zeros(50_000)
    with measured(backend) as meter:
        kept = xp.zeros(10_000)
        total = kept + before[:10_000] + 1  # two fresh arrays for a moment
        assert 160_000 <= meter.now() < 160_000 + 2 * slack
        assert 240_000 <= meter.peak() < 240_000 + 3 * slack
        del total, kept
        assert meter.now() < slack
    later = xp.zeros(50_000)
    assert meter.peak() < 240_000 + 3 * slack
    assert len(later) == len(before)


def test_two_measures_may_overlap_on_a_device(device):
    with measured(device) as outer, measured(device) as inner:
        device.xp.zeros(1_000)
    assert outer.peak() == inner.peak() == 8_192


def test_free_memory_of_a_device_counts_the_pools_blocks_and_leaves_an_eighth(device):
    pool = fake_memory.memory
    assert free_memory(device) == 875_000
    x = device.xp.zeros(100_000)  # 800,256 bytes
    assert free_memory(device) == 199_744 * 7 // 8
    del x  # the pool keeps them
    assert pool.info()[0] == 199_744
    assert free_memory(device) == 875_000
    pool.others = 100_000
    assert free_memory(device) == 787_500
    pool.set_limit(size=400_000)
    assert free_memory(device) == 350_000


def test_free_memory_of_this_machine_is_plausible():
    free = free_memory(NUMPY)
    assert free is None or 10**6 < free < 10**14


@pytest.mark.parametrize("several", [2, 4])
def test_what_is_said_of_images_is_what_they_take_or_more(device, several):
    """Here the peak is at another moment for many images than for few."""
    xp = device.xp

    def work(n):
        temporary = xp.zeros(20_000)
        del temporary
        kept = [xp.zeros((n, 600)) for _ in range(3)]
        table.append(xp.zeros(64)) if not table else None  # stays, and is no part of the peak
        return kept

    table = []
    once, each = memory_of_images(work, several, device)
    assert fake_memory.memory.free_bytes() == 0  # the small blocks are given back
    for n in (1, 2, 3, 5, 8, 20, 40):
        with measured(device) as meter:
            work(n)
        assert meter.peak() <= once + max(n, several) * each
    assert 159_744 <= once + each <= 160_256


def test_one_image_is_measured_where_several_do_not_fit(device):
    assert memory_of_images(lambda n: device.xp.zeros((n, 80_000)), 2, device) == (0, 640_000)
    with pytest.raises(MemoryError):
        memory_of_images(lambda n: device.xp.zeros((n, 130_000)), 2, device)


def test_a_full_memory_is_met_with_more_parts(device):
    tried = []

    def work(parts):
        tried.append(parts)
        return device.xp.zeros(800_000 // 8 * 3 // parts).size

    assert in_more_parts(work, 1, 5, device, "") == (75_000, 4)
    assert tried == [1, 2, 4]


def test_memory_that_the_failed_attempt_holds_is_free_for_the_next(device):
    """Its arrays are in the error's frames, and in a cycle."""
    def work(parts):
        held = [device.xp.zeros(60_000)]
        held.append(held)
        return device.xp.zeros(120_000 // parts).size

    assert in_more_parts(work, 1, 2, device, "") == (60_000, 2)


def test_what_fits_in_no_number_of_parts_is_an_error_with_advice(device):
    with pytest.raises(MemoryError, match="Out of memory allocating 8,000,000 bytes") as caught:
        in_more_parts(lambda parts: device.xp.zeros(10**6), 1, 3, device, "choose a smaller net")
    assert caught.value.__notes__ == ["choose a smaller net"]


def test_other_errors_and_the_hosts_are_raised_at_once(device):
    def fails(parts):
        tried.append(parts)
        raise error

    for error, backend in ((ValueError("x"), device), (RuntimeError("full"), device), (MemoryError(), NUMPY)):
        tried: list[int] = []
        with pytest.raises(type(error)):
            in_more_parts(fails, 1, 8, backend, "")
        assert tried == [1]


@pytest.mark.parametrize(("error", "full"), [
    (MemoryError("x"), True), (RuntimeError("cudaErrorMemoryAllocation: out of memory"), True),
    (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True), (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), True),
    (RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered"), False), (OSError("x"), False)])
def test_cudas_own_errors_of_a_full_memory_are_known(error, full):
    assert is_full(error) == full


def test_arrays_are_copied_together(device):
    from ddpm_np.backend import to_host_together

    fake_cupy.counts.reset()
    host = [np.arange(6.0).reshape(2, 3), np.ones(2, np.float32), np.zeros((0, 4)), np.float64([7]), np.arange(4)]
    there = device.to_device_together(host)
    assert fake_cupy.counts.uploads == 3  # float64, float32, int64
    mixed = to_host_together([there[0].T, *there[1:], host[0]])
    assert fake_cupy.counts.transfers == 3
    for found, expected in zip(mixed, [host[0].T, *host[1:], host[0]], strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(found, expected)
    assert mixed[-1] is host[0]
    assert device.to_device_together(there)[0] is there[0]
    assert NUMPY.to_device_together(host)[0] is host[0]
