"""Curves of the loss, the schedule, the bound's terms, and rate–distortion. Each function writes one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddpm_np.arguments import count
from ddpm_np.diffusion import Schedule
from ddpm_np.viz.figure import new_figure, save_figure, set_log_scale


def plot_loss(path: str | Path, records: Sequence[dict[str, float]]) -> None:
    """Plot L_simple and the gradient's norm against the training step.

    Parameters
    ----------
    path : str or Path
        The file to write.
    records : sequence of dict
        The training log, each record with ``step``, ``loss`` and ``grad_norm``.

    Raises
    ------
    ValueError
        If there are no records.
    """
    if not records:
        raise ValueError("there are no records to plot: train a run first")
    figure, axes = new_figure(2, 1, figsize=(7, 5), dpi=110)
    steps = [r["step"] for r in records]
    labels = {"loss": "$L_{simple}$", "grad_norm": r"$\|g\|$ before the clip"}
    for axis, (key, label) in zip(axes[:, 0], labels.items(), strict=True):
        values = [r[key] for r in records]
        axis.plot(steps, values, lw=1.2)
        set_log_scale(axis, values)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3, which="both")
    axes[1, 0].set_xlabel("step")
    save_figure(path, figure)


def plot_schedule(path: str | Path, schedule: Schedule) -> None:
    """Plot a schedule: β_t, β̃_t, √ᾱ_t, √(1 − ᾱ_t), the signal-to-noise ratio, the posterior mean's coefficients.

    Parameters
    ----------
    path : str or Path
        The file to write.
    schedule : Schedule
        The schedule.
    """
    figure, axes = new_figure(2, 2, figsize=(10, 6.5), dpi=110)
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
         (("of $x_0$", schedule.posterior_x0), ("of $x_t$", schedule.posterior_xt))),
    )
    for axis, title, scale, lines in curves:
        for label, table in lines:
            values = np.where(table[1:] > 0, table[1:], np.nan)  # β̃₁ = 0 cannot be drawn on a log scale
            axis.plot(t, values, label=label)
            if scale == "log":
                set_log_scale(axis, values)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("t")
        axis.legend()
        axis.grid(alpha=0.3)
    save_figure(path, figure)


def plot_bound(path: str | Path, terms: Sequence[float], title: str = "") -> None:
    """Plot the terms of the bound by t on logarithmic axes, and their running sum from T down.

    Parameters
    ----------
    path : str or Path
        The file to write.
    terms : sequence of T + 1 floats
        L₀, …, L_{T−1}, L_T in bits per dimension (`evaluate.likelihood.Curve.terms`).
    title : str
        Title of the plot.
    """
    figure, axes = new_figure(1, 2, figsize=(10, 4), dpi=110)
    t = np.arange(1, len(terms))  # entry t − 1 is the term of step t
    values = np.asarray(terms[:-1], dtype=np.float64)
    axes[0, 0].plot(t, np.where(values > 0, values, np.nan), lw=1.2)
    set_log_scale(axes[0, 0], values)
    axes[0, 0].set(xscale="log", xlabel="t", ylabel=r"$L_{t-1}$, bits per dimension", title=title)
    axes[0, 1].plot(t, np.cumsum(values[::-1])[::-1] + terms[-1], lw=1.2)
    axes[0, 1].set(xscale="log", xlabel="t", ylabel=r"$L_T + \sum_{s \geq t} L_{s-1}$, bits per dimension")
    for axis in axes[0]:
        axis.grid(alpha=0.3, which="both")
    save_figure(path, figure)


def plot_rate_distortion(path: str | Path, rate: Sequence[float], distortion: Sequence[float], levels: int = 256,
                         title: str = "") -> None:
    """Plot distortion and rate against the reverse process's time T − t and against each other (figure 5).

    Parameters
    ----------
    path : str or Path
        The file to write.
    rate : sequence of T + 1 floats
        Bits per dimension sent until the receiver has x_t (`evaluate.likelihood.Curve.rate`).
    distortion : sequence of T + 1 floats
        Root mean squared error of x̂₀(x_t) (`evaluate.likelihood.Curve.distortion`).
    levels : int
        Number of values that an element can take, the unit of the distortion.
    title : str
        Title of the plot.
    """
    count("levels", levels, 2)
    figure, axes = new_figure(1, 3, figsize=(13, 4), dpi=110)
    T = len(rate) - 1
    time = T - np.arange(T + 1)  # entry t: the receiver has x_t at time T − t
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
    save_figure(path, figure)
