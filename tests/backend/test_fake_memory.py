"""The fake device's memory does as CuPy's pool does: what counts, which hooks are called, the error of a full one."""

from __future__ import annotations

import pickle

import fake_cupy
import numpy as np
import pytest


@pytest.fixture
def cupy():
    with fake_cupy.installed(memory=100_000) as module:
        yield module


def test_an_array_counts_until_its_last_view_is_dropped(cupy):
    pool = cupy.get_default_memory_pool()
    x = cupy.asarray(np.ones((10, 10)))
    assert pool.used_bytes() == 1024  # 800, rounded up
    views = [x.T, x[1:], x.reshape(100), cupy.broadcast_to(x, (50, 10, 10)), x.real,
             cupy.lib.stride_tricks.as_strided(x, (3, 3), (8, 8))]
    assert pool.used_bytes() == 1024
    y = x * x
    y += 1
    assert pool.used_bytes() == 2048
    del x, y
    assert pool.used_bytes() == 1024
    views.clear()
    assert (pool.used_bytes(), pool.free_bytes(), pool.total_bytes()) == (0, 2048, 2048)
    assert cupy.cuda.runtime.memGetInfo() == (100_000 - 2048, 100_000)
    pool.free_all_blocks()
    assert (pool.total_bytes(), cupy.cuda.runtime.memGetInfo()[0]) == (0, 100_000)


@pytest.mark.parametrize("make", [
    lambda xp, x: xp.zeros((10, 10)), lambda xp, x: xp.empty_like(x), lambda xp, x: x + x, lambda xp, x: x @ x,
    lambda xp, x: xp.stack([x, x])[0], lambda xp, x: x.copy(), lambda xp, x: xp.exp(x), lambda xp, x: x[xp.arange(10)],
    lambda xp, x: xp.asarray(np.ones((10, 10))), lambda xp, x: x.astype("float32"), lambda xp, x: xp.sum(x, axis=0)])
def test_whatever_makes_an_array_counts(cupy, make):
    pool, x = cupy.get_default_memory_pool(), cupy.ones((10, 10))
    before = pool.used_bytes()
    made = make(cupy, x)
    assert pool.used_bytes() > before
    del made
    assert pool.used_bytes() == before


def test_a_full_memory_is_refused_in_cupys_words(cupy):
    held = cupy.zeros(10_000)
    with pytest.raises(MemoryError) as caught:
        cupy.zeros(5_000)
    assert type(caught.value) is cupy.cuda.memory.OutOfMemoryError
    assert str(caught.value) == "Out of memory allocating 40,448 bytes (allocated so far: 80,384 bytes)."
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    del held
    assert cupy.zeros(5_000).size == 5_000  # in the block that was given back


def test_free_blocks_and_cycles_are_given_up_before_memory_is_full(cupy):
    cycle = [cupy.zeros(10_000)]
    cycle.append(cycle)
    del cycle
    assert cupy.zeros(10_000).size == 10_000


def test_a_hook_is_called_as_cupy_calls_it(cupy):
    calls = []

    class Hook(cupy.cuda.MemoryHook):
        def __getattribute__(self, name):
            if name.endswith("process"):
                return lambda **given: calls.append((name, sorted(given), given.get("mem_size"), given.get("mem_ptr")))
            return super().__getattribute__(name)

    with Hook(), pytest.raises(KeyError, match="memory hook MemoryHook already exists"), Hook():
        pass
    cupy.zeros(3)  # outside
    assert calls == []
    with Hook():
        x = cupy.zeros(100)
        del x
        y = cupy.zeros(100)  # in the pool's free block: nothing is taken from the device
        with pytest.raises(MemoryError):
            cupy.zeros(100_000)
    del y
    names = [call[0] for call in calls]
    given = ["malloc_preprocess", "alloc_preprocess", "alloc_postprocess", "malloc_postprocess"]
    freed, full = ["free_preprocess", "free_postprocess"], ["malloc_preprocess", "malloc_postprocess"]
    assert names == [*given, *freed, "malloc_preprocess", "malloc_postprocess", *full]
    assert calls[3][1:3] == (["device_id", "mem_ptr", "mem_size", "pmem_id", "size"], 1024)
    assert calls[5][1:3] == (["device_id", "mem_ptr", "mem_size", "pmem_id"], 1024)
    assert calls[3][3] == calls[5][3] != 0
    assert calls[-1][3] == 0  # nothing was given


def test_a_limit_of_the_pool_holds(cupy):
    cupy.get_default_memory_pool().set_limit(size=2_000)
    with pytest.raises(MemoryError, match=r"limit set to: 2,000 bytes\)"):
        cupy.zeros(1_000)
