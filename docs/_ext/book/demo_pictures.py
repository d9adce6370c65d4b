"""The pictures of demonstrations on pages without scripts, from the same calls as those with sliders."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from book.svg import COLOURS, new_figure

Items = list[dict[str, Any]]


def forward(items: Items) -> tuple[Figure, str]:
    """Draw the density of x_t over a histogram of samples."""
    item = items[-1]
    figure, axes = new_figure()
    found, data = item["histogram"], item["data"]
    axes.stairs(found["heights"], found["edges"], fill=True, color=COLOURS["sample"], alpha=0.35)
    axes.plot(item["x"], item["density"], color=COLOURS["exact"])
    if data["density"] is not None:
        axes.plot(item["x"], data["density"], "--", color=COLOURS["data"])
    top = found["heights"].max()
    for place, weight in data["points"]:
        axes.vlines(place, 0, weight * top, color=COLOURS["data"], linewidth=2)
    axes.set(xlabel="xₜ", ylabel="density", ylim=(0, 1.08 * top))
    return figure, (f"Density of x at step {item['t']} of {item['T']}, with a histogram of samples: √ᾱ is "
                    f"{item['signal']:.3g} and 1 − ᾱ is {item['noise']:.3g}.")


def posterior(items: Items) -> tuple[Figure, str]:
    """Draw the two factors of Bayes' rule, their product, and the posterior."""
    item = items[-1]
    figure, axes = new_figure()
    x = item["x"]
    axes.plot(x, item["prior"], "--", color=COLOURS["data"])
    axes.plot(x, item["likelihood"], color=COLOURS["likelihood"])
    axes.plot(x, item["posterior"], color=COLOURS["exact"])
    seen = item["product"] > item["product"].max() / 100
    axes.plot(x[seen][::12], item["product"][seen][::12], ".", color=COLOURS["sample"])
    axes.set(xlabel="xₜ₋₁", ylabel="density", ylim=(0, None))
    return figure, (f"Densities of the point before step {item['t']} of {item['T']}: the posterior has mean "
                    f"{item['mean']:.3g} and variance {item['variance']:.3g}.")


def walk(items: Items) -> tuple[Figure, str]:
    """Draw paths against t, and at the right where all walkers end."""
    begin, end = items[0], items[-1]
    figure, (paths, ends) = new_figure(2, sharey=True, width_ratios=(7, 3))
    t = [item["t"] for item in items]
    paths.plot(t, np.stack([item["paths"] for item in items]), color=COLOURS["data"], linewidth=0.7)
    paths.plot(np.full(end["paths"].size, end["t"]), end["paths"], ".", color=COLOURS["sample"], clip_on=False)
    paths.set(xlabel="t", ylabel="xₜ", xlim=(t[0], t[-1]), ylim=(begin["x"][0], begin["x"][-1]))
    found = end["histogram"]
    ends.stairs(found["heights"], found["edges"], fill=True, color=COLOURS["sample"], alpha=0.35,
                orientation="horizontal")
    ends.plot(end["density"], begin["x"], color=COLOURS["exact"])
    ends.set(xlabel="at t = 0", xticks=[], xlim=(0, None))
    return figure, (f"Paths of {end['paths'].size} walkers from t = {t[0]} to t = {t[-1]}, and a histogram of all ends "
                    f"beside the data's density: standard deviation {end['deviation']:.3g}, that of the data "
                    f"{end['exact_deviation']:.3g}.")
