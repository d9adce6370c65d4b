"""A Matplotlib figure that needs no screen."""

from __future__ import annotations

from typing import Any


def new_figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **kwargs)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)
