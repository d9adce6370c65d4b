"""The pictures of demonstrations that a reader starts, on pages without scripts: a trained toy, and digits."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from book.demo_pictures import Items
from book.svg import COLOURS, new_figure

ROWS = 5  # steps of the digits' chain that are shown


def toy(items: Items) -> tuple[Figure, str]:
    """Draw the points that the trained net has drawn beside the data, and the loss."""
    data, found = items[0]["data"], items[-1]
    points = [item["points"] for item in items if "points" in item][-1]
    losses = [item["loss"] for item in items if "loss" in item]
    figure, (plane, curve) = new_figure(2)
    plane.plot(*data.T, ".", color=COLOURS["data"], markersize=2)
    plane.plot(*points.T, ".", color=COLOURS["sample"], markersize=2)
    plane.set(xlabel="x", ylabel="y", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    curve.plot(range(1, len(losses) + 1), losses, color=COLOURS["exact"])
    curve.axhline(found["floor"], color=COLOURS["likelihood"], linestyle="--")
    curve.set(xlabel="training step", ylabel="loss", ylim=(0, None))
    return figure, (f"{len(points)} points drawn from a net beside {len(data)} of the data, and the loss in "
                    f"{len(losses)} training steps. On fresh points L_simple is {found['achieved']:.4f}, and that of "
                    f"the best net there is {found['floor']:.4f}.")


def digits(items: Items) -> tuple[Figure, str]:
    """Draw x_t and x̂₀ at some steps, a row for each, from the first to the last."""
    size, steps = items[0]["size"], items[1:]
    noisy = [item["x"] for item in items[:-1]]  # from which the net estimates: each x̂₀ belongs to the x before it
    chosen = np.linspace(0, len(steps) - 1, ROWS).round().astype(int)
    figure, (left, right) = new_figure(2)
    figure.set_figheight(1.6)
    for axes, name, rows in ((left, "xₜ", [noisy[i] for i in chosen]), (right, "x̂₀", [steps[i]["x0"] for i in chosen])):
        axes.imshow(in_rows(rows, size), cmap="gray", vmin=0, vmax=255, interpolation="none")
        axes.set(xlabel=name, xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    height = size[0] + 1
    left.set_yticks([height * row + size[0] / 2 for row in range(ROWS)], [f"t = {steps[i]['seen']}" for i in chosen])
    left.tick_params(length=0)
    first, last = steps[0]["seen"], steps[-1]["seen"]
    return figure, (f"{len(noisy[0])} digits on their way from noise, in {ROWS} rows from t = {first} to t = {last}: "
                    "xₜ at the left, the net's estimates x̂₀ of them at the right.")


def in_rows(rows: list[np.ndarray], size: tuple[int, int]) -> np.ma.MaskedArray:
    """Return images, bytes (rows, N, H·W), in rows and columns with an empty pixel between."""
    images = np.array(rows).reshape(len(rows), -1, *size)  # (R, N, H, W)
    apart = np.pad(images.astype(float), ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    r, n, h, w = apart.shape
    return np.ma.masked_invalid(apart.transpose(0, 2, 1, 3).reshape(r * h, n * w)[:-1, :-1])
