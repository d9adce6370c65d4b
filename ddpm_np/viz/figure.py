"""Matplotlib figures that need no display."""

from __future__ import annotations

from typing import Any


def new_figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> Any:
    """Return a figure with its axes in an array (rows, columns); `kwargs` go to `matplotlib.figure.Figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **kwargs)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)
