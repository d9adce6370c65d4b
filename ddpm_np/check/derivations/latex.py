r"""Read a relation's LaTeX as trees of expressions: what the page shows is what is proved.

The language is small: ``+ - / \cdot``, juxtaposition, powers, ``\frac``, ``\sqrt``, brackets, functions (``\ln``,
``\exp``, ``\cos``, …) of the next factor, ``\sum`` and ``\prod`` of the following product, ``\E_{\eps}[…]``, ``\Var``,
``\Cov``, derivatives ``\pd{\xt}{…}``, ``\int_{a}^{b} … \,d x``, ``\nsq{…}`` (‖…‖², coordinate by coordinate) and
symbols.
"""

from __future__ import annotations

import re
from functools import cache

from ddpm_np.check.derivations.symbols import OPERATORS, SYMBOLS
from ddpm_np.check.derivations.tree import Index, Node, number

FUNCTIONS = {"\\" + name for name in ("ln", "exp", "cos", "sin", "tan", "Phi")}
SPACES = {r"\,", r"\left", r"\right"}
GREEK = {"\\" + name for name in (
    "gamma", "lambda", "eta", "delta", "tau", "phi", "psi", "rho", "mu", "nu", "kappa", "omega", "theta", "zeta", "xi")}
RELATIONS = ("=", r"\geq", r"\leq")
TOKEN = re.compile(r"\\[A-Za-z]+|\\[,;:!|]|\d+(?:\.\d+)?|[A-Za-z]|[^\s]")


@cache
def parse_relation(latex: str) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    r"""Read a relation of two or more sides.

    Parameters
    ----------
    latex : str
        LaTeX, such as ``\al(1-\abp)+\be = 1-\ab``.

    Returns
    -------
    sides : tuple of Node
        The sides.
    signs : tuple of str
        The signs between them: ``=``, ``\geq`` or ``\leq``.

    Raises
    ------
    ValueError
        If the text is not in the language.
    """
    reader = _Reader(latex)
    sides, signs = [reader.sum()], []
    while reader.peek() in RELATIONS:
        signs.append(reader.next())
        sides.append(reader.sum())
    if reader.peek():
        reader.fail(f"unexpected {reader.peek()!r}")
    return tuple(sides), tuple(signs)


@cache
def parse(latex: str) -> Node:
    r"""Read an expression.

    Parameters
    ----------
    latex : str
        LaTeX, such as ``\frac{1-\abp}{1-\ab}\be``.

    Returns
    -------
    Node
        The expression.

    Raises
    ------
    ValueError
        If the text is not in the language, or is a relation.
    """
    sides, _ = parse_relation(latex)
    if len(sides) != 1:
        raise ValueError(f"{latex}: expected one expression, got a relation")
    return sides[0]


class _Reader:
    """A reader by recursive descent."""

    def __init__(self, latex: str):
        self.latex = latex
        self.tokens = [token for token in TOKEN.findall(latex) if token not in SPACES]
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def take(self, token: str) -> None:
        got = self.next()
        if got != token:
            self.fail(f"expected {token!r}, got {got!r}")

    def fail(self, why: str) -> None:
        raise ValueError(f"{self.latex}: {why} at {' '.join(self.tokens[max(0, self.at - 3):self.at + 3])}")

    def sum(self) -> Node:
        negative = self.peek() == "-"
        if self.peek() in "+-" and self.peek():
            self.next()
        left = self.product()
        if negative:
            left = Node("neg", (left,))
        while self.peek() in ("+", "-"):
            op = "add" if self.next() == "+" else "sub"
            left = Node(op, (left, self.product()))
        return left

    def product(self) -> Node:
        left = self.factor()
        while True:
            token = self.peek()
            if token == r"\cdot":
                self.next()
                left = Node("mul", (left, self.factor()))
            elif token == "/":
                self.next()
                left = Node("div", (left, self.factor()))
            elif token and token not in ("+", "-", ")", "]", "}", ",", *RELATIONS) and not self.differential():
                left = Node("mul", (left, self.factor()))
            else:
                return left

    def differential(self) -> bool:
        return self.peek() == "d" and (self.peek(1) in SYMBOLS or self.peek(1) in ("x", "y", "u"))

    def factor(self) -> Node:
        base = self.base()
        while self.peek() == "^":
            self.next()
            base = Node("pow", (base, self.group()))
        return base

    def group(self) -> Node:
        """Read ``{…}``, or a single token."""
        if self.peek() == "{":
            self.next()
            inner = self.sum()
            self.take("}")
            return inner
        return self.base()

    def bracket(self) -> Node:
        closing = {"(": ")", "[": "]", "{": "}"}[self.next()]
        inner = self.sum()
        self.take(closing)
        return inner

    def base(self) -> Node:
        token = self.peek()
        if token in ("(", "[", "{"):
            return self.bracket()
        self.next()
        if token[:1].isdigit():
            return number(token)
        if token == r"\frac":
            top, bottom = self.group(), self.group()
            return Node("div", (top, bottom))
        if token == r"\sqrt":
            return Node("sqrt", (self.group(),))
        if token in FUNCTIONS:
            return self.function(token[1:])
        if token == r"\nsq":
            return Node("pow", (self.group(), number(2)))
        if token in (r"\sum", r"\prod"):
            return self.series(token[1:])
        if token in (r"\E", r"\Var", r"\Cov"):
            return self.moment(token[1:])
        if token == r"\pd":
            variable = self.group()
            return Node("pd", (variable, self.group()))
        if token == r"\int":
            return self.integral()
        if token == r"\pi":
            return Node("pi", ())
        if token == "e" and self.peek() == "^":
            self.next()
            return Node("fn", ("exp", self.group()))
        if token in SYMBOLS:
            indices = tuple(self.index() for _ in range(SYMBOLS[token].arguments))
            return Node("sym", (token, indices))
        if token in GREEK or (token.isalpha() and token.isascii()):
            return Node("sym", (token, self.subscript()))
        if token in OPERATORS or token.startswith("\\"):
            self.fail(f"no macro is called {token}")
        self.fail(f"unexpected {token!r}")
        raise AssertionError

    def function(self, name: str) -> Node:
        r"""Read a function's argument, the next factor; a power before it is that of the value: \sin^2\phi."""
        if self.peek() != "^":
            return Node("fn", (name, self.factor()))
        self.next()
        power = self.group()
        return Node("pow", (Node("fn", (name, self.factor())), power))

    def subscript(self) -> tuple[Index, ...]:
        """Read ``_{i,j}``, ``_{t-1}``, ``_i`` or nothing."""
        if self.peek() != "_":
            return ()
        self.next()
        if self.peek() != "{":
            return (_index([self.next()]),)
        self.next()
        indices: list[Index] = []
        part: list[str] = []
        while self.peek() != "}":
            token = self.next()
            if not token:
                self.fail("a subscript without an end")
            if token == ",":
                indices.append(_index(part))
                part = []
            else:
                part.append(token)
        self.take("}")
        return (*indices, _index(part))

    def index(self) -> Index:
        """Read the argument of a macro with an index: ``{t-1}``."""
        self.take("{")
        part = []
        while self.peek() != "}":
            part.append(self.next())
        self.take("}")
        return _index(part)

    def series(self, op: str) -> Node:
        """Read the bounds of a sum or product and its body, the product that follows."""
        self.take("_")
        if self.peek() != "{":
            variable, low = self.next(), None
        else:
            self.next()
            variable, low = self.next(), None
            if self.peek() == "=":
                self.next()
                part = []
                while self.peek() != "}":
                    part.append(self.next())
                low = _index(part)
            elif self.peek() == ">":
                self.next()
                name, offset = _index([self.next()])
                low = (name, offset + 1)
            self.take("}")
        high = None
        if self.peek() == "^":
            self.next()
            high = self.index() if self.peek() == "{" else _index([self.next()])
        elif low is not None:
            high = ("T", 0)
        return Node(op, (variable, low, high, self.product()))

    def moment(self, op: str) -> Node:
        self.take("_")
        if self.peek() == "{":
            self.next()
            names = [self.base()]
            while self.peek() == ",":
                self.next()
                names.append(self.base())
            self.take("}")
        else:
            names = [self.base()]
        self.take("[")
        parts = [self.sum()]
        while self.peek() == ",":
            self.next()
            parts.append(self.sum())
        self.take("]")
        return Node(op, (tuple(names), *parts))

    def integral(self) -> Node:
        self.take("_")
        low = self.limit()
        self.take("^")
        high = self.limit()
        body = self.sum()
        self.take("d")
        return Node("int", (self.base(), low, high, body))

    def limit(self) -> Node:
        """Read a limit of integration, which may be infinite."""
        infinite = [self.peek(i) for i in range(4)]
        if r"\infty" in infinite and infinite[0] == "{":
            negative = infinite[1] == "-"
            self.at += 4 if negative else 3
            return Node("inf", (-1 if negative else 1,))
        return self.group()


def _index(tokens: list[str]) -> Index:
    """Return the index that tokens such as t, t - 1 or 2 stand for."""
    name, offset, sign = "", 0, 1
    for token in tokens:
        if token in "+-":
            sign = 1 if token == "+" else -1
        elif token.isdigit():
            offset += sign * int(token)
        elif token.isalpha() and not name:
            name = token
        else:
            raise ValueError(f"{' '.join(tokens)} is not an index")
    return name, offset
