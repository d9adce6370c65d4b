"""The discretised decoder (13): a normal distribution's probability of each of 256 levels.

It is compared with 50 digits in the middle, at the edges and 7 to 10 σ from the mean, to 1e-9 of 1 + |ln p|. Both ln Φ
and Φ itself on the side of the mean where it is small are that precise. The plain ln(Φ(b) − Φ(a)) is not: right of the
mean both are near 1, which leaves four digits at 7 σ and none at 8.3 σ. Nothing is checked beyond 10 σ.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check, Failed, nice
from ddpm_np.check.distributions import normal_cdf, normal_log_cdf
from ddpm_np.check.equations.bound_terms import log_level
from ddpm_np.check.exact import mp50
from ddpm_np.check.registry import checks, drawn, equation
from ddpm_np.check.target import Wrong

equation("13", "the discretised decoder",
         r"p_\theta(x_0\mid x_1) = \prod_i\int_{\delta_-(x_0^i)}^{\delta_+(x_0^i)}\mathcal{N}(x;\mu_\theta^i(x_1,1),"
         r"\sigma_1^2)\,dx", "Ho et al. 2020, (13)", "diffusion.decoder.decoder_log_likelihood")

Point = tuple[int, float, float]  # the level 0..255, its distance above the mean in σ, ln σ
LOG_SCALES = (0.0, -3.0, -5.0)
MIDDLE: tuple[Point, ...] = tuple(product((128, 1, 254), (0.0, 2.0, -0.5, 4.0), LOG_SCALES))
EDGES: tuple[Point, ...] = tuple(product((255, 0), (0.0, 2.0, -2.0, 5.0, -5.0), LOG_SCALES))
TAILS: tuple[Point, ...] = (*product((128, 1), (7.0, -7.0, 8.0, -8.0, 9.0, 10.0, -10.0), LOG_SCALES),
                            *product((255,), (7.0, 8.0, 10.0), LOG_SCALES),
                            *product((0,), (-7.0, -8.0, -10.0), LOG_SCALES))


@cache
def fixed(points: tuple[Point, ...], low: int, high: int) -> tuple[np.ndarray, ...]:
    """Return x₀, μ and ln σ of some points as floats, (N,) each, and ln p of these floats by 50 digits."""
    level, below, log_scale = np.array(points).T
    x_0 = low + (high - low) * (level / 255)
    mean = x_0 - below * np.exp(log_scale)
    want = [_exactly(*row, low, high) for row in zip(level, x_0, mean, log_scale, strict=True)]
    return x_0, mean, log_scale, np.array(want)


def _exactly(level: float, x_0: float, mean: float, log_scale: float, low: int, high: int) -> float:
    """Return the logarithm of the integral in (13) as a difference of two small erfc."""
    half, sigma = mp50.mpf(high - low) / 510, mp50.exp(mp50.mpf(float(log_scale)))
    distance = mp50.mpf(float(x_0)) - mp50.mpf(float(mean))
    a = -mp50.inf if level == 0 else (distance - half) / sigma
    b = mp50.inf if level == 255 else (distance + half) / sigma
    a, b = (a, b) if a + b > 0 else (-b, -a)  # the mirror image
    return float(mp50.log((mp50.erfc(a / mp50.sqrt(2)) - mp50.erfc(b / mp50.sqrt(2))) / 2))


@checks("13", first=lambda: [MIDDLE], needs=["decoder_log_likelihood"], method="50 digits")
def level_in_the_middle(check: Check, points: tuple[Point, ...]) -> None:
    _compare_points(check, points)


@checks("13", first=lambda: [EDGES], needs=["decoder_log_likelihood"], method="50 digits")
def level_at_the_edges(check: Check, points: tuple[Point, ...]) -> None:
    """Check that the first and the last level include everything beyond them."""
    _compare_points(check, points)


@checks("13", first=lambda: [TAILS], needs=["decoder_log_likelihood"], method="50 digits")
def level_in_the_tails(check: Check, points: tuple[Point, ...]) -> None:
    """Check levels 7 to 10 σ from the mean, where p is at most 1e-12 and Φ on the far side rounds to nearly 1."""
    try:
        _compare_points(check, points)
    except Wrong:
        for point in points:  # find the one
            x_0, mean, log_scale, want = fixed((point,), *check(plain_cases()[0]).range)
            try:
                check(plain_cases()[0]).decoder_log_likelihood(x_0, mean, log_scale)
            except Wrong as error:
                at = f"x₀={nice(x_0[0])}, μ={nice(mean[0])}, ln σ={nice(log_scale[0])}"
                hint = "right of the mean Φ(b) − Φ(a) subtracts numbers near 1: use Φ(−a) − Φ(−b) or ln Φ there"
                raise Failed(f"{at}: {error}, expected {want[0]:.10g}", hint) from error
        raise


def _compare_points(check: Check, points: tuple[Point, ...]) -> None:
    target = check(plain_cases()[0])
    x_0, mean, log_scale, want = fixed(points, *target.range)
    got = target.decoder_log_likelihood(x_0, mean, log_scale)
    _compare(check, got, want, x_0, mean, log_scale)


@checks("13", draws=drawn("levels_and_means"), needs=["decoder_log_likelihood"], aspect="level_in_the_middle",
        method="normal distribution function")
def level_anywhere(check: Check, drawn: tuple[np.ndarray, ...]) -> None:
    level, below, log_scale = drawn
    target = check(plain_cases()[0])
    low, high = target.range
    x_0 = (low + (high - low) * (level / 255))[:, None]
    log_scale = log_scale[:, None]
    mean = x_0 - below[:, None] * np.exp(log_scale)
    want = log_level(x_0, mean, np.exp(log_scale), low, high)
    _compare(check, target.decoder_log_likelihood(x_0, mean, log_scale), want, x_0, mean, log_scale)


def _compare(check: Check, got: np.ndarray, want: np.ndarray, x_0: np.ndarray, mean: np.ndarray,
             log_scale: np.ndarray) -> None:
    sigma = np.exp(log_scale)
    low, high = (-1, 1) if check.declared is None else check.declared.values["range"]
    check.equal("ln p", got, want, scale=1 + np.abs(want), at={"x₀": x_0, "μ": mean, "ln σ": log_scale},
                mistakes=lambda: _mistakes(want, x_0, mean, sigma, low, high))


def _mistakes(want: np.ndarray, x_0: np.ndarray, mean: np.ndarray, sigma: np.ndarray, low: float,
              high: float) -> dict[str, Any]:
    half = (high - low) / 510
    first, last = x_0 < low + half, x_0 > high - half

    def binned(h: float, cdf: Any = normal_cdf, edges: bool = True, floor: float = 0.0) -> np.ndarray:
        """Return the plain ln(Φ(b) − Φ(a)) of bins that extend by h to either side."""
        upper, lower = cdf((x_0 + h - mean) / sigma), cdf((x_0 - h - mean) / sigma)
        p = np.where(first & edges, upper, np.where(last & edges, 1 - lower, upper - lower))
        return np.log(np.maximum(p, floor))

    def rough(z: np.ndarray) -> np.ndarray:
        """Return the approximation of Φ by a hyperbolic tangent."""
        return 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    normal = -0.5 * ((x_0 - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)
    other_range = (0.0, 1.0) if low == -1 else (-1.0, 1.0)
    return {
        "the tanh approximation of Φ": binned(half, rough),
        "the authors' decoder: a tanh approximation of Φ, and at least 1e-12": binned(half, rough, floor=1e-12),
        "a floor: p of at least 1e-12": np.maximum(want, math.log(1e-12)),
        "a floor: p of at least 1e-12, and Φ(b) − Φ(a) of numbers near 1": binned(half, floor=1e-12),
        "p + 1e-12": np.logaddexp(want, math.log(1e-12)),
        "Φ(b) − Φ(a) of numbers near 1": binned(half),
        "the density times the level's width": normal + math.log(2 * half),
        "the log density, without levels": normal,
        "the edges left out: the first and the last level as wide as the others": binned(half, edges=False),
        "levels twice as wide: x₀ ± 2/255": binned(2 * half),
        "levels half as wide": binned(half / 2),
        "levels of 1/256 for 1/255": binned(half * 255 / 256),
        "levels of 1/127 for 1/127.5": binned(half * 127.5 / 127),
        "levels of the other range (declare conventions = {'range': …})": log_level(x_0, mean, sigma, *other_range),
        "σ² taken for σ": log_level(x_0, mean, sigma**2, low, high),
        "ln σ taken for ln σ²": log_level(x_0, mean, np.sqrt(sigma), low, high),
        "σ itself taken for ln σ": log_level(x_0, mean, np.exp(sigma), low, high),
        "Φ(b) alone": normal_log_cdf((x_0 + half - mean) / sigma),
        "bits; decoder_log_likelihood is asked in nats": want / math.log(2),
        "−ln p: the sign": -want,
        "p without its logarithm": np.exp(want)}


@checks("13", draws=drawn("means_and_scales"), first=lambda: [(0.0, 0.0), (0.3, -2.0), (-1.5, -1.0), (1.0, -5.0)],
        needs=["decoder_log_likelihood"], method="identity")
def levels_add_up_to_one(check: Check, drawn: tuple[float, float]) -> None:
    """Check that the levels' probabilities sum to 1; levels beyond 7 σ are left out, which costs at most 3e-12."""
    mean, log_scale = drawn
    target = check(plain_cases()[0])
    low, high = target.range
    half = (high - low) / 510
    x_0 = low + (high - low) * (np.arange(256) / 255)
    sigma = math.exp(log_scale)
    mean = min(max(mean, low - 5 * sigma), high + 5 * sigma)
    x_0 = x_0[np.abs(x_0 - mean) <= 7 * sigma + half]
    if x_0.size == 0:
        return
    log_p = target.decoder_log_likelihood(x_0, np.full(len(x_0), mean), np.full(len(x_0), log_scale))
    check.equal("the sum of the levels' probabilities", np.exp(log_p).sum(), np.array(1.0), slack=10,
                at={"μ": np.array(mean), "ln σ": np.array(log_scale)}, mistakes=lambda: {
                    "levels without the edges: nothing lies beyond −1 and 1": normal_cdf(
                        (high + half - mean) / sigma) - normal_cdf((low - half - mean) / sigma),
                    "levels twice as wide: x₀ ± 2/255": 2.0, "levels half as wide": 0.5})
