"""Data on the number line, for which the best net is known, and the schedules that the sliders offer."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from ddpm_live.calls import Items, Trouble
from ddpm_np import arguments
from ddpm_np.diffusion import (
    Mixture,
    Reverse,
    Schedule,
    atoms,
    constant_schedule,
    cosine_schedule,
    linear_schedule,
    respace,
    timesteps,
)

RANGE = (-3.0, 3.0)  # of the number line that is drawn
BINS = 61  # of a histogram: odd, so that −1 and +1 lie within bins
MOST_STEPS = 1000
PAPER_STEPS = 1000  # T of the paper
PLACES = np.array([[-1.0], [1.0]])  # the data "points"
WEIGHTS, MEANS, DEVIATIONS = [0.3, 0.5, 0.2], [[-1.0], [0.2], [1.2]], np.array([0.15, 0.25, 0.1])  # the data "mixture"

DATA: dict[str, Callable[[Schedule], Mixture]] = {
    "points": lambda schedule: atoms(schedule, PLACES),
    "mixture": lambda schedule: Mixture(schedule, WEIGHTS, MEANS, DEVIATIONS**2),
}


def _linear(T: int) -> Schedule:
    """Return the paper's schedule over T of its steps, with the marginals that it has there."""
    return respace(Reverse(linear_schedule(PAPER_STEPS), lambda x_t, t: x_t), timesteps(PAPER_STEPS, T)).schedule


def _constant(T: int) -> Schedule:
    """Return the schedule of equal β_t that leaves as much of the data in x_T as the paper's."""
    kept = float(linear_schedule(PAPER_STEPS).alpha_bar[PAPER_STEPS])
    return constant_schedule(T, end=1 - kept ** (1 / T))


SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "linear": _linear, "cosine": cosine_schedule, "constant": _constant,
}


def named(what: str, name: str, options: dict[str, Callable]) -> Callable:
    """Return the option of a name; ValueError if there is none."""
    arguments.one_of(what, name, options)
    return options[name]


def schedule_of(name: str, T: int) -> Schedule:
    """Return the schedule of a name with T steps."""
    make = named("schedule", name, SCHEDULES)
    return make(arguments.count("T", T, 1, MOST_STEPS))


def data_of(name: str, schedule: Schedule) -> Mixture:
    """Return the data of a name, with the density of every x_t and the best net."""
    return named("data", name, DATA)(schedule)


def drawn(data: Mixture, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n numbers x₀; (n, 1)."""
    k = rng.choice(len(data.weights), n, p=data.weights)  # (n,)
    return data.means[k] + np.sqrt(data.variances[k])[:, None] * rng.standard_normal((n, 1))


def density(data: Mixture, x: np.ndarray, t: int) -> np.ndarray | None:
    """Return q(x_t) at the places x, (n,); None at t = 0 if the data are points and have none."""
    if t == 0 and not data.variances.all():
        return None
    return np.exp(data.log_q(x[:, None], np.full(x.size, t)))


def of_data(data: Mixture, x: np.ndarray) -> dict[str, object]:
    """Return the data for a picture: their density at the places x, or the points with their probabilities."""
    at_zero = density(data, x, 0)
    points = [] if at_zero is not None else [[m, w] for m, w in zip(data.means[:, 0], data.weights, strict=True)]
    return {"density": at_zero, "points": points}


def histogram(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return a histogram's edges and heights, for which what lies outside of the picture counts too."""
    counts, edges = np.histogram(x, BINS, RANGE)
    return {"edges": edges, "heights": counts / (x.size * np.diff(edges))}


def in_one_line(function: Callable[..., Items]) -> Callable[..., Items]:
    """Turn what the package says of a bad argument into Trouble, in one line."""

    @functools.wraps(function)
    def told(*args: object, **settings: object) -> Items:
        try:
            yield from function(*args, **settings)
        except (ValueError, TypeError) as error:
            raise Trouble(" ".join(str(error).split())) from error

    return told
