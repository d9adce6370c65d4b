"""Normal distributions: KL divergence and log density, elementwise, in nats."""

from __future__ import annotations

import math

from ddpm_np.backend import Array, dtype_name, of, plain


def kl(mean1: Array, logvar1: Array, mean2: Array, logvar2: Array) -> Array:
    """KL divergence of two normals: ½·(ln σ₂²/σ₁² + (σ₁² + (μ₁ − μ₂)²)/σ₂² − 1), elementwise, in nats.

    σ₁²/σ₂² − 1 − ln σ₁²/σ₂² is computed as `exp_excess` of ln σ₁²/σ₂², so that nearly equal variances cost no digits.

    Checked as: kl.

    Parameters
    ----------
    mean1 : array of shape (N, …)
        Mean μ₁.
    logvar1 : array that broadcasts to (N, …)
        Log variance ln σ₁².
    mean2 : array of shape (N, …)
        Mean μ₂.
    logvar2 : array that broadcasts to (N, …)
        Log variance ln σ₂².

    Returns
    -------
    array of shape (N, …)
        KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) ≥ 0.

    Notes
    -----
    Below equation (5) of Ho et al. (2020). Verified by ``ddpm-np check --equation kl``.

    Examples
    --------
    >>> import numpy as np
    >>> kl(np.array(0.0), np.array(0.0), np.array(1.0), np.array(0.0))
    np.float64(0.5)
    """
    xp = of(mean1, mean2, logvar1, logvar2)
    return 0.5 * (exp_excess(logvar1 - logvar2) + xp.square(mean1 - mean2) * xp.exp(-logvar2))


def exp_excess(d: Array) -> Array:
    """Excess of the exponential over its tangent at 0: eᵈ − 1 − d ≥ 0, elementwise.

    It is expm1(d) − d; for |d| < 0.01, where the difference cancels, the Taylor series up to d⁷/7!.

    Parameters
    ----------
    d : array
        Exponents.

    Returns
    -------
    array of the same shape
        Values of eᵈ − 1 − d.

    Examples
    --------
    >>> import numpy as np
    >>> exp_excess(np.array([0.0, 1e-9])) * 2  # d² to first order
    array([0.e+00, 1.e-18])
    """
    xp, data = of(d), plain(d)
    real = of(data).real(data) if "complex" in dtype_name(data.dtype) else data
    near = (real < 0.01) & (real > -0.01)
    e = xp.where(near, d, 0.0)
    series = e * e * (1 / 2 + e * (1 / 6 + e * (1 / 24 + e * (1 / 120 + e * (1 / 720 + e / 5040)))))
    return xp.where(near, series, xp.expm1(d) - d)


def log_normal(x: Array, mean: Array, logvar: Array) -> Array:
    """Log density of a normal: ln N(x; μ, σ²) = −½·(ln 2π + ln σ² + (x − μ)²/σ²), elementwise, in nats.

    Checked as: log-normal.

    Parameters
    ----------
    x : array of shape (N, …)
        Values.
    mean : array that broadcasts to (N, …)
        Mean μ.
    logvar : array that broadcasts to (N, …)
        Log variance ln σ².

    Returns
    -------
    array of shape (N, …)
        Log densities.

    Notes
    -----
    The factors of equations (1) and (2) of Ho et al. (2020). Verified by ``ddpm-np check --equation log-normal``.

    Examples
    --------
    >>> import numpy as np
    >>> density = log_normal(np.array(1.0), np.array(0.0), np.array(-math.log(2 * math.pi)))  # σ² = 1/(2π): −½·2π
    >>> round(float(density), 6)
    -3.141593
    """
    xp = of(x, mean, logvar)
    return -0.5 * (math.log(2 * math.pi) + logvar + xp.square(x - mean) * xp.exp(-logvar))
