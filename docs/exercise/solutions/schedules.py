"""13. Schedules.

How fast the noise comes is a choice. Each function here returns β₁..β_T or learns them through the bound.
"""

from __future__ import annotations

import math

import numpy as np


class Schedules:
    """β₁..β_T by name, and learned."""

    def schedule(self, name, T):
        """"linear": T equal steps from 1e-4 to 0.02. "cosine": β_t = min(1 − f(t)/f(t − 1), 0.999), where

        f(t) = cos²((t/T + 0.008)/1.008·π/2).
        """
        if name == "linear":
            return np.linspace(1e-4, 0.02, T)
        f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * math.pi / 2) ** 2
        return np.minimum(1 - f[1:] / f[:-1], 0.999)

    def named_schedule(self, name, T):
        """The authors' other schedules, between β = 1e-4 and 0.02.

        "quadratic": √β in equal steps. "sigmoid": the share 1/(1 + e^{−u}) of the way, u in equal steps from −6 to 6.
        "constant": 0.02. "jsd": 1/(T − t + 1). "warmup10", "warmup50": equal steps from end to end over the first tenth
        or half of the T steps, ⌊T/10⌋ or ⌊T/2⌋ of them, then 0.02; a warm-up of one step is at 1e-4.
        """
        start, end = 1e-4, 0.02
        if name == "quadratic":
            return np.linspace(math.sqrt(start), math.sqrt(end), T) ** 2
        if name == "sigmoid":
            return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, T)))
        if name == "jsd":
            return 1 / np.arange(T, 0, -1)
        rise = {"constant": 0, "warmup10": T // 10, "warmup50": T // 2}[name]
        return np.concatenate((np.linspace(start, end, rise), np.full(T - rise, end)))

    def zero_terminal_snr(self):
        """β'₁..β'_T of √ᾱ'_t = (√ᾱ_t − √ᾱ_T)·√ᾱ₁/(√ᾱ₁ − √ᾱ_T), t = 1..T: ᾱ₁ stays, and ᾱ'_T is 0."""
        root = np.sqrt(self.alpha_bar())
        kept = (root[1:] - root[-1]) * root[1] / (root[1] - root[-1])
        return 1 - (kept / np.concatenate(([1.0], kept[:-1]))) ** 2

    def learned_prior(self, logits, x_0):
        """For β_t = σ(w_t) = 1/(1 + e^{−w_t}): Σ L_T over the images in bits, ᾱ₀..ᾱ_T, and that sum's gradient by w.

        Of one image, L_T = ½·(ᾱ_T·m − ᾱ_T − ln(1 − ᾱ_T)) nats, with m the mean of x₀². And ∂ᾱ_T/∂w_t = −β_t·ᾱ_T.
        """
        beta = 1 / (1 + np.exp(-logits))
        a = np.concatenate(([1.0], np.cumprod(1 - beta)))
        last, square = a[-1], self.mean_over_image(x_0**2)
        total = 0.5 * (last * square - last - np.log(1 - last)).sum() / math.log(2)
        by_last = 0.5 * (square - 1 + 1 / (1 - last)).sum() / math.log(2)
        return total, a, -beta * last * by_last
