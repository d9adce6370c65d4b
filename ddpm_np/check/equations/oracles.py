"""Data with closed forms, Gaussians and mixtures: checked by densities, Bayes' rule and chains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.distributions import gaussian_log_density
from ddpm_np.check.equations.expectations import Affine
from ddpm_np.check.exact import Case, Table
from ddpm_np.check.registry import checks, equation

equation("oracle-gaussian", "closed forms for x₀ ~ N(m, s²)",
         r"\epsilon^*(x_t,t) = -\sqrt{1-\bar\alpha_t}\,\nabla\log q(x_t),\quad "
         r"q(x_t) = \mathcal{N}(\sqrt{\bar\alpha_t}\,m,\,\bar\alpha_ts^2+1-\bar\alpha_t)",
         "Pierret & Galerne 2024", "diffusion.oracle.gaussian.Gaussian")
equation("oracle-mixture", "closed forms for a mixture, or for a few images",
         r"q(x_t) = \sum_kw_k\,\mathcal{N}(\sqrt{\bar\alpha_t}\,m_k,\,\bar\alpha_tS_k+1-\bar\alpha_t),\quad "
         r"\mathbb{E}[x_0\mid x_t] = \frac{x_t+(1-\bar\alpha_t)\nabla\log q(x_t)}{\sqrt{\bar\alpha_t}}",
         "Efron 2011; Ho et al. 2020, section 3.2", "diffusion.oracle.mixture.Mixture",
         "diffusion.oracle.mixture.atoms")


@dataclass(frozen=True, eq=False)
class Data:
    """Data x₀ ~ Σ_k w_k·N(m_k, S_k), S_k diagonal (K, D), points x_t (N, D) at t (N,), and the target's arguments."""

    case: Case
    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    x: np.ndarray
    t: np.ndarray
    ask: tuple[Any, ...]

    def logs(self, x: np.ndarray) -> np.ndarray:
        """Return ln w_k·N(x_t; √ᾱ_t·m_k, ᾱ_t·S_k + 1 − ᾱ_t) for real or complex x, (N, K)."""
        k, t = self.case.table, self.t
        mean = k.sqrt_alpha_bar[t][:, None, None] * self.means  # (N, K, D)
        v = k.alpha_bar[t][:, None, None] * self.variances + k.one_minus_alpha_bar[t][:, None, None]
        each = (x[:, None, :] - mean) ** 2 / v + np.log(2 * np.pi * v)
        return np.log(self.weights) - 0.5 * each.sum(axis=2)

    def log_q(self, x: np.ndarray) -> np.ndarray:
        logs = self.logs(x)
        largest = logs.real.max(axis=1, keepdims=True)
        return np.log(np.exp(logs - largest).sum(axis=1)) + largest[:, 0]

    @cached_property
    def score(self) -> np.ndarray:
        """∇ ln q(x_t) by the complex step, (N, D)."""
        columns = []
        for d in range(self.x.shape[1]):
            step = np.zeros(self.x.shape[1], dtype=complex)
            step[d] = 1e-100j
            columns.append(self.log_q(self.x + step).imag / 1e-100)
        return np.stack(columns, axis=1)


@cache
def gaussians() -> tuple[Data, ...]:
    """Return Gaussian data in one to three dimensions, at points inside and somewhat outside the bulk of q(x_t)."""
    found = []
    for case, m, s2 in zip(plain_cases(), ([0.5], [0.25, -1.0], [0.0, 0.5, 1.0]), ([0.25], [2.0, 0.5], [1.0, 0.0, 4.0]),
                           strict=False):
        x, t = _points(case, len(m))
        ask = ("gaussian", np.array(m), np.array(s2))
        found.append(Data(case, np.ones(1), np.array([m]), np.array([s2]), x, t, ask))
    return tuple(found)


@cache
def mixtures() -> tuple[Data, ...]:
    """Return mixtures with one variance per component, with one per dimension, and with none (images)."""
    found = []
    two, six, long, _ = plain_cases()
    for case in (two, six, long):
        x, t = _points(case, 3)
        weights, means = np.array([0.25, 0.5, 0.25]), np.array([[-1.0, 0.5, 0.0], [0.25, 0.0, -0.5], [1.0, 1.5, 0.5]])
        one, each = np.array([0.25, 1.0, 0.5]), np.array([[0.25, 1.0, 2.0], [0.5, 0.25, 1.0], [2.0, 1.0, 0.5]])
        found.append(Data(case, weights, means, one[:, None] * np.ones(3), x, t, ("mixture", weights, means, one)))
        found.append(Data(case, weights, means, each, x, t, ("mixture", weights, means, each)))
        found.append(Data(case, weights, means, 0 * each, x, t, ("atoms", means, weights)))
    found.append(Data(case, np.ones(3) / 3, means, 0 * each, x, t, ("atoms", means, None)))
    return tuple(found)


def _points(case: Case, dims: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.array([t for t in (1, 2, 3, 6, 10, 500, 999, 1000) if t <= case.T])
    return np.random.default_rng(dims).integers(-8, 9, (len(t), dims)) / 4, t


def _compare_known(check: Check, d: Data) -> None:
    kind, *parameters = d.ask
    k, t = d.case.table, d.t
    signal, noise = k.sqrt_alpha_bar[t][:, None], k.one_minus_alpha_bar[t][:, None]
    score, at = d.score, {"t": d.t}
    logs = d.logs(d.x)
    size = 2 * (np.abs(d.x) + np.abs(d.means).max()) / noise  # magnitude of the terms of a score

    def ask(what: str, shape: tuple[int, ...]) -> np.ndarray:
        return check(d.case).array(kind, shape, what, *parameters, d.x, d.t)

    check.equal("ln q(x_t)", ask("log_q", t.shape), d.log_q(d.x), case=d.case, at=at,
                scale=1 + np.abs(logs).max(axis=1) + (size**2 * noise).sum(axis=1), slack=10)
    check.equal("∇ ln q(x_t)", ask("score", d.x.shape), score, case=d.case, at=at, slack=10,
                scale=size * (1 + size * np.abs(d.x)), mistakes=lambda: {
                    "the other sign": -score, "ε*": -np.sqrt(noise) * score})
    check.equal("ε*", ask("eps", d.x.shape), -np.sqrt(noise) * score, case=d.case, at=at, slack=10,
                scale=size * (1 + size * np.abs(d.x)), mistakes=lambda: {
                    "the other sign": np.sqrt(noise) * score, "−(1 − ᾱ_t)·s: a missing root": -noise * score})
    check.equal("E[x₀ | x_t]", ask("x0", d.x.shape), (d.x + noise * score) / signal, case=d.case, at=at, slack=10,
                scale=(np.abs(d.x) + noise * size * (1 + size * np.abs(d.x))) / signal)
    if kind != "gaussian":
        want = np.exp(logs - d.log_q(d.x)[:, None])
        check.equal("r_k(x_t)", ask("responsibilities", want.shape), want, case=d.case, at=at,
                    scale=1 + (size**2 * noise).sum(axis=1, keepdims=True), slack=10)


@checks("oracle-gaussian", first=gaussians, needs=["gaussian"], method="densities, complex step")
def gaussian_density_and_score(check: Check, d: Data) -> None:
    _compare_known(check, d)


@checks("oracle-mixture", first=mixtures, needs=["mixture", "atoms"], method="densities, complex step")
def mixture_density_and_score(check: Check, d: Data) -> None:
    _compare_known(check, d)


@checks("oracle-gaussian", first=lambda: plain_cases()[:2], needs=["gaussian_full"], method="normal densities")
def full_covariance(check: Check, case: Case) -> None:
    m, root = np.array([0.5, -1.0, 0.25]), np.array([[1.0, 0.0, 0.0], [0.5, 0.75, 0.0], [-0.25, 0.5, 0.5]])
    covariance, k = root @ root.T, case.table
    x, t = _points(case, 3)
    target = check(case)
    log_q, score, x0 = (target.array("gaussian_full", shape, what, m, covariance, x, t)
                        for what, shape in (("log_q", t.shape), ("score", x.shape), ("x0", x.shape)))
    for i, step in enumerate(t):
        v = k.alpha_bar[step] * covariance + k.one_minus_alpha_bar[step] * np.eye(3)
        deviation = x[i] - k.sqrt_alpha_bar[step] * m
        solved, size = np.linalg.solve(v, deviation), np.abs(np.linalg.inv(v)).sum() * np.abs(deviation).max()
        check.equal("ln q(x_t)", log_q[i], gaussian_log_density(deviation, v), case=case, slack=10,
                    at={"t": step}, scale=10 + np.abs(deviation @ solved))
        check.equal("∇ ln q(x_t)", score[i], -solved, case=case, at={"t": step}, scale=size, slack=10)
        check.equal("E[x₀ | x_t]", x0[i], m + k.sqrt_alpha_bar[step] * covariance @ solved, case=case, at={"t": step},
                    scale=1 + 3 * size, slack=10)


class Known(NamedTuple):
    """N(m, s²) on a schedule: tables (T + 1,) by Bayes' rule, nan where t = 0 is not defined."""

    case: Case
    m: float
    s2: float

    @property
    def k(self) -> Table:
        return self.case.table

    @property
    def v(self) -> np.ndarray:
        return self.k.alpha_bar * self.s2 + self.k.one_minus_alpha_bar

    @property
    def eps(self) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients a_t and b_t of ε* = a_t·x + b_t."""
        a = self.k.sqrt_one_minus_alpha_bar / self.v
        return a, -a * self.k.sqrt_alpha_bar * self.m

    def ask(self, check: Check, what: str, shape: tuple[int, ...], *args: Any) -> np.ndarray:
        return check(self.case).array("gaussian", shape, what, self.m, self.s2, *args)


@cache
def known() -> tuple[Known, ...]:
    two, six, long, rough = plain_cases()
    return Known(two, 0.5, 0.25), Known(six, -1.0, 2.0), Known(long, 0.3, 0.25), Known(rough, 0.25, 1.0)


@checks("oracle-gaussian", first=known, needs=["gaussian"], method="Bayes' rule")
def gaussian_tables(check: Check, d: Known) -> None:
    k, v, T = d.k, d.v, d.case.T
    x0_variance = 1 / (1 / d.s2 + k.alpha_bar[1:] / k.one_minus_alpha_bar[1:])
    r = 1 / (1 / v[:-1] + k.alpha[1:] / k.beta[1:])
    a, b = d.eps
    eps_variance = k.alpha_bar[1:] / k.one_minus_alpha_bar[1:] * x0_variance
    at = {"t": np.arange(1, T + 1)}
    for what, want in (("marginal_variance", v), ("x0_variance", np.append(0.0, x0_variance)),
                       ("eps_variance", np.append(1.0, eps_variance))):
        check.equal(what, d.ask(check, what, (T + 1,)), want, case=d.case, at={"t": np.arange(T + 1)})
    check.equal("the floor of L_simple", d.ask(check, "simple_loss_floor", ()), eps_variance.mean(), case=d.case)
    check.equal("H(x₀)", d.ask(check, "entropy", ()), 0.5 * np.log(2 * np.pi * np.e * d.s2), case=d.case, scale=1.0)
    pairs = {"affine_eps": (a, b),
             "reverse_mean": (r * k.sqrt_alpha[1:] / k.beta[1:], r * k.sqrt_alpha_bar[:-1] * d.m / v[:-1])}
    for what, wants in pairs.items():
        got = check(d.case).call("gaussian", what, d.m, d.s2)
        for name, one, want in zip(("factor", "shift"), got, wants, strict=True):
            check.equal(f"the {name} of {what}", one[-len(want):], want, case=d.case)
    got = check(d.case).call("gaussian", "reverse_variance", d.m, d.s2)
    check.equal("r_t", got[1:], r, case=d.case, at=at)


@checks("oracle-gaussian", first=lambda: known()[:2], needs=["gaussian"], method="chains of unit noises")
def ends_of_chains(check: Check, d: Known) -> None:
    """Check the mean of x₀, and its variance as the sum of the squared coefficients of x_T and of each z_t."""
    (a, b), k, T = d.eps, d.k, d.case.T
    sigma2 = np.concatenate(([np.nan, np.nan], 0.25 + k.beta[2:]))
    x = _units(T)
    for t in range(T, 0, -1):
        x = (x - k.beta[t] / k.sqrt_one_minus_alpha_bar[t] * (a[t] * x + b[t])) / k.sqrt_alpha[t]
        x[1 + t] += np.sqrt(sigma2[t]) if t > 1 else 0
    _compare_end(check, d, "Algorithm 2", x, "ancestral_end", sigma2)
    for steps, eta in (([T, 1], 0.0), (list(range(T, 0, -1)), 0.0), ([T, 1], 0.5), (list(range(T, 0, -1)), 1.0)):
        x = _units(T)
        for t, s in pairwise([*steps, 0]):
            left = 1 - k.alpha_bar[t] / k.alpha_bar[s]
            sigma = eta * np.sqrt(k.one_minus_alpha_bar[s] / k.one_minus_alpha_bar[t] * left)
            eps = a[t] * x + b[t]
            x = k.sqrt_alpha_bar[s] * (x - k.sqrt_one_minus_alpha_bar[t] * eps) / k.sqrt_alpha_bar[t] + np.sqrt(
                k.one_minus_alpha_bar[s] - sigma**2) * eps
            x[1 + t] += sigma
        _compare_end(check, d, f"DDIM, η = {eta}", x, "ddim_end", eta, steps)
        if eta == 0:
            _compare_end(check, d, "DDIM, by cosines", x, "ddim_closed_form", steps)


def _units(T: int) -> np.ndarray:
    """Return start values (T + 2,): 0, x_T = 1, and a 0 for each of z_1..z_T, to which that noise is added."""
    x = np.zeros(T + 2)
    x[1] = 1.0
    return x


def _compare_end(check: Check, d: Known, name: str, x: np.ndarray, what: str, *args: Any) -> None:
    mean, variance = check(d.case).call("gaussian", what, d.m, d.s2, *args)
    check.equal(f"the mean of x₀, {name}", mean, x[0], case=d.case, scale=1 + abs(d.m), slack=10)
    check.equal(f"the variance of x₀, {name}", variance, ((x[1:] - x[0]) ** 2).sum(), case=d.case, slack=100)


@checks("oracle-gaussian", first=lambda: known()[:2], needs=["gaussian"], method="Gauss–Hermite quadrature")
def bound_and_likelihood_of_the_best_model(check: Check, d: Known) -> None:
    a, b = d.eps
    sigma2 = np.concatenate(([np.nan], 0.25 + d.k.beta[1:]))
    p = Affine(d.case, d.m, d.s2, a, b, sigma2)
    want = p.five()
    check.equal("L₀, L₁, …, L_T", d.ask(check, "vlb", want.shape, sigma2), want, case=d.case, scale=1 + np.abs(want),
                slack=10)
    check.equal("E[−ln p_θ(x₀)]", d.ask(check, "nll", (), sigma2), p.nll(), case=d.case, scale=1 + abs(p.nll()),
                slack=10)
