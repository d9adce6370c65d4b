"""The language of `ddpm_np.formulas`, C and Python at once: what differs between the two is refused.

Code is parsed once, so that mistakes which a C compiler would find raise where a kernel is made. Types are checked as
it runs: an operation whose type in C is not NumPy's raises.
"""

from __future__ import annotations

import ast
import operator
import re
from typing import Any

import numpy as np

from fake_cupy import writes

__all__ = ["TYPES", "Code", "evaluate", "expression"]

TYPES = {name: np.dtype(name) for name in ("bool", "int32", "int64", "uint32", "uint64", "float32", "float64")}
_ASSIGNMENT = re.compile(r"(?:const\s+)?(?:([A-Za-z]\w*)\s+)?([A-Za-z_]\w*)\s*=(?!=)(.*)", re.DOTALL)
_BITS = {ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor}
_SHIFTS = {ast.LShift: operator.lshift, ast.RShift: operator.rshift}
_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_COMPARISONS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
                ast.Eq: operator.eq, ast.NotEq: operator.ne}
_FUNCTIONS = {"exp": 1, "sqrt": 1, "pow": 2, "where": 3, "mulhi": 2}


class Code:
    """Assignments, separated by semicolons.

    Parameters
    ----------
    text : str
        The code.
    inputs, outputs : dict of str to str
        Types by name: one of `TYPES`, or a letter for the dtype of an array.
    """

    def __init__(self, text: str, inputs: dict[str, str], outputs: dict[str, str]):
        locals_: dict[str, str] = {}
        self.statements: list[tuple[str, str, ast.expr]] = []  # the name assigned to, its type, the value
        known = {**inputs, **outputs}
        for part in filter(None, (p.strip() for p in text.split(";"))):
            found = _ASSIGNMENT.fullmatch(part)
            if found is None:
                raise SyntaxError(f"not an assignment: {part!r}")
            kind, name, value = found.groups()
            if kind is not None:
                if name in known or name in locals_:
                    raise SyntaxError(f"{name!r} is declared twice: {part!r}")
                locals_[name] = kind
            elif name in inputs:
                raise SyntaxError(f"{name!r} is an input, which C has as a constant: {part!r}")
            elif name not in outputs and name not in locals_:
                raise SyntaxError(f"{name!r} is assigned to without a type: {part!r}")
            self.statements.append((name, kind or locals_.get(name) or outputs[name], expression(value)))
        missing = outputs.keys() - {name for name, *_ in self.statements}
        if missing:
            raise SyntaxError(f"outputs {sorted(missing)} are not assigned to: {text!r}")

    def run(self, values: dict[str, Any], types: dict[str, np.dtype], same: dict[str, set[str]]) -> dict[str, Any]:
        """Return all values by name, from those of the inputs and of outputs that may be read.

        `same` has, for an output's name, the inputs that are the same memory: they change with it.
        """
        values, stale = dict(values), {}
        with np.errstate(all="ignore"):
            for name, kind, tree in self.statements:
                value = _Evaluation(values, types, stale).of(tree)
                values[name] = _converted(value, _dtype(kind, types))
                stale |= dict.fromkeys(same.get(name, ()), name)
        return values


def evaluate(tree: ast.expr, values: dict[str, Any], types: dict[str, np.dtype]) -> Any:
    """The value of an expression."""
    with np.errstate(all="ignore"):
        return _Evaluation(values, types, {}).of(tree)


def _dtype(kind: str, types: dict[str, np.dtype]) -> np.dtype:
    try:
        return TYPES[kind] if kind in TYPES else types[kind]
    except KeyError:
        raise TypeError(f"the type {kind!r} is that of no array") from None


def _converted(value: Any, dtype: np.dtype) -> np.ndarray:
    """A value as C assigns it to a variable of another type."""
    return np.asarray(value, dtype=dtype) if type(value) is int else writes.cast(np.asarray(value), dtype)


def expression(text: str) -> ast.expr:
    """The tree of an expression, once it is sure to mean the same in C and Python."""
    text = text.strip()
    tree = ast.parse(text, mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) is not int:
            raise SyntaxError(f"{node.value!r} in {text!r}: only integers suit every T; pass it as an input")
        if isinstance(node, ast.Compare):
            if len(node.ops) > 1:
                raise SyntaxError(f"a chain of comparisons means something else in C: {text!r}")
            for side in (node.left, *node.comparators):
                bits = isinstance(side, ast.BinOp) and type(side.op) in _BITS
                if bits and not (text[: side.col_offset].rstrip().endswith("(")
                                 and text[side.end_col_offset :].lstrip().startswith(")")):
                    raise SyntaxError(f"C compares before &, | and ^, Python after: use parentheses in {text!r}")
        known = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.operator, ast.unaryop,
                 ast.cmpop, ast.expr_context)
        wrong = not isinstance(node, known) or isinstance(node, (ast.Pow, ast.FloorDiv, ast.Mod, ast.Not, ast.Is,
                                                                 ast.IsNot, ast.In, ast.NotIn, ast.UAdd, ast.MatMult))
        if wrong or (isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name))):
            raise SyntaxError(f"{type(node).__name__} in {text!r} is not the same in C and Python")
    return tree


class _Evaluation:
    """The value of an expression, for values of names."""

    def __init__(self, values: dict[str, Any], types: dict[str, np.dtype], stale: dict[str, str]):
        self.values, self.types, self.stale = values, types, stale

    def of(self, node: ast.expr) -> Any:
        """The value of a part."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.UnaryOp):
            return _unary(node.op, self.of(node.operand))
        if isinstance(node, ast.BinOp):
            return _binary(node.op, self.of(node.left), self.of(node.right))
        if isinstance(node, ast.Compare):
            a, b = _promoted(self.of(node.left), self.of(node.comparators[0]))
            return _COMPARISONS[type(node.ops[0])](a, b)
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return self._call(node.func.id, [self.of(argument) for argument in node.args])

    def _name(self, name: str) -> Any:
        if name in self.stale:
            raise writes.OverlappingWrite(f"{name!r} is read after {self.stale[name]!r} was assigned to, which is the "
                                          "same memory here")
        if name not in self.values:
            raise NameError(f"{name!r} has no value yet")
        return self.values[name]

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name in self.types or name in TYPES:
            (x,) = arguments
            return _converted(x, _dtype(name, self.types))
        if name not in _FUNCTIONS or len(arguments) != _FUNCTIONS[name]:
            raise TypeError(f"{name} of {len(arguments)} is no function of formulas")
        if name == "where":
            return _where(*arguments)
        if name == "mulhi":
            return _mulhi(*arguments)
        for x in arguments:
            if type(x) is int or x.dtype.kind != "f":
                raise TypeError(f"{name} of an integer is a double in C: write T(x)")
        return {"exp": np.exp, "sqrt": np.sqrt, "pow": np.power}[name](*arguments)


def _where(condition: Any, a: Any, b: Any) -> Any:
    if type(condition) is int or condition.dtype.kind != "b":
        raise TypeError("where of a condition that is no bool")
    kinds = {int if type(x) is int else x.dtype for x in (a, b)}
    if len(kinds) > 1:
        raise TypeError(f"where chooses between values of one type, got {sorted(map(str, kinds))}: write T(0)")
    return np.where(condition, a, b)


def _mulhi(a: Any, b: Any) -> Any:
    """The high words of 64-bit products, from 32-bit ones."""
    for x in (a, b):
        if x < 0 if type(x) is int else x.dtype != np.uint64:
            raise TypeError("mulhi multiplies words of 64 bits: write uint64(x)")
    a, b, low, half = np.asarray(a, np.uint64), np.asarray(b, np.uint64), np.uint64(0xFFFFFFFF), np.uint64(32)
    a_low, a_high, b_low, b_high = a & low, a >> half, b & low, b >> half
    middle = (a_low * b_low >> half) + (a_high * b_low & low) + a_low * b_high
    return a_high * b_high + (a_high * b_low >> half) + (middle >> half)


def _unary(op: ast.unaryop, x: Any) -> Any:
    if type(x) is not int and (x.dtype.kind in "ub" if isinstance(op, ast.USub) else x.dtype.kind not in "iu"):
        raise TypeError(f"{type(op).__name__} of {x.dtype} is not the same in C and NumPy")
    return -x if isinstance(op, ast.USub) else ~x


def _promoted(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands, whose common type must be the same in C and NumPy."""
    if type(a) is int and type(b) is int:
        return a, b
    for x, other in ((a, b), (b, a)):
        if type(x) is int:
            if other.dtype.kind == "b":
                raise TypeError("a bool is an int in arithmetic in C, and none in NumPy: write where(…)")
            np.asarray(x, dtype=other.dtype)  # raises where it has no room
            return a, b
    common = np.result_type(a.dtype, b.dtype)
    if common not in (a.dtype, b.dtype):
        raise TypeError(f"{a.dtype} and {b.dtype} meet as {common} in NumPy and not in C: convert one of them")
    return a, b


def _binary(op: ast.operator, a: Any, b: Any) -> Any:
    a, b = _promoted(a, b)
    kinds = ["i" if type(x) is int else x.dtype.kind for x in (a, b)]
    if type(op) in _SHIFTS:
        bits = 32 if type(a) is int else 8 * a.dtype.itemsize
        if "f" in kinds or np.any(np.asarray(b) >= bits) or (kinds[1] != "u" and np.any(np.asarray(b) < 0)):
            raise TypeError(f"a shift of floats, or by {b} of {bits} bits")
        return _in_range(_SHIFTS[type(op)](a, b), a, b)
    if type(op) in _BITS:
        return _in_range(_BITS[type(op)](a, b), a, b)
    if kinds == ["b", "b"]:
        raise TypeError("the sum of two bools is an int in C and a bool in NumPy: write where(…)")
    if isinstance(op, ast.Div) and "f" not in kinds:
        raise TypeError("integers divide without a remainder in C: write T(x) / …")
    return _in_range(_ARITHMETIC[type(op)](a, b), a, b)


def _in_range(result: Any, a: Any, b: Any) -> Any:
    if type(a) is int and type(b) is int and not -(2**31) <= result < 2**31 and max(abs(a), abs(b)) < 2**31:
        raise OverflowError(f"{result} from {a} and {b} is no int of 32 bits, which C computes with")
    return result
