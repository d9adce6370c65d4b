"""Expressions as plain text: √ᾱ_{t−1}·β_t/(1 − ᾱ_t), for the command line and counterexamples."""

from __future__ import annotations

from ddpm_np.check.derivations.symbols import SYMBOLS
from ddpm_np.check.derivations.tree import Index, Node

_LEVELS = {"add": 1, "sub": 1, "neg": 2, "mul": 3, "div": 3, "sum": 2, "prod": 2, "pow": 4}
_GREEK = {r"\gamma": "γ", r"\lambda": "λ", r"\eta": "η", r"\delta": "δ", r"\tau": "τ", r"\phi": "φ", r"\psi": "ψ",
          r"\rho": "ρ", r"\mu": "μ", r"\nu": "ν", r"\kappa": "κ", r"\omega": "ω", r"\theta": "θ", r"\zeta": "ζ",
          r"\xi": "ξ"}


def text(node: Node, level: int = 0) -> str:
    """Return an expression as plain text.

    Parameters
    ----------
    node : Node
        The expression.
    level : int
        How tightly its surroundings bind: 0 to 5.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> from ddpm_np.check.derivations.latex import parse
    >>> text(parse(r"\\frac{\\sqrt{\\abp}\\be}{1-\\ab}"))
    '√ᾱ_{t−1}·β_t/(1 − ᾱ_t)'
    """
    own = _LEVELS.get(node.op, 5)
    shown = _text(node)
    return f"({shown})" if own < level else shown


def _text(node: Node) -> str:
    op, args = node.op, node.args
    if op == "num":
        return str(args[0])
    if op == "pi":
        return "π"
    if op == "inf":
        return "∞" if args[0] > 0 else "−∞"
    if op == "sym":
        return symbol_text(args[0], tuple(_index(index) for index in args[1]))
    if op in ("add", "sub"):
        return f"{text(args[0], 1)} {'+' if op == 'add' else '−'} {text(args[1], 1 if op == 'add' else 2)}"
    if op == "neg":
        return f"−{text(args[0], 2)}"
    if op in ("mul", "div"):
        return f"{text(args[0], 3)}{'·' if op == 'mul' else '/'}{text(args[1], 3 if op == 'mul' else 4)}"
    if op == "pow":
        power = text(args[1], 4)
        return text(args[0], 5) + ({"2": "²", "3": "³"}.get(power) or f"^{power}")
    if op == "sqrt":
        return f"√{text(args[0], 5)}"
    if op == "fn":
        return f"{'Φ' if args[0] == 'Phi' else args[0]} {text(args[1], 5)}"
    if op in ("sum", "prod"):
        variable, low, high, body = args
        bounds = variable if low is None else f"{variable}={_index(low)}..{_index(high)}"
        return f"{'Σ' if op == 'sum' else 'Π'}_{{{bounds}}} {text(body, 3)}"
    if op == "pd":
        return f"∂/∂{text(args[0])}[{text(args[1])}]"
    if op == "int":
        return f"∫_{text(args[1], 5)}^{text(args[2], 5)} {text(args[3], 3)} d{text(args[0])}"
    over = ",".join(text(symbol) for symbol in args[0])
    return f"{op}_{{{over}}}[{', '.join(text(part) for part in args[1:])}]"


def _index(index: Index) -> str:
    name, offset = index
    if not name:
        return str(offset)
    return name + (f"{'+' if offset > 0 else '−'}{abs(offset)}" if offset else "")


def symbol_text(macro: str, indices: tuple[str, ...] = ()) -> str:
    """Return a symbol's plain text.

    Parameters
    ----------
    macro : str
        The macro or letter.
    indices : tuple of str
        Its indices.

    Returns
    -------
    str
        The text.
    """
    if macro in SYMBOLS:
        shown = SYMBOLS[macro].text
        for place, index in enumerate(indices, 1):
            shown = shown.replace(f"#{place}", index)
        return shown
    return "_".join([_GREEK.get(macro, macro), *([",".join(indices)] if indices else [])])
