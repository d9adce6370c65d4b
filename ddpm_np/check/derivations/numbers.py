"""Numbers of 40 digits, and those that stand for free symbols."""

from __future__ import annotations

import zlib
from typing import Any

import mpmath

mp = mpmath.mp.clone()
mp.dps = 40


def random_number(name: str, seed: int) -> Any:
    """Return a number for a free symbol, of its name: between 0.2 and 0.8, a quarter of it if it has an index.

    So 1 − q₁ − q₂, the last of three probabilities, is positive.
    """
    number = mp.mpf(20 + zlib.crc32(f"{name}/{seed}".encode()) % 61) / 100
    return number / 4 if name[-1].isdigit() else number


class Unprovable(Exception):
    """An expression that the prover cannot treat exactly, and why."""
