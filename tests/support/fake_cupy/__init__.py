"""A strict fake of CuPy 14, for machines without a GPU.

`installed` puts it in CuPy's place, so that ``get_backend("cupy")`` runs as it does on a GPU. It computes with
NumPy and is stricter than CuPy wherever CuPy is lenient at a price, or wrong in silence:

- nothing comes back to the host but through `asnumpy`, which is counted: no float(), bool(), item(), iteration;
- host arrays are neither operands nor indices nor values, and ``np.f(x)`` does not dispatch;
- memory from `empty` holds NaN; an index out of range, or the same one twice in an assignment, raises;
- what C++ or a device leaves undefined raises: casts of NaN to integers, writes to memory that overlaps with itself or
  with what is read;
- a child of a process that has used it cannot;
- copies to the device that CuPy makes unasked are counted;
- results come back in awkward layouts, or in C order as CuPy's, which shows other faults: see `installed`;
- its memory is counted and can be full;
- it has the functions and keywords that CuPy has, as recorded in signatures.json, and no others.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from fake_cupy import array, device, formulas, functions, machine, signatures, ufuncs
from fake_cupy import memory as fake_memory
from fake_cupy.device import DuplicateIndices, HiddenTransfer, counts
from fake_cupy.memory import CAPACITY
from fake_cupy.memory import leave as leave_memory
from fake_cupy.writes import OverlappingWrite, UndefinedCast

__all__ = ["DuplicateIndices", "HiddenTransfer", "OverlappingWrite", "UndefinedCast", "counts", "installed"]


def _look_up(module: str, record: dict[str, Any]) -> Any:
    """The ``__getattr__`` of a pretend module."""

    def look_up(name: str) -> Any:
        if name in record["ufuncs"] and (hasattr(np, name) or module != "cupy"):
            return ufuncs.make(name)
        if name in functions.TABLE and module == "cupy":
            parameters = (record["functions"] | record["gufuncs"]).get(name)
            if parameters is not None:
                return signatures.checked(name, parameters, functions.TABLE[name])
            if name in record["others"]:
                return functions.TABLE[name]
        if name in ("ElementwiseKernel", "ReductionKernel") and module == "cupy":
            return getattr(formulas, name)
        if name in record["dtypes"]:
            return getattr(np, name)
        if name in record["constants"]:
            value = record["constants"][name]
            return None if value is None else float(value)
        if any(name in names for names in record.values()):
            raise AttributeError(f"{module}.{name}: CuPy has it, the fake does not yet; add it to "
                                 "tests/support/fake_cupy")
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return look_up


def _modules(capacity: int) -> dict[str, ModuleType]:
    """The pretend modules by name."""
    names = ("cupy", "cupy.lib", "cupy.lib.stride_tricks", "cupyx", "cupyx.scipy", "cupyx.scipy.special",
             *machine.MODULES)
    modules = {name: ModuleType(name, "A strict fake for tests.") for name in names}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    cupy = modules["cupy"]
    cupy.__version__ = signatures.VERSION
    cupy.ndarray = array.ndarray
    cupy.__getattr__ = _look_up("cupy", signatures.MODULE)
    modules["cupy.lib.stride_tricks"].as_strided = functions.as_strided
    modules["cupyx.scipy.special"].__getattr__ = _look_up("cupyx.scipy.special", signatures.SPECIAL)
    machine.furnish(modules)
    fake_memory.put_into(modules, capacity)
    return modules


@contextlib.contextmanager
def installed(layouts: str = "awkward", memory: int = CAPACITY) -> Iterator[ModuleType]:
    """A context in which `import cupy` gives the fake, with a fresh device; after it all is as it was before.

    `layouts` is "awkward" or "plain": results in layouts that no code may rely on, or in C order as on a GPU. `memory`
    is the device's, in bytes. Real CuPy's modules, where some are loaded, step aside for the time.
    """
    def take_out() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx", "cupy_backends")]
        return {name: sys.modules.pop(name) for name in names}

    modules, real = _modules(memory), take_out()
    sys.modules.update(modules)
    device.reset(layouts)
    machine.reset(memory)
    try:
        with machine.nothing_opened():
            yield modules["cupy"]
    finally:
        leave_memory()
        take_out()
        sys.modules.update(real)
