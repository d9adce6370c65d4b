"""Philox 4×64-10 (Salmon et al. 2011): counter-based random words, in array operations."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any

import numpy as np

from ddpm_np import arguments
from ddpm_np.formulas import Formula


def philox_key(seed: int, purpose: str) -> tuple[int, int]:
    """Return the 2×64-bit Philox key of a seed and a purpose.

    Parameters
    ----------
    seed : int
        From 0 to 2⁶⁴ − 1.
    purpose : str

    Returns
    -------
    tuple of int
        (seed, the first 8 bytes of the purpose's BLAKE2b).

    Raises
    ------
    ValueError
        If the seed is not such an int.
    """
    return arguments.seed(seed), _word_of(purpose)


@functools.cache
def _word_of(purpose: str) -> int:
    return int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")


_PHILOX_M = (0xD2E7470EE14C6C93, 0xCA5A826395121157)  # Salmon et al. 2011, table 2
_PHILOX_W = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def philox(xp: Any, key: tuple[int, int], step: int, first_block: int, blocks: int) -> Any:
    """Return the words of the counters (first_block + i, step, 0, 0), four to a counter.

    Each of ten rounds maps (c₀, c₁, c₂, c₃) to (hi(M₁c₂)⊕c₁⊕k₀, lo(M₁c₂), hi(M₀c₀)⊕c₃⊕k₁, lo(M₀c₀)) and adds the Weyl
    constants to the key. The words are those of ``numpy.random.Philox``, which the host uses; this runs on any device.

    Parameters
    ----------
    xp : namespace
        Where the words are computed.
    key : tuple of int
        Two 64-bit words, as `philox_key` gives them.
    step : int
        The counter's second word.
    first_block, blocks : int
        The first counter, and how many.

    Returns
    -------
    uint64 array of shape (blocks · 4,)
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


def _rounds() -> str:
    """Return the ten rounds of `philox` as a formula's code: the counter is the block's number in the loop, i."""
    (m0, m1), (w0, w1) = _PHILOX_M, _PHILOX_W
    start = "T c0 = first + T(i); T c1 = step; T c2 = 0; T c3 = 0; T k0 = key0; T k1 = key1"
    rounds = [f"T h{n} = mulhi(c2, {m1:#x}) ^ c1 ^ k0; T l{n} = c2 * {m1:#x}; c2 = mulhi(c0, {m0:#x}) ^ c3 ^ k1; "
              f"c3 = c0 * {m0:#x}; c0 = h{n}; c1 = l{n}; k0 = k0 + {w0:#x}; k1 = k1 + {w1:#x}" for n in range(10)]
    return "; ".join([start, *rounds, "w0 = c0; w1 = c1; w2 = c2; w3 = c3"])


PHILOX = Formula("philox", "T key0, T key1, T step, T first", "T w0, T w1, T w2, T w3", _rounds())


def philox_at_once(xp: Any, key: tuple[int, int], step: int, first_block: int, blocks: int) -> Any:
    """Return the words of `philox` in one pass over a device's memory.

    Parameters
    ----------
    xp, key, step, first_block, blocks : as in `philox`

    Returns
    -------
    uint64 array of shape (blocks · 4,)
    """
    words = xp.empty((blocks, 4), dtype=xp.uint64)
    if blocks:
        numbers = [np.uint64(x) for x in (*key, step, first_block)]
        PHILOX(xp, *numbers, *(words[:, j] for j in range(4)))
    return xp.reshape(words, (-1,))


class RandomNumbers:
    """Random numbers from a counter, in the namespace `xp` of a device: what a `Backend` draws.

    Every number is a function of the arguments alone; an image's numbers are the same in any batch.
    """

    name: str
    xp: Any

    def random(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...]) -> Any:
        """Return random words for the images `first` .. `first + n - 1`, a function of the arguments alone.

        Parameters
        ----------
        seed : int
            The seed, from 0 to 2⁶⁴ − 1.
        purpose : str
            A name for what the numbers are used for; another purpose gives independent numbers.
        step : int
            The training step, the paper's t, or 0 where there is no such count.
        first : int
            The number of the first image.
        n : int
            How many images.
        shape : tuple of int
            The shape of one image's numbers.

        Returns
        -------
        uint64 array of shape (n, *shape)
            The same words on every backend, and for an image the same in any batch.

        Raises
        ------
        ValueError
            If a number is not an int from 0 to 2⁶⁴ − 1, or the counter would exceed it.

        Notes
        -----
        Philox 4×64-10 (Salmon et al. 2011) with key (`seed`, hash of `purpose`) and counter
        (image · blocks + block, `step`, 0, 0): image i owns a fixed range of counters.
        """
        key = philox_key(seed, purpose)
        for name, value in (("step", step), ("first", first), ("n", n), *(("shape", size) for size in shape)):
            arguments.seed(value, name)
        step, first, n = int(step), int(first), int(n)  # a NumPy int would make the counters floating numbers
        count = math.prod(map(int, shape))
        blocks = -(-count // 4)  # a Philox block is four words
        if (first + n) * blocks > 2**64:
            raise ValueError(f"first={first} is too large: images of {count} numbers end at {2**64 // blocks}")
        if self.name == "numpy":
            counter = (((step << 64) + first * blocks) - 1) % (1 << 256)  # NumPy adds 1 before it draws
            bits = np.random.Philox(counter=counter, key=np.array(key, dtype=np.uint64))
            words = bits.random_raw(n * blocks * 4)  # (n·blocks·4,)
        else:
            compute = philox_at_once if self.name == "cupy" else philox
            words = compute(self.xp, key, step, first * blocks, n * blocks)  # (n·blocks·4,)
        return self.xp.reshape(self.xp.reshape(words, (n, blocks * 4))[:, :count], (n, *shape))

    def uniform(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...],
                dtype: Any = "float64") -> Any:
        """Return uniform numbers in the open interval (0, 1): (k + ½)·2⁻ᵇ, k the upper b bits of a word.

        b is 52, and 23 for float32: with one bit more, the largest number would round to 1.

        Parameters
        ----------
        seed, purpose, step, first, n, shape : as in `random`
        dtype : dtype

        Returns
        -------
        array of shape (n, *shape)
        """
        xp, bits = self.xp, 23 if "float32" in str(dtype) else 52
        words = self.random(seed, purpose, step, first, n, shape)
        u = (xp.astype(words >> (64 - bits), xp.float64) + 0.5) * 2.0**-bits  # (n, *shape)
        return xp.astype(u, dtype, copy=False)

    def bernoulli(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...],
                  p: float) -> Any:
        """Return booleans that are True with probability `p`, to within 2⁻³².

        Each random word gives two of them, its lower half the first.

        Parameters
        ----------
        seed, purpose, step, first, n, shape : as in `random`
        p : float

        Returns
        -------
        bool array of shape (n, *shape)
        """
        xp, count = self.xp, math.prod(map(int, shape))
        words = self.random(seed, purpose, step, first, n, (-(-count // 2),))  # (n, ⌈count/2⌉)
        if self.name in ("numpy", "cupy"):
            halves = xp.ascontiguousarray(words).astype("<u8", copy=False).view("<u4")  # (n, 2·⌈count/2⌉)
        else:
            halves = xp.reshape(xp.stack([words & 0xFFFFFFFF, words >> 32], axis=-1), (n, 2 * words.shape[1]))
        threshold = round(p * 2**32)
        if threshold == 2**32:
            return xp.ones((n, *shape), dtype=xp.bool)
        return xp.reshape(halves[:, :count] < threshold, (n, *shape))

    def normal(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...],
               dtype: Any = "float64") -> Any:
        """Return standard normal numbers by the inverse CDF: Φ⁻¹(u) of `uniform`'s float64 u.

        Parameters
        ----------
        seed, purpose, step, first, n, shape : as in `random`
        dtype : dtype

        Returns
        -------
        array of shape (n, *shape)
        """
        xp = self.xp
        z = xp.ndtri(self.uniform(seed, purpose, step, first, n, shape))  # (n, *shape)
        return xp.astype(z, dtype, copy=False)

    def integers(self, seed: int, purpose: str, step: int, first: int, n: int, low: int, high: int) -> Any:
        """Return integers uniform on {low, …, high}, both ends included.

        Parameters
        ----------
        seed, purpose, step, first, n : as in `random`
        low, high : int

        Returns
        -------
        int64 array of shape (n,)

        Raises
        ------
        ValueError
            If high < low, or the range holds more than 2⁵² integers.
        """
        xp = self.xp
        if not 0 <= high - low < 2**52:
            raise ValueError(f"integers are drawn from low to high, both included: got low={low}, high={high}")
        u = self.uniform(seed, purpose, step, first, n, ())  # (n,) in (0, 1)
        return xp.astype(xp.floor(u * (high - low + 1)), xp.int64) + low
