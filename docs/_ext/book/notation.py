"""The table of symbols: KaTeX's macros, and the page of the notation."""

from __future__ import annotations

from html import escape
from typing import Any

import sphinxcontrib.katex as katex
from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book.boxes import table, words
from ddpm_np.check.derivations import macros
from ddpm_np.check.derivations.symbols import SYMBOLS

MACROS = macros()
RENDER = katex.render_latex
logger = logging.getLogger(__name__)

# Shapes, and the names that other papers give to the same thing: by macro.
SHAPES = {
    r"\xo": "(N, …)", r"\xt": "(N, …)", r"\xp": "(N, …)", r"\xh": "(N, …)", r"\eps": "(N, …)", r"\epsh": "(N, …)",
    r"\epsp": "(N, …)", r"\z": "(N, …)", r"\v": "(N, …)", r"\vh": "(N, …)", r"\score": "(N, …)", r"\mut": "(N, …)",
    r"\muth": "(N, …)", r"\al": "(T + 1,)", r"\be": "(T + 1,)", r"\ab": "(T + 1,)", r"\abp": "(T + 1,)",
    r"\bt": "(T + 1,)", r"\ral": "(T + 1,)", r"\rabp": "(T + 1,)", r"\snr": "(T + 1,)", r"\sig": "(T + 1,)",
    r"\cz": "(T + 1,)", r"\ct": "(T + 1,)",
}
ELSEWHERE = {
    r"\ab": "α_t in DDIM; α_t² in Kingma et al. and in progressive distillation; 1/(1 + σ²) in Karras et al.",
    r"\al": "α_t/α_{t−1} in DDIM",
    r"\be": "β(t)/T in Song et al.'s stochastic differential equations",
    r"\bt": "posterior_variance in the authors' code",
    r"\xo": "x in most papers on continuous time; x₁ in flow matching",
    r"\xt": "z_t in Kingma et al.",
    r"\eps": "noise in the authors' code; x₀ in flow matching",
    r"\snr": "e^λ, λ the log-SNR, in Kingma et al.",
    r"\v": "v in Salimans & Ho; -dx/dφ in the angle φ of the schedule",
    r"\score": "∇ ln q(x_t), the score of Song & Ermon",
    r"\sig": "σ_t here is a step's; σ in Karras et al. is √((1 − ᾱ)/ᾱ)",
}


class Notation(SphinxDirective):
    """The symbols with their LaTeX, value, Python name, shape and their names elsewhere."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for symbol in SYMBOLS.values():
            if symbol.arguments:
                continue
            follows = symbol.value and symbol.value not in (r"\ral^2", r"\rabp^2")  # the two free symbols are roots
            latex = symbol.latex + (f" = {symbol.value}" if follows else "")
            rows.append([
                [nodes.math(latex, latex)],
                [nodes.literal("", symbol.name)] if symbol.name else [],
                [nodes.Text(SHAPES[symbol.macro])] if symbol.macro in SHAPES else [],
                [words(ELSEWHERE[symbol.macro])] if symbol.macro in ELSEWHERE else [],
                [nodes.literal("", symbol.macro)]])
        return [table(["Symbol", "In Python", "Shape", "Elsewhere", "Macro"], rows, "notation")] if rows else []


def rendered(latex: str, options: dict[str, Any] | None = None) -> str:
    """Return a formula as HTML; a warning, which stops the build in the end, names one that KaTeX refuses."""
    try:
        return RENDER(latex, options)
    except katex.KaTeXError as error:
        logger.warning("KaTeX refuses %r: %s", latex, error)
        return f"<code>{escape(latex)}</code>"


def setup(app: Any) -> None:
    """Register the directive; let KaTeX name what it refuses."""
    katex.render_latex = rendered
    app.add_directive("notation", Notation)
