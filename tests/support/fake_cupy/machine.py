"""The pretend machine: its GPUs, the one that each thread uses, and CUDA's errors under their real names."""

from __future__ import annotations

import contextlib
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ddpm_np import backend, cuda
from fake_cupy import device
from fake_cupy.memory import CAPACITY, OutOfMemoryError

MODULES = ("cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.compiler", "cupy.cuda.memory", "cupy._core",
           "cupy._core._routines_linalg", "cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.api",
           "cupy_backends.cuda.api.runtime", "cupy_backends.cuda.api.driver", "cupy_backends.cuda.libs",
           "cupy_backends.cuda.libs.cublas", "cupy_backends.cuda.libs.nvrtc")


@dataclass
class Machine:
    """What tests set and look at.

    Attributes
    ----------
    gpus
        Name and bytes of memory of each GPU.
    driver
        The newest CUDA that the driver supports; 0 where there is none.
    waited
        The GPU at each wait for all of its work.
    compute_type
        How products of float32 are computed: 0 is undecided, 1 in float32, 7 in TF32.
    """

    gpus: list[tuple[str, int]] = field(default_factory=lambda: [("Fake GPU", CAPACITY)])
    driver: int = 13000
    waited: list[int] = field(default_factory=list)
    compute_type: int = 0


machine = Machine()
_thread = threading.local()
_NAMES = {1: "cudaErrorInvalidValue: invalid argument", 2: "cudaErrorMemoryAllocation: out of memory",
          3: "cudaErrorInitializationError: initialization error",
          35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
          100: "cudaErrorNoDevice: no CUDA-capable device is detected",
          101: "cudaErrorInvalidDevice: invalid device ordinal",
          209: "cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device",
          719: "cudaErrorLaunchFailure: unspecified launch failure"}


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int):
        self.status = status
        super().__init__(_NAMES.get(status, f"cudaError{status}: of the fake"))


class CUDADriverError(RuntimeError):
    def __init__(self, status: int):
        self.status = status
        super().__init__(f"CUDA_ERROR_{status}: of the fake")


class CUBLASError(RuntimeError):
    def __init__(self, status: int):
        self.status = status
        names = {1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 8: "ARCH_MISMATCH", 13: "EXECUTION_FAILED"}
        super().__init__(f"CUBLAS_STATUS_{names[status]}")


class NVRTCError(RuntimeError):
    def __init__(self, status: int):
        self.status = status
        names = {5: "INVALID_OPTION", 7: "BUILTIN_OPERATION_FAILURE"}
        super().__init__(f"NVRTC_ERROR_{names[status]} ({status})")


class CompileException(Exception):
    def __init__(self, msg: str, source: str, name: str, options: tuple, backend: str = "nvrtc"):
        self._msg, self.source, self.name, self.options, self.backend = msg, source, name, options, backend
        super().__init__()

    def __str__(self) -> str:
        return self._msg


class DynamicLibNotFoundError(RuntimeError):
    __module__ = "cuda.pathfinder._dynamic_libs.load_dl_common"


_HOMES = {"cupy_backends.cuda.api.runtime": CUDARuntimeError, "cupy_backends.cuda.api.driver": CUDADriverError,
          "cupy_backends.cuda.libs.cublas": CUBLASError, "cupy_backends.cuda.libs.nvrtc": NVRTCError,
          "cupy.cuda.compiler": CompileException, "cupy.cuda.memory": OutOfMemoryError}
for _module, _kind in _HOMES.items():
    _kind.__module__ = _module


@contextlib.contextmanager
def nothing_opened() -> Iterator[None]:
    """A context in which this process has not opened CuPy yet; after it all is as it was before."""
    known, tried = backend._BACKENDS.pop("cupy", None), set(cuda._tried)
    cuda._tried.clear()
    try:
        yield
    finally:
        backend._BACKENDS.pop("cupy", None)
        if known is not None:
            backend._BACKENDS["cupy"] = known
        cuda._tried.clear()
        cuda._tried.update(tried)


def reset(memory: int = CAPACITY) -> None:
    """Start with one GPU of so many bytes."""
    global _thread
    vars(machine).update(vars(Machine([("Fake GPU", memory)])))
    _thread = threading.local()


def _get_device_count() -> int:
    if not machine.driver:
        raise CUDARuntimeError(35)
    if not machine.gpus:
        raise CUDARuntimeError(100)
    device.use()
    return len(machine.gpus)


def _get_device() -> int:
    return getattr(_thread, "device", 0)


def _set_device(number: int) -> None:
    if not 0 <= number < len(machine.gpus):
        raise CUDARuntimeError(101)
    _thread.device = number


def _device_synchronize() -> None:
    device.use()
    machine.waited.append(_get_device())


def _get_device_properties(number: int) -> dict[str, Any]:
    device.use()
    if not 0 <= number < len(machine.gpus):
        raise CUDARuntimeError(101)
    name, memory = machine.gpus[number]
    return {"name": name.encode(), "totalGlobalMem": memory}


class Device:
    """CuPy's class of this name, as far as the package uses it."""

    def __init__(self, device: int | None = None):
        self.id = _get_device() if device is None else int(device)

    def use(self) -> Device:
        _set_device(self.id)
        return self


def _set_compute_type(dtype: Any, compute_type: int) -> None:
    if str(dtype) != "float32":
        raise NotImplementedError("another dtype: add it to the fake when it is needed")
    machine.compute_type = compute_type


def furnish(modules: dict[str, types.ModuleType]) -> None:
    """Put GPUs and errors into the pretend modules."""
    for name, kind in _HOMES.items():
        setattr(modules[name], kind.__name__, kind)
    modules["cupy.cuda"].Device = Device
    for name in ("cupy.cuda.runtime", "cupy_backends.cuda.api.runtime"):
        runtime = modules[name]
        runtime.CUDARuntimeError = CUDARuntimeError
        runtime.getDeviceCount, runtime.getDevice, runtime.setDevice = _get_device_count, _get_device, _set_device
        runtime.deviceSynchronize, runtime.getDeviceProperties = _device_synchronize, _get_device_properties
        runtime.driverGetVersion, runtime.runtimeGetVersion = lambda: machine.driver, lambda: 12090
    linalg = modules["cupy._core._routines_linalg"]
    linalg.COMPUTE_TYPE_DEFAULT, linalg.set_compute_type = 1, _set_compute_type
