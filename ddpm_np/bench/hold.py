"""Hold an AVX-512 machine to AVX2, on every side, by variables that are read when libraries are loaded."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

from ddpm_np.kernels.processor import AVX2, AVX512, numpy_features, simd_of

VARIABLE = "DDPM_NP_BENCH_HOLD"  # names what the process was started with
_VARIABLES = {
    "OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
_XLA = "--xla_cpu_max_isa=AVX2"


def held() -> str | None:
    """Return what this process is held to, or None."""
    return os.environ.get(VARIABLE)


def variables(features: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that hold a process to AVX2.

    Parameters
    ----------
    features : sequence of str
        Names that NumPy gives to what it finds here: AVX512F and so on, or levels of x86-64.
    environment : mapping
        The environment there is, whose XLA_FLAGS are kept.

    Returns
    -------
    dict
        The variables.
    """
    above = [name for name in features if simd_of([name]) == AVX512]
    return {**_VARIABLES, VARIABLE: "avx2", "NPY_DISABLE_CPU_FEATURES": ",".join(above),
            "XLA_FLAGS": f"{environment.get('XLA_FLAGS', '')} {_XLA}".strip()}


def environment() -> dict[str, str]:
    """Return this process's environment for a child that is held to AVX2.

    Raises `ValueError` on a machine without AVX-512.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise ValueError(f"--hold avx2 is for x86-64 machines with AVX-512, and this one is {platform.machine()}: "
                         "leave it out")
    found = simd_of(numpy_features())
    if found != AVX512:
        raise ValueError(f"--hold avx2 is for machines with AVX-512, and NumPy finds {found} here: leave it out")
    return {**os.environ, **variables(numpy_features(), os.environ)}


def verify() -> None:
    """Raise `ValueError` if NumPy was not held, as by a version with other names."""
    found = simd_of(numpy_features())
    if found != AVX2:
        raise ValueError(f"this process should be held to {AVX2}, and NumPy still finds {found}: leave --hold out")
