"""Describe the machine of a measurement, without its host name, and name its class."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ddpm_np.bench import pytorch
from ddpm_np.parallel.threads import default_workers

AVX2, AVX512 = "AVX2", "AVX-512"
_LEVELS = {"X86_V4": AVX512, "X86_V3": AVX2, "FMA3": AVX2}  # NumPy's names for sets of instructions
_KERNELS = {"haswell": AVX2, "zen": AVX2, "skylakex": AVX512, "cooperlake": AVX512, "sapphirerapids": AVX512}


def describe() -> dict[str, Any]:
    """Return processor, caches, memory, operating system and versions; unknown entries are left out."""
    import numpy  # noqa: F401 - loads the BLAS to describe

    found: dict[str, Any] = {
        "cpu": _cpu(), "cpus": default_workers(), "caches": _caches(), "memory GiB": _memory(),
        "system": platform.system(), "architecture": platform.machine(), "python": platform.python_version(),
        "blas": _blas(), "simd": {"NumPy": simd_of(numpy_features()), "PyTorch": pytorch.cpu_capability()},
        **{name: _version(name) for name in ("ddpm_np", "numpy", "scipy", "torch", "diffusers", "jax", "onnxruntime",
                                                     "tinygrad")},
    }
    return {name: value for name, value in found.items() if value}


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


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


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


def _blas() -> str:
    from threadpoolctl import threadpool_info

    return ", ".join(f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
                     for library in threadpool_info()
                     if library["user_api"] == "blas" and "numpy" in library["filepath"].lower()) or "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
