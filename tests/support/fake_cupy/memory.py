"""The fake device's memory: what its arrays take, against a capacity, with CuPy's pool, hooks and error.

An array counts from the moment it is made until nothing refers to its memory, rounded up to 512 bytes as CuPy does. A
view counts nothing. The pool keeps what is dropped until `free_all_blocks` or until memory is full. Its free blocks
join without gaps, unlike a real pool's; nothing here is fragmented.
"""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

UNIT = 512  # bytes, to whose multiples CuPy rounds up what it is asked for
CAPACITY = 16 * 10**9


class OutOfMemoryError(MemoryError):
    """CuPy's error of this name."""

    __module__ = "cupy.cuda.memory"

    def __init__(self, size: int, total: int, limit: int = 0):
        self._size, self._total, self._limit = size, total, limit
        if limit == 0:
            super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
        else:
            super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, limit set "
                             f"to: {limit:,} bytes).")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._size, self._total, self._limit)


class MemoryHook:
    """CuPy's class of this name: a context in which this thread's allocations call its methods."""

    __module__ = "cupy.cuda.memory_hook"
    name = "MemoryHook"

    def __enter__(self) -> MemoryHook:
        if self.name in _hooks():
            raise KeyError(f"memory hook {self.name} already exists")
        _hooks()[self.name] = self
        return self

    def __exit__(self, *_: Any) -> None:
        del _hooks()[self.name]

    def alloc_preprocess(self, **kwargs: Any) -> None: ...
    def alloc_postprocess(self, **kwargs: Any) -> None: ...
    def malloc_preprocess(self, **kwargs: Any) -> None: ...
    def malloc_postprocess(self, **kwargs: Any) -> None: ...
    def free_preprocess(self, **kwargs: Any) -> None: ...
    def free_postprocess(self, **kwargs: Any) -> None: ...


_of_thread = threading.local()


def _hooks() -> OrderedDict[str, MemoryHook]:
    if not hasattr(_of_thread, "hooks"):
        _of_thread.hooks = OrderedDict()
    return _of_thread.hooks


def _call(method: str, **kwargs: Any) -> None:
    for hook in list(_hooks().values()):
        getattr(hook, method)(device_id=0, **kwargs)


class Memory:
    """The memory of one device and its pool, CuPy's `MemoryPool` as far as it is used here.

    Parameters
    ----------
    capacity : int
        Bytes of the device.

    Attributes
    ----------
    others : int
        Bytes that somebody else takes, such as another process; a test may change it.
    peak : int
        The most bytes that arrays took at a time; a test may set it.
    """

    def __init__(self, capacity: int = CAPACITY):
        self.capacity, self.others = capacity, 0
        self.peak = self._used = self._total = self._limit = 0
        self._owners: dict[int, weakref.ref[np.ndarray]] = {}  # of fresh memory, by id
        self._places = itertools.count(1)  # stand for pointers and ids

    def used_bytes(self) -> int: return self._used
    def total_bytes(self) -> int: return self._total
    def free_bytes(self) -> int: return self._total - self._used
    def get_limit(self) -> int: return self._limit

    def set_limit(self, size: int = 0) -> None:
        self._limit = size

    def free_all_blocks(self, stream: Any = None) -> None:
        self._total = self._used

    def info(self) -> tuple[int, int]:
        """What cudaMemGetInfo tells: free bytes and all bytes of the device."""
        return self.capacity - self.others - self._total, self.capacity

    def count(self, a: np.ndarray) -> None:
        """Count an array that stands on the device, unless it is a view of one that is counted."""
        owner = _owner(a)
        if id(owner) in self._owners or a.size == 0:
            return
        give_back = self.malloc(min(a.nbytes, owner.nbytes))  # layouts with gaps are the fake's own
        key = id(owner)

        def dropped(_: Any) -> None:
            if _call is None:
                return  # the interpreter ends, and has emptied this module
            del self._owners[key]
            give_back()

        self._owners[key] = weakref.ref(owner, dropped)

    def malloc(self, size: int) -> Callable[[], None]:
        """Take a block for so many bytes; return what gives it back."""
        rounded, place, given = -(-size // UNIT) * UNIT, next(self._places), 0
        _call("malloc_preprocess", size=size, mem_size=rounded)
        try:
            if rounded > self.free_bytes():
                self._grow(rounded)
            self._used += rounded
            self.peak = max(self.peak, self._used)
            given = place
        finally:
            _call("malloc_postprocess", size=size, mem_size=rounded, mem_ptr=given * UNIT, pmem_id=given)

        def free() -> None:
            if _call is None:
                return  # the interpreter ends, and has taken this module apart
            _call("free_preprocess", mem_size=rounded, mem_ptr=place * UNIT, pmem_id=place)
            self._used -= rounded
            _call("free_postprocess", mem_size=rounded, mem_ptr=place * UNIT, pmem_id=place)

        return free

    def _grow(self, rounded: int) -> None:
        """Take more of the device; where it is full, first give back what is free, then look for cycles, as CuPy."""
        most = min(self.capacity - self.others, self._limit or self.capacity)
        for free in (lambda: None, self.free_all_blocks, lambda: (gc.collect(), self.free_all_blocks())):
            free()
            needed = self._used + rounded
            if needed <= most:
                _call("alloc_preprocess", mem_size=rounded)
                self._total = max(self._total, needed)
                _call("alloc_postprocess", mem_size=rounded, mem_ptr=UNIT)
                return
        raise OutOfMemoryError(rounded, self._total, self._limit)


def _owner(a: np.ndarray) -> np.ndarray:
    """The array whose memory `a` is a view of."""
    base: Any = a
    while base is not None:
        if isinstance(base, np.ndarray):
            a = base
        base = getattr(base, "base", None)
    return a


memory = Memory()


def count(a: np.ndarray) -> None:
    """Count an array on the present device."""
    memory.count(a)


def leave() -> None:
    """Have arrays that are made from now on take no memory of a device that a test has left."""
    global memory
    memory = Memory()


def put_into(modules: dict[str, ModuleType], capacity: int = CAPACITY) -> Memory:
    """Start with an empty device, and give the pretend modules CuPy's names for its memory."""
    global memory
    memory = pool = Memory(capacity)
    for name in ("memory", "memory_hook"):
        module = modules.setdefault(f"cupy.cuda.{name}", ModuleType(f"cupy.cuda.{name}", "A strict fake for tests."))
        setattr(modules["cupy.cuda"], name, module)
    modules["cupy.cuda.memory"].OutOfMemoryError = OutOfMemoryError
    modules["cupy.cuda"].MemoryHook = modules["cupy.cuda.memory_hook"].MemoryHook = MemoryHook
    modules["cupy.cuda.runtime"].memGetInfo = pool.info
    modules["cupy"].get_default_memory_pool = lambda: pool
    return pool
