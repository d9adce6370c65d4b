"""The numbers that the properties of the bound expect: KL divergences, levels' probabilities, the terms of (5).

They are computed in float64 from the exact tables, together with the numbers of other conventions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ddpm_np.check.cases import Batch
from ddpm_np.check.comparison import Check
from ddpm_np.check.distributions import normal_log_cdf
from ddpm_np.check.equations.reverse import affine, sigma2
from ddpm_np.check.exact import Case, Rows
from ddpm_np.check.target import Missing, Target


def divergence(mean1: Any, logvar1: Any, mean2: Any, logvar2: Any) -> np.ndarray:
    """Return KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) elementwise, in nats."""
    return 0.5 * (logvar2 - logvar1 + np.exp(logvar1 - logvar2) + (mean1 - mean2) ** 2 * np.exp(-logvar2) - 1)


def log_level(x_0: Any, mean: Any, sigma: Any, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Return the log probability of x₀'s level, of 256 from `low` to `high`, by (13); elementwise, in nats.

    ln(Φ(b) − Φ(a)) is computed from logarithms on the side of the mean where both are small.
    """
    half = (high - low) / 510
    a = np.where(x_0 < low + half, -np.inf, (x_0 - half - mean) / sigma)
    b = np.where(x_0 > high - half, np.inf, (x_0 + half - mean) / sigma)
    right = a + b > 0
    near, far = normal_log_cdf(np.where(right, -a, b)), normal_log_cdf(np.where(right, -b, a))
    return near + np.log(-np.expm1(far - near))


def bits(x: np.ndarray) -> np.ndarray:
    """Convert nats (N, …) to bits per dimension (N,)."""
    return x.reshape(len(x), -1).mean(axis=1) / math.log(2)


def levels(check: Check, b: Batch) -> np.ndarray:
    """Round x to the grid of 256 levels: ±1 stay, 0 becomes 1/255 (128/255 if the target's range is 0 to 1)."""
    low, high = check(b.case).range
    return low + (high - low) * (np.rint((np.clip(b.x, -1, 1) + 1) / 2 * 255) / 255)


class Means:
    """The means in the term at each image's t, from data, x_t and the model's output; all (N, …)."""

    def __init__(self, k: Rows, x_0: np.ndarray, x_t: np.ndarray, eps: np.ndarray, ends: tuple[float, float]):
        self.x0_hat = (x_t - k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha_bar
        self.posterior = k.x0 * x_0 + k.xt * x_t
        self.model = (x_t - k.beta / k.sqrt_one_minus_alpha_bar * eps) / k.sqrt_alpha
        self.clipped = k.x0 * np.clip(self.x0_hat, *ends) + k.xt * x_t
        # the sum of the magnitudes of all terms that an implementation can compute either mean from
        self.size = (np.abs(k.x0 * x_0) + np.abs(k.xt * x_t) + np.abs(x_t) / k.sqrt_alpha
                     + k.x0 * (np.abs(x_t) + np.abs(eps)) / k.sqrt_alpha_bar)


def kl_scale(m: Means, logvar1: np.ndarray, logvar2: np.ndarray) -> np.ndarray:
    """Return the magnitudes of a KL divergence's terms plus the effect of rounded means on its square, (N, …)."""
    d, inverse = np.abs(m.posterior - m.model), np.exp(-logvar2)
    return 0.5 * (1 + np.abs(logvar1) + np.abs(logvar2) + np.exp(logvar1 - logvar2)) + d * (d + m.size) * inverse


def level_scale(m: Means, log_p: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the scale of errors in the log probability of a level, (N, …)."""
    return 1 + np.abs(log_p) + 3 * m.size / sigma


def start(case: Case, x_0: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the noise at t = 1 for which x̂₀ of `affine` is x₀ + σ₁·u."""
    k = case.rows(np.ones(len(x_0), int), x_0)
    error = k.sqrt_alpha_bar * np.sqrt(k.small) / k.sqrt_beta * u
    return (error + 0.75 * k.sqrt_alpha_bar * x_0 + 0.5 / case.T - 0.25) / (1 - 0.75 * k.sqrt_beta)


def other_conventions(target: Target, want: np.ndarray, dims: int, unit: bool = True) -> dict[str, np.ndarray]:
    """Return the expected numbers, by description, for a unit or reduction other than the declared one."""
    nats = target.declared.values["unit"] == "nats"
    summed = target.declared.values["reduction"] == "sum"
    units = {"bits, though nats are declared" if nats else "nats": (1 / math.log(2)) if nats else math.log(2)}
    sums = {"a mean over dimensions, though a sum is declared" if summed else "a sum over dimensions":
            1 / dims if summed else dims}
    declare_unit = "" if nats else "'unit': 'nats'"
    declare_sum = "" if summed else "'reduction': 'sum'"

    def named(what: str, *declare: str) -> str:
        declare = tuple(filter(None, declare))
        return f"{what} (if meant, declare conventions = {{{', '.join(declare)}}})" if declare else what

    found = {named(name, declare_unit): want * factor for name, factor in units.items() if unit}
    if dims > 1:
        found |= {named(name, declare_sum): want * factor for name, factor in sums.items()}
        found |= {named(f"{name}, {other}", declare_unit, declare_sum): want * factor * times
                  for name, factor in units.items() for other, times in sums.items() if unit}
    return found


def shown(**arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Format arrays for a counterexample: one number per image as it is, more as a list of the first four."""
    return {name: x.reshape(-1) if x.size == len(x) else np.array(
        ["(" + ", ".join(f"{v:.6g}" for v in row[:4]) + (", …)" if len(row) > 4 else ")")
         for row in x.reshape(len(x), -1)]) for name, x in arrays.items()}


def first_sigma(check: Check, b: Batch, variance: str) -> np.ndarray:
    """Return the decoder's σ₁, (N, 1, …); raise `Missing` if the target's convention makes it 0."""
    variances = sigma2(check, b, variance)
    if not (variances > 0).all():
        raise Missing("a positive σ₁² for the decoder: first_variance 'posterior' is 0")
    return np.sqrt(variances)


def bound(check: Check, b: Batch, variance: str, noises: np.ndarray, x_0: np.ndarray,
          clip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms L₀, …, L_{T−1}, L_T of (5), (T + 1, N) in bits per dimension, and their scales.

    x_t is drawn with noises[t].
    """
    case, n, ends = b.case, len(x_0), check(b.case).range
    t = np.repeat(np.arange(1, case.T + 1), n)  # (T·N,)
    data = np.concatenate([x_0] * case.T)
    k = case.rows(t, data)
    x_t = k.sqrt_alpha_bar * data + k.sqrt_one_minus_alpha_bar * noises[1:].reshape(data.shape)
    m = Means(k, data, x_t, affine(case)(x_t, t), ends)
    mean = m.clipped if clip else m.model
    sigma = np.sqrt(k.small if variance == "small" else k.large)
    sigma[:n] = first_sigma(check, Batch(case, t[:n], x_0, x_0), variance)
    logvar1, logvar2 = np.log(k.small), 2 * np.log(sigma)
    terms, scales = divergence(m.posterior, logvar1, mean, logvar2), kl_scale(m, logvar1, logvar2)
    terms[:n] = -log_level(x_0, mean[:n], sigma[:n], *ends)
    scales[:n] += np.abs(terms[:n]) + 3 * m.size[:n] / sigma[:n]
    table = case.table
    last = divergence(table.sqrt_alpha_bar[-1] * x_0, np.log(table.one_minus_alpha_bar[-1]), 0.0, 0.0)
    return (np.concatenate([bits(terms).reshape(case.T, n), bits(last)[None]]),
            np.concatenate([bits(scales).reshape(case.T, n), bits(1 + last)[None]]))
