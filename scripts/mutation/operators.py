"""What a mutant is: cosmic-ray's operators where it has them, and those that formulas need.

An operator of our own is a cosmic-ray `Operator` that rewrites a node of parso's tree into other texts. The same places
are left out for all: types, imports, decorators, `__all__`, and the texts of errors (see `left_out`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from cosmic_ray.operators import (
    binary_operator_replacement,
    boolean_replacer,
    break_continue,
    comparison_operator_replacement,
    number_replacer,
    unary_operator_replacement,
    zero_iteration_for_loop,
)
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name

from mutation.syntax import (
    arguments,
    called,
    function_of,
    left_out,
    lends_its_kind,
    loses_its_sign,
    says_the_rest,
    text,
    used_names,
)

Position = tuple[tuple[int, int], tuple[int, int]]

CALLS_DROPPED = {"sqrt", "_sqrt_after_zero", "square", "exp", "log", "log1p", "expm1", "abs", "tanh", "sigmoid", "clip",
                 "cumsum", "floor", "log_ndtr", "reversed", "stop_gradient", "softmax"}
CALLS_EXCHANGED = {
    "exp": "expm1", "expm1": "exp", "log": "log1p", "log1p": "log", "sqrt": "square", "square": "sqrt", "sin": "cos",
    "cos": "sin", "minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "sum": "mean", "mean": "sum",
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like", "any": "all", "all": "any",
    "floor": "ceil", "tril": "triu", "cumsum": "cumprod", "argmax": "argmin", "argmin": "argmax",
}
TABLES_EXCHANGED = {
    "alpha": "alpha_bar", "alpha_bar": "alpha", "beta": "beta_tilde", "beta_tilde": "beta",
    "sqrt_alpha": "sqrt_alpha_bar", "sqrt_alpha_bar": "sqrt_one_minus_alpha_bar",
    "sqrt_beta": "sqrt_one_minus_alpha_bar",
    "sqrt_one_minus_alpha_bar": "sqrt_beta", "one_minus_alpha_bar": "beta", "posterior_x0": "posterior_xt",
    "posterior_xt": "posterior_x0", "posterior_log_variance_clipped": "log_beta_clipped",
    "log_beta_clipped": "posterior_log_variance_clipped", "log_beta": "log_beta_clipped",
}
NAMES_EXCHANGED = [("low", "high"), ("first", "last"), ("lower", "upper"), ("near", "far"), ("previous", "here"),
                   ("before", "here"), ("now", "then"), ("at_t", "at_s"), ("mean1", "mean2"),
                   ("logvar1", "logvar2"), ("x_0", "x_t"), ("t", "t_prev"), ("mean", "x0"), ("mean", "x0_hat"),
                   ("eps", "noise")]
TEXTS_EXCHANGED = [("small", "large"), ("mean", "sum"), ("eps", "x0")]
ORDER_IS_NO_FORMULA = {"isinstance", "getattr", "hasattr", "setattr", "zip", "map", "print", "pairwise", "of",
                       "broadcast_shapes"}
OF_ANOTHER_KIND = {  # in another's place they raise at once, which tells nothing about the tests
    "schedule", "model", "self", "reverse", "reverse.schedule", "self.schedule", "self.reverse", "tr.reverse", "k",
    "k.schedule", "evaluated",
}
JOINING = {"concat", "stack"}  # their tuple is a list of parts
CHAINS = ("arith_expr", "term")


class Rewrite(Operator):
    """Replaces a node by each of some texts."""

    before, after = "", ""  # the example that cosmic-ray asks for

    @abstractmethod
    def rewrites(self, node: Any) -> Iterator[str]:
        """The texts that a node becomes, one mutant each."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        found = list(self.rewrites(node))
        if found and not left_out(node):
            yield from [(node.start_pos, node.end_pos)] * len(found)

    def mutate(self, node: Any, index: int) -> Any:
        return Name(list(self.rewrites(node))[index], node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls.before, cls.after),)


class Core(Operator):
    """An operator of cosmic-ray's, in the places that are not left out and where a further condition holds."""

    def __init__(self, operator: Operator, condition: Callable[[Any], bool] = lambda node: True):
        self.operator, self.condition = operator, condition

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        found = list(self.operator.mutation_positions(node))
        if found and self.condition(node) and not left_out(node):
            yield from found

    def mutate(self, node: Any, index: int) -> Any:
        return self.operator.mutate(node, index)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ()


class DropTerm(Rewrite):
    """One term of a sum or difference less."""

    before, after = "x = a + b", "x = a"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "arith_expr":
            parts = node.children
            for i in range(1, len(parts), 2):
                yield text(*parts[:i], *parts[i + 2:])
            yield ("-" if parts[1].value == "-" else "") + text(*parts[2:])


class DropFactor(Rewrite):
    """One factor or divisor of a product less."""

    before, after = "x = a * b", "x = a"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "term":
            parts = node.children
            for i in range(1, len(parts), 2):
                if parts[i].value != "@":
                    yield text(*parts[:i], *parts[i + 2:])
            if parts[1].value == "*":
                yield text(*parts[2:])


class SwapOperands(Rewrite):
    """a − b becomes b − a; the same for / and @."""

    before, after = "x = a - b", "x = b - a"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type in CHAINS:
            parts = node.children
            for i in range(1, len(parts), 2):
                if parts[i].value in ("-", "/", "//", "@") and not (parts[i].value == "-" and loses_its_sign(node)):
                    left = text(*parts[:i]) if i == 1 else f"({text(*parts[:i])})"
                    yield f"{text(parts[i + 1])} {parts[i].value} {left} {text(*parts[i + 2:])}".strip()


class SwapArguments(Rewrite):
    """Two neighbouring arguments of a call, or parts of what is joined, in each other's place."""

    before, after = "x = f(a, b)", "x = f(b, a)"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "trailer" and called(node) not in ORDER_IS_NO_FORMULA and node.children[0].value == "(":
            inside, whole = arguments(node), node.children[1] if len(node.children) == 3 else None
            yield from (f"({swapped})" for swapped in self._swaps(inside, whole))
        elif node.type == "testlist_comp" and node.parent.type == "atom" and node.children[1].type == "operator":
            call = node.parent.parent if node.parent.parent.type == "trailer" else node.parent.parent.parent
            if call is not None and called(call) in JOINING:
                yield from self._swaps(node.children[::2], node)

    @staticmethod
    def _swaps(parts: Sequence[Any], whole: Any) -> Iterator[str]:
        for a, b in pairwise(parts):
            if text(a) != text(b) and not {text(a), text(b)} & OF_ANOTHER_KIND:
                codes = {id(a): text(b), id(b): text(a)}
                yield "".join(f"{text(child)} " if text(child) == "," else codes.get(id(child), text(child))
                              for child in whole.children)


class ShiftIndex(Rewrite):
    """An index one too small, a slice without its bound, `at` or `take` one step too early, a `range` one too short."""

    before, after = "x = a[t]", "x = a[t - 1]"

    def rewrites(self, node: Any) -> Iterator[str]:
        above = node.parent
        if node.type == "name" and node.value.islower() and above is not None:
            held = above if above.type != "subscriptlist" else above.parent
            if held.type == "trailer" and held.children[0].value == "[" and self._of_numbers(held):
                yield f"{node.value} - 1"
        if node.type == "subscript":
            parts = node.children
            for i, part in enumerate(parts):
                if part.type in ("number", "factor"):
                    yield text(*parts[:i], *parts[i + 1:])
        if node.type == "trailer" and called(node) in ("at", "take"):  # at(t, like=x), take(table, t, axis=0)
            yield from self._earlier(node, arguments(node)[:1] if called(node) == "at" else arguments(node)[1:2])
        if node.type == "trailer" and called(node) == "range":
            yield from self._earlier(node, [part for part in arguments(node) if part.type not in ("number", "factor")])

    @staticmethod
    def _of_numbers(trailer: Any) -> bool:
        before = trailer.get_previous_sibling()
        return before.get_code().strip() not in ("dict", "list", "tuple", "type") and text(trailer)[1:-1] not in (
            "str", "int", "float", "bool")

    @staticmethod
    def _earlier(call: Any, chosen: Sequence[Any]) -> Iterator[str]:
        for part in chosen:
            inside = call.children[1].children if call.children[1].type == "arglist" else [call.children[1]]
            yield "(" + "".join(f"{text(child)} - 1" if child is part else f"{text(child)} " if text(child) == ","
                                else text(child) for child in inside) + ")"


class DropFunction(Rewrite):
    """f(x) becomes x: a root, a logarithm, a square, a clip less."""

    before, after = "x = xp.sqrt(a)", "x = (a)"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type in ("atom_expr", "power"):
            for i, part in enumerate(node.children):
                if part.type == "trailer" and called(part) in CALLS_DROPPED and arguments(part):
                    yield f"({text(arguments(part)[0])}){text(*node.children[i + 1:])}"


class ExchangeFunction(Rewrite):
    """A function for its neighbour: exp and expm1, min and max, sum and mean."""

    before, after = "x = xp.exp(a)", "x = xp.expm1(a)"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "name" and node.value in CALLS_EXCHANGED:
            last = node.parent if node.parent.type == "trailer" else node
            call = last.get_next_sibling()
            if call is not None and call.type == "trailer" and called(call) == node.value:
                yield CALLS_EXCHANGED[node.value]


class ExchangeName(Rewrite):
    """One table of the schedule for another; one name of a pair for the other, in functions that have both."""

    before, after = "x = s.beta", "x = s.beta_tilde"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type != "name" or node.is_definition() or (
                node.parent.type == "argument" and node is node.parent.children[0]):
            return
        if node.parent.type == "trailer" and node.parent.children[0].value == ".":
            if node.value in TABLES_EXCHANGED:
                yield TABLES_EXCHANGED[node.value]
            return
        for pair in NAMES_EXCHANGED:
            if node.value in pair and not lends_its_kind(node):
                other = pair[1 - pair.index(node.value)]
                around = function_of(node)
                if around is not None and other in used_names(around):
                    yield other


class ExchangeText(Rewrite):
    """A known option for its opposite."""

    before, after = 'x = "small"', 'x = "large"'

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "string":
            for pair in TEXTS_EXCHANGED:
                value = node.value.strip("\"'")
                if value in pair and node.parent.type != "simple_stmt":
                    yield f'"{pair[1 - pair.index(value)]}"'


class DoubleNumber(Rewrite):
    """A number with a point twice as large; 0.0 becomes 1.0."""

    before, after = "x = 0.5", "x = 1.0"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "number" and not is_int(node):
            yield repr(2 * float(node.value) or 1.0)


class FlipAssignment(Rewrite):
    """+= becomes −=, *= becomes /=, and back."""

    before, after = "x += a", "x -= a"

    def rewrites(self, node: Any) -> Iterator[str]:
        opposite = {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}
        if node.type == "operator" and node.value in opposite:
            yield opposite[node.value]


class DropCall(Rewrite):
    """A call that stands alone, such as one that refuses bad input, is not made."""

    before, after = "f(a)", "pass"

    def rewrites(self, node: Any) -> Iterator[str]:
        if node.type == "atom_expr" and node.parent.type == "simple_stmt" and node.children[-1].type == "trailer":
            yield "pass"


def is_int(node: Any) -> bool:
    """Whether a number has no point and no exponent."""
    return node.value.replace("_", "").isdigit()


def _in_formula(node: Any) -> bool:
    """No star of a signature or of a call."""
    return node.parent.type in ("arith_expr", "term", "power", "expr_stmt")


def _core() -> Iterator[tuple[str, Operator]]:
    """The chosen ones of cosmic-ray's."""
    binary = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "Mod_FloorDiv", "Pow_Mul")
    comparisons = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")
    unary = ("Delete_USub", "Delete_Not", "Delete_Invert")
    for module, prefix, names, condition in (
            (binary_operator_replacement, "ReplaceBinaryOperator_", binary, _in_formula),
            (comparison_operator_replacement, "ReplaceComparisonOperator_", comparisons, lambda node: True),
            (unary_operator_replacement, "ReplaceUnaryOperator_", unary, lambda node: True)):
        for name in names:
            yield prefix + name, Core(getattr(module, prefix + name)(), condition)
    for cls in (boolean_replacer.ReplaceTrueWithFalse, boolean_replacer.ReplaceFalseWithTrue,
                boolean_replacer.ReplaceAndWithOr, boolean_replacer.ReplaceOrWithAnd, boolean_replacer.AddNot,
                break_continue.ReplaceBreakWithContinue, break_continue.ReplaceContinueWithBreak,
                zero_iteration_for_loop.ZeroIterationForLoop):
        yield cls.__name__, Core(cls())
    whole = Core(number_replacer.NumberReplacer(), lambda node: is_int(node) and not says_the_rest(node))
    yield "NumberReplacer", whole


OWN = (DropTerm, DropFactor, SwapOperands, SwapArguments, ShiftIndex, DropFunction, ExchangeFunction, ExchangeName,
       ExchangeText, DoubleNumber, FlipAssignment, DropCall)
OPERATORS: dict[str, Operator] = {**dict(_core()), **{cls.__name__: cls() for cls in OWN}}
