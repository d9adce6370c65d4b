"""The package's formulas compiled as C++ for the CPU, beside the same text as the fake of CuPy runs it in Python."""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fake_cupy import formulas
from fake_cupy.array import wrap

import ddpm_np
from ddpm_np.formulas import _FUNCTIONS, Formula, Sum

TYPES = {"bool": "bool", "float32": "float", "float64": "double", "uint32": "unsigned int",
         "uint64": "unsigned long long"}  # as CuPy names them to its compiler
INTEGERS = re.compile(r"mulhi|\^|<<|>>|[&|]")  # what floating-point numbers have not
# What CUDA has and C++ has not, or has under another name.
HEADER = f"""#include <cmath>
#include <cstddef>
#define __device__
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {{
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}}
using std::exp; using std::pow; using std::sqrt;
{_FUNCTIONS}"""


class Text(NamedTuple):
    """A formula for each element, as ElementwiseKernel takes it."""

    name: str
    inputs: str
    outputs: str
    code: str

    def dtypes(self) -> list[str]:
        """Return the dtypes that T can stand for."""
        return ["uint64"] if INTEGERS.search(self.code) else ["float32", "float64"]


def package_formulas() -> dict[str, Formula | Sum]:
    """Return every formula that a module of the package defines, by the constant's full name."""
    found: dict[int, tuple[str, Formula | Sum]] = {}
    for module in pkgutil.walk_packages(ddpm_np.__path__, "ddpm_np."):
        if not module.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, (Formula, Sum)):
                    found.setdefault(id(value), (f"{module.name}.{name}", value))
    return dict(found.values())


def texts(name: str, formula: Formula | Sum) -> list[Text]:
    """Return a formula as it is; of a sum the term, and the result, which has the sum `a` and numbers."""
    if isinstance(formula, Formula):
        return [Text(name, formula.inputs, formula.outputs, formula.code)]
    numbers = [p for p in formula.inputs.split(", ") if re.search(rf"\b{p.split()[1]}\b", formula.result)]
    return [Text(name, formula.inputs, "T y", f"y = {formula.term}"),
            Text(f"{name}, result", ", ".join(["T a", *numbers]), "T y", f"y = {formula.result}")]


def parameters(text: str, T: str) -> list[tuple[str, str]]:
    """Return [(name, dtype)] of ``"T x, bool keep"``."""
    return [(name, T if kind == "T" else kind) for kind, name in (part.split() for part in text.split(", "))]


def compiler() -> str | None:
    """Return the path of a C++ compiler."""
    return shutil.which("g++")


class Compiled:
    """Formulas as one library of C++ functions on flat arrays."""

    def __init__(self, found: list[Text], folder: Path):
        self.functions = {(text, T): f"formula_{i}_{T}" for i, text in enumerate(found) for T in text.dtypes()}
        source, library = folder / "formulas.cpp", folder / "formulas.so"
        source.write_text(HEADER + "".join(_function(name, *key) for key, name in self.functions.items()), "utf-8")
        done = subprocess.run(
            [str(compiler()), "-O1", "-std=c++17", "-ffp-contract=off", "-shared", "-fPIC", source, "-o", library],
            capture_output=True, text=True, check=False)
        if done.returncode:
            raise SyntaxError(done.stderr)
        self.library = ctypes.CDLL(str(library))

    def run(self, text: Text, T: str, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> list[np.ndarray]:
        """Return what C++ makes of flat arrays; outputs are read too, and copied first."""
        results = [a.copy() for a in outputs]
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*inputs, *results)]
        getattr(self.library, self.functions[text, T])(ctypes.c_ssize_t(inputs[0].size), *pointers)
        return results


def _function(name: str, text: Text, T: str) -> str:
    """Return a formula as a C++ function of arrays of n elements."""
    inputs, outputs = parameters(text.inputs, T), parameters(text.outputs, T)
    pointers = [f"const {TYPES[kind]} *{x}_" for x, kind in inputs] + [f"{TYPES[kind]} *{x}_" for x, kind in outputs]
    elements = [f"const {TYPES[kind]} &{x} = {x}_[i];" for x, kind in inputs]
    elements += [f"{TYPES[kind]} &{x} = {x}_[i];" for x, kind in outputs]
    return f"""
extern "C" void {name}(std::ptrdiff_t n, {", ".join(pointers)}) {{
  typedef {TYPES[T]} T;
  for (std::ptrdiff_t i = 0; i < n; ++i) {{
    {" ".join(elements)}
    {text.code};
  }}
}}
"""


def in_python(text: Text, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Return what the fake of CuPy makes of the same arrays."""
    results = [wrap(a.copy()) for a in outputs]
    formulas.ElementwiseKernel(text.inputs, text.outputs, text.code)(*map(wrap, inputs), *results)
    return [x._a for x in results]


def arrays(rng: np.random.Generator, text: str, T: str, n: int, positive: bool) -> list[np.ndarray]:
    """Return a random array for each parameter: any words and flags; numbers of ordinary size."""
    found: list[Any] = []
    for _, kind in parameters(text, T):
        if kind == "bool":
            found.append(rng.random(n) < 0.5)
        elif kind.startswith("uint"):
            found.append(rng.integers(0, np.iinfo(kind).max, n, dtype=kind, endpoint=True))
        else:
            found.append((rng.uniform(0.1, 2, n) if positive else 3 * rng.standard_normal(n)).astype(kind))
    return found
