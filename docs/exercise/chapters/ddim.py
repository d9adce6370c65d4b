"""10. Fewer steps.

DDIM keeps every q(x_t | x₀) but needs less noise, or none, and can go from t to any s < t. So an image takes 50 steps
instead of 1000, and without noise the way can be walked back.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np


class DDIM:
    """DDIM's step, its chain there and back, and a schedule of fewer steps. A chain is a list, one item a step."""

    def ddim_sigma(self, t, t_prev, eta, x):
        """DDIM, (16): σ = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s) for s = t_prev, a column (N, 1, …) for x (N, …)."""
        raise NotImplementedError

    def ddim_step(self, model, x_t, t, t_prev, eta, noise):
        """DDIM, (12): x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε_θ + σ·z for s = t_prev, 0 ≤ s < t.

        Rounding can make the second root's argument slightly negative where it is 0.
        """
        raise NotImplementedError

    def dpm_solver_1_step(self, model, x_t, t, t_prev):
        """DPM-Solver-1, (3.7): x_s = √(ᾱ_s/ᾱ_t)·x_t − √(1 − ᾱ_s)·(e^h − 1)·ε_θ for s = t_prev, 1 ≤ s < t.

        h = λ_s − λ_t, where λ = ½·ln(ᾱ/(1 − ᾱ)).
        """
        raise NotImplementedError

    def timesteps(self, n):
        """n distinct ints in 1..T, descending, spaced as you like."""
        raise NotImplementedError

    def ddim(self, model, x_T, steps, noise_at=None, eta=0.0, predicts="eps", clip=False):
        """DDIM over given steps, descending, and at last to 0: [(s, x_s, x̂₀), …], with the x̂₀ that x_s was made from.

        noise_at(t) is the z of the step from t. It is None if η = 0.
        """
        raise NotImplementedError

    def ddim_invert(self, model, x_0, steps, iterations=1, predicts="eps"):
        """DDIM with η = 0 backwards, over the reversed steps from 0 up: [(t, x_t), …].

        x_t = √ᾱ_t·(x_s − √(1 − ᾱ_s)·ε)/√ᾱ_s + √(1 − ᾱ_t)·ε, with ε at (x_s, t) first; then, for each further iteration,
        at the (x_t, t) just found.
        """
        raise NotImplementedError

    def respace(self, model, steps):
        """The schedule of the steps τ₁ < … < τ_n alone: β'₁..β'_n, ᾱ'₀..ᾱ'_n, and the model, called at i.

        β'_i = 1 − ᾱ_{τ_i}/ᾱ_{τ_{i−1}} with τ₀ = 0, and ε'_θ(x, i) = ε_θ(x, τ_i). `steps` come in any order.
        """
        raise NotImplementedError

    def sample_fewer(self, model, x_T, noises, n, variance="small", clip=False):
        """Algorithm 2 over n steps: x₀. noises[i] is the z of step i of n, and the last step, i = 1, has none.

        A reverse step uses neither T nor t but β and ᾱ, so it is the one of the respaced schedule.
        """
        raise NotImplementedError
