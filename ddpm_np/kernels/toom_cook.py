"""The matrices of a convolution with few multiplications, from values of polynomials at points (Toom 1963, Cook 1966).

A kernel g of r numbers and u of m numbers are the coefficients of polynomials g(x) and u(x). Their product s(x) has
n = m + r − 1 coefficients, so its values at n − 1 points p and its leading coefficient, the value "at ∞", fix it:

    s(x) = Σᵢ s(pᵢ) Lᵢ(x) + s(∞) N(x),   N(x) = Πⱼ (x − pⱼ),   Lᵢ(x) = Πⱼ₍ⱼ≠ᵢ₎ (x − pⱼ)/(pᵢ − pⱼ),

and s(p) = g(p)·u(p): n multiplications instead of m·r. As matrices s = C [(G g) ⊙ (A u)]: the rows of G and A are
powers of the points, the columns of C the coefficients of Lᵢ and N. A net's convolution is the transpose of that map
from u to s (Winograd 1980, Lavin & Gray 2016): m outputs, each of r inputs of a tile d of n,

    y = Aᵀ [(G g) ⊙ (Bᵀ d)],   B = C.

Points far from 1 in size make large powers, and rounding errors grow with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.polynomial import polyfromroots


def toom_cook(points: Sequence[float], m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Bᵀ, G and Aᵀ of F(m, r): m outputs of a kernel of r numbers by m + r − 1 multiplications.

    Parameters
    ----------
    points : sequence of float
        m + r − 2 different points; the last one is ∞.
    m, r : int
        Numbers of outputs and of the kernel's numbers.

    Returns
    -------
    b : array of shape (n, n)
        Bᵀ, for tiles of n = m + r − 1 numbers.
    g : array of shape (n, r)
        G, for kernels.
    a : array of shape (m, n)
        Aᵀ, for outputs.

    Raises
    ------
    ValueError
        If the points are not m + r − 2 different ones.

    Examples
    --------
    >>> b, g, a = toom_cook((0, 1, -1), 2, 3)
    >>> d, kernel = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 10.0, 100.0])
    >>> a @ ((g @ kernel) * (b @ d))  # 1 + 20 + 300 and 2 + 30 + 400
    array([321., 432.])
    """
    n = m + r - 1
    if len(set(points)) != n - 1 or len(points) != n - 1:
        raise ValueError(f"F({m}, {r}) takes {n - 1} different points, got {tuple(points)}")
    b = np.zeros((n, n))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        b[i, : n - 1] = polyfromroots(others) / np.prod([p - q for q in others])  # Lᵢ, from the constant term on
    b[n - 1] = polyfromroots(points)  # N
    return b, _powers(points, r), _powers(points, m).T


def _powers(points: Sequence[float], count: int) -> np.ndarray:
    """Return the values of 1, x, …, x^{count−1} at the points, and their leading coefficients: (n, count)."""
    values = np.vander(np.asarray(points, float), count, increasing=True)
    return np.concatenate([values, np.eye(count)[-1:]])
