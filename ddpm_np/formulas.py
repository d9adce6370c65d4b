"""Formulas that a GPU computes in one pass over its memory: each is C for CuPy's compiler, and Python as well.

An array library computes a·x + b in two passes, each of which reads and writes every number. A `Formula` is one pass.
Its code is a sequence of assignments, ``T h = x * scale + bias; y = h / (1 + exp(-h))``, of arithmetic and the
functions exp, sqrt, pow, where(condition, a, b) and mulhi(a, b) (the high word of a product of 64-bit words). Numbers
in it are ints, since C would compute with 0.5 in double precision; T is the arrays' dtype. CuPy compiles it; the tests'
fake of CuPy runs the same text in Python.
"""

from __future__ import annotations

import functools
from typing import Any

_FUNCTIONS = """
template<class T> __device__ inline T where(bool condition, T a, T b) { return condition ? a : b; }
__device__ inline unsigned long long mulhi(unsigned long long a, unsigned long long b) { return __umul64hi(a, b); }
"""


class Formula:
    """A formula for each element; inputs broadcast.

    Parameters
    ----------
    name : str
        Its name in a profile.
    inputs, outputs : str
        Types and names, such as ``"T x, bool keep"``. Python numbers among the inputs are converted to T.
    code : str
        Assigns every output; outputs that are passed in may be read as well.

    Examples
    --------
    A formula and its call with arrays of CuPy, ``xp = of(x)``::

        SCALED = Formula("scaled", "T x, T scale", "T y", "y = x * scale")
        y = SCALED(xp, x, 0.5)
    """

    def __init__(self, name: str, inputs: str, outputs: str, code: str) -> None:
        self.name, self.inputs, self.outputs, self.code = name, inputs, outputs, code

    def __call__(self, xp: Any, *arrays: Any) -> Any:
        return _elementwise(xp, self)(*arrays)


class Sum:
    """The sum of a formula over axes.

    Parameters
    ----------
    name : str
        Its name in a profile.
    inputs : str
        As in `Formula`; the output is ``T y``.
    term : str
        The expression that is summed.
    result : str
        The output as an expression of the sum `a` and of inputs that are numbers.
    """

    def __init__(self, name: str, inputs: str, term: str, result: str = "a") -> None:
        self.name, self.inputs, self.term, self.result = name, inputs, term, result

    def __call__(self, xp: Any, *arrays: Any, axis: Any, keepdims: bool = False, out: Any = None) -> Any:
        return _reduction(xp, self)(*arrays, axis=axis, keepdims=keepdims, out=out)


@functools.cache
def _elementwise(xp: Any, formula: Formula) -> Any:
    return xp.ElementwiseKernel(formula.inputs, formula.outputs, formula.code, formula.name, preamble=_FUNCTIONS)


@functools.cache
def _reduction(xp: Any, formula: Sum) -> Any:
    return xp.ReductionKernel(formula.inputs, "T y", formula.term, "a + b", f"y = {formula.result}", "0", formula.name,
                              preamble=_FUNCTIONS)
