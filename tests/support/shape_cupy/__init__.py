"""A CuPy of shapes: counts what a GPU would be asked to do, for full-size nets in seconds; nothing is computed.

`installed` puts it in CuPy's place. Arrays have shapes, strides, dtypes and memory; `record` holds each launch with the
bytes that it moves, by CuPy 14.2's source: which calls copy operands, write tables of pointers or upload them. So a
test can hold a budget for a step of the paper's net without a GPU. Time is not modelled.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

from fake_cupy.machine import nothing_opened
from fake_cupy.memory import leave, put_into
from fake_cupy.signatures import VERSION

from shape_cupy import array, functions
from shape_cupy.record import Launch, Record, record

__all__ = ["Launch", "Record", "installed", "record"]


@contextlib.contextmanager
def installed(memory: int = 141 * 10**9) -> Iterator[Record]:
    """A context in which `import cupy` gives the CuPy of shapes; after it all is as it was before."""
    names = ("cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.lib", "cupy.lib.stride_tricks", "cupyx", "cupyx.scipy",
             "cupyx.scipy.special")
    modules = {name: ModuleType(name, "A CuPy of shapes, for tests.") for name in names}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    cupy = modules["cupy"]
    cupy.__version__, cupy.ndarray = VERSION, array.ndarray
    cupy.__getattr__ = functions.look_up
    modules["cupyx.scipy.special"].__getattr__ = functions.look_up
    modules["cupy.lib.stride_tricks"].as_strided = functions.strided
    runtime = modules["cupy.cuda.runtime"]
    runtime.getDeviceCount, runtime.getDevice = (lambda: 1), (lambda: 0)
    runtime.deviceSynchronize = lambda: None
    put_into(modules, memory)

    def take_out() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]
        return {name: sys.modules.pop(name) for name in names}

    real = take_out()
    sys.modules.update(modules)
    record.clear()
    try:
        with nothing_opened():
            yield record
    finally:
        leave()
        take_out()
        sys.modules.update(real)
