"""The memory of arrays on the host and on a device: what is free, and the peak that arrays take while something runs.

On the host every allocation is traced by `tracemalloc`; on a device CuPy's pool calls a hook.
"""

from __future__ import annotations

import contextlib
import gc
import math
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ddpm_np.backend import Backend

Result = TypeVar("Result")

_LEFT = 8  # of a device's free memory, one part in so many is left: see `free_memory`
_FULL = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED")


class Meter(NamedTuple):
    """What arrays take, in bytes beyond what they took at the start: see `measured`.

    Attributes
    ----------
    now, peak : callable
        Return the bytes at present, and the most so far.
    """

    now: Callable[[], int]
    peak: Callable[[], int]


@contextlib.contextmanager
def measured(backend: Backend) -> Iterator[Meter]:
    """Measure the memory of a backend's arrays in a ``with`` block.

    On a device these are the blocks that this thread takes from CuPy's pool, in multiples of 512 bytes.

    Parameters
    ----------
    backend : Backend
        Whose arrays count.

    Yields
    ------
    Meter
        To be asked inside the block or after it.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.backend import get_backend
    >>> with measured(get_backend("numpy")) as meter:
    ...     total = np.zeros(100_000).sum()
    >>> meter.peak() > 800_000 > meter.now()
    True
    """
    with _traced() if backend.name == "numpy" else _hooked(backend.xp.cuda.MemoryHook) as meter:
        yield meter


@contextlib.contextmanager
def _traced() -> Iterator[Meter]:
    """Trace the host's allocations, whether they are traced already or not."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    after: list[tuple[int, int]] = []  # what was traced when the block ended

    def traced() -> tuple[int, int]:
        return after[0] if after else tracemalloc.get_traced_memory()

    try:
        yield Meter(lambda: traced()[0] - before, lambda: traced()[1] - before)
    finally:
        after.append(tracemalloc.get_traced_memory())
        if not tracing:
            tracemalloc.stop()


@contextlib.contextmanager
def _hooked(hook: Any) -> Iterator[Meter]:
    """Count what CuPy's pool gives to this thread and gets back."""
    now = peak = 0

    class Count(hook):
        def malloc_postprocess(self, *, mem_size: int, mem_ptr: int, **_: Any) -> None:
            nonlocal now, peak
            if mem_ptr:  # 0 where memory was full
                now += mem_size
                peak = max(peak, now)

        def free_postprocess(self, *, mem_size: int, **_: Any) -> None:
            nonlocal now
            now -= mem_size

    count = Count()
    count.name = f"ddpm_np {id(count)}"  # CuPy refuses two hooks of one name
    with count:
        yield Meter(lambda: now, lambda: peak)


def free_memory(backend: Backend) -> int | None:
    """Return the memory that a backend's arrays can still take.

    On a GPU that is seven eighths of what is free or unused in CuPy's pool, and within the pool's limit. An eighth is
    left because the pool's blocks do not always have the sizes that are asked for, and for what is not an array:
    cuBLAS's workspace (up to 32 MiB) and the code of kernels. The eighth is an estimate; a step or sample that meets
    full memory in spite of it takes fewer images at a time (`in_more_parts`).

    Parameters
    ----------
    backend : Backend
        NumPy's: the host's memory that is available, within a container's limit; CuPy's: the GPU's.

    Returns
    -------
    int or None
        Bytes; None where the system does not tell.
    """
    if backend.name == "cupy":
        pool = backend.xp.get_default_memory_pool()
        device = int(backend.xp.cuda.runtime.memGetInfo()[0]) + pool.free_bytes()
        limit = pool.get_limit()  # 0: none
        device = min(device, limit - pool.used_bytes()) if limit else device
        return max(0, device - device // _LEFT)
    free = [number for number in (_available(), _left_in_the_control_group()) if number is not None]
    return min(free, default=None)


def _available() -> int | None:
    """Return Linux's estimate of the memory available without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _left_in_the_control_group() -> int | None:
    """Return what a container's limit leaves (cgroup version 2)."""
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
                       for name in ("memory.max", "memory.current"))
        return int(limit) - int(used)
    except (OSError, ValueError):  # no such files, or no limit: "max"
        return None


def memory_of_images(work: Callable[[int], Any], several: int, backend: Backend) -> tuple[int, int]:
    """Measure the peak that one image and several take, as bytes that there are once and bytes for each image.

    An array grows in proportion to the number of images, up to a size at which its work is done in lots, or not at all.
    So n images, from `several` on, take at most n times a share of what `several` take; what one image and half as many
    take beyond their shares is counted once. The result is therefore what they take or more.

    Parameters
    ----------
    work : callable
        Function of the number of images. What is still there after it, such as tables of a schedule, does not count.
    several : int
        The larger number; where so many do not fit, one image alone is measured.
    backend : Backend
        Whose arrays count.

    Returns
    -------
    once, each : int
        The bytes: n images take ``once + n * each``.

    Raises
    ------
    MemoryError
        Or CUDA's error, if one image does not fit.
    """
    peaks: list[int] = []
    counts = sorted({1, several // 2, several} - {0})
    for images in counts:
        try:
            with measured(backend) as meter:
                work(images)
                peaks.append(meter.peak() - max(0, meter.now()))
        except Exception as error:
            if backend.name == "numpy" or not is_full(error) or not peaks:
                raise
    release(backend)  # the blocks of so few images would break the memory up
    if len(peaks) < len(counts):
        return 0, peaks[0]
    each = math.ceil(peaks[-1] / several)
    return max(0, *(peak - n * each for n, peak in zip(counts, peaks, strict=True))), each


def is_full(error: BaseException) -> bool:
    """Return whether an error says that memory is full: CuPy's pool, CUDA and cuBLAS have one of their own each.

    Parameters
    ----------
    error : exception
        The error.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_full(MemoryError()), is_full(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")), is_full(ValueError("full"))
    (True, True, False)
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and str(error).startswith(_FULL))


def release(backend: Backend) -> None:
    """Give the device the blocks back that CuPy's pool keeps for later arrays; on the host do nothing.

    Parameters
    ----------
    backend : Backend
    """
    if backend.name == "cupy":
        gc.collect()  # arrays in cycles are no longer used either
        backend.xp.get_default_memory_pool().free_all_blocks()


def in_more_parts(work: Callable[[int], Result], parts: int, most: int, backend: Backend, note: str,
                  ) -> tuple[Result, int]:
    """Call a function with a number of parts; while a device's memory is full, again with twice as many.

    Parameters
    ----------
    work : callable
        Function of the number of parts, which has no effect until it returns.
    parts, most : int
        The first number, and the largest.
    backend : Backend
        On NumPy's the function is called once.
    note : str
        Added to the error if `most` parts do not fit either: what to do.

    Returns
    -------
    result : object
        What `work` returned.
    parts : int
        For how many parts.

    Raises
    ------
    MemoryError
        Or CUDA's error: if `most` parts do not fit.
    """
    while True:
        try:
            return work(parts), parts
        except Exception as error:
            if backend.name == "numpy" or not is_full(error):
                raise
            if parts >= most:
                error.add_note(note)
                raise
        parts = min(2 * parts, most)  # outside of the handler: the error's frames hold arrays
        release(backend)


def gigabytes(number: int) -> str:
    """Return a number of bytes in words, such as "1.5 GB".

    Parameters
    ----------
    number : int
        Bytes.

    Returns
    -------
    str
        In units of 10⁹ bytes.
    """
    return f"{number / 1e9:.2g} GB" if number < 1e10 else f"{number / 1e9:,.0f} GB"
