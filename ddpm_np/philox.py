"""Philox 4×64-10: counter-based random words, in array operations."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np


@functools.cache
def philox_key(seed: int, purpose: str) -> tuple[int, int]:
    """The 2×64-bit Philox key of a seed and a purpose: (seed, first 8 bytes of the purpose's BLAKE2b)."""
    if not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**64):
        raise ValueError(f"seed must be an int from 0 to 2**64 - 1, got {seed!r}")
    return int(seed), int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")


_PHILOX_M = (0xD2E7470EE14C6C93, 0xCA5A826395121157)  # Salmon et al. 2011, table 2
_PHILOX_W = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def philox(xp: Any, key: tuple[int, int], step: int, first_block: int, blocks: int) -> Any:
    """Philox 4×64-10 in array operations: `blocks`·4 words for the counters (first_block + i, step, 0, 0).

    Each of ten rounds maps (c₀, c₁, c₂, c₃) to (hi(M₁c₂)⊕c₁⊕k₀, lo(M₁c₂), hi(M₀c₀)⊕c₃⊕k₁, lo(M₀c₀)) and
    adds the Weyl constants to the key. Equal to ``numpy.random.Philox``, which the host uses; this runs where
    NumPy's does not.
    """

    low32 = 0xFFFFFFFF  # the constants stay Python ints, arguments of the device's kernels: nothing is copied to it

    def multiply(a: Any, m: int) -> tuple[Any, Any]:
        """The high and low words of the 128-bit product a·m, from four 32-bit products."""
        m_low, m_high = m & low32, m >> 32
        a_low, a_high = a & low32, a >> 32
        low_low, high_low, low_high = a_low * m_low, a_high * m_low, a_low * m_high
        middle = (low_low >> 32) + (high_low & low32) + low_high
        return a_high * m_high + (high_low >> 32) + (middle >> 32), a * m

    c0 = xp.arange(blocks, dtype=xp.uint64) + first_block  # (blocks,)
    c1 = xp.zeros_like(c0) + step
    c2, c3 = xp.zeros_like(c0), xp.zeros_like(c0)
    k0, k1 = key
    for _ in range(10):
        high0, low0 = multiply(c0, _PHILOX_M[0])
        high1, low1 = multiply(c2, _PHILOX_M[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _PHILOX_W[0]) % 2**64, (k1 + _PHILOX_W[1]) % 2**64
    return xp.reshape(xp.stack([c0, c1, c2, c3], axis=1), (-1,))
