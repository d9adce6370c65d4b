"""Compile every formula of the package as CuPy does, without a GPU: ``python scripts/compile_formulas.py FILE``.

FILE is from ``record_device_calls.py``. CuPy makes the CUDA source of each formula for the dtypes that the package
calls it with, in several layouts; NVRTC compiles it to machine code with CuPy's headers and options. Needs CuPy, NVRTC
and CUDA's headers, whose versions are in .ci/cupy.txt. Exit status 0: all compile, 1: faults, 3: no compiler here.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NO_COMPILER = 3
ARCHITECTURES = (80, 90, 100, 120)  # A100, H100, B200, RTX 50
LAYOUTS = ((1, True, True), (4, False, False))  # axes, one block of memory, 32-bit indices
# Shape, axes and order of a sum: along rows and over all, which CuPy gives to CUB where it can; over a group's axes.
SUMS = (((4, 1000), 1, "C"), ((4, 1000), None, "C"), ((2, 6, 3, 4), (1, 3), "C"), ((2, 6, 3, 4), (1, 3), "F"))
Entry = dict[str, Any]  # as device_calls.Record has it


def dtype_of(operand: list[str]) -> Any:
    """Return an array's dtype, None for a number."""
    import numpy as np

    return np.dtype(operand[1]) if operand[0] == "array" else None


def sources(entry: Entry, call: dict[str, Any]) -> Iterator[Any]:
    """Yield what CuPy would compile for a formula and a kind of call."""
    import cupy
    import cupy_without_gpu as without_gpu
    import numpy as np

    kernel = getattr(cupy, entry["class"])(*entry["arguments"], **entry["options"])
    inputs, outputs = tuple(map(dtype_of, call["operands"])), tuple(map(np.dtype, call["outputs"]))
    given = [str(np.dtype(t)) for t in without_gpu.result_dtypes(kernel, inputs, outputs)]
    if given != call["gives"]:
        raise TypeError(f"gives {call['gives']} on the fake, {given} on CuPy")
    if entry["class"] == "ElementwiseKernel":
        for layout in LAYOUTS:
            yield from without_gpu.elementwise_source(kernel, inputs, outputs, *layout)
    else:
        for shape, axis, order in SUMS:
            operands = [without_gpu.number(1.0) if t is None else without_gpu.array(shape, t, order) for t in inputs]
            yield from without_gpu.reduction_source(kernel, operands, shape, axis)


def has_double(entry: Entry, call: dict[str, Any]) -> bool:
    """Whether double precision is meant: by an operand's or a result's dtype, or by a declared one."""
    used = [x[1] for x in call["operands"]] + call["outputs"] + call["gives"]
    return "float64" in used or any("float64" in text for text in entry["arguments"][:2])


def faults(entry: Entry, architectures: tuple[int, ...]) -> tuple[list[str], dict[int, Any], int]:
    """Compile one formula.

    Returns
    -------
    lines : list of str
        A line for each fault.
    used : dict
        Registers and spilled bytes by architecture, the most of all variants.
    variants : int
        How many sources CuPy made.
    """
    import cupy_without_gpu as without_gpu
    from cupy.cuda.compiler import CompileException

    name, lines, seen, used = entry["constant"] or entry["arguments"][2], [], set(), {}
    if not entry["calls"]:
        lines.append(f"{name}: no computation on the fake calls it: add one to tests/support/device_calls.py")
    for call in entry["calls"]:
        try:
            for source in sources(entry, call):
                if source in seen:
                    continue
                seen.add(source)
                if not has_double(entry, call) and ".f64" in without_gpu.ptx(source):
                    lines.append(f"{name}: computes in double precision with operands {call['operands']}")
                for architecture in architectures:
                    code = without_gpu.machine_code(source, architecture)
                    used[architecture] = without_gpu.Compiled(*map(max, code, used.get(architecture, (0, 0))))
        except CompileException as error:
            said = next((line for line in str(error).splitlines() if "error" in line), str(error))
            lines.append(f"{name}, operands {call['operands']}: {said.strip()}")
        except (TypeError, ValueError) as error:
            lines.append(f"{name}, operands {call['operands']}: {type(error).__name__}: {error}")
    return list(dict.fromkeys(lines)), used, len(seen)


def planted(preamble: str) -> Iterator[tuple[str, Entry]]:
    """Yield formulas with a fault, and what must be said of each."""
    two, one = [["array", "float32"], ["array", "float32"]], [["array", "float32"]]

    def entry(kind: str, operands: list[list[str]], *arguments: str) -> Entry:
        call = {"operands": operands, "outputs": [], "gives": ["float32"]}
        return {"class": kind, "constant": None, "arguments": [*arguments], "options": {"preamble": preamble},
                "calls": [call]}

    yield "error", entry("ElementwiseKernel", one, "T x", "T y", "y = x +", "syntax")
    yield "error", entry("ElementwiseKernel", one, "T x", "T y", "y = absent(x)", "name")
    yield "error", entry("ElementwiseKernel", one, "T x", "T y", "y = where(x > 0, x, 0)", "type")
    yield "double precision", entry("ElementwiseKernel", one, "T x", "T y", "y = x * 0.1", "number")
    yield "on the fake", entry("ElementwiseKernel", one, "T x", "bool y", "y = x > 0", "result")
    yield "on the fake", entry("ReductionKernel", one, "T x", "float64 y", "x", "a + b", "y = a", "0", "result")
    yield "mismatched", entry("ElementwiseKernel", [["array", "float32"], ["array", "float64"]], "T x, T z", "T y",
                              "y = x + z", "operands")
    yield "parameter name", entry("ElementwiseKernel", two, "T x, T i", "T y", "y = x * i", "index")
    yield "error", entry("ReductionKernel", one, "T x", "T y", "absent(x)", "a + b", "y = a", "0", "name")
    # CuPy puts its own name for a sum's only operand into the text, in other words too: ein0p(in0).
    yield "error", entry("ReductionKernel", one, "T x", "T y", "exp(x)", "a + b", "y = a", "0", "letter")
    yield "no computation", {**entry("ElementwiseKernel", one, "T x", "T y", "y = x", "unused"), "calls": []}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="what record_device_calls.py wrote")
    entries = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))["formulas"]
    try:
        import cupy
        import cupy_without_gpu as without_gpu
        from cupy_backends.cuda.libs import nvrtc

        version = ".".join(map(str, nvrtc.getVersion()))
        without_gpu.find_headers()
    except (ImportError, RuntimeError) as error:
        print(f"formulas not compiled: {' '.join(str(error).split())}")
        return NO_COMPILER
    for expected, entry in planted(entries[0]["options"]["preamble"]):
        lines, _, _ = faults(entry, (90,))
        if not any(expected in line for line in lines):
            sys.exit(f"error: a planted fault was not found: {entry['arguments'][2]!r} should have given {expected!r}, "
                     f"gave {lines}")
    architectures = tuple(a for a in ARCHITECTURES if a <= without_gpu.newest_architecture())
    print(f"formulas of CuPy {cupy.__version__} by NVRTC {version}, registers (and bytes spilled) for "
          + ", ".join(f"sm_{a}" for a in architectures))
    wrong = 0
    for entry in sorted(entries, key=lambda entry: entry["constant"] or ""):
        lines, used, variants = faults(entry, architectures)
        numbers = " ".join(f"{code.registers:4}" + (f" ({code.spilled})" if code.spilled else "")
                           for code in used.values())
        print(f"{entry['constant']:<52} {variants:2} sources {numbers}")
        print("".join(f"  FAULT {line}\n" for line in lines), end="")
        wrong += len(lines)
    print(f"{len(entries)} formulas, {wrong or 'no'} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
