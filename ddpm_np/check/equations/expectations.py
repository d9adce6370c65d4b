"""Expectations of the bound for Gaussian data and affine models: (3) = (5) = (16) ≥ the negative log likelihood.

For x₀ ~ N(m, s²) and ε_θ = a_t·x + b_t each line is a quadratic function of standard normals, whose expectation
Gauss–Hermite quadrature gives exactly.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations import appendix  # noqa: F401 - registers (3) and (22)
from ddpm_np.check.exact import Case, from_ks
from ddpm_np.check.registry import checks, equation

AFFINE = "diffusion.oracle.affine."
equation("16", "the bound by exact reverse steps",
         r"L = D_{KL}(q(x_T)\,\Vert\,p(x_T))+\mathbb{E}_q\left[\sum_{t\geq1}D_{KL}(q(x_{t-1}\mid x_t)\,\Vert\,"
         r"p_\theta(x_{t-1}\mid x_t))\right]+H(x_0)",
         "Ho et al. 2020, (16)", *(AFFINE + name for name in (
             "affine_bound_16", "affine_vlb", "affine_nll", "terms_of_16", "terms_of_5", "expected_nll", "chain_end",
             "exact_step", "step_of", "entropy")))
equation("26", "(16), the end of its derivation",
         r"L = D_{KL}(q(x_T)\,\Vert\,p(x_T))+\mathbb{E}_q\left[\sum_{t\geq1}D_{KL}(q(x_{t-1}\mid x_t)\,\Vert\,"
         r"p_\theta(x_{t-1}\mid x_t))\right]+H(x_0)",
         "Ho et al. 2020, appendix A, (26)", AFFINE + "affine_bound_16")

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(4)  # exact to degree 7
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def grid(dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points (dims, 4^dims) and weights of an expectation over standard normals."""
    index = np.array(list(product(range(len(NODES)), repeat=dims))).T
    return NODES[index], WEIGHTS[index].prod(axis=0)


class Affine(NamedTuple):
    """Data N(m, s²), a model a_t·x + b_t and variances σ_t²; tables (T + 1,), row 0 nan."""

    case: Case
    m: float
    s2: float
    a: np.ndarray
    b: np.ndarray
    sigma2: np.ndarray

    def model(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        shape = (-1,) + (1,) * (x.ndim - 1)
        return self.a[t].reshape(shape) * x + self.b[t].reshape(shape)

    def mean(self, x: np.ndarray, t: int) -> np.ndarray:
        """Return μ_θ(x, t) by (11)."""
        k = self.case.table
        return (x - k.beta[t] / k.sqrt_one_minus_alpha_bar[t] * (self.a[t] * x + self.b[t])) / k.sqrt_alpha[t]

    @property
    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.a, self.b, self.sigma2

    def five(self) -> np.ndarray:
        """Return L₀, L₁, …, L_T of (5) as expectations over x₀ and x_t, (T + 1,)."""
        (z, eps), w = grid(2)
        k, T, x_0 = self.case.table, self.case.T, self.m + np.sqrt(self.s2) * z
        terms = []
        for t in range(1, T + 1):
            x_t = k.sqrt_alpha_bar[t] * x_0 + k.sqrt_one_minus_alpha_bar[t] * eps
            mean, sigma2 = self.mean(x_t, t), self.sigma2[t]
            if t == 1:
                terms.append(w @ (0.5 * (np.log(2 * np.pi * sigma2) + (x_0 - mean) ** 2 / sigma2)))
            else:
                terms.append(w @ _kl(k.x0[t] * x_0 + k.xt[t] * x_t, k.beta_tilde[t], mean, sigma2))
        return np.array([*terms, w @ _kl(k.sqrt_alpha_bar[T] * x_0, k.one_minus_alpha_bar[T], 0 * x_0, 1.0)])

    def sixteen(self) -> np.ndarray:
        """Return H(x₀), the expected divergences of steps 1..T, and that of x_T, (T + 2,)."""
        (z,), w = grid(1)
        k, T = self.case.table, self.case.T
        v = k.alpha_bar * self.s2 + k.one_minus_alpha_bar
        terms = [0.5 * np.log(2 * np.pi * np.e * self.s2)]
        for t in range(1, T + 1):
            x_t = k.sqrt_alpha_bar[t] * self.m + np.sqrt(v[t]) * z
            r = 1 / (1 / v[t - 1] + k.alpha[t] / k.beta[t])  # a product of two Gaussians
            centre = r * (k.sqrt_alpha_bar[t - 1] * self.m / v[t - 1] + k.sqrt_alpha[t] * x_t / k.beta[t])
            terms.append(w @ _kl(centre, r, self.mean(x_t, t), self.sigma2[t]))
        return np.array([*terms, _kl(k.sqrt_alpha_bar[T] * self.m, v[T], 0.0, 1.0)])

    def nll(self) -> float:
        """Return E[−ln p_θ(x₀)] from the constant term of x₀ and its coefficients of x_T and of each z_t."""
        T = self.case.T
        x = np.zeros(T + 2)  # inputs: all zero; then x_T, z_T, …, z_1 alone, each 1
        x[1] = 1.0
        for i, t in enumerate(range(T, 0, -1)):
            x = self.mean(x, t)
            x[2 + i] += np.sqrt(self.sigma2[t])
        variance = ((x[1:] - x[0]) ** 2).sum()
        return float(0.5 * (np.log(2 * np.pi * variance) + (self.s2 + (self.m - x[0]) ** 2) / variance))


def _kl(mean1: np.ndarray, variance1: float, mean2: np.ndarray | float, variance2: float) -> np.ndarray:
    return 0.5 * (np.log(variance2 / variance1) - 1 + (variance1 + (mean1 - mean2) ** 2) / variance2)


@cache
def problems() -> tuple[Affine, ...]:
    """Return problems of two, three and six steps, and N(0, 1) with ε* and σ² = β, whose bound is the entropy."""
    two, six, _, _ = plain_cases()
    three = from_ks([Fraction(1, 3), Fraction(1, 2), Fraction(3, 4)])
    rng, found = np.random.default_rng(0), []
    for case, m, s2 in ((two, 0.0, 1.0), (three, 0.5, 0.25), (six, -1.0, 2.0)):
        a, b = rng.integers(-4, 5, (2, case.T + 1)) / 4
        sigma2 = rng.integers(1, 9, case.T + 1) / 8
        found.append(Affine(case, m, s2, _unused(a), _unused(b), _unused(sigma2)))
    k = three.table
    found.append(Affine(three, 0.0, 1.0, _unused(k.sqrt_one_minus_alpha_bar), _unused(0 * k.beta), _unused(k.beta)))
    return tuple(found)


def _unused(table: np.ndarray) -> np.ndarray:
    """Return the table with nan in row 0."""
    return np.concatenate(([np.nan], table[1:]))


@cache
def _trajectories(p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x₀..x_T (T + 1, 4^(T + 1), 1) of a problem by T steps of (2), and the weights."""
    problem = problems()[p]
    k, (z, w) = problem.case.table, grid(problem.case.T + 1)
    x = [problem.m + np.sqrt(problem.s2) * z[0]]
    for t in range(1, problem.case.T + 1):
        x.append(k.sqrt_alpha[t] * x[-1] + k.sqrt_beta[t] * z[t])
    return np.stack(x)[..., None], w


def _expected(check: Check, number: int, line: str) -> tuple[float, float]:
    p, (x, w) = problems()[number], _trajectories(number)
    each = check(p.case).array(line, (x.shape[1],), p.model, x, variance=p.sigma2, levels=None)
    return float(w @ each), float(1 + w @ np.abs(each) + np.abs(np.log(p.case.table.beta[1:])).sum())


SHORT = (0, 1, 3)  # the problems of two and three steps


@checks("3", first=lambda: SHORT, needs=["equation_3"], method="Gauss–Hermite quadrature")
def three_is_five_on_average(check: Check, number: int) -> None:
    got, scale = _expected(check, number, "equation_3")
    p = problems()[number]
    check.equal("E of (3) against the sum of the terms of (5)", got, p.five().sum(), case=p.case, scale=scale, slack=10)


@checks("22", first=lambda: SHORT, needs=["equation_22"], method="Gauss–Hermite quadrature")
def twenty_two_is_five_on_average(check: Check, number: int) -> None:
    """Check E of (22) against (5); so it equals that of (21), which is (3)."""
    got, scale = _expected(check, number, "equation_22")
    p = problems()[number]
    check.equal("E of (22) against the sum of the terms of (5)", got, p.five().sum(), case=p.case, scale=scale,
                slack=10)


@checks("3", first=lambda: SHORT, needs=["equation_3"], method="closed form of the likelihood")
def three_is_a_bound(check: Check, number: int) -> None:
    """Check E L ≥ E[−ln p_θ(x₀)], and that for N(0, 1), ε* and σ² = β both equal the entropy."""
    got, scale = _expected(check, number, "equation_3")
    p = problems()[number]
    check.true(got >= p.nll() - check.tolerance * scale,
               f"{p.case!r}: E of (3) got {got:.10g}, below −ln p_θ = {p.nll():.10g}")
    if number == 3:
        check.equal("E of (3) where the reverse is exact", got, 0.5 * np.log(2 * np.pi * np.e), case=p.case,
                    scale=scale, slack=10)


@checks("16", first=problems, needs=["affine_vlb"], method="Gauss–Hermite quadrature")
def five_of_an_affine_model(check: Check, p: Affine) -> None:
    want = p.five()
    got = check(p.case).array("affine_vlb", want.shape, p.m, p.s2, *p.tables)
    check.equal("L₀, L₁, …, L_T", got, want, case=p.case, scale=1 + np.abs(want), slack=10)


@checks("16", first=problems, needs=["affine_bound_16"], method="Gauss–Hermite quadrature")
def sixteen_of_an_affine_model(check: Check, p: Affine) -> None:
    want = p.sixteen()
    got = check(p.case).array("affine_bound_16", want.shape, p.m, p.s2, *p.tables)
    check.equal("H, steps 1..T, x_T", got, want, case=p.case, scale=1 + np.abs(want), slack=10)


@checks("16", first=problems, needs=["affine_nll", "affine_vlb"], method="closed form of the likelihood")
def likelihood_of_an_affine_model(check: Check, p: Affine) -> None:
    """Check the chain's likelihood, and that the bound is not below it."""
    target, tables = check(p.case), (p.m, p.s2, *p.tables)
    got = target.array("affine_nll", (), *tables)
    check.equal("E[−ln p_θ(x₀)]", got, p.nll(), case=p.case, scale=1 + abs(p.nll()), slack=10)
    bound = target.array("affine_vlb", (p.case.T + 1,), *tables).sum()
    check.true(bound >= got - 1e-9 * (1 + abs(got)),
               f"{p.case!r}: the bound got {bound:.10g}, below −ln p_θ = {got:.10g}")


@checks("16", first=lambda: problems()[1:2], needs=["affine_vlb", "affine_bound_16", "affine_nll"],
        method="Gauss–Hermite quadrature")
def every_dimension_on_its_own(check: Check, p: Affine) -> None:
    """Check parameters (2,) with one table of numbers and one of pairs."""
    other = p._replace(m=p.m + 1, s2=2 * p.s2, b=p.b - 0.5)
    m, s2, b = np.array([p.m, other.m]), np.array([p.s2, other.s2]), np.stack([p.b, other.b], axis=1)
    for name, wants in (("affine_vlb", (p.five(), other.five())), ("affine_bound_16", (p.sixteen(), other.sixteen())),
                        ("affine_nll", (np.array(p.nll()), np.array(other.nll())))):
        want = np.stack(wants, axis=-1)
        got = check(p.case).array(name, want.shape, m, s2, p.a, b, p.sigma2)
        check.equal(f"{name} of two dimensions", got, want, case=p.case, scale=1 + np.abs(want), slack=10)


@checks("26", first=problems, needs=["affine_bound_16", "affine_vlb"], method="equality of (5) and (16)")
def sixteen_is_five(check: Check, p: Affine) -> None:
    target, tables = check(p.case), (p.m, p.s2, *p.tables)
    five = target.array("affine_vlb", (p.case.T + 1,), *tables)
    sixteen = target.array("affine_bound_16", (p.case.T + 2,), *tables)
    check.equal("the sum of (16) against that of (5)", sixteen.sum(), five.sum(), case=p.case,
                scale=1 + np.abs(five).sum() + np.abs(sixteen).sum())


@checks("26", first=lambda: SHORT, needs=["equation_25", "affine_bound_16"], method="Gauss–Hermite quadrature")
def twenty_five_is_twenty_six_on_average(check: Check, number: int) -> None:
    p, (x, w) = problems()[number], _trajectories(number)
    k = p.case.table

    def log_q(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        mean, v = k.sqrt_alpha_bar[t] * p.m, k.alpha_bar[t] * p.s2 + k.one_minus_alpha_bar[t]
        return -0.5 * ((x[:, 0] - mean) ** 2 / v + np.log(2 * np.pi * v))

    target = check(p.case)
    each = target.array("equation_25", (x.shape[1],), p.model, x, log_q, variance=p.sigma2, levels=None)
    got = target.array("affine_bound_16", (p.case.T + 2,), p.m, p.s2, *p.tables).sum()
    scale = 1 + w @ np.abs(each) + np.abs(np.log(k.beta[1:])).sum()
    check.equal("(26) against E of (25)", got, w @ each, case=p.case, scale=scale, slack=10)
