"""15. The bound in numbers.

If the data are N(m, s²) and the net is affine, ε_θ = a_t·x + b_t, then every expectation of the bound is a formula, and
(5) and (16) can be seen to be equal.

m and s² are numbers or arrays (*dims). a, b and σ² are tables (T+1,) or (T+1, *dims), row 0 unused. Results are in nats
for each dimension.
"""

from __future__ import annotations

import math

import numpy as np


class AffineBound:
    """The terms of (5), those of (16), and the likelihood."""

    # given
    def tables(self, mean, *tables):
        """Return tables (T+1,) or (T+1, *dims) in a shape that broadcasts with (T+1, *dims), the dims of `mean`."""
        rank = np.ndim(mean) + 1
        return [np.reshape(table, np.shape(table) + (1,) * (rank - np.ndim(table))) for table in tables]

    def marginal_variance(self, mean, variance):
        """v_t = ᾱ_t·s² + 1 − ᾱ_t, the variance of x_t, (T+1, *dims)."""
        raise NotImplementedError

    def exact_step(self, mean, variance):
        """A_t, B_t, r_t of q(x_{t−1} | x_t) = N(A_t·x_t + B_t, r_t), three tables (T+1, *dims), row 0 unused.

        A_t = √α_t·v_{t−1}/v_t, B_t = √ᾱ_{t−1}·β_t/v_t·m, r_t = β_t·v_{t−1}/v_t.
        """
        raise NotImplementedError

    def affine_step(self, mean, a, b):
        """μ_θ = A_t·x + B_t by (11) for ε_θ = a_t·x + b_t: the tables A and B, row 0 unused."""
        raise NotImplementedError

    def chain_end(self, gain, shift, sigma2):
        """M₀ and V₀ after the steps x_{t−1} = A_t·x_t + B_t + σ_t·z, t = T..1, from M = 0 and V = 1."""
        raise NotImplementedError

    def affine_vlb(self, mean, variance, a, b, sigma2):
        """(5): L₀, L₁, …, L_T, (T+1, *dims).

        With E = E(μ̃_t − μ_θ)², where μ̃₁ = x₀: L_{t−1} = ½·[ln(σ_t²/β̃_t) + (β̃_t + E)/σ_t² − 1] for t ≥ 2,
        L₀ = ½·[ln 2πσ₁² + E/σ₁²], and L_T = ½·[ᾱ_T·(s² + m²) − ᾱ_T − ln(1 − ᾱ_T)].
        In E, put x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε.
        """
        raise NotImplementedError

    def affine_bound_16(self, mean, variance, a, b, sigma2):
        """(16): H(x₀), then E KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)) for t = 1..T, then KL(q(x_T) ‖ p(x_T)).

        An array (T+2, *dims). H = ½·ln 2πe·s²; the divergence of step t is ½·[ln(σ_t²/r_t) + (r_t + E)/σ_t² − 1], where
        E is the mean square of the difference of the two means; the last is ½·[v_T + ᾱ_T·m² − 1 − ln v_T].
        """
        raise NotImplementedError

    def affine_nll(self, mean, variance, a, b, sigma2):
        """E[−ln p_θ(x₀)] = ½·[ln 2πV₀ + (s² + (m − M₀)²)/V₀], (*dims), by the end of the net's chain."""
        raise NotImplementedError
