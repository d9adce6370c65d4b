"""Record what the installed CuPy offers: names, parameters, the dtypes of its ufuncs.

The tests' strict fake of CuPy (tests/support/fake_cupy) has those functions and keyword arguments, and no others. CuPy
imports on a machine without a GPU, so this runs anywhere.

    python scripts/record_cupy_signatures.py            # write tests/support/fake_cupy/signatures.json
    python scripts/record_cupy_signatures.py --check    # compare: exit 0 equal, 1 different, 3 no such CuPy here
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "tests" / "support" / "fake_cupy" / "signatures.json"
NO_CUPY = 3


def parameters(function: Any) -> str | None:
    """The parameters of a Python function as ``"a, axis=, *, copy="``, ``=`` for a default; None where unknown."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    parts: list[str] = []
    last: Any = None
    for p in signature.parameters.values():
        if last is p.POSITIONAL_ONLY and p.kind is not last:
            parts.append("/")
        if p.kind is p.KEYWORD_ONLY and last not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL):
            parts.append("*")
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        parts.append(star + p.name + ("" if p.default is p.empty else "="))
        last = p.kind
    if last is inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


def method_parameters(method: Any) -> str | None:
    """The parameters of a compiled method, from the line of its docstring that states them."""
    found = re.match(r"[\w.]+\((.*)\)(?: ->.*)?$", (method.__doc__ or "").partition("\n")[0])
    if found is None:
        return None
    parts = []
    for part in found[1].split(", "):
        name, equals, _ = part.partition("=")
        parts.append(name.split()[-1] + equals)  # "int axis=-1" has a type before the name
    return ", ".join(parts)


def module_record(module: Any, numpy_generic: type) -> dict[str, Any]:
    """What the public names of a module are."""
    functions, ufuncs, gufuncs, dtypes, constants, others = {}, {}, {}, [], {}, []
    for name in sorted(n for n in dir(module) if not n.startswith("_")):
        value = getattr(module, name)
        if type(value).__name__ == "ufunc":
            ufuncs[name] = " ".join(dict.fromkeys(value.types))
        elif type(value).__name__ == "_GUFunc":
            gufuncs[name] = parameters(value)
        elif isinstance(value, type) and issubclass(value, numpy_generic):
            dtypes.append(name)
        elif isinstance(value, float) or value is None:
            constants[name] = None if value is None else repr(value)
        elif inspect.isfunction(value):
            functions[name] = parameters(value)
        else:
            others.append(name)
    return {"functions": functions, "ufuncs": ufuncs, "gufuncs": gufuncs, "dtypes": dtypes, "constants": constants,
            "others": others}


def record() -> dict[str, Any]:
    """The record of the installed CuPy."""
    import numpy

    cupy = importlib.import_module("cupy")
    array = {}
    for name in sorted(dir(cupy.ndarray)):
        attribute = getattr(cupy.ndarray, name)
        if not name.startswith("_"):
            array[name] = method_parameters(attribute) if callable(attribute) else None
    special = dir(cupy.ndarray)
    where = importlib.import_module("cupy._sorting.search")._where_ufunc
    clip = importlib.import_module("cupy._core._routines_math")._clip
    return {
        "cupy": cupy.__version__,
        "ndarray": array,
        "ndarray special": sorted(n for n in special if re.fullmatch(r"__\w+__", n) and n not in dir(object)),
        "internal ufuncs": {u.name.removeprefix("cupy_"): " ".join(dict.fromkeys(u.types)) for u in (where, clip)},
        "module": module_record(cupy, numpy.generic),
        "special": module_record(importlib.import_module("cupyx.scipy.special"), numpy.generic),
    }


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """One line for each place where two records differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{where}/{key}")]
    return [] if old == new else [f"{where}: recorded {old!r}, installed {new!r}"]


def main(arguments: list[str] | None = None) -> int:
    """Write the record, or compare with it."""
    parser = argparse.ArgumentParser(description="Record the names and parameters of the installed CuPy.")
    parser.add_argument("--check", action="store_true", help="compare with the recorded file instead of writing it")
    check = parser.parse_args(arguments).check
    try:
        new = record()
    except ImportError as error:
        print(f"CuPy is not installed: {error}")
        return NO_CUPY
    if not check:
        FILE.write_text(json.dumps(new, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"CuPy {new['cupy']}: {FILE.stat().st_size:,} bytes")
        return 0
    old = json.loads(FILE.read_text(encoding="utf-8"))
    if old["cupy"] != new["cupy"]:
        print(f"recorded from CuPy {old['cupy']}, installed is {new['cupy']}: record again to test against that one")
        return NO_CUPY
    lines = differences(old, new)
    print("\n".join(lines) or f"equal to CuPy {new['cupy']}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
