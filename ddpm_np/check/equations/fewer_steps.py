"""A whole chain of n of the T steps, over the target's own steps and by its own step, on Gaussian data."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations.reverse import CLIPS, VARIANCES
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, equation

equation("fewer-steps", "Algorithm 2 over n of the T steps",
         r"x_{\tau_{i-1}} = \tilde\mu'_i(x_{\tau_i},\hat x_0)+\sigma'_iz_i,\quad \beta'_i = 1-\bar\alpha_{\tau_i}/"
         r"\bar\alpha_{\tau_{i-1}},\quad \tau_0 = 0,\ z_1 = 0",
         "Nichol & Dhariwal 2021, section 4", "diffusion.respacing.respace")

MEAN, VARIANCE = 0.25, 0.25  # of the data


def lengths() -> list[tuple[Case, int]]:
    """Return schedules with numbers of steps to take, at least two, as σ₁² is β̃₂ for many."""
    two, six, long, _ = plain_cases()
    return [(two, 2), *((six, n) for n in (2, 3, 4, 6)), (long, 10)]


@checks("fewer-steps", first=lengths, needs=["sample_fewer"], method="closed form on Gaussian data")
def chain_of_fewer_steps(check: Check, drawn: tuple[Case, int]) -> None:
    """Check chains with the best ε for N(m, s²): their calls, the mean and variance of x₀, and its every coefficient.

    The expected chain goes over the steps that the model was called at, and ends at the data.
    """
    for variance, clip in product(VARIANCES, CLIPS):
        with check.if_offered():
            _compare_chain(check, *drawn, variance, clip)


def _eps(case: Case, x: np.ndarray, t: int) -> np.ndarray:
    """Return the best prediction of the noise, (x − √ᾱ_t·m)·√(1 − ᾱ_t)/(ᾱ_t·s² + 1 − ᾱ_t)."""
    k = case.table
    spread = k.alpha_bar[t] * VARIANCE + k.one_minus_alpha_bar[t]
    return k.sqrt_one_minus_alpha_bar[t] * (x - k.sqrt_alpha_bar[t] * MEAN) / spread


def _down(case: Case, x: np.ndarray, t: int, s: int, variance: str, clip: Any) -> tuple[np.ndarray, float]:
    """Return the mean and the standard deviation of the step from x_t to x_s; `clip`: the data's range, or None."""
    k = case.table
    beta = 1 - k.alpha_bar[t] / k.alpha_bar[s]
    x0 = (x - k.sqrt_one_minus_alpha_bar[t] * _eps(case, x, t)) / k.sqrt_alpha_bar[t]
    x0 = x0 if clip is None else np.clip(x0, *clip)
    mean = (k.sqrt_alpha_bar[s] * beta * x0 + np.sqrt(1 - beta) * k.one_minus_alpha_bar[s] * x) / (
        k.one_minus_alpha_bar[t])
    return mean, float(np.sqrt(beta * (k.one_minus_alpha_bar[s] / k.one_minus_alpha_bar[t] if variance == "small"
                                       else 1.0)))


def _chain(case: Case, x: np.ndarray, noises: np.ndarray, pairs: list[tuple[int, int]], variance: str,
           clip: Any) -> np.ndarray:
    """Return the end of a chain over pairs (t, s), with noises[i] at the i-th pair from the end, i > 1."""
    for i, (t, s) in zip(range(len(pairs), 0, -1), pairs, strict=True):
        mean, sigma = _down(case, x, t, s, variance, clip)
        x = mean + sigma * noises[i] if i > 1 else mean
    return x


def _compare_chain(check: Check, case: Case, n: int, variance: str, clip: bool) -> None:
    target, asked = check(case), []
    ends = target.range if clip else None

    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        check.true((t == t[0]).all(), f"{case!r}: the model was called at t = {t.tolist()} in one batch")
        asked.append(int(t[0]))
        return _eps(case, x, int(t[0]))

    # image 0: all inputs 0, which leaves the constant term; image 1: x_T alone; image 1 + i: z_i alone, for i = 1..n
    x_T, noises = np.zeros((n + 2, 1)), np.zeros((n + 1, n + 2, 1))
    x_T[1], noises[0] = 1.0, 1e6  # row 0 is not to be used
    noises[np.arange(1, n + 1), np.arange(2, n + 2)] = 1.0
    got = target.array("sample_fewer", x_T.shape, target.model(model), x_T, noises, n, variance=variance, clip=clip)
    said = f"{case!r}, n={n}"
    check.true(len(asked) == n and asked == sorted(set(asked), reverse=True),
               f"{said}: the model was called at t = {asked}, expected {n} distinct steps, the largest first",
               f"{n - len(asked)} of the steps are never taken" if len(asked) < n else "")
    pairs = list(zip(asked, [*asked[1:], 0], strict=True))
    want = _chain(case, x_T, noises, pairs, variance, ends)
    _, sigma = _down(case, want, *pairs[-1], variance, ends)
    known = {"steps of one, whatever the distance to the next": _chain(
                 case, x_T, noises, [(t, t - 1) for t in asked], variance, ends),
             "a last step that is never taken: it ends above the data": _unfinished(
                 case, x_T, noises, pairs, variance, ends),
             "noise on the finished image": want + sigma * noises[1],
             "noise of σ' = √β_t of the last step on the finished image":
                 want + case.table.sqrt_beta[asked[-1]] * noises[1],
             "the noises in the other order": _chain(
                 case, x_T, np.concatenate((noises[:1], noises[:0:-1])), pairs, variance, ends),
             "x₀ held in the data's range": np.clip(want, *target.range)}
    at = {"n": np.full(len(x_T), n), "the end for": np.array(["no input", "x_T", *(f"z_{i}" for i in range(1, n + 1))])}
    if not clip:
        numbers = {name: (x[0], ((x[1:] - x[0]) ** 2).sum(axis=0)) for name, x in {"": want, **known}.items()}
        for part, (name, value) in enumerate((("mean", got[0]), ("variance", ((got[1:] - got[0]) ** 2).sum(axis=0)))):
            check.equal(f"the {name} of x₀ of {n} steps ({variance}) for data N({MEAN}, {VARIANCE})", value,
                        numbers[""][part], case=case, scale=1 + np.abs(numbers[""][part]), slack=10,
                        mistakes={what: pair[part] for what, pair in numbers.items() if what})
    check.equal(f"x₀ of {n} steps ({variance}{', clipped' if clip else ''})", got, want, case=case, at=at,
                scale=1 + 1 / case.table.sqrt_alpha_bar[asked[0]] * np.abs(x_T) + np.abs(want), slack=10,
                mistakes=known)


def _unfinished(case: Case, x: np.ndarray, noises: np.ndarray, pairs: list[tuple[int, int]], variance: str,
                clip: Any) -> np.ndarray:
    """Return the chain without its last step, noise included."""
    for i, (t, s) in zip(range(len(pairs), 1, -1), pairs[:-1], strict=True):
        mean, sigma = _down(case, x, t, s, variance, clip)
        x = mean + sigma * noises[i]
    return x
