"""What NumPy computes with on this machine: the processor, its sets of instructions, and BLAS."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AVX2, AVX512 = "AVX2", "AVX-512"
_LEVELS = {"X86_V4": AVX512, "X86_V3": AVX2, "FMA3": AVX2}  # NumPy's names for sets of instructions


def cpu() -> str:
    """Return the processor's model."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def blas() -> str:
    """Return the name, the version and the architecture of NumPy's BLAS."""
    from threadpoolctl import threadpool_info

    return ", ".join(f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
                     for library in threadpool_info()
                     if library["user_api"] == "blas" and "numpy" in library["filepath"].lower()) or "unknown"


def numpy_features() -> list[str]:
    """Return NumPy's names of the sets of instructions that this process uses, the widest last."""
    import numpy

    found: Any = numpy.show_config(mode="dicts")
    simd = found.get("SIMD Extensions", {})
    return [*simd.get("baseline", []), *simd.get("found", [])]


def simd_of(features: Sequence[str]) -> str:
    """Return the widest of some sets of instructions, by the name that this package gives it.

    >>> simd_of(["X86_V2", "X86_V3", "X86_V4"]), simd_of(["SSE", "AVX2", "AVX512F"]), simd_of(["NEON", "ASIMD"])
    ('AVX-512', 'AVX-512', 'ASIMD')
    """
    names = [AVX512 if name.startswith("AVX512") else _LEVELS.get(name, name) for name in features]
    return next((name for name in (AVX512, AVX2) if name in names), names[-1] if names else "unknown")
