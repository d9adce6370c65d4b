"""Questions about a node of parso's tree: its text, the call that it is in, the places that are no mathematics."""

from __future__ import annotations

from typing import Any

KIND_ASKED = {"of", "zeros_like", "ones_like", "real_dtype"}


def text(*nodes: Any) -> str:
    """The source of some nodes, without what stands before the first."""
    return "".join(node.get_code() for node in nodes).strip()


def called(node: Any) -> str:
    """The name before a call's parentheses, "" where it is no name; `node` is the trailer with the parentheses."""
    before = node.get_previous_sibling() if node.type == "trailer" and node.children[0].value == "(" else None
    if before is not None and before.type == "trailer" and before.children[0].value == ".":
        before = before.children[1]
    return before.value if before is not None and before.type == "name" else ""


def arguments(call: Any) -> list[Any]:
    """A call's positional arguments, up to the first that is a keyword or a star."""
    inside = call.children[1:-1]
    parts = inside[0].children[::2] if inside and inside[0].type == "arglist" else inside
    found = []
    for part in parts:
        if part.type == "argument":
            break
        found.append(part)
    return found


def lends_its_kind(name: Any) -> bool:
    """Whether only an array's shape, dtype or library counts here.

    ``of(x)``, ``at(t, like=x)``, ``times(x, t)``, ``x.shape``.
    """
    after = name.get_next_leaf()
    if after.value == "." and after.get_next_leaf().value in ("shape", "ndim", "dtype"):
        return True
    if name.parent.type == "argument" and name.parent.children[0].value == "like":
        return True
    call = name.parent if name.parent.type == "trailer" else name.parent.parent
    return call is not None and call.type == "trailer" and (
        called(call) in KIND_ASKED or (called(call) == "times" and name in arguments(call)[:1]))


def loses_its_sign(node: Any) -> bool:
    """Whether a value goes straight into a square or an absolute value."""
    above = node.parent
    if above.type == "atom":  # (a − b)
        base, *exponent = above.parent.children
        return above.parent.type == "power" and base is above and [text(part) for part in exponent] == ["**", "2"]
    return above.type == "trailer" and called(above) in ("square", "abs")


def says_the_rest(number: Any) -> bool:
    """Whether it is the 1 of ``reshape(-1)``, where NumPy takes any negative number for the size that is left."""
    factor = number.parent
    call = factor.parent if factor.type == "factor" else None
    while call is not None and not (call.type == "trailer" and called(call)):
        call = call.parent
    return call is not None and called(call) == "reshape"


def left_out(node: Any) -> bool:
    """Whether a place is no mathematics: types, imports, decorators, `__all__`, texts of errors, f-strings."""
    while node is not None:
        above = node.parent
        if node.type in ("raise_stmt", "import_name", "import_from", "decorator", "fstring", "assert_stmt"):
            return True
        if above is not None and above.type == "tfpdef" and node is not above.children[0]:
            return True
        if above is not None and above.type == "annassign" and node is above.children[1]:
            return True
        if above is not None and above.type == "funcdef" and node is above.annotation:
            return True
        if node.type == "expr_stmt" and node.children[0].get_code().strip() == "__all__":
            return True
        node = above
    return False


def function_of(node: Any) -> Any:
    """The outermost function around a node; None at the module's or a class's level."""
    found = None
    while node is not None:
        if node.type == "funcdef":
            found = node
        node = node.parent
    return found


def used_names(function: Any) -> set[str]:
    """All names in a function's text."""
    names, leaf, last = set(), function.get_first_leaf(), function.get_last_leaf()
    while leaf is not None:
        if leaf.type == "name":
            names.add(leaf.value)
        leaf = leaf.get_next_leaf() if leaf is not last else None
    return names
