"""Plots of a net that has learned a toy: point clouds of both processes, the score, variances, an animation.

Points are coloured by the direction of their x₀ from the origin, which shows where each came from. Each function writes
one file and needs no display.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.backend import get_backend
from ddpm_np.diffusion import q_sample
from ddpm_np.toys.training import Trained
from ddpm_np.viz.figure import save_figure, save_image

LIMIT = 3.2  # half width of the axes: 399 of 400 standard normal points lie within
POINTS = 1200
NAMES = ("forward.png", "reverse.png", "field.png", "variance.png", "flow.gif")


def _figure(rows: int, columns: int, figsize: tuple[float, float], share: bool = True) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", dpi=110, figsize=figsize)
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)


def colours(x_0: np.ndarray) -> np.ndarray:
    """Return a colour for each x₀, whose hue is the point's angle.

    Parameters
    ----------
    x_0 : array of shape (n, 2)
        The points.

    Returns
    -------
    array of shape (n, 3)
        RGB colours.
    """
    from matplotlib.colors import hsv_to_rgb

    hue = np.arctan2(x_0[:, 1], x_0[:, 0]) / (2 * math.pi) % 1.0  # (n,)
    return hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.85), np.full_like(hue, 0.8)], axis=1))


def spaced(T: int, count: int, power: float = 1.0) -> list[int]:
    """Return at most `count` distinct steps from 0 to T, evenly spaced or, for a `power` above 1, denser near 0.

    Parameters
    ----------
    T : int
        Steps of the chain.
    count : int
        Number of steps to return.
    power : float
        Exponent of the spacing.

    Returns
    -------
    list of int
        The steps in ascending order.

    Examples
    --------
    >>> spaced(100, 5), spaced(100, 5, 2)
    ([0, 25, 50, 75, 100], [0, 6, 25, 56, 100])
    """
    return sorted({round(T * (i / (count - 1)) ** power) for i in range(count)})


def true_clouds(trained: Trained, steps: Sequence[int], seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Return x_t ~ q(x_t) for several t, from the same x₀ and noise, and the points' colours.

    Parameters
    ----------
    trained : Trained
        The toy and its schedule.
    steps : sequence of int
        The steps t.
    seed : int
        Seed of x₀ and noise.

    Returns
    -------
    clouds : list of array of shape (n, 2)
        x_t for each t.
    colours : array of shape (n, 3)
        The colours of `colours`.
    """
    x_0 = trained.toy.sample(POINTS, seed, first=2**47)  # (n, 2)
    noise = get_backend().normal(seed, "toy/forward", 0, 0, POINTS, (2,), "float32")
    return [q_sample(trained.schedule, x_0, np.full(POINTS, t), noise) for t in steps], colours(x_0)


def _scatter(axis: Any, x: np.ndarray, colour: Any, title: str = "") -> None:
    axis.scatter(x[:, 0], x[:, 1], s=3, c=colour, linewidths=0)
    _square(axis, title)


def _square(axis: Any, title: str) -> None:
    axis.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    axis.set_title(title, fontsize=10)
    axis.tick_params(labelsize=7, length=2)


def plot_forward(path: str | Path, trained: Trained) -> None:
    """Plot the forward process, equation (4): x_t for several t.

    Parameters
    ----------
    path : str or Path
        The file to write.
    trained : Trained
        The toy and its schedule.
    """
    steps = spaced(trained.schedule.T, 6, 2)
    clouds, colour = true_clouds(trained, steps)
    figure, axes = _figure(1, len(steps), figsize=(2.3 * len(steps), 2.9))
    for axis, t, x in zip(axes[0], steps, clouds, strict=True):
        left = trained.schedule.alpha_bar[t]
        _scatter(axis, x, colour, rf"t = {t},  $\bar\alpha_t$ = {left:.2g}" if t else "t = 0, the data")
    figure.suptitle(rf"{trained.toy.name}: $x_t = \sqrt{{\bar\alpha_t}}\,x_0 + \sqrt{{1-\bar\alpha_t}}\,\epsilon$, "
                    "coloured by the direction of $x_0$", fontsize=11)
    save_figure(path, figure)


def plot_reverse(path: str | Path, trained: Trained, chain: np.ndarray) -> None:
    """Plot the net's chain from noise to data (Algorithm 2) above the true marginals at the same t.

    Parameters
    ----------
    path : str or Path
        The file to write.
    trained : Trained
        The trained net.
    chain : array of shape (T + 1, n, 2)
        The chain, from `Trained.chain`.
    """
    steps = spaced(trained.schedule.T, 6, 2)[::-1]
    clouds, colour = true_clouds(trained, steps)
    figure, axes = _figure(2, len(steps), figsize=(2.3 * len(steps), 5.2))
    for (above, below), t, x in zip(axes.T, steps, clouds, strict=True):
        _scatter(above, chain[t], colours(chain[0]), f"t = {t}")
        _scatter(below, x, colour)
    axes[0, 0].set_ylabel("learned: $p_\\theta(x_t)$")
    axes[1, 0].set_ylabel("true: $q(x_t)$")
    figure.suptitle(f"{trained.toy.name}: the learned chain from noise to data, coloured by where each point ends",
                    fontsize=11)
    save_figure(path, figure)


def plot_field(path: str | Path, trained: Trained, side: int = 21) -> None:
    """Plot the score ∇ log q(x_t) as arrows, the net's above the exact one.

    The score is −ε/√(1 − ᾱ_t). An arrow has the direction of −ε and the length |ε|/(½ + |ε|) in grid steps, because the
    score itself grows without bound away from the data. Arrows are grey where almost no x_t lies, since the net was not
    trained there.

    Parameters
    ----------
    path : str or Path
        The file to write.
    trained : Trained
        The trained net.
    side : int
        Arrows along each side of the grid.
    """
    s, oracle = trained.schedule, trained.toy.oracle(trained.schedule, 400)
    steps = [t for t in spaced(s.T, 6, 2.5) if t][:4]
    ticks = np.linspace(-0.94 * LIMIT, 0.94 * LIMIT, side)
    x = np.stack(np.meshgrid(ticks, ticks), axis=2).reshape(-1, 2).astype(np.float32)  # (side², 2)
    clouds, _ = true_clouds(trained, steps)
    figure, axes = _figure(2, len(steps), figsize=(3.3 * len(steps), 6.9))
    for column, t, cloud in zip(axes.T, steps, clouds, strict=True):
        here, there = np.full(len(x), t), np.full(len(cloud), t)
        seen = oracle.log_q(x, here) > np.quantile(oracle.log_q(cloud, there), 0.002)  # (side²,)
        apart = np.square(trained.predict(cloud, there)[:, :2] - oracle.eps(cloud, there)).mean()
        says = (trained.predict(x, here)[:, :2], oracle.eps(x, here))  # (side², 2) each
        titles = (rf"t = {t}: $E\,(\epsilon_\theta - \epsilon^*)^2$ = {apart:.2g}", "")
        for axis, eps, title in zip(column, says, titles, strict=True):
            arrow = -eps / (0.5 + np.linalg.norm(eps, axis=1, keepdims=True)) * (ticks[1] - ticks[0])  # (side², 2)
            axis.scatter(cloud[:, 0], cloud[:, 1], s=3, color="#f0b37e", linewidths=0)
            for chosen, colour in ((~seen, "#d0d0d0"), (seen, "#1f3b6f")):
                axis.quiver(x[chosen, 0], x[chosen, 1], arrow[chosen, 0], arrow[chosen, 1], color=colour, angles="xy",
                            scale_units="xy", scale=1, width=0.0045, headwidth=3.5)
            _square(axis, title)
    axes[0, 0].set_ylabel("learned")
    axes[1, 0].set_ylabel("exact")
    figure.suptitle(rf"{trained.toy.name}: the score $\nabla \log q(x_t) = -\epsilon/\sqrt{{1-\bar\alpha_t}}$; grey "
                    "where almost no $x_t$ lies", fontsize=11)
    save_figure(path, figure)


def plot_variance(path: str | Path, trained: Trained) -> None:
    """Plot the learned σ_t² between β̃_t and β_t beside the optimal one, and learned β beside its initial values.

    Parameters
    ----------
    path : str or Path
        The file to write.
    trained : Trained
        The trained net.
    """
    s, learned_beta = trained.schedule, trained.settings.learn_beta
    t = np.arange(1, s.T + 1)
    some = [step for step in spaced(s.T, 20, 2) if step]
    learned, best = np.array([trained.variances(step) for step in some]).T  # (K,) each
    figure, axes = _figure(1, 3 if learned_beta else 2, figsize=(15 if learned_beta else 10.5, 4.2), share=False)
    axis, place = axes[0, :2]
    low = np.exp(s.posterior_log_variance_clipped[1:])  # (T,)
    axis.plot(t, s.beta[1:], label=r"$\beta_t$", color="C0")
    axis.plot(t, low, label=r"$\tilde\beta_t$ ($\tilde\beta_2$ at t = 1)", color="C1")
    axis.plot(some, learned, "o", ms=4, label=r"learned $\sigma_t^2$", color="C2")
    axis.plot(some, best, "k+", ms=8, label=r"exact $E\,\mathrm{Var}(x_{t-1}|x_t)$")
    axis.set(title="the variance of a reverse step", xlabel="t", xscale="log", yscale="log")

    def between(sigma2: np.ndarray) -> np.ndarray:
        """Return (ln σ² − ln β̃)/(ln β − ln β̃) where ln β − ln β̃ exceeds a thousandth, nan elsewhere."""
        bottom, top = np.log(low)[np.array(some) - 1], s.log_beta[some]
        return np.where(top - bottom > 1e-3, (np.log(sigma2) - bottom) / np.maximum(top - bottom, 1e-3), np.nan)

    place.axhline(1, color="C0")
    place.axhline(0, color="C1")
    place.plot(some, between(learned), "o", ms=4, color="C2", label="learned")
    place.plot(some, between(best), "k+", ms=8, label="exact")
    place.set(title=r"its position between $\ln\tilde\beta_t$ (0) and $\ln\beta_t$ (1)", xlabel="t", xscale="log")
    if learned_beta:
        axes[0, 2].plot(t, trained.start.beta[1:], "--", color="C7", label=r"$\beta_t$ before")
        axes[0, 2].plot(t, s.beta[1:], color="C0", label=r"$\beta_t$ learned")
        axes[0, 2].set(title="the forward variances", xlabel="t", xscale="log", yscale="log")
    for each in axes[0]:
        each.grid(alpha=0.3, which="both")
        each.legend(fontsize=9)
    figure.suptitle(trained.toy.name, fontsize=11)
    save_figure(path, figure)


def frames(T: int, count: int = 48) -> list[int]:
    """Return the steps that the animation shows, from T down to 0, denser near 0, where the shape emerges.

    Parameters
    ----------
    T : int
        Steps of the chain.
    count : int
        Intervals between frames, at most.

    Returns
    -------
    list of int
        The steps in descending order.

    Examples
    --------
    >>> frames(4)
    [4, 3, 2, 1, 0]
    """
    return spaced(T, count + 1, 1.5)[::-1]


def animate_flow(path: str | Path, trained: Trained, chain: np.ndarray, pixels: int = 380) -> int:
    """Write a GIF of points moving from noise to data.

    Parameters
    ----------
    path : str or Path
        The file to write.
    trained : Trained
        The trained net.
    chain : array of shape (T + 1, n, 2)
        The chain, from `Trained.chain`.
    pixels : int
        Width and height of the GIF.

    Returns
    -------
    int
        Number of frames.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(pixels / 100, pixels / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0.02, 0.02, 0.96, 0.9))
    drawn = axis.scatter(chain[0, :, 0], chain[0, :, 1], s=4, c=colours(chain[0]), linewidths=0)
    axis.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal", xticks=(), yticks=())
    pictures, steps = [], frames(trained.schedule.T)
    for t in steps:
        drawn.set_offsets(chain[t])
        axis.set_title(f"{trained.toy.name}, t = {t}", fontsize=10)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
        pictures.append(picture.quantize(64, dither=Image.Dither.NONE))
    duration = [600, *[70] * (len(pictures) - 2), 2000]  # milliseconds: it pauses on the noise and on the data
    save_image(path, pictures[0], save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=False)
    return len(pictures)


def draw_all(folder: str | Path, trained: Trained, seed: int = 0) -> Iterator[Path]:
    """Write every plot of `NAMES` into a folder.

    Parameters
    ----------
    folder : str or Path
        The folder.
    trained : Trained
        The trained net.
    seed : int
        Seed of the chain.

    Yields
    ------
    Path
        Each file, once it is written.
    """
    chain = trained.chain(POINTS, seed)
    draw: tuple[Callable[[Path], Any], ...] = (
        lambda path: plot_forward(path, trained), lambda path: plot_reverse(path, trained, chain),
        lambda path: plot_field(path, trained), lambda path: plot_variance(path, trained),
        lambda path: animate_flow(path, trained, chain))
    for name, write in zip(NAMES, draw, strict=True):
        write(Path(folder) / name)
        yield Path(folder) / name
