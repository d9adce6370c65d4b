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
        raise NotImplementedError

    def named_schedule(self, name, T):
        """The authors' other schedules, between β = 1e-4 and 0.02.

        "quadratic": √β in equal steps. "sigmoid": the share 1/(1 + e^{−u}) of the way, u in equal steps from −6 to 6.
        "constant": 0.02. "jsd": 1/(T − t + 1). "warmup10", "warmup50": equal steps from end to end over the first tenth
        or half of the T steps, ⌊T/10⌋ or ⌊T/2⌋ of them, then 0.02; a warm-up of one step is at 1e-4.
        """
        raise NotImplementedError

    def zero_terminal_snr(self):
        """β'₁..β'_T of √ᾱ'_t = (√ᾱ_t − √ᾱ_T)·√ᾱ₁/(√ᾱ₁ − √ᾱ_T), t = 1..T: ᾱ₁ stays, and ᾱ'_T is 0."""
        raise NotImplementedError

    def learned_prior(self, logits, x_0):
        """For β_t = σ(w_t) = 1/(1 + e^{−w_t}): Σ L_T over the images in bits, ᾱ₀..ᾱ_T, and that sum's gradient by w.

        Of one image, L_T = ½·(ᾱ_T·m − ᾱ_T − ln(1 − ᾱ_T)) nats, with m the mean of x₀². And ∂ᾱ_T/∂w_t = −β_t·ᾱ_T.
        """
        raise NotImplementedError
