"""The C library's heap keeps the memory of freed arrays, in large pages, and gives it back before a fork."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import numpy as np
import pytest

from ddpm_np.parallel import heap, processes
from ddpm_np.parallel.heap import _libc, keep_memory, release_free_memory

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")


def printed(code, *names):
    """Return the ints that a new process prints."""
    return [int(word) for word in subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True,
                                                 check=True).stdout.split()]


PAGES = """
import resource, sys, threading
import numpy as np
from ddpm_np.parallel.heap import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for k in range(100):
        arrays = [np.ones(200_000 + 50_000 * i) for i in range(6)]  # 1.6 to 3.6 MB

if sys.argv[1:]: keep_memory()
work()
before = faults()
thread = threading.Thread(target=work)
thread.start(), thread.join()
print(faults() - before)
"""


@on_glibc
def test_freed_arrays_are_used_again():
    assert keep_memory()
    (kept,), (given_back,) = printed(PAGES, "keep"), printed(PAGES)
    assert kept < 10_000  # the heap grows once
    assert kept < given_back / 5


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    _libc.cache_clear()
    try:
        assert not keep_memory.__wrapped__()
        release_free_memory()
    finally:
        _libc.cache_clear()


RESIDENT = """
import numpy as np
from pathlib import Path
from ddpm_np.parallel.heap import keep_memory, release_free_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

keep_memory()
before = resident()
arrays = [np.ones(2_000_000) for _ in range(20)]  # 320 MB
del arrays
kept = resident()
release_free_memory()
print(kept - before, resident() - before)
"""


@on_glibc
def test_free_memory_is_given_back_before_a_fork():
    kept, left = printed(RESIDENT)
    assert kept > 300_000_000
    assert left < kept / 10


def test_each_set_of_workers_is_forked_after_free_memory_was_given_back(monkeypatch):
    if not processes.can_fork():
        pytest.skip("no workers are forked here")
    given = []
    monkeypatch.setattr(processes, "release_free_memory", lambda: given.append(1))
    workers = processes.WorkerProcesses(lambda worker, message: message, 2)
    workers.close()
    assert given == [1]


class Recorder:
    """A C library whose heap is at given addresses; it records what is asked for."""

    def __init__(self, blocks):
        self.blocks, self.calls, self.asked = iter(blocks), [], []

    def malloc(self, size):
        self.calls.append(("malloc", size))
        return next(self.blocks, None)

    def free(self, block):
        self.calls.append(("free", block))

    def madvise(self, start, length, advice):
        self.asked.append((start, length, advice))


def test_large_pages_are_asked_for_within_the_heap_alone(monkeypatch, tmp_path):
    """Whole pages of 2 MiB between its ends; a heap without one is left alone. Freed from the top, where it grew."""
    maps = ("7f0000000000-7f0000800000 rw-p 00000000 00:00 0\n"
            "55550010f000-555500b10000 rw-p 00000000 00:00 0                          [heap]\n"
            "7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0                          [stack]\n")
    libc = Recorder([11, 12, 13])
    monkeypatch.setattr(heap.Path, "read_text", lambda self, **_: maps)
    heap._ask_for_large_pages(libc)
    assert libc.asked == [(0x5555_0020_0000, 0x80_0000, 14)]
    assert [call[1] for call in libc.calls] == [*4 * [heap._BLOCK], 13, 12, 11]
    maps = "555500010000-555500210000 rw-p 00000000 00:00 0                          [heap]\n"
    libc = Recorder([])
    heap._ask_for_large_pages(libc)
    assert libc.asked == []


def test_no_more_than_the_reserve_is_taken_from_the_heap(monkeypatch):
    libc = Recorder(range(1, 1000))
    monkeypatch.setattr(heap.Path, "read_text", lambda self, **_: "")
    heap._ask_for_large_pages(libc)
    taken = [call[1] for call in libc.calls if call[0] == "malloc"]
    assert heap._RESERVED <= sum(taken) < heap._RESERVED + heap._BLOCK
    assert sorted(block for name, block in libc.calls if name == "free") == list(range(1, len(taken) + 1))


def test_a_system_without_proc_is_left_alone(monkeypatch):
    def missing(self, **_):
        raise FileNotFoundError(str(self))

    libc = Recorder([1])
    monkeypatch.setattr(heap.Path, "read_text", missing)
    heap._ask_for_large_pages(libc)
    assert libc.asked == []
    assert ("free", 1) in libc.calls


@on_glibc
def test_arrays_keep_their_numbers_while_free_memory_is_given_back():
    arrays = [np.full(100_000 + 1000 * i, i) for i in range(40)]
    del arrays[::2]
    release_free_memory()
    assert all((array == 2 * i + 1).all() for i, array in enumerate(arrays))
