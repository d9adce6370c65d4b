"""Plot cost against size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddpm_np.bench.record import Result
from ddpm_np.bench.scaling import curves
from ddpm_np.bench.timing import OURS
from ddpm_np.viz.figure import save_figure


def plot_cost(path: str | Path, results: Sequence[Result]) -> None:
    """Plot the milliseconds of a training step against each size, ours and PyTorch's, on logarithmic axes.

    The lower panels show milliseconds per GFLOP: where that does not rise, time grows no faster than the arithmetic.
    """
    if not results:
        raise ValueError("there is nothing to plot: measure --what scaling first")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = curves(results)
    axes_names = list(dict.fromkeys(axis for axis, _ in found))
    figure = Figure(layout="constrained", figsize=(3.6 * len(axes_names), 5.5), dpi=110)
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(axes_names), squeeze=False, sharex="col")
    for column, axis in enumerate(axes_names):
        above, below = panels[:, column]
        for (its_axis, side), points in found.items():
            if its_axis != axis:
                continue
            sizes, times, work = zip(*points, strict=True)
            style = {"marker": "o", "ms": 4, "lw": 1.2, "label": "ddpm_np" if side == OURS else side}
            above.plot(sizes, [1e3 * seconds for seconds in times], **style)
            below.plot(sizes, [1e12 * seconds / flops for seconds, flops in zip(times, work, strict=True)], **style)
        above.set_yscale("log", base=2)
        above.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        below.set_ylim(bottom=0)
        marks = sorted({int(size) for (its_axis, _), points in found.items() if its_axis == axis
                        for size, _, _ in points})
        for panel in (above, below):
            panel.set_xscale("log", base=2)
            panel.set_xticks(marks, [str(mark) for mark in marks])
            panel.grid(alpha=0.3)
        below.set_xlabel(axis)
    panels[0, 0].set_ylabel("ms per training step")
    panels[1, 0].set_ylabel("ms per GFLOP")
    panels[0, 0].legend()
    save_figure(path, figure)
