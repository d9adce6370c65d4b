"""Appendix A on given trajectories: both derivations line by line, (3), and the joint densities of (1) and (2).

Each line is recomputed from normal densities and the exact tables, as the paper writes it. All lines of a derivation
have the same value on every trajectory. Their expectations are checked in `expectations`.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import mpmath
import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.distributions import normal_log_density
from ddpm_np.check.exact import Case, mp50
from ddpm_np.check.registry import checks, equation

LINES = "diffusion.appendix_a."
A = "Ho et al. 2020, appendix A, "
P_T, STEP, POSTERIOR = r"p(x_T)", r"q(x_t\mid x_{t-1})", r"q(x_{t-1}\mid x_t,x_0)"
REVERSE, DECODER = r"p_\theta(x_{t-1}\mid x_t)", r"p_\theta(x_0\mid x_1)"

equation("3", "the bound of a trajectory",
         rf"\mathbb{{E}}[-\log p_\theta(x_0)] \leq \mathbb{{E}}_q\left[-\log {P_T}-\sum_{{t\geq1}}"
         rf"\log\frac{{{REVERSE}}}{{{STEP}}}\right] =: L", "Ho et al. 2020, (3)",
         LINES + "equation_3", "diffusion.trajectory.Trajectory")
equation("joint", "ln p_θ(x_{0:T}) and ln q(x_{1:T} | x₀)",
         rf"p_\theta(x_{{0:T}}) = {P_T}\prod_{{t=1}}^T {REVERSE},\quad q(x_{{1:T}}\mid x_0) = \prod_{{t=1}}^T {STEP}",
         "Ho et al. 2020, (1) and (2)", LINES + "log_p_joint", LINES + "log_q_joint", "diffusion.trajectory.Trajectory")
equation("17", "the ratio of the joint densities",
         r"L = \mathbb{E}_q\left[-\log\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid x_0)}\right]", A + "(17)",
         LINES + "equation_17")
equation("18", "the products as sums of logarithms",
         rf"= \mathbb{{E}}_q\left[-\log {P_T}-\sum_{{t\geq1}}\log\frac{{{REVERSE}}}{{{STEP}}}\right]", A + "(18)",
         LINES + "equation_18")
equation("19", "t = 1 split off",
         rf"= \mathbb{{E}}_q\left[-\log {P_T}-\sum_{{t>1}}\log\frac{{{REVERSE}}}{{{STEP}}}"
         rf"-\log\frac{{{DECODER}}}{{q(x_1\mid x_0)}}\right]", A + "(19)", LINES + "equation_19")
equation("20", "Bayes' rule in each factor",
         rf"= \mathbb{{E}}_q\left[-\log {P_T}-\sum_{{t>1}}\log\frac{{{REVERSE}}}{{{POSTERIOR}}}\cdot"
         rf"\frac{{q(x_{{t-1}}\mid x_0)}}{{q(x_t\mid x_0)}}-\log\frac{{{DECODER}}}{{q(x_1\mid x_0)}}\right]",
         A + "(20)", LINES + "equation_20", "diffusion.trajectory.Trajectory")
equation("21", "telescoped",
         rf"= \mathbb{{E}}_q\left[-\log\frac{{{P_T}}}{{q(x_T\mid x_0)}}-\sum_{{t>1}}"
         rf"\log\frac{{{REVERSE}}}{{{POSTERIOR}}}-\log {DECODER}\right]",
         A + "(21)", LINES + "equation_21", "diffusion.trajectory.Trajectory")
equation("22", "KL divergences: (5)",
         rf"= \mathbb{{E}}_q\left[D_{{KL}}(q(x_T\mid x_0)\,\Vert\,{P_T})+\sum_{{t>1}}"
         rf"D_{{KL}}({POSTERIOR}\,\Vert\,{REVERSE})-\log {DECODER}\right]", A + "(22)", LINES + "equation_22")
equation("23", "the start of the second derivation",
         rf"L = \mathbb{{E}}_q\left[-\log {P_T}-\sum_{{t\geq1}}\log\frac{{{REVERSE}}}{{{STEP}}}\right]", A + "(23)",
         LINES + "equation_23")
equation("24", "Bayes' rule without x₀",
         rf"= \mathbb{{E}}_q\left[-\log {P_T}-\sum_{{t\geq1}}\log\frac{{{REVERSE}}}{{q(x_{{t-1}}\mid x_t)}}\cdot"
         r"\frac{q(x_{t-1})}{q(x_t)}\right]", A + "(24)", LINES + "equation_24", LINES + "log_marginals",
         LINES + "log_q_reverse")
equation("25", "telescoped without x₀",
         rf"= \mathbb{{E}}_q\left[-\log\frac{{{P_T}}}{{q(x_T)}}-\sum_{{t\geq1}}\log\frac{{{REVERSE}}}"
         r"{q(x_{t-1}\mid x_t)}-\log q(x_0)\right]", A + "(25)", LINES + "equation_25",
         LINES + "log_marginals", LINES + "log_q_reverse")


def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A model that is nonlinear and different for every t."""
    column = t.reshape((-1,) + (1,) * (x.ndim - 1))
    return np.tanh(x) * (0.3 + 0.1 * column) - 0.05 * column


class Path:
    """A trajectory x (T + 1, N, …) with its options and its log densities by name, (N,) each for every t."""

    def __init__(self, case: Case, shape: tuple[int, ...], seed: int, variance: str = "small", predicts: str = "eps",
                 levels: int | None = None):
        rng = np.random.default_rng(seed)
        self.case, self.options = case, {"variance": variance, "levels": levels, "predicts": predicts}
        self.x = x = rng.standard_normal((case.T + 1, *shape))
        x[0] = rng.integers(-4, 5, shape) / 4  # on the grid of nine levels
        k, T, n = case.table, case.T, shape[0]
        sigma2 = k.small if variance == "small" else k.large
        x0 = [x[0]] + [model(x[t], np.full(n, t)) for t in range(1, T + 1)]
        if predicts == "eps":
            x0[1:] = [(x[t] - k.sqrt_one_minus_alpha_bar[t] * x0[t]) / k.sqrt_alpha_bar[t] for t in range(1, T + 1)]
        self.mean = [x[0]] + [k.x0[t] * x0[t] + k.xt[t] * x[t] for t in range(1, T + 1)]
        self.tilde = [x[0]] + [k.x0[t] * x[0] + k.xt[t] * x[t] for t in range(1, T + 1)]  # (7)
        none = np.zeros(n)
        self.prior = _normal(x[T], 0, 1)
        self.p = [none] + [_normal(x[t - 1], self.mean[t], sigma2[t]) for t in range(1, T + 1)]
        if levels:
            self.p[1] = _total(decoder_log_likelihood(x[0], self.mean[1], np.sqrt(sigma2[1]), levels))
        self.q = [none] + [_normal(x[t], k.sqrt_alpha[t] * x[t - 1], k.beta[t]) for t in range(1, T + 1)]
        self.given = [none] + [_normal(x[t], k.sqrt_alpha_bar[t] * x[0], k.one_minus_alpha_bar[t])
                               for t in range(1, T + 1)]
        self.posterior = [none, none] + [_normal(x[t - 1], self.tilde[t], k.beta_tilde[t]) for t in range(2, T + 1)]
        self.kl = [none, none] + [_total(0.5 * (np.log(sigma2[t] / k.beta_tilde[t]) - 1 + (
            k.beta_tilde[t] + (self.tilde[t] - self.mean[t]) ** 2) / sigma2[t])) for t in range(2, T + 1)]
        left = k.one_minus_alpha_bar[T]
        self.prior_kl = _total(0.5 * (left + k.alpha_bar[T] * x[0] ** 2 - 1 - np.log(left)))
        self.scale = 1 + sum(np.abs(part) for part in (self.prior, *self.p, *self.q, *self.given, *self.posterior))
        # data N(m, s²): q(x_t), and q(x_{t−1} | x_t) as the product of two Gaussians
        self.m, self.s2 = 0.25, 0.5
        v = k.alpha_bar * self.s2 + k.one_minus_alpha_bar
        self.marginal = [_normal(x[t], k.sqrt_alpha_bar[t] * self.m, v[t]) for t in range(T + 1)]
        self.reverse = [none]
        for t in range(1, T + 1):
            r = 1 / (1 / v[t - 1] + k.alpha[t] / k.beta[t])
            centre = r * (k.sqrt_alpha_bar[t - 1] * self.m / v[t - 1] + k.sqrt_alpha[t] * x[t] / k.beta[t])
            self.reverse.append(_normal(x[t - 1], centre, r))

    def log_q(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return ln q(x_t), (N,)."""
        k = self.case.table
        shape = (-1,) + (1,) * (x.ndim - 1)
        mean, v = k.sqrt_alpha_bar[t] * self.m, k.alpha_bar[t] * self.s2 + k.one_minus_alpha_bar[t]
        return _total(-0.5 * ((x - mean.reshape(shape)) ** 2 / v.reshape(shape) + np.log(2 * np.pi * v).reshape(shape)))


def _total(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).sum(axis=1)


def _normal(x: np.ndarray, mean: Any, variance: float) -> np.ndarray:
    return _total(normal_log_density(x, mean, np.sqrt(variance)))


def decoder_log_likelihood(x: np.ndarray, mean: np.ndarray, sigma: float, levels: int) -> np.ndarray:
    """Return the logarithm of the probability of a bin, (13), to 50 digits."""
    def log_probability(x: float, mean: float) -> float:
        high = mpmath.inf if x >= 1 else mp50.mpf(x) + mp50.mpf(1) / (levels - 1)
        low = -mpmath.inf if x <= -1 else mp50.mpf(x) - mp50.mpf(1) / (levels - 1)
        return float(mp50.log(mp50.ncdf(high, mean, sigma) - mp50.ncdf(low, mean, sigma)))

    return np.vectorize(log_probability)(x, mean)


@cache
def paths() -> tuple[Path, ...]:
    """Return trajectories: of two steps and one number, of six steps and small images, and with the decoder.

    Those of two steps have all options, so that each combination is asked.
    """
    two, six, _, rough = plain_cases()
    others = [Path(two, (2, 1), 0, *options) for options in product(("small", "large"), ("eps", "x0"), (None, 9))]
    return (others[0], Path(six, (3, 2, 1), 1, "large", predicts="x0"), Path(rough, (2, 3), 2),
            Path(six, (2, 3), 3, "large", levels=9), *others[1:])


def _compare(check: Check, p: Path, line: str, want: np.ndarray, *log_q: Any) -> None:
    got = check(p.case).array(line, want.shape, model, p.x, *log_q, **p.options)
    check.equal(line.replace("equation_", "L of equation "), got, want, case=p.case, scale=p.scale, mistakes=lambda: {
        "−L: the sign": -want, "no term of x_T": want + p.prior, "the term of t = 1 missing": want + p.p[1] - p.q[1],
        "the term of t = T missing": want + p.p[-1] - p.q[-1], "an image's mean for its sum": want / p.x[0, 0].size,
        "bits for nats": want / np.log(2)})


@checks("joint", first=paths, needs=["log_p_joint"], method="normal densities")
def log_p_joint_is_a_sum(check: Check, p: Path) -> None:
    _compare(check, p, "log_p_joint", p.prior + sum(p.p))


@checks("joint", first=paths, needs=["log_q_joint"], method="normal densities")
def log_q_joint_is_a_sum(check: Check, p: Path) -> None:
    _compare(check, p, "log_q_joint", np.asarray(sum(p.q)))


@checks("3", first=paths, needs=["equation_3"], method="normal densities")
def three_of_a_trajectory(check: Check, p: Path) -> None:
    _compare(check, p, "equation_3", -p.prior - sum(a - b for a, b in zip(p.p, p.q, strict=True)))


@checks("17", first=paths, needs=["equation_17"], method="normal densities")
def seventeen_of_a_trajectory(check: Check, p: Path) -> None:
    _compare(check, p, "equation_17", -((p.prior + sum(p.p)) - sum(p.q)))


@checks("18", first=paths, needs=["equation_18"], method="normal densities")
def eighteen_of_a_trajectory(check: Check, p: Path) -> None:
    _compare(check, p, "equation_18", -p.prior - sum(a - b for a, b in zip(p.p, p.q, strict=True)))


@checks("19", first=paths, needs=["equation_19"], method="normal densities")
def nineteen_of_a_trajectory(check: Check, p: Path) -> None:
    later = sum(a - b for a, b in zip(p.p[2:], p.q[2:], strict=True))
    _compare(check, p, "equation_19", -p.prior - later - (p.p[1] - p.q[1]))


@checks("20", first=paths, needs=["equation_20"], method="normal densities")
def twenty_of_a_trajectory(check: Check, p: Path) -> None:
    later = sum(p.p[t] - p.posterior[t] + p.given[t - 1] - p.given[t] for t in range(2, p.case.T + 1))
    _compare(check, p, "equation_20", -p.prior - later - (p.p[1] - p.given[1]))


@checks("21", first=paths, needs=["equation_21"], method="normal densities")
def twenty_one_of_a_trajectory(check: Check, p: Path) -> None:
    later = sum(a - b for a, b in zip(p.p[2:], p.posterior[2:], strict=True))
    _compare(check, p, "equation_21", -(p.prior - p.given[-1]) - later - p.p[1])


@checks("21", first=lambda: paths()[1:2], needs=[f"equation_{i}" for i in (3, *range(17, 22))],
        method="equality of the lines")
def the_first_derivation_is_one_number(check: Check, p: Path) -> None:
    target, shape = check(p.case), p.scale.shape
    lines = {i: target.array(f"equation_{i}", shape, model, p.x, **p.options) for i in (3, 17, 18, 19, 20, 21)}
    for i, line in lines.items():
        check.equal(f"L of equation {i} against that of (3)", line, lines[3], case=p.case, scale=p.scale)


@checks("22", first=paths, needs=["equation_22"], method="closed form of the divergences")
def twenty_two_of_a_trajectory(check: Check, p: Path) -> None:
    _compare(check, p, "equation_22", p.prior_kl + sum(p.kl) - p.p[1])


@checks("23", first=paths, needs=["equation_23"], method="normal densities")
def twenty_three_of_a_trajectory(check: Check, p: Path) -> None:
    _compare(check, p, "equation_23", -p.prior - sum(a - b for a, b in zip(p.p, p.q, strict=True)))


@checks("24", first=paths, needs=["equation_24"], method="normal densities")
def twenty_four_of_a_trajectory(check: Check, p: Path) -> None:
    later = sum(p.p[t] - p.reverse[t] + p.marginal[t - 1] - p.marginal[t] for t in range(1, p.case.T + 1))
    _compare(check, p, "equation_24", -p.prior - later, p.log_q)


@checks("25", first=paths, needs=["equation_25"], method="normal densities")
def twenty_five_of_a_trajectory(check: Check, p: Path) -> None:
    ratios = sum(a - b for a, b in zip(p.p[1:], p.reverse[1:], strict=True))
    _compare(check, p, "equation_25", -(p.prior - p.marginal[-1]) - ratios - p.marginal[0], p.log_q)
