"""Describe the machine of a measurement, without its host name."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ddpm_np.parallel.threads import default_workers


def describe() -> dict[str, Any]:
    """Return processor, caches, memory, operating system and versions; unknown entries are left out."""
    import numpy  # noqa: F401 - loads the BLAS to describe

    found: dict[str, Any] = {
        "cpu": _cpu(), "cpus": default_workers(), "caches": _caches(), "memory GiB": _memory(),
        "system": platform.system(), "architecture": platform.machine(), "python": platform.python_version(),
        "blas": _blas(), **{name: _version(name) for name in ("ddpm_np", "numpy", "scipy", "torch", "diffusers")},
    }
    return {name: value for name, value in found.items() if value}


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
