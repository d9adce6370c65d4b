"""Matplotlib figures that need no display."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def new_figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> Any:
    """Return a figure with its axes in an array (rows, columns); `kwargs` go to `matplotlib.figure.Figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **kwargs)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def set_log_scale(axis: Any, values: Iterable[float]) -> None:
    """Make the y axis logarithmic if a value can be drawn on it; Matplotlib has no ticks for an axis without one."""
    if any(0 < value < math.inf for value in values):
        axis.set_yscale("log")
