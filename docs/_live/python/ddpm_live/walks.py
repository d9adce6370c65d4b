"""Walks from noise to data on the number line, with the best net there is: Algorithm 2 and DDIM, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ddpm_live.calls import Items, call
from ddpm_live.line import PAPER_STEPS, RANGE, data_of, density, histogram, in_one_line, of_data, schedule_of
from ddpm_np import arguments, diffusion
from ddpm_np.diffusion import Mixture, Reverse, ancestral, linear_schedule, timesteps

WALKERS, PATHS, PLACES = 2000, 12, 151
MOST_STEPS = 200  # of a walk
VARIANCES = ("small", "large")
SEED = 1


@call
@in_one_line
def chain(data: str = "mixture", schedule: str = "linear", T: int = 50, variance: str = "small") -> Items:
    """Yield Algorithm 2 step by step: some paths, and a histogram of all walkers beside the exact q(x_t)."""
    arguments.one_of("variance", variance, VARIANCES)
    chosen = schedule_of(schedule, arguments.count("T", T, 1, MOST_STEPS))
    oracle, rng = data_of(data, chosen), np.random.default_rng(SEED)
    x_T = rng.standard_normal((WALKERS, 1))
    steps = ancestral(Reverse(chosen, oracle.eps, variance=variance), x_T, lambda t: rng.standard_normal(x_T.shape))
    yield from walked(oracle, chosen.T, x_T, steps)


@call
@in_one_line
def ddim(data: str = "mixture", steps: int = 20, eta: float = 0.0) -> Items:
    """Yield DDIM step by step over some of the paper's steps, always from the same noise."""
    chosen = linear_schedule(PAPER_STEPS)
    tau = timesteps(PAPER_STEPS, arguments.count("the number of steps", steps, 1, MOST_STEPS))
    oracle, rng = data_of(data, chosen), np.random.default_rng(SEED)
    x_T = rng.standard_normal((WALKERS, 1))
    walk = diffusion.ddim(Reverse(chosen, oracle.eps), x_T, tau, lambda t: rng.standard_normal(x_T.shape), eta=eta)
    yield from walked(oracle, chosen.T, x_T, walk)


def walked(data: Mixture, T: int, x_T: np.ndarray, steps: Iterator[tuple[int, np.ndarray, Any]]) -> Items:
    """Yield the picture at T and after each step; the first item has the data too."""
    x = np.linspace(*RANGE, PLACES)
    yield {"x": x, "data": of_data(data, x), "T": T, **at_step(data, x, T, x_T)}
    for t, x_t, _ in steps:
        yield at_step(data, x, t, x_t)


def at_step(data: Mixture, x: np.ndarray, t: int, x_t: np.ndarray) -> dict[str, Any]:
    """Return where the walkers are at t, and where they should be: the first paths, and all as a histogram."""
    signal, noise = data.schedule.alpha_bar[t], data.schedule.one_minus_alpha_bar[t]
    mean = data.weights @ data.means[:, 0]
    of_x_0 = data.weights @ (data.variances + (data.means[:, 0] - mean) ** 2)  # the data's variance
    return {"t": t, "paths": x_t[:PATHS, 0], "histogram": histogram(x_t), "density": density(data, x, t),
            "deviation": x_t.std(), "exact_deviation": np.sqrt(signal * of_x_0 + noise)}
