"""CuPy's own arrays, numbers and compiler where there is no GPU. Needs CuPy; NVRTC and CUDA's headers to compile.

An array is made on an address that nobody reads. CuPy chooses dtypes and writes kernels from dtypes, shapes and strides
alone, so both can be asked of it. It compiles with the options that it would use; the machine code is then dropped.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import cupy
from cupy._core import _carray, _cub_reduction, _kernel, _reduction, _scalar
from cupy.cuda import compiler, function

ADDRESS = 256  # aligned as CuPy's memory is
NDARRAY, INDEXER, SCALAR = 1, 2, 3  # CuPy's numbers for kinds of arguments
number = _scalar.CScalar  # of a Python or NumPy number


def _memory(size: int) -> Any:
    return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(ADDRESS, size, None, device_id=0), 0)


def array(shape: tuple[int, ...], dtype: Any, order: str = "C") -> Any:
    """Return an array of CuPy's that must not be read."""
    return cupy.ndarray(shape, dtype, memptr=_memory(16 * math.prod(shape)), order=order)


class Source(NamedTuple):
    """What CuPy gives to its compiler."""

    code: str
    options: tuple[str, ...]


class _Function(function.Function):
    """A compiled kernel that is never launched."""

    def linear_launch(self, *args: Any, **kwargs: Any) -> None:
        """Launch nothing."""


class _Module(function.Module):
    def get_function(self, name: str) -> Any:
        return _Function.__new__(_Function)


def sources(work: Callable[[], Any]) -> list[Source]:
    """Return what CuPy would compile during `work`, which is none of the calls that ask for the current device."""
    found: list[Source] = []

    def take(code: str, options: tuple[str, ...] = (), **rest: Any) -> Any:
        found.append(Source(code, options))
        return _Module()

    compiler._compile_module_with_cache = take
    cupy.cuda.set_allocator(_memory)
    # CuPy keeps kernels by device; these are the same functions without that memory.
    for module, name in ((_kernel, "_get_elementwise_kernel"), (_reduction, "_ReductionKernel_get_cached_function"),
                         (_cub_reduction, "_SimpleCubReductionKernel_get_cached_function")):
        kept = getattr(module, name)
        setattr(module, name, getattr(kept, "__wrapped__", kept))
    work()
    return found


def result_dtypes(kernel: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the dtypes that a kernel gives for its operands' dtypes; the parameters are `elementwise_source`'s."""
    return _kernel._decide_params_type(kernel.in_params, kernel.out_params, inputs, outputs)[1]


def elementwise_source(kernel: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...], ndim: int, contiguous: bool,
                       small: bool) -> list[Source]:
    """Return the source of an ElementwiseKernel for arrays of one layout.

    Parameters
    ----------
    inputs, outputs
        dtypes of arrays, None for a number; no outputs where CuPy makes them.
    ndim, contiguous, small
        The arrays' number of axes after CuPy joined what it can, and whether 32-bit indices reach every element.
    """
    in_types, out_types, type_map = kernel._decide_params_type(inputs, outputs)
    arrays = [_kernel._ArgInfo(NDARRAY, cupy.ndarray, cupy.dtype(t), ndim, contiguous, small)
              if given is not None else _kernel._ArgInfo(SCALAR, number, cupy.dtype(t), 0, True, True)
              for given, t in zip((*inputs, *out_types), (*in_types, *out_types), strict=True)]
    indexer = _kernel._ArgInfo(INDEXER, _carray.Indexer, None, ndim, True, small)
    return sources(lambda: _kernel._get_elementwise_kernel(
        (*arrays, indexer), type_map, kernel.params, kernel.operation, kernel.name, kernel.preamble, **kernel.kwargs))


def reduction_source(kernel: Any, operands: list[Any], shape: tuple[int, ...], axis: Any) -> list[Source]:
    """Return the sources of a ReductionKernel, one or two, by the way that CuPy takes for these operands."""
    return sources(lambda: kernel._call(operands, [], shape, axis, None, False, True, 0, None, True, True))


def find_headers() -> None:
    """Raise RuntimeError where CuPy does not find CUDA's headers."""
    cupy._core.core.assemble_cupy_compiler_options(())


def newest_architecture() -> int:
    """Return the newest compute capability that this NVRTC compiles for, such as 120."""
    return int(compiler._get_max_compute_capability())


class Compiled(NamedTuple):
    """A kernel's machine code, by what the compiler reports of it."""

    registers: int
    spilled: int  # bytes


def machine_code(source: Source, architecture: int) -> Compiled:
    """Compile as CuPy does for one architecture; raise CuPy's CompileException where the compiler refuses."""
    log = io.StringIO()
    _compile((f"-arch=sm_{architecture}", "cubin"), source, ("-Xptxas=-v",), log)
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log.getvalue())]
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill stores", log.getvalue())]
    return Compiled(max(registers), max(spilled, default=0))


def ptx(source: Source) -> str:
    """Return the intermediate code, in which every instruction names its type."""
    code = _compile(("-arch=compute_80", "ptx"), source, (), io.StringIO())
    return code.decode() if isinstance(code, bytes) else code


def _compile(target: tuple[str, str], source: Source, options: tuple[str, ...], log: Any) -> Any:
    compiler._get_arch_for_options_for_nvrtc = lambda arch: target  # CuPy's asks the device
    header = "".join(f"#include <{name}>\n" for name in cupy._core.core._cupy_header_list)
    code = source.code if source.code.startswith(header) else header + source.code
    found, _ = compiler._compile_using_nvrtc_no_warning(
        code, (*source.options, "-ftz=true", *options), "", "formula.cu", None, log, True)
    return found
