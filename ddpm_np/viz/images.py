"""Pictures: grids of images, the loss, the schedule, the forward process.

Each function draws and writes one file. Matplotlib is imported when the first is called, and never needs a screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.backend import get_backend
from ddpm_np.data import Images, to_levels
from ddpm_np.diffusion import Schedule, q_sample
from ddpm_np.viz.figure import new_figure


def grid(images: Any, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Images in [−1, 1] side by side as one picture of bytes.

    Parameters
    ----------
    images
        (N, H, W, C), C 1 or 3.
    columns
        Images a row; None for about as many as rows.
    gap
        Pixels of white between images.

    Returns
    -------
    uint8 array (rows·(H + gap) − gap, columns·(W + gap) − gap, C)
    """
    n, h, w, c = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, h + gap, w + gap, c), 255, np.uint8)
    cells[:n, :h, :w] = to_levels(images)
    picture = cells.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2)  # (rows, H+gap, columns, W+gap, C)
    return picture.reshape(rows * (h + gap), columns * (w + gap), c)[: -gap or None, : -gap or None]


def save_images(path: str | Path, images: Any, columns: int | None = None, size: int = 800) -> None:
    """Write a grid of images as a PNG, each pixel enlarged by a whole number for a width of about `size`."""
    from PIL import Image

    picture = grid(images, columns)
    picture = picture[:, :, 0] if picture.shape[2] == 1 else picture
    height, width = picture.shape[:2]
    factor = max(1, size // width)
    Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.NEAREST).save(path)


def plot_forward(path: str | Path, schedule: Schedule, dataset: Images, rows: int = 6, columns: int = 11,
                 seed: int = 0) -> None:
    """Images of the data set on their way to noise: x_t for evenly spaced t from 0 to T, by `q_sample`."""
    t = np.linspace(0, schedule.T, columns).round().astype(np.int64)  # (columns,)
    index = np.linspace(0, len(dataset) - 1, rows).astype(np.int64)
    x_0 = dataset.scaled(index)  # (rows, H, W, C)
    noise = get_backend().normal(seed, "plot", 0, 0, rows, x_0.shape[1:], "float32")
    steps = [q_sample(schedule, x_0, np.full(rows, s), noise) for s in t]
    figure, axes = new_figure(1, 1, figsize=(columns, rows * dataset.shape[0] / dataset.shape[1] + 0.7), dpi=100)
    axis = axes[0, 0]
    picture = grid(np.stack(steps, axis=1).reshape(-1, *dataset.shape), columns)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    width = dataset.shape[1] + 1
    axis.set_xticks([i * width + width / 2 - 1 for i in range(columns)], [str(s) for s in t])
    axis.set_yticks([])
    axis.set_xlabel("t")
    figure.savefig(path)


def save_rows(path: str | Path, images: Any, labels: Sequence[str], marks: Sequence[str] = ()) -> None:
    """Rows of images, each with a label to its left.

    Parameters
    ----------
    images
        (R, K, H, W, C) in [−1, 1].
    labels
        One a row.
    marks
        One a column, below them; none for none.
    """
    rows, columns, height, width = images.shape[:4]
    figure, axes = new_figure(1, 1, figsize=(0.9 + columns * 0.85, 0.3 + rows * 0.85 * height / width), dpi=120)
    axis = axes[0, 0]
    picture = grid(images.reshape(-1, *images.shape[2:]), columns)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_yticks([(i + 0.5) * (height + 1) - 1 for i in range(rows)], labels)
    axis.set_xticks([(i + 0.5) * (width + 1) - 1 for i in range(len(marks))], marks)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    figure.savefig(path)
