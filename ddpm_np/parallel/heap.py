"""The C library's heap: memory that is kept for the next step, in large pages (glibc on Linux).

A step allocates and frees the same hundreds of arrays each time. glibc returns large ones to the system at once, which
then hands out zeroed pages one by one: that was a fifth of a step's time. And a processor looks up addresses in a table
with few entries; with pages of 2 MiB instead of 4 KiB, strided passes wait less for it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

_MALLOPT = ((-8, 1), (-3, 1 << 25), (-1, -1), (-2, 1 << 26))  # of glibc's malloc.h; in the order of `keep_memory`
_MADV_HUGEPAGE = 14  # of Linux's mman.h
_PAGE = 1 << 21
_BLOCK = 31 << 20  # the largest that stays on the heap
_RESERVED = 1 << 30  # bytes of addresses, not of memory: pages come when they are written to


@functools.cache
def _libc() -> Any:
    """Return glibc, or None."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.mallopt, libc.malloc_trim, libc.madvise  # noqa: B018 - raises where one is missing
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    except (AttributeError, ImportError, OSError, TypeError):
        return None
    return libc


@functools.cache
def keep_memory() -> bool:
    """Have the C library keep the memory of freed arrays for later ones, in large pages where the system has them.

    One heap for all threads (their own would be trimmed), arrays up to 32 MiB on it, never trimmed, grown by 64 MiB at
    a time. Other C libraries keep their settings.

    Returns
    -------
    bool
        Whether the C library accepted the settings.
    """
    libc = _libc()
    if libc is None or sum(libc.mallopt(parameter, value) for parameter, value in _MALLOPT) != len(_MALLOPT):
        return False
    _ask_for_large_pages(libc)
    return True


def release_free_memory() -> None:
    """Give the heap's free memory back to the system, before a fork: else each page is copied at its next use."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
        _ask_for_large_pages(libc)


def _ask_for_large_pages(libc: Any) -> None:
    """Grow the heap by addresses without memory, and ask for large pages there."""
    blocks: list[int] = []
    while len(blocks) * _BLOCK < _RESERVED and (block := libc.malloc(_BLOCK)):
        blocks.append(block)
    for block in reversed(blocks):
        libc.free(block)
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    spans = [[int(number, 16) for number in line.split()[0].split("-")] for line in maps if line.endswith("[heap]")]
    for first, end in spans:
        pages = range(-(-first // _PAGE), end // _PAGE)
        if pages:
            libc.madvise(pages.start * _PAGE, len(pages) * _PAGE, _MADV_HUGEPAGE)
