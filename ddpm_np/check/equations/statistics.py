"""The distributions of Algorithm 1: t uniform on 1..T and ε ~ N(0, I), all numbers independent.

Every threshold is exact for the finite sample (binomial, normal, χ², F, Dvoretzky–Kiefer–Wolfowitz with Massart's
constant). A property's comparisons share its false-alarm probability, so that correct code fails with probability at
most 1e-9. A million numbers reveal 1 % in the mean or the standard deviation.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ddpm_np.backend import freeze
from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.distributions import binomial, chi_squared, f_ratio, normal_cdf
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, equation

equation("algorithm-1", "the distributions of t and of the noise",
         r"t\sim\mathrm{Uniform}(\{1,\dots,T\}),\quad\epsilon\sim\mathcal{N}(0,I)", "Ho et al. 2020, Algorithm 1",
         "training.algorithm1.gradient_of_batch")

CHANCE = 1e-9  # probability that a property fails on correct code
SEED = 20_200_619
DRAWS_OF_T = 100_000  # or 5,000 for each t, if that is less
PAIR = 1000  # draws that are compared between two calls
SHAPE = (160, 32, 32, 3)  # 491,520 numbers
TAILS = (3.0, 4.0)
BINS = 1600  # between −4 and 4, for the distribution function


def two_sided(below: Any, above: Any) -> Any:
    """Return the two-sided p-value from P(X ≤ x) and P(X ≥ x)."""
    return np.minimum(1.0, 2 * np.minimum(below, above))


def farthest_allowed(n: int, chance: float) -> float:
    """Return Massart's bound: P(sup |F_n − F| > bound) ≤ chance."""
    return math.sqrt(math.log(2 / chance) / (2 * n))


def plain_long_and_short() -> tuple[Case, ...]:
    """Return the fixed schedules of T = 6 and of the paper's T = 1000."""
    return plain_cases()[1], plain_cases()[2]


@checks("algorithm-1", first=plain_long_and_short, needs=["draw_t"], method="binomial and DKW–Massart thresholds",
        false_alarm=2 * CHANCE)
def t_is_uniform_for_each_image(check: Check, case: Case) -> None:
    """Check that all values 1..T are equally frequent, that a second call differs, and that images are independent."""
    T, n, rng = case.T, min(5_000 * case.T, DRAWS_OF_T), np.random.default_rng(SEED)
    target = check(case)
    t = target.draw_t(rng, n)
    _all_values_are_as_frequent(check, t, T)
    check.true((target.draw_t(rng, PAIR) != target.draw_t(rng, PAIR)).any(),
               f"two calls of draw_t with T={T} gave the same {PAIR} numbers",
               "the generator that is given is not used, or is seeded anew")
    _images_are_independent(check, t, T)


def _all_values_are_as_frequent(check: Check, t: np.ndarray, T: int) -> None:
    """Check the frequency of each value by itself, and the distribution as a whole."""
    n = len(t)
    low, high, said = int(t.min()), int(t.max()), f"{n} draws of t with T={T}"
    check.true(low < high, f"{said}: all are {low}", "one t for the whole batch: each image has its own")
    check.true(low >= 1 and high <= T, f"{said}: they lie from {low} to {high}, expected 1 to {T}",
               "these are t of 0..T−1: if the target counts so, declare conventions = {'index_base': 0}"
               if (low, high) == (0, T - 1) else "")
    counts = np.bincount(t.astype(np.intp), minlength=T + 1)[1:]
    p, chance = two_sided(*binomial(counts, n, 1 / T)), CHANCE / 2 / (2 * T)  # half a property's for each schedule
    worst = int(np.argmin(p))
    missing = ", ".join(map(str, np.flatnonzero(counts == 0)[:4] + 1))
    often = f"t = {worst + 1} is drawn too often" if counts[worst] > n / T else ""
    check.true(p[worst] > chance,
               f"{said}: t={worst + 1} was drawn {counts[worst]} times, expected about {n / T:.0f}",
               f"t = {missing} is never drawn: an end that is left out" if missing else often)
    gap = np.abs(np.cumsum(counts) / n - np.arange(1, T + 1) / T)
    worst = int(np.argmax(gap))
    check.true(gap[worst] <= farthest_allowed(n, CHANCE / 4),
               f"{said}: a share of {counts[: worst + 1].sum() / n:.4f} is at most {worst + 1}, expected "
               f"{(worst + 1) / T:.4f}", "t is not uniform")


def _images_are_independent(check: Check, t: np.ndarray, T: int) -> None:
    """Check correlations at every lag, and count pairs of neighbours in a contingency table."""
    n = len(t)
    lag, product, allowed = _strongest_lag((2 * t - T - 1) / (T - 1), CHANCE / 4)
    check.true(abs(product) <= allowed,
               f"{n} draws of t with T={T}: t of an image and of the one {lag} later, put on −1..1, have a mean product"
               f" of {product:.4g}, expected 0 ± {1 / math.sqrt(n):.2g}", "the t of a batch depend on each other")
    bins = min(T, 8)
    cell = (t - 1) * bins // T
    share = np.bincount(np.arange(T) * bins // T, minlength=bins) / T
    counts = np.bincount((cell[0::2] * bins + cell[1::2]).astype(np.intp), minlength=bins**2)
    p = two_sided(*binomial(counts, n // 2, np.outer(share, share).ravel()))
    worst = int(np.argmin(p))
    a, b = ((np.flatnonzero(np.arange(T) * bins // T == i)[[0, -1]] + 1).tolist() for i in divmod(worst, bins))
    check.true(p[worst] > CHANCE / 4 / bins**2,
               f"{n // 2} pairs of neighbours in a batch, T={T}: t of {a[0]}..{a[1]} is followed by t of {b[0]}..{b[1]}"
               f" {counts[worst]} times, expected about {n // 2 * share[worst // bins] * share[worst % bins]:.0f}",
               "the t of a batch depend on each other")


def _strongest_lag(u: np.ndarray, chance: float) -> tuple[int, float, float]:
    """Return the cyclic lag with the largest |mean of u_i·u_{i+lag}|, that mean, and the largest value allowed.

    The pairs at a lag are the edges of cycles, so they split into at most three equal classes without a repeated
    number. For u in [−1, 1] with mean 0, the mean of the m products of a class exceeds a with probability at most
    exp(−m·a²/2) (Hoeffding).
    """
    n = len(u)
    means = np.fft.irfft(np.abs(np.fft.rfft(u)) ** 2, n)[1 : n // 2 + 1] / n
    lag = int(np.argmax(np.abs(means)))
    return lag + 1, float(means[lag]), math.sqrt(6 * math.log(3 * n / chance) / (n - 2))


@checks("algorithm-1", first=lambda: plain_cases()[:1], needs=["draw_noise"],
        method="normal, χ², binomial and DKW–Massart thresholds", false_alarm=CHANCE)
def noise_is_normal(check: Check, case: Case) -> None:
    """Check the noise's mean, variance, tails and distribution function."""
    x = check(case).draw_noise(np.random.default_rng(SEED), SHAPE).ravel()
    n, chance = len(x), CHANCE / (3 + len(TAILS))
    mean, square = x.mean(), x @ x

    def hold(condition: Any, found: str, hint: str = "") -> None:
        check.true(condition, "" if condition else f"{n} numbers of draw_noise: {found}",
                   "" if condition else _law(np.sort(x), mean, square / n) or hint)

    hold(two_sided(normal_cdf(mean * math.sqrt(n)), normal_cdf(-mean * math.sqrt(n))) > chance,
         f"their mean is {mean:.6g}, expected 0 ± {1 / math.sqrt(n):.2g}")
    hold(two_sided(*chi_squared(n, square)) > chance,
         f"the mean of their squares is {square / n:.6g}, expected 1 ± {math.sqrt(2 / n):.2g}")
    for z in TAILS:
        count, p = np.count_nonzero(np.abs(x) > z), 2 * normal_cdf(-z)
        hold(two_sided(*binomial(count, n, p)) > chance, f"{count} are beyond ±{z:g}, expected about {n * p:.0f}",
             "the tails are not normal")
    bins = np.bincount(np.clip((x + 4) * (BINS / 8) + 1, 0, BINS + 1).astype(np.intp), minlength=BINS + 2)
    share, (points, expected) = np.cumsum(bins)[:-1] / n, distribution()
    gap = np.abs(share - expected)
    worst = int(np.argmax(gap))
    hold(gap[worst] <= farthest_allowed(n, chance), f"a share of {share[worst]:.4f} is below {points[worst]:.4g},"
         f" expected {expected[worst]:.4f}", "the distribution is not normal")


@cache
def distribution() -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the bins from −4 to 4, and Φ at each."""
    points = np.linspace(-4, 4, BINS + 1)
    return freeze(points), freeze(normal_cdf(points))


def _law(x: np.ndarray, mean: float, square: float) -> str:
    """Name a distribution that the sorted numbers look like instead; empty if none of the known ones."""
    low, high = x[0], x[-1]
    if low >= 0 and high <= 1 and abs(mean - 0.5) < 0.01:
        return "these are uniform on 0..1 (rand, rand_like): the noise is normal (randn, standard_normal)"
    if abs(high + low) < 0.01 * high and abs(square - high**2 / 3) < 0.01 * square:
        return f"these are uniform on {low:.3g}..{high:.3g}: the noise is normal"
    if np.isclose(high, -low, rtol=1e-6):
        return f"the numbers are clipped to ±{high:.3g}"
    if np.mean(x[1:] == x[:-1]) > 0.4:
        return "every number occurs at least twice: the noise is repeated over images, rows, columns or channels"
    return ""


@checks("algorithm-1", first=lambda: plain_cases()[:1], needs=["draw_noise"], method="F and χ² thresholds",
        false_alarm=CHANCE)
def noise_is_drawn_for_each_number(check: Check, case: Case) -> None:
    """Check that neighbouring numbers, the halves of a batch, and two calls are independent.

    Sum and difference of two independent numbers have the same variance. For N(0, 1) the ratio of the two sums of
    squares has exactly an F distribution, and sums of n numbers, squared and over n, add up to exactly χ².
    """
    target, rng, shape = check(case), np.random.default_rng(SEED + 1), (64, 16, 16, 4)
    x, again = target.draw_noise(rng, shape), target.draw_noise(rng, shape)
    pairs = {"two calls": (x, again), "the two halves of a batch": np.split(x, 2)}
    sums = {"an image's channel": x.sum(axis=(1, 2)), "a pixel's channels": x.sum(axis=3),
            "a batch's same pixel": x.sum(axis=0)}
    for axis, what in enumerate(("images", "rows", "columns", "channels")):
        even, odd = (np.take(x, np.arange(first, shape[axis], 2), axis) for first in (0, 1))
        pairs[f"neighbouring {what}"] = even, odd
    chance = CHANCE / (len(pairs) + len(sums))
    for what, (a, b) in pairs.items():
        m, together, apart = a.size, float(np.sum((a + b) ** 2)), float(np.sum((a - b) ** 2))
        correlation, ratio = (together - apart) / (together + apart), together / max(apart, 1e-9)
        check.true(two_sided(*f_ratio(m, m, ratio)) > chance,
                   f"{m} pairs of draw_noise from {what}: a correlation of {correlation:.4g}, expected 0 ± "
                   f"{1 / math.sqrt(m):.2g}", f"the noise of {what} is not drawn independently")
    for what, s in sums.items():
        m, length, squares = s.size, x.size // s.size, float(np.sum(s**2)) * s.size / x.size
        check.true(two_sided(*chi_squared(m, squares)) > chance,
                   f"{m} sums of the {length} numbers of draw_noise in {what}: the mean of their squares is "
                   f"{squares * length / m:.4g}, expected {length} ± {length * math.sqrt(2 / m):.2g}",
                   f"the noise of {what} is not drawn independently")


@checks("algorithm-1", first=lambda: plain_cases()[:1], needs=["draw_noise"], method="DKW–Massart thresholds",
        false_alarm=CHANCE)
def noise_of_an_image_is_as_it_falls(check: Check, case: Case) -> None:
    """Check that the sum of an image's numbers varies between images as a normal, and that of their squares as χ²."""
    x = check(case).draw_noise(np.random.default_rng(SEED + 2), (400, 8, 8, 1)).reshape(400, 64)
    place = np.arange(401) / 400
    for what, share in (("sum", normal_cdf(x.sum(axis=1) / 8)),
                        ("sum of squares", chi_squared(64, (x**2).sum(axis=1))[0])):
        ranked = np.sort(share)
        gap = float(max((place[1:] - ranked).max(), (ranked - place[:-1]).max()))
        check.true(gap <= farthest_allowed(400, CHANCE / 2),
                   f"the {what} of the 64 numbers of draw_noise in each of 400 images: its distribution is {gap:.3g}"
                   " from that of independent numbers", "an image's noise is shifted or scaled by a number of its own")
