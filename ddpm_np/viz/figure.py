"""Matplotlib figures that need no display, and pictures written atomically."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ddpm_np.storage import open_atomically


def new_figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> Any:
    """Return a figure with its axes in an array (rows, columns); `kwargs` go to `matplotlib.figure.Figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **kwargs)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def save_figure(path: str | Path, figure: Any) -> None:
    """Write a figure atomically, in the format that the file's name ends in.

    Parameters
    ----------
    path : str or Path
        The file; without a suffix, ``.png`` is added.
    figure : matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If Matplotlib has no such format.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    kind, known = path.suffix[1:].lower(), figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise ValueError(f"{path} is not the name of a picture: it must end in one of {', '.join(sorted(known))}")
    with open_atomically(path) as file:
        figure.savefig(file, format=kind)


def save_image(path: str | Path, image: Any, **options: Any) -> None:
    """Write a Pillow image atomically, in the format that the file's name ends in.

    Parameters
    ----------
    path : str or Path
        The file.
    image : PIL.Image.Image
        The image.
    **options
        As in `Image.save`.

    Raises
    ------
    ValueError
        If Pillow writes no such format.
    OSError
        If the file cannot be written.
    """
    from PIL import Image

    kind = Image.registered_extensions().get(Path(path).suffix.lower())
    if kind not in Image.SAVE:
        raise ValueError(f"{path} is not the name of a picture: let it end in .png")
    with open_atomically(path) as file:
        image.save(file, format=kind, **options)


def set_log_scale(axis: Any, values: Iterable[float]) -> None:
    """Make the y axis logarithmic if a value can be drawn on it; Matplotlib has no ticks for an axis without one."""
    if any(0 < value < math.inf for value in values):
        axis.set_yscale("log")
