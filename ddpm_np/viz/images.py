"""Plots of images: grids, rows with labels, the forward process.

Matplotlib is imported at the first plot and needs no display.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddpm_np.arguments import count
from ddpm_np.backend import Array, get_backend
from ddpm_np.data import Images, to_levels
from ddpm_np.diffusion import Schedule, q_sample
from ddpm_np.viz.figure import new_figure, save_figure, save_image


def drawable(images: Array) -> np.ndarray:
    """Return images as a picture can show them: grey or in colour, and nan as mid-grey.

    Parameters
    ----------
    images : array of shape (..., H, W, C)
        Images in [−1, 1].

    Returns
    -------
    array of shape (..., H, W, C), or (..., H, C·W, 1) for other C than 1 and 3
        The images; other channels than grey or red, green and blue stand side by side.

    Raises
    ------
    ValueError
        If there is no image.

    Examples
    --------
    >>> drawable(np.zeros((4, 8, 8, 3))).shape, drawable(np.zeros((4, 8, 8, 2))).shape
    ((4, 8, 8, 3), (4, 8, 16, 1))
    """
    x = np.nan_to_num(np.asarray(images), nan=0.0, posinf=1.0, neginf=-1.0)
    if x.ndim < 3 or 0 in x.shape:
        raise ValueError(f"expected at least one image, (..., H, W, C), got shape {x.shape}")
    return x if x.shape[-1] in (1, 3) else np.concatenate(np.moveaxis(x, -1, 0), axis=-1)[..., None]


def grid(images: Array, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Lay out images side by side in one image of bytes.

    Parameters
    ----------
    images : array of shape (N, H, W, C)
        Images in [−1, 1], as `drawable` shows them.
    columns : int or None
        Images in a row. None: about as many as rows.
    gap : int
        White pixels between images.

    Returns
    -------
    uint8 array of shape (rows·(H + gap) − gap, columns·(W + gap) − gap, C)
        The grid.

    Raises
    ------
    ValueError
        If there are no images, or `columns` or `gap` is out of range.

    Examples
    --------
    >>> grid(np.zeros((4, 8, 8, 1))).shape
    (17, 17, 1)
    """
    images = drawable(images)
    n, h, w, c = images.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else count("columns", columns)
    count("gap", gap, 0)
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, h + gap, w + gap, c), 255, np.uint8)
    cells[:n, :h, :w] = to_levels(images)
    picture = cells.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2)  # (rows, H+gap, columns, W+gap, C)
    return picture.reshape(rows * (h + gap), columns * (w + gap), c)[: -gap or None, : -gap or None]


def save_images(path: str | Path, images: Array, columns: int | None = None, size: int = 800) -> None:
    """Write a grid of images as a PNG, enlarged by a whole factor to a width of about `size`.

    Parameters
    ----------
    path : str or Path
        The file to write.
    images : array of shape (N, H, W, C)
        Images in [−1, 1], as `drawable` shows them.
    columns : int or None
        Images in a row. None: about as many as rows.
    size : int
        Width to aim at, in pixels.

    Raises
    ------
    ValueError
        If there are no images.
    """
    from PIL import Image

    count("size", size)
    picture = grid(images, columns)
    picture = picture[:, :, 0] if picture.shape[2] == 1 else picture
    height, width = picture.shape[:2]
    factor = max(1, size // width)
    enlarged = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    save_image(path, enlarged)


def plot_forward(path: str | Path, schedule: Schedule, dataset: Images, rows: int = 6, columns: int = 11,
                 seed: int = 0) -> None:
    """Plot the forward process of a few images: x_t by `q_sample` for evenly spaced t from 0 to T.

    Parameters
    ----------
    path : str or Path
        The file to write.
    schedule : Schedule
        The schedule.
    dataset : Images
        The data set, from which evenly spaced images are taken.
    rows : int
        Number of images.
    columns : int
        Number of steps.
    seed : int
        Seed of the noise.
    """
    count("rows", rows, 1, 1000)
    count("columns", columns, 1, 1000)
    t = np.linspace(0, schedule.T, columns).round().astype(np.int64)  # (columns,)
    index = np.linspace(0, len(dataset) - 1, rows).astype(np.int64)
    x_0 = dataset.scaled(index)  # (rows, H, W, C)
    noise = get_backend().normal(seed, "plot", 0, 0, rows, x_0.shape[1:], "float32")
    steps = [q_sample(schedule, x_0, np.full(rows, s), noise) for s in t]
    images = drawable(np.stack(steps, axis=1))  # (rows, columns, H, W, C)
    height, width = images.shape[2:4]
    figure, axes = new_figure(1, 1, figsize=(columns, rows * height / width + 0.7), dpi=100)
    axis = axes[0, 0]
    picture = grid(images.reshape(-1, *images.shape[2:]), columns)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    width += 1
    axis.set_xticks([i * width + width / 2 - 1 for i in range(columns)], [str(s) for s in t])
    axis.set_yticks([])
    axis.set_xlabel("t")
    save_figure(path, figure)


def save_rows(path: str | Path, images: Array, labels: Sequence[str], marks: Sequence[str] = ()) -> None:
    """Plot rows of images, each with a label on its left.

    Parameters
    ----------
    path : str or Path
        The file to write.
    images : array of shape (R, K, H, W, C)
        Images in [−1, 1].
    labels : sequence of R str
        A label for each row.
    marks : sequence of str
        Labels below the columns; empty for no labels.
    """
    images = drawable(images)
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
    save_figure(path, figure)
