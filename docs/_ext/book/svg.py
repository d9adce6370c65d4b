"""Figures of Matplotlib as SVG within a page, in the page's own colours, light or dark."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# A figure is drawn in colours that stand for the page's; _static/demos.css defines these.
COLOURS = {
    "exact": "#010203", "sample": "#010204", "likelihood": "#010205", "data": "#010206", "text": "#010207",
    "border": "#010208",
}
OF_THE_PAGE = {"text": "var(--pst-color-text-base)", "border": "var(--pst-color-border)"}
STYLE = {
    "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "text.color": COLOURS["text"], "axes.labelcolor": COLOURS["text"], "xtick.labelcolor": COLOURS["text"],
    "ytick.labelcolor": COLOURS["text"], "xtick.color": COLOURS["border"], "ytick.color": COLOURS["border"],
    "axes.edgecolor": COLOURS["border"],
}
NOTHING: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def new_figure(columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure as wide as a phone's screen, and its axes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        return figure, figure.subplots(1, columns, **options)


def inline_svg(figure: Figure, label: str, name: str) -> str:
    """Return a figure as SVG within HTML.

    `label` says what it shows, for readers who do not see it; `name` keeps its ids apart from other figures'.
    """
    text = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": "ddpm_np"}):
        figure.savefig(text, format="svg", transparent=True, metadata=NOTHING)
    svg = text.getvalue()
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # a style would be the page's
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    for kind, colour in COLOURS.items():
        svg = svg.replace(colour, OF_THE_PAGE.get(kind, f"var(--demo-{kind})"))
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
