"""Ask CuPy which dtypes it computes in, for every call on the tests' fake: ``python scripts/ask_cupy.py FILE``.

FILE is from ``record_device_calls.py``. CuPy chooses the loop of a ufunc, or of a sum, from the dtypes of arrays and
the kinds of numbers, which needs no GPU. Needs CuPy. Exit status 0: all as on the fake, 1: differences, 3: no CuPy.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

NO_CUPY = 3
NUMBERS = {"bool": True, "int": 1, "large int": 2**63, "float": 1.5, "complex": 1j}
Call = dict[str, Any]  # as device_calls.Record has it


def routine(name: str) -> Any:
    """Return CuPy's ufunc or reduction that computes a function."""
    import cupy
    import cupyx.scipy.special
    from cupy._core import _routines_logic, _routines_math, _routines_statistics
    from cupy._sorting.search import _where_ufunc

    statistics = {"max": _routines_statistics.amax, "min": _routines_statistics.amin}
    own = {"where": _where_ufunc, "clip": _routines_math._clip, "sum": _routines_math.sum_auto_dtype,
           "prod": _routines_math.prod_auto_dtype, "all": _routines_logic.all, "any": _routines_logic.any,
           **statistics, **{f"a{key}": value for key, value in statistics.items()}}
    return own.get(name) or getattr(cupy, name, None) or getattr(cupyx.scipy.special, name)


def operand(kind: str, dtype: str) -> Any:
    """Return CuPy's array or number of a kind that `device_calls.operand` named."""
    import cupy_without_gpu as without_gpu

    if kind == "array":
        return without_gpu.array((2,), dtype)
    return without_gpu.number(np.dtype(dtype).type(1) if kind == "number" else NUMBERS[kind])


def answer(call: Call) -> Call:
    """Return what CuPy computes in and gives for a call, or its error, as ``{"takes": …, "gives": …}``."""
    from cupy._core import _dtype

    function = routine(call["function"])
    dtype = None if call["dtype"] is None else np.dtype(call["dtype"])
    outputs = getattr(function, "_out_ops", None)
    try:
        loop = function._ops.guess_routine(function.name, {}, [operand(*x) for x in call["operands"]], dtype, outputs)
        gives = [np.dtype(t) for t in loop.out_types]
        if call["out"] is not None:
            _dtype._raise_if_invalid_cast(gives[0], np.dtype(call["out"]), call["casting"], "output operand")
    except TypeError as error:
        return {"takes": None, "gives": f"TypeError: {error}"}
    return {"takes": [str(np.dtype(t)) for t in loop.in_types], "gives": [str(t) for t in gives]}


def differences(calls: list[Call]) -> list[str]:
    """Return a line for each call that CuPy computes in other dtypes than the fake, or not at all."""
    lines = []
    for call in calls:
        real = answer(call)
        for part in ("gives", "takes"):
            if call[part] is not None and real[part] is not None and call[part] != real[part]:
                operands = ", ".join(" ".join(filter(None, x[::-1])) for x in call["operands"])
                lines.append(f"{call['function']}({operands}), dtype={call['dtype']}, out={call['out']} {part} "
                             f"{call[part]} on the fake, {real[part]} on CuPy")
    return lines


def planted(calls: list[Call]) -> list[Call]:
    """Return wrong records, each of which must be found: another result, other operands, a call that CuPy refuses."""
    sample = next(call for call in calls if call["gives"] == ["float32"] and call["takes"] is not None)
    return [{**sample, "gives": ["float64"]}, {**sample, "takes": ["float64"] * len(sample["operands"])},
            {**sample, "out": "int64"},
            {**sample, "function": "log_ndtr", "operands": [["array", "complex128"]], "gives": ["complex128"]}]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="what record_device_calls.py wrote")
    calls = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))["dtypes"]
    try:
        import cupy
    except ImportError as error:
        print(f"CuPy is not installed: {error}")
        return NO_CUPY
    for call in planted(calls):
        if not differences([call]):
            sys.exit(f"error: a wrong record was not found: {call}")
    lines = differences(calls)
    print("\n".join([*lines, f"{len(calls)} combinations of dtypes put to CuPy {cupy.__version__}: "
                             f"{len(lines) or 'none'} different"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
