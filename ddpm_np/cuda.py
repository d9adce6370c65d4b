"""CuPy on this machine: found and tried, its GPU, its precision, and CUDA's errors as one line.

Nothing here imports CuPy before a GPU is asked for, so errors are recognised by the names of their classes. Products
are computed in full float32, whatever CUPY_TF32 says: `open_cupy` sets this for the whole process.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from types import ModuleType
from typing import Any

from ddpm_np import arguments

_OLDEST = 14  # CuPy's version: its extras are in pyproject.toml
_INSTALL = "pip install 'ddpm_np[cuda12]' (or [cuda13])"
_SMALLER = "use a smaller --batch-size or, in train, --set recompute=true; "
_ROOM = _SMALLER + "take another GPU with --device N; or close other programs that use this one"
_NO_DRIVER = ("there is no NVIDIA driver", "install it if this machine has an NVIDIA GPU; start a container with "
              "--gpus all")
_MISFIT = ("this GPU does not fit this CuPy and its CUDA",
           "[cuda13] needs compute capability 7.5 or more, [cuda12] 5.0; a newer GPU needs a newer CuPy and driver")
_BROKEN = ("the computation on the GPU failed", "start again; if it fails once more, see what nvidia-smi reports")
_RESTART = ("the NVIDIA driver is not ready", "restart the machine, and see whether nvidia-smi works")
_OLD_DRIVER = ("the NVIDIA driver is missing, or too old for CuPy's CUDA",
               "install a newer driver, or a CuPy for an older CUDA: pip install 'ddpm_np[cuda12]'")
_STATUS = {  # of CUDA's runtime and driver alike: what is wrong, and what to do
    2: ("the GPU's memory is full", _ROOM),
    3: ("CUDA cannot start in this process",
        "a process that was forked after its parent had used the GPU cannot use it: start it by 'spawn'"),
    35: _OLD_DRIVER,
    36: _OLD_DRIVER,
    46: ("other programs keep the GPU to themselves", "wait for them, or take another GPU with --device N"),
    100: ("no NVIDIA GPU is visible", "see what nvidia-smi reports, and what CUDA_VISIBLE_DEVICES is set to"),
    214: ("the GPU's memory is faulty", "restart the machine, or take another GPU with --device N"),
    702: ("the computation on the GPU took longer than the system allows", "use a smaller --batch-size"),
    **dict.fromkeys((98, 200, 209, 218, 222), _MISFIT),
    **dict.fromkeys((802, 803, 804, 999), _RESTART),
}
_tried: set[int] = set()  # the GPUs on which this process has computed something


class BackendError(ValueError):
    """A backend that is unknown, or that this machine cannot run."""


def open_cupy(number: int | None = None, name: str = "device") -> ModuleType:
    """Return CuPy, once it has computed on a GPU.

    The first time on each GPU, a function and a product are computed there, so that whatever is missing or does not fit
    is found here and not in the middle of a command.

    Parameters
    ----------
    number : int, optional
        The GPU that this thread uses from now on, counted from 0; by default the present one.
    name : str
        What the number is called in errors.

    Returns
    -------
    module

    Raises
    ------
    BackendError
        If CuPy is absent or broken, or if the GPU is: one line with the reason and what to do.
    """
    if number is not None:
        number = arguments.count(name, number, 0)
    cupy = _import_cupy()
    try:
        runtime = cupy.cuda.runtime
        count = runtime.getDeviceCount()
        if count == 0:
            raise _unusable(": ".join(_STATUS[100]))
        if number is None or number < count:
            _try(cupy, runtime.getDevice(), number)
            return cupy
    except BackendError:
        raise
    except Exception as error:  # of any of CUDA's libraries, or of Python where one cannot be loaded
        raise _unusable(_reason(error, cupy)) from error
    gpus = {1: "is 1 GPU, 0", 2: "are 2 GPUs, 0 and 1"}.get(count, f"are {count} GPUs, 0 to {count - 1}")
    raise BackendError(f"there {gpus}: got {name} {number}")


def in_use() -> bool:
    """Return whether this process has computed on a GPU: a process forked from it then cannot.

    Returns
    -------
    bool
    """
    return bool(_tried)


def current_device() -> int | None:
    """Return the number of the GPU that this thread uses.

    Returns
    -------
    int or None
        None if this process uses none.
    """
    return sys.modules["cupy"].cuda.runtime.getDevice() if _tried else None


def enter_device(number: int | None) -> None:
    """Have this thread use a GPU that another thread uses: each thread of a process starts with GPU 0.

    Parameters
    ----------
    number : int or None
        From `current_device` in the other thread.
    """
    if number is not None:
        sys.modules["cupy"].cuda.runtime.setDevice(number)


def describe(cupy: Any) -> str:
    """Return CuPy's version and the GPUs with their memory, as one line.

    Parameters
    ----------
    cupy : module
        From `open_cupy`.

    Returns
    -------
    str
        Such as ``"CuPy 14.2.0; 0: NVIDIA H200, 139.8 GiB"``.
    """
    runtime = cupy.cuda.runtime
    gpus = [runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount())]
    shown = [f"{i}: {gpu['name'].decode()}, {gpu['totalGlobalMem'] / 2**30:.1f} GiB" for i, gpu in enumerate(gpus)]
    return "; ".join([f"CuPy {cupy.__version__}", *shown])


def explain(error: BaseException) -> str | None:
    """Return what an error of CUDA, its libraries or its compiler means, and what to do.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str or None
        One line; None for an error of anything else.

    Examples
    --------
    >>> explain(ValueError("x must be an array")) is None
    True
    """
    libraries = ("cupy_backends.cuda.", "cupy.cuda.", "cuda.pathfinder.")
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith(libraries)]
    if not kinds:
        return None
    text = _line(error)
    if "OutOfMemoryError" in kinds or "ALLOC_FAILED" in text:
        what, advice = _STATUS[2]
    elif "NOT_INITIALIZED" in text and "CUBLASError" in kinds:
        what, advice = "cuBLAS cannot start, often because the GPU's memory is full", _ROOM
    elif "CompileException" in kinds or "NVRTCError" in kinds:
        what, advice, text = _of_compiler(str(error))
    elif "DynamicLibNotFoundError" in kinds:
        what, advice, text = _of_library(text)
    elif "ARCH_MISMATCH" in text:
        what, advice = _MISFIT
    else:
        what, advice = _STATUS.get(getattr(error, "status", 0), _BROKEN)
    return f"{what} ({text}): {advice}"


def _import_cupy() -> ModuleType:
    """Return CuPy, or raise BackendError where it is absent, broken or too old."""
    again = "pip install --force-reinstall 'cupy-cuda12x[ctk]' (or cupy-cuda13x)"
    try:
        cupy = importlib.import_module("cupy")
        version = cupy.__version__
    except Exception as error:  # libraries that do not fit raise all kinds of errors
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise BackendError(f"backend 'cupy' needs CuPy, which is not installed: {_INSTALL}, or use --backend "
                               "numpy") from error
        text = _line(error).partition("Original error: ")[2].rstrip("= ") or f"{type(error).__name__}: {_line(error)}"
        raise _unusable(f"CuPy is installed, but cannot be imported ({text}): {again}") from error
    if int(version.partition(".")[0]) < _OLDEST:
        raise _unusable(f"CuPy {version} is installed, but {_OLDEST} or newer is needed: pip install --upgrade "
                        "'cupy-cuda12x[ctk]' (or cupy-cuda13x)")
    return cupy


def _try(cupy: Any, present: int, number: int | None) -> None:
    """Have this thread use a GPU, and compute a function and a product on it unless this was done before."""
    runtime = cupy.cuda.runtime
    try:
        if number is not None:
            cupy.cuda.Device(number).use()
        device = present if number is None else number
        if device not in _tried:
            _set_full_precision(cupy)
            x = cupy.exp(cupy.ones((32, 32), dtype=cupy.float32))  # (32, 32)
            cupy.matmul(x, x)
            runtime.deviceSynchronize()
            _tried.add(device)
    except Exception:
        if number is not None:
            runtime.setDevice(present)
        raise


def _set_full_precision(cupy: Any) -> None:
    """Have CuPy compute products of float32 matrices in float32: CUPY_TF32=1 would round the factors to 10 bits."""
    try:
        linalg = importlib.import_module("cupy._core._routines_linalg")
        linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_DEFAULT)
    except (ImportError, AttributeError) as error:  # no public part of CuPy
        if os.environ.get("CUPY_TF32", "0") != "0":
            raise _unusable(f"CUPY_TF32 is set, and in CuPy {cupy.__version__} this package cannot set products of "
                            "float32 to full precision: unset CUPY_TF32") from error


def _unusable(why: str) -> BackendError:
    return BackendError(f"backend 'cupy': {why}; or use --backend numpy")


def _reason(error: Exception, cupy: Any) -> str:
    """Return why CuPy cannot compute on this machine, and what to do."""
    text = _line(error)
    if getattr(error, "status", 0) == 35:
        return _of_driver(text, cupy)
    known = explain(error)
    if known is not None:
        return known.replace(_SMALLER, "")  # there is no batch yet
    if _NAME.search(text):
        what, advice, text = _of_library(text)
        return f"{what} ({text}): {advice}"
    return f"CuPy fails on this machine ({type(error).__name__}: {text}): {_INSTALL}"


_NAME = re.compile(r"\blib(?:cu|nv)\w+\.so[.\d]*|\b(?:cu|nv)\w+\.dll")  # of one of CUDA's libraries


def _of_driver(text: str, cupy: Any) -> str:
    """Return what CUDA means by a driver that is insufficient: none, or one that is too old."""
    runtime = cupy.cuda.runtime
    has, needs = (f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.driverGetVersion(), runtime.runtimeGetVersion()))
    if has == "0.0":
        return f"{_NO_DRIVER[0]} ({text}): {_NO_DRIVER[1]}"
    return f"the NVIDIA driver is for CUDA {has}, and CuPy needs {needs} ({text}): {_OLD_DRIVER[1]}"


def _of_compiler(log: str) -> tuple[str, str, str]:
    """Return what is wrong, what to do, and the first error in the log of CUDA's compiler, NVRTC."""
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()] or ["no message"]
    first = next((line for line in lines if "error" in line.lower()), lines[0])
    if "open source file" in log or "file not found" in log:
        return "CUDA's header files are missing", _INSTALL, first
    if "gpu-architecture" in log or "INVALID_OPTION" in log:
        return *_MISFIT, first
    return ("CUDA's compiler NVRTC failed",
            "install CuPy and CUDA's libraries of one version: pip install --upgrade 'cupy-cuda12x[ctk]' (or "
            "cupy-cuda13x)", first)


def _of_library(text: str) -> tuple[str, str, str]:
    """Return what is wrong, what to do, and the message, where one of CUDA's libraries cannot be loaded."""
    found = _NAME.findall(text)
    if found and found[0].startswith(("libcuda.", "nvcuda.")):
        return *_NO_DRIVER, text
    return f"CUDA's library {found[-1] if found else ''} cannot be loaded".replace("  ", " "), _INSTALL, text


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
