"""What the sliders on the pages of the forward process and of its posterior ask: densities, samples, and their numbers.

Every number comes from the package's public functions, so the pictures show what the reader changed in them.
"""

from __future__ import annotations

import numpy as np

from ddpm_live.calls import Items, call
from ddpm_live.line import RANGE, data_of, density, drawn, histogram, in_one_line, of_data, schedule_of
from ddpm_np import arguments
from ddpm_np.diffusion import Reverse, Trajectory, log_normal, q_posterior, q_sample

SAMPLES, PLACES = 4000, 301
POSTERIOR_PLACES = 601  # the narrowest posterior of the sliders, σ = 0.03, is three of these wide
SEED = 0


@call
@in_one_line
def forward(data: str = "points", schedule: str = "linear", T: int = 20, t: int = 4) -> Items:
    """Yield q(x_t) in closed form and a histogram of x_t drawn by (4), for data on the number line."""
    chosen = schedule_of(schedule, T)
    t = arguments.count("t", t, 1, chosen.T)
    oracle, rng = data_of(data, chosen), np.random.default_rng(SEED)
    x_0 = drawn(oracle, SAMPLES, rng)  # (n, 1)
    x_t = q_sample(chosen, x_0, np.full(SAMPLES, t), rng.standard_normal(x_0.shape))
    x = np.linspace(*RANGE, PLACES)
    yield {
        "x": x, "density": density(oracle, x, t), "histogram": histogram(x_t), "data": of_data(oracle, x),
        "t": t, "T": chosen.T, "signal": chosen.sqrt_alpha_bar[t], "noise": chosen.one_minus_alpha_bar[t],
        "mean": x_t.mean(), "variance": x_t.var(),
    }


@call
@in_one_line
def posterior(schedule: str = "linear", T: int = 10, t: int = 4, x_0: float = 1.0, x_t: float = 0.0) -> Items:
    """Yield the factors of Bayes' rule (6) as functions of x_{t−1}, their product, and the posterior by (7).

    At t = 1 the point before is x₀ itself: its distributions have no density there, and are None.
    """
    chosen = schedule_of(schedule, T)
    t = arguments.count("t", t, 1, chosen.T)
    begin, end = (arguments.number(name, value, least=RANGE[0], most=RANGE[1])
                  for name, value in (("x_0", x_0), ("x_t", x_t)))
    mean, variance = (v.item() for v in q_posterior(chosen, np.array([[begin]]), np.array([[end]]), np.array([t])))
    x = np.linspace(*RANGE, POSTERIOR_PLACES)
    walks = np.zeros((chosen.T + 1, x.size, 1))  # one through each place at t − 1
    walks[0], walks[t], walks[t - 1] = begin, end, x[:, None]
    walk = Trajectory(Reverse(chosen, lambda x_t, t: x_t), walks)
    found = {"x": x, "mean": mean, "variance": variance, "beta": chosen.beta[t], "t": t, "T": chosen.T,
             "weight_x_0": chosen.posterior_x0[t], "weight_x_t": chosen.posterior_xt[t],
             "prior": None, "product": None, "posterior": None, "by_bayes": None}
    found["likelihood"] = np.exp(walk.log_q_step(t))
    if t > 1:
        found["prior"] = np.exp(walk.log_q_given_x0(t - 1))
        product = normalised(found["prior"] * found["likelihood"], x)
        found["product"], found["by_bayes"] = product, moments(product, x)
        found["posterior"] = np.exp(log_normal(x, mean, np.log(variance)))
    yield found


def normalised(f: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return f over its integral; not a number where that is 0, because f lies outside of the places x."""
    with np.errstate(invalid="ignore"):
        return f / np.trapezoid(f, x)


def moments(f: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """Return the mean and variance of a density by sums over the places x."""
    mean = np.trapezoid(f * x, x)
    return {"mean": mean, "variance": np.trapezoid(f * (x - mean) ** 2, x)}
