"""Φ⁻¹, ln Φ and erfcx in NumPy alone, for platforms that SciPy is not installed on; elsewhere SciPy's are used.

Sources: W. J. Cody, "Rational Chebyshev approximations for the error function" (1969), and M. J. Wichura, "Algorithm
AS 241: the percentage points of the normal distribution" (1988). Both are right to about 1e-16.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Coefficients = Sequence[float]  # of a polynomial, the highest power first

# erf z = z·P(z²)/Q(z²) for |z| ≤ 0.46875
ERF = ([1.85777706184603153e-1, 3.16112374387056560, 113.864154151050156, 377.485237685302021, 3209.37758913846947],
       [1.0, 23.6012909523441209, 244.024637934444173, 1282.61652607737228, 2844.23683343917062])
# erfcx z = P(z)/Q(z) for z from there to 4
ERFCX = ([2.15311535474403846e-8, 0.564188496988670089, 8.88314979438837594, 66.1191906371416295, 298.635138197400131,
          881.952221241769090, 1712.04761263407058, 2051.07837782607147, 1230.33935479799725],
         [1.0, 15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019, 3290.79923573345963,
          4362.61909014324716, 3439.36767414372164, 1230.33935480374942])
# erfcx z = (1/√π − P(1/z²)/Q(1/z²)/z²)/z beyond
FAR = ([1.63153871373020978e-2, 0.305326634961232344, 0.360344899949804439, 0.125781726111229246,
        1.60837851487422766e-2, 6.58749161529837803e-4],
       [1.0, 2.56852019228982242, 1.87295284992346725, 0.527905102951428412, 6.05183413124413191e-2,
        2.33520497626869185e-3])

# Φ⁻¹(p) = q·P(r)/Q(r), q = p − ½, r = 0.180625 − q², for |q| ≤ 0.425
MIDDLE = ([2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
           13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.3871328727963666080],
          [5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
           5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0])
# |Φ⁻¹(p)| = P(r)/Q(r), r = √−ln min(p, 1 − p) − 1.6, outside of it; and from r = 3.4 on with r − 3.4
OUTER = ([7.7454501427834140764e-4, 2.27238449892691845833e-2, 0.241780725177450611770, 1.27045825245236838258,
          3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734],
         [1.05075007164441684324e-9, 5.475938084995344946e-4, 1.51986665636164571966e-2, 0.148103976427480074590,
          0.689767334985100004550, 1.67638483018380384940, 2.05319162663775882187, 1.0])
OUTERMOST = ([2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
              2.65321895265761230930e-2, 0.296560571828504891230, 1.78482653991729133580, 5.46378491116411436990,
              6.65790464350110377720],
             [2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
              7.86869131145613259100e-4, 1.48753612908506148525e-2, 0.136929880922735805310,
              0.599832206555887937690, 1.0])


def _ratio(parts: tuple[Coefficients, Coefficients], x: np.ndarray) -> np.ndarray:
    """Return P(x)/Q(x)."""
    above, below = (_polynomial(coefficients, x) for coefficients in parts)
    return np.divide(above, below, out=above)


def _polynomial(coefficients: Coefficients, x: np.ndarray) -> np.ndarray:
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value *= x
        value += coefficient
    return value


def _of_any_array(f: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], Any]:
    """Extend a function of float64 arrays (n,) to arrays of any shape, whose dtype the result has, and to numbers."""

    @functools.wraps(f)
    def extended(x: Any) -> Any:
        given = np.asarray(x)
        with np.errstate(all="ignore"):
            y = f(given.astype(np.float64).ravel()).reshape(given.shape)
        return y.astype(given.dtype if given.dtype.kind == "f" else np.float64, copy=False)[()]

    return extended


def _pieces(x: np.ndarray, *pieces: tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]) -> np.ndarray:
    """Return f(x) where each f belongs to the elements of a mask; nan where none does."""
    y = np.full_like(x, np.nan)
    for mask, f in pieces:
        if mask.all():
            return f(x)
        y[mask] = f(x[mask])
    return y


def _small(z: np.ndarray) -> np.ndarray:
    return np.exp(z * z) * (1 - z * _ratio(ERF, z * z))


def _far(z: np.ndarray) -> np.ndarray:
    inverse = 1 / z
    return (1 / math.sqrt(math.pi) - inverse * inverse * _ratio(FAR, inverse * inverse)) * inverse


def _right(z: np.ndarray) -> np.ndarray:
    """Return erfcx z for z ≥ −0.46875."""
    return _pieces(z, (z <= 0.46875, _small), ((z > 0.46875) & (z <= 4), lambda z: _ratio(ERFCX, z)), (z > 4, _far))


@_of_any_array
def erfcx(z: np.ndarray) -> np.ndarray:
    """Scaled complementary error function exp(z²)·erfc z, elementwise.

    Parameters
    ----------
    z : array of any shape

    Returns
    -------
    array
        Of the dtype of `z` if that is floating, else float64.

    Examples
    --------
    >>> float(erfcx(0.0))
    1.0
    """
    return _pieces(z, (z >= -0.46875, _right), (z < -0.46875, lambda z: 2 * np.exp(z * z) - _right(-z)))


@_of_any_array
def log_ndtr(x: np.ndarray) -> np.ndarray:
    """Logarithm of the standard normal distribution function, ln Φ(x), elementwise.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array
        Of the dtype of `x` if that is floating, else float64.

    Examples
    --------
    >>> round(float(log_ndtr(-40.0)), 9)
    -804.608442014
    """
    half_square, z = x * x / 2, np.abs(x) * math.sqrt(0.5)
    return _pieces(x, (x < 0, lambda _: np.log(_right(z[x < 0]) / 2) - half_square[x < 0]),
                   (x >= 0, lambda _: np.log1p(-np.exp(-half_square[x >= 0]) * _right(z[x >= 0]) / 2)))


@_of_any_array
def ndtri(p: np.ndarray) -> np.ndarray:
    """Inverse of the standard normal distribution function, Φ⁻¹(p), elementwise.

    Parameters
    ----------
    p : array of any shape
        Probabilities.

    Returns
    -------
    array
        −∞ at 0, ∞ at 1, nan outside of 0 to 1. Of the dtype of `p` if that is floating, else float64.

    Examples
    --------
    >>> round(float(ndtri(0.975)), 12)
    1.95996398454
    """
    q = p - 0.5
    outside = np.flatnonzero(~(np.abs(q) <= 0.425))
    x = 0.180625 - q * q  # in the middle
    x = q * _ratio(MIDDLE, x)
    if outside.size:
        r = np.sqrt(-np.log(np.minimum(p[outside], 1 - p[outside])))
        tail = _pieces(r, (r <= 5, lambda r: _ratio(OUTER, r - 1.6)), (r > 5, lambda r: _ratio(OUTERMOST, r - 5.0)))
        x[outside] = np.copysign(np.where(np.isinf(r), r, tail), q[outside])
    return x
