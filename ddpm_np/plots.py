"""Pictures: grids of images, the loss, the schedule, the forward process.

Each function draws and writes one file. Matplotlib is imported when the first is called, and never needs a screen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.backend import get_backend
from ddpm_np.data import Images, to_levels
from ddpm_np.diffusion import Schedule, q_sample


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


def _figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **kwargs)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def read_metrics(path: str | Path) -> list[dict[str, float]]:
    """The records of a metrics.jsonl."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]


def plot_loss(path: str | Path, records: Sequence[dict[str, float]]) -> None:
    """L_simple and the gradient's norm against the step."""
    if not records:
        raise ValueError("there are no records to plot: train a run first")
    figure, axes = _figure(2, 1, figsize=(7, 5), dpi=110)
    steps = [r["step"] for r in records]
    labels = {"loss": "$L_{simple}$", "grad_norm": r"$\|g\|$ before the clip"}
    for axis, (key, label) in zip(axes[:, 0], labels.items(), strict=True):
        axis.plot(steps, [r[key] for r in records], lw=1.2)
        axis.set_yscale("log")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3, which="both")
    axes[1, 0].set_xlabel("step")
    figure.savefig(path)


def plot_schedule(path: str | Path, schedule: Schedule) -> None:
    """β_t and β̃_t, √ᾱ_t and √(1 − ᾱ_t), the signal-to-noise ratio, and the coefficients of the posterior mean."""
    figure, axes = _figure(2, 2, figsize=(10, 6.5), dpi=110)
    t = np.arange(1, schedule.T + 1)
    curves = (
        (axes[0, 0], "variance of a step", "log",
         ((r"$\beta_t$", schedule.beta), (r"$\tilde\beta_t$", schedule.beta_tilde))),
        (axes[0, 1], "(4): $x_t$ = signal + noise", "linear",
         ((r"$\sqrt{\bar\alpha_t}$", schedule.sqrt_alpha_bar),
          (r"$\sqrt{1-\bar\alpha_t}$", schedule.sqrt_one_minus_alpha_bar))),
        (axes[1, 0], "signal-to-noise ratio", "log",
         ((r"$\bar\alpha_t/(1-\bar\alpha_t)$",
           np.concatenate(([np.nan], schedule.alpha_bar[1:] / schedule.one_minus_alpha_bar[1:]))),)),
        (axes[1, 1], "(7): the posterior mean's coefficients", "linear",
         (("of $x_0$", schedule.posterior_mean_x0), ("of $x_t$", schedule.posterior_mean_xt))),
    )
    for axis, title, scale, lines in curves:
        for label, table in lines:
            values = np.where(table[1:] > 0, table[1:], np.nan)  # β̃₁ = 0 has no place on a log scale
            axis.plot(t, values, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_yscale(scale)
        axis.set_xlabel("t")
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(path)


def plot_forward(path: str | Path, schedule: Schedule, dataset: Images, rows: int = 6, columns: int = 11,
                 seed: int = 0) -> None:
    """Images of the data set on their way to noise: x_t for evenly spaced t from 0 to T, by `q_sample`."""
    t = np.linspace(0, schedule.T, columns).round().astype(np.int64)  # (columns,)
    index = np.linspace(0, len(dataset) - 1, rows).astype(np.int64)
    x_0 = dataset.scaled(index)  # (rows, H, W, C)
    noise = get_backend().normal(seed, "plot", 0, 0, rows, x_0.shape[1:], "float32")
    steps = [q_sample(schedule, x_0, np.full(rows, s), noise) for s in t]
    figure, axes = _figure(1, 1, figsize=(columns, rows * dataset.shape[0] / dataset.shape[1] + 0.7), dpi=100)
    axis = axes[0, 0]
    picture = grid(np.stack(steps, axis=1).reshape(-1, *dataset.shape), columns)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    width = dataset.shape[1] + 1
    axis.set_xticks([i * width + width / 2 - 1 for i in range(columns)], [str(s) for s in t])
    axis.set_yticks([])
    axis.set_xlabel("t")
    figure.savefig(path)


def plot_bound(path: str | Path, terms: Sequence[float], title: str = "") -> None:
    """The terms of the bound by t, on logarithmic axes, and their running sum from T down.

    Parameters
    ----------
    terms
        L₀, …, L_{T−1}, L_T in bits per dimension (`evaluate.Curve.terms`).
    """
    figure, axes = _figure(1, 2, figsize=(10, 4), dpi=110)
    t = np.arange(1, len(terms))  # entry t − 1 is the term of step t
    values = np.asarray(terms[:-1], dtype=np.float64)
    axes[0, 0].plot(t, np.where(values > 0, values, np.nan), lw=1.2)
    axes[0, 0].set(xscale="log", yscale="log", xlabel="t", ylabel=r"$L_{t-1}$, bits per dimension", title=title)
    axes[0, 1].plot(t, np.cumsum(values[::-1])[::-1] + terms[-1], lw=1.2)
    axes[0, 1].set(xscale="log", xlabel="t", ylabel=r"$L_T + \sum_{s \geq t} L_{s-1}$, bits per dimension")
    for axis in axes[0]:
        axis.grid(alpha=0.3, which="both")
    figure.savefig(path)


def plot_rate_distortion(path: str | Path, rate: Sequence[float], distortion: Sequence[float], levels: int = 256,
                         title: str = "") -> None:
    """Figure 5: distortion and rate against the reverse process's time T − t, and one against the other."""
    figure, axes = _figure(1, 3, figsize=(13, 4), dpi=110)
    T = len(rate) - 1
    time = T - np.arange(T + 1)  # index t: what the receiver has at time T − t
    unit = f"distortion (RMSE, levels 0 to {levels - 1})"
    for axis, x, y, labels in (
        (axes[0, 0], time[1:], distortion[1:], ("reverse process steps T − t", unit)),
        (axes[0, 1], time[1:], rate[1:], ("reverse process steps T − t", "rate (bits per dimension)")),
        (axes[0, 2], rate[1:], distortion[1:], ("rate (bits per dimension)", unit)),
    ):
        axis.plot(x, y, lw=1.2)
        axis.set(xlabel=labels[0], ylabel=labels[1])
        axis.grid(alpha=0.3)
    axes[0, 1].set_title(title)
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
    figure, axes = _figure(1, 1, figsize=(0.9 + columns * 0.85, 0.3 + rows * 0.85 * height / width), dpi=120)
    axis = axes[0, 0]
    picture = grid(images.reshape(-1, *images.shape[2:]), columns)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_yticks([(i + 0.5) * (height + 1) - 1 for i in range(rows)], labels)
    axis.set_xticks([(i + 0.5) * (width + 1) - 1 for i in range(len(marks))], marks)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    figure.savefig(path)
