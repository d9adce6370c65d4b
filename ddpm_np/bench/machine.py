"""Describe the machine of a measurement, without its host name, and name its class."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ddpm_np.bench import pytorch
from ddpm_np.kernels.processor import AVX2, AVX512, blas, cpu, numpy_features, simd_of
from ddpm_np.parallel.threads import default_workers

_KERNELS = {"haswell": AVX2, "zen": AVX2, "skylakex": AVX512, "cooperlake": AVX512, "sapphirerapids": AVX512}


def describe() -> dict[str, Any]:
    """Return processor, caches, memory, operating system and versions; unknown entries are left out."""
    import numpy  # noqa: F401 - loads the BLAS to describe

    found: dict[str, Any] = {
        "cpu": cpu(), "cpus": default_workers(), "caches": _caches(), "memory GiB": _memory(),
        "system": platform.system(), "architecture": platform.machine(), "python": platform.python_version(),
        "blas": blas(), "simd": {"NumPy": simd_of(numpy_features()), "PyTorch": pytorch.cpu_capability()},
        **{name: _version(name) for name in ("ddpm_np", "numpy", "scipy", "torch", "diffusers", "jax", "onnxruntime",
                                                     "tinygrad")},
    }
    return {name: value for name, value in found.items() if value}


def class_of(machine: Mapping[str, Any]) -> str:
    """Return the class of a described machine: what NumPy computes with, and the kernels of its BLAS.

    >>> class_of({"simd": {"NumPy": "AVX-512"}, "blas": "openblas 0.3.31 SkylakeX"})
    'AVX-512 (SkylakeX kernels)'
    >>> class_of({"blas": "openblas 0.3.31 Haswell"})  # a record from before NumPy was asked
    'AVX2 (Haswell kernels)'
    """
    kernels = _kernels(machine)
    return _simd(machine) + (f" ({kernels} kernels)" if kernels else "")


def class_key(machine: Mapping[str, Any]) -> str:
    """Return the class of a described machine as a part of a file's name.

    >>> class_key({"simd": {"NumPy": "AVX-512"}, "blas": "openblas 0.3.31 SkylakeX"})
    'avx512'
    """
    return re.sub(r"[^a-z0-9]", "", _simd(machine).lower())


def _kernels(machine: Mapping[str, Any]) -> str:
    """Return the architecture of the first BLAS, the third word of its description."""
    words = str(machine.get("blas", "")).partition(",")[0].split()
    return words[2] if len(words) > 2 else ""


def _simd(machine: Mapping[str, Any]) -> str:
    known = machine.get("simd", {}).get("NumPy") or _KERNELS.get(_kernels(machine).lower(), "unknown")
    return str(known)


def _caches() -> dict[str, str]:
    """Return the first CPU's cache sizes by level and type (Linux)."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((cache / part).read_text(encoding="ascii").strip() for part in
                                 ("level", "type", "size"))
        except OSError:
            continue
        found[f"L{level} {kind.lower()}"] = size
    return found


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # systems that do not report it
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
