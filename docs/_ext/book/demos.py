"""`live-demo`: a demonstration with sliders, which without scripts is a picture computed in the build.

To add one: a module of docs/_live/js/demos that is named like it, and a line of `DEMOS`.
"""

from __future__ import annotations

import html
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import ddpm_live.all  # noqa: F401 - registers the calls
from ddpm_live.calls import CALLS
from docutils import nodes
from matplotlib.figure import Figure
from sphinx.util.docutils import SphinxDirective

from book import demo_pictures, task_pictures
from book.boxes import box
from book.svg import inline_svg


@dataclass(frozen=True)
class Demo:
    """A demonstration: its title, a sentence in Markdown, and its picture at the call's default settings.

    `picture` takes the items of the call and returns a figure and what it shows, for readers who do not see it.
    `legend` has what each colour of _static/demos.css stands for, with and without scripts. `call` is the call of
    ddpm_live, by default that of the demonstration's name.
    """

    title: str
    sentence: str
    picture: Callable[[list[dict[str, Any]]], tuple[Figure, str]]
    legend: dict[str, str] = field(default_factory=dict)
    call: str = ""


OF_WALKS = {"path": "paths", "sample": "all walkers", "exact": "q(xₜ) in closed form"}
DEMOS: dict[str, Demo] = {
    "forward": Demo(
        "From data to noise",
        "Move t, and watch the density of $x_t$: the curve is exact, the bars are samples drawn by {equation}`4`.",
        demo_pictures.forward,
        {"exact": "q(xₜ) in closed form", "sample": "samples by q_sample", "data": "data x₀"}),
    "posterior": Demo(
        "Two pieces of evidence",
        "Both $x_0$ and $x_t$ tell where $x_{t-1}$ was. The dots are Bayes' rule {equation}`6` in numbers, the curve "
        "below them is {equation}`7`.",
        demo_pictures.posterior,
        {"data": "q(xₜ₋₁ | x₀), from x₀", "likelihood": "q(xₜ | xₜ₋₁), from xₜ",
         "sample": "their product, over its integral", "exact": "q(xₜ₋₁ | xₜ, x₀) by (7)"}),
    "chain": Demo(
        "Algorithm 2, with the best net there is",
        "Twelve of two thousand walkers on their way from noise to data. With fewer steps, or the other variance, "
        "they end elsewhere.",
        demo_pictures.walk, OF_WALKS),
    "ddim": Demo(
        "The same noise, with and without new noise",
        "Without new noise, $\\eta=0$, paths never cross, and a few large steps lead near the data. With $\\eta=1$ "
        "they cross all the time.",
        demo_pictures.walk, OF_WALKS),
    "toy": Demo(
        "A net that learns in the page",
        "A small net learns points of the plane by {equation}`14`. Now and then points are drawn from it by "
        "{equation}`algorithm-2`, always from the same noise.",
        task_pictures.toy, {"data": "data", "sample": "drawn from the net", "exact": "loss",
                            "likelihood": "loss of the best net there is"}, "train_toy"),
    "digits": Demo(
        "Digits from the trained net",
        "Below $x_t$ is what the net takes it for: $\\hat x_0$ by {equation}`15`, which has a shape long before $x_t$ "
        "has one. With a label, guidance draws what is typical of it.",
        task_pictures.digits, {}, "draw_digits"),
}


def settings(call: str) -> dict[str, Any]:
    """Return the default settings of a call, which the page's sliders begin with."""
    return {name: parameter.default for name, parameter in inspect.signature(CALLS[call]).parameters.items()}


@cache
def static_picture(name: str) -> str:
    """Return a demonstration's picture at its default settings as SVG within HTML."""
    demo = DEMOS[name]
    figure, label = demo.picture(list(CALLS[demo.call or name]()))
    return inline_svg(figure, label, name)


def legend(entries: dict[str, str]) -> str:
    """Return the list of what a picture's colours stand for."""
    items = "".join(f'<li><span class="demo-swatch demo-{kind}"></span>{html.escape(text)}</li>'
                    for kind, text in entries.items())
    return f'<ul class="demo-legend">{items}</ul>' if items else ""


class LiveDemo(SphinxDirective):
    """A box with a demonstration; the argument is its name in `DEMOS`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in DEMOS:
            raise self.error(f"there is no demonstration {name!r}: choose one of {', '.join(DEMOS)}")
        demo = DEMOS[name]
        sentence, messages = self.parse_inline(demo.sentence)
        begin = html.escape(json.dumps(settings(demo.call or name)))
        return [
            nodes.raw("", f'<div class="live-demo" data-demo="{name}" data-settings="{begin}">', format="html"),
            nodes.paragraph("", demo.title, classes=["demo-title"]),
            nodes.paragraph("", "", *sentence, classes=["demo-sentence"]),
            box("demo-static", nodes.raw("", static_picture(name), format="html")),
            nodes.raw("", f"{legend(demo.legend)}</div>", format="html"),
            *messages,
        ]


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_directive("live-demo", LiveDemo)
