"""The discretised decoder of equation (13): the log probability of a level, elementwise, in nats."""

from __future__ import annotations

import math

from ddpm_np.arguments import count
from ddpm_np.backend import Array, of, plain


def decoder_log_likelihood(x_0: Array, mean: Array, log_scale: Array | float, levels: int = 256) -> Array:
    """Discretised decoder (13): ln ∫ from δ₋(x₀) to δ₊(x₀) of N(x; μ, σ²) dx, elementwise, in nats.

    The interval [δ₋, δ₊] reaches half a level to either side of x₀, and to ∓∞ from the first and the last level: the
    probabilities of all levels add up to 1. With a = (δ₋ − μ)/σ and b = (δ₊ − μ)/σ, ln(Φ(b) − Φ(a)) is computed on the
    side where both are small, as ln Φ(b) + ln(1 − exp(ln Φ(a) − ln Φ(b))). That is exact far out in the tails, where Φ
    itself rounds to 0 or 1.

    Checked as: 13.

    Parameters
    ----------
    x_0 : array of shape (N, …)
        Data, on the grid of `levels` values from −1 to 1.
    mean : array of shape (N, …)
        Mean μ.
    log_scale : float or array that broadcasts to (N, …)
        Log standard deviation ln σ.
    levels : int
        Data levels: 256 for bytes, 17 for the digits. A bin is 2/(levels − 1) wide.

    Returns
    -------
    array of shape (N, …)
        Log probability of each element's level.

    Raises
    ------
    ValueError
        If there are fewer than two levels.

    Notes
    -----
    Equation (13) of Ho et al. (2020). Verified by ``ddpm-np check --equation 13``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 256)
    >>> round(float(np.exp(decoder_log_likelihood(x, np.full(256, 0.3), -2.0)).sum()), 12)
    1.0
    """
    count("levels", levels, 2)
    xp = of(x_0, mean, log_scale)
    half = 1 / (levels - 1)
    inverse = xp.exp(-log_scale) if hasattr(log_scale, "dtype") else math.exp(-log_scale)
    low, high = (x_0 - half - mean) * inverse, (x_0 + half - mean) * inverse  # (N, …): a and b
    first, last = plain(x_0) < -1 + half, plain(x_0) > 1 - half
    right = plain(low + high) > 0  # Φ(b) − Φ(a) = Φ(−a) − Φ(−b)
    near = xp.where(right, -low, high)
    far = xp.where(right, -high, low)
    upper = xp.log_ndtr(near)
    inside = upper + xp.log(-xp.expm1(xp.log_ndtr(far) - upper))
    return xp.where(first, xp.log_ndtr(high), xp.where(last, xp.log_ndtr(-low), inside))
