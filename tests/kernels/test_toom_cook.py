"""Toom–Cook's matrices give the outputs of a kernel, for any points and sizes: in fractions, and beside NumPy's."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from gradient_inputs import generator
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np.kernels.numpy_winograd import F2, F4
from ddpm_np.kernels.toom_cook import toom_cook

SIZES = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 2), (2, 5), (4, 3), (6, 3), (4, 4)]
SPREAD = [0, 1, -1, 0.5, -0.5, 2, -2, 1.5, -1.5]


def exact(matrix):
    """Return a matrix of floats as Fractions, exactly."""
    return np.array([[Fraction(x) for x in row] for row in matrix.tolist()], dtype=object)


def interpolation(points):
    """Return Bᵀ in Fractions by Gauss's elimination: the transposed inverse of the matrix of the points' powers."""
    n = len(points) + 1
    powers = [[Fraction(p) ** k for k in range(n)] for p in points] + [[Fraction(int(k == n - 1)) for k in range(n)]]
    rows = [row + [Fraction(int(i == j)) for j in range(n)] for i, row in enumerate(powers)]
    for i in range(n):
        pivot = next(j for j in range(i, n) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        rows = [row if j == i else [x - row[i] * y for x, y in zip(row, rows[i], strict=True)]
                for j, row in enumerate(rows)]
    return np.array([row[n:] for row in rows], dtype=object).T


@pytest.mark.parametrize(("points", "m", "r"), [*((SPREAD[: m + r - 2], m, r) for m, r in SIZES), (F4.points, 4, 3),
                                               (F2.points, 2, 3)])
def test_in_fractions_output_i_takes_input_i_plus_l_with_the_kernels_l(points, m, r):
    """Σₖ A_ik G_kl B_kj = δ_{i+l, j} with G and A as returned, and B by elimination; B as returned is it, rounded."""
    b, g, a = toom_cook(points, m, r)
    n = m + r - 1
    assert (b.shape, g.shape, a.shape) == ((n, n), (n, r), (m, n))
    selected = np.einsum("ik,kl,kj->ilj", exact(a), exact(g), interpolation(points))
    for i, tap, j in product(range(m), range(r), range(n)):
        assert selected[i, tap, j] == (i + tap == j)
    np.testing.assert_allclose(b, interpolation(points).astype(float), rtol=1e-14, atol=1e-15)


@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_random_points_beside_numpys_correlation(m, r, data):
    """Points a quarter apart, so that B's denominators are no smaller; the errors grow with its elements."""
    quarters = data.draw(st.lists(st.integers(-8, 8), min_size=m + r - 2, max_size=m + r - 2, unique=True))
    b, g, a = toom_cook([q / 4 for q in quarters], m, r)
    rng = generator("toom cook", m, r, quarters)
    d, kernel = rng.standard_normal(m + r - 1), rng.standard_normal(r)
    size = np.abs(a) @ ((np.abs(g) @ np.abs(kernel)) * (np.abs(b) @ np.abs(d)))
    found = a @ ((g @ kernel) * (b @ d))
    assert (np.abs(found - np.correlate(d, kernel, "valid")) <= 1e-13 * size).all()


def test_the_transposed_map_is_the_product_of_two_polynomials():
    """B [(G g) ⊙ (A u)] has the coefficients of g(x)·u(x), as numpy.convolve."""
    for points, (m, r) in [(SPREAD[: m + r - 2], (m, r)) for m, r in SIZES]:
        b, g, a = toom_cook(points, m, r)
        rng = generator("polynomials", m, r)
        kernel, u = rng.standard_normal(r), rng.standard_normal(m)
        np.testing.assert_allclose(b.T @ ((g @ kernel) * (a.T @ u)), np.convolve(kernel, u), rtol=0, atol=1e-12)


def test_the_points_0_1_and_minus_1_give_winograds_matrices_but_for_a_factor_of_each_product():
    """Lavin & Gray's F(2, 3) has the halves in G, not in Bᵀ, and the last product with the other sign."""
    b, g, a = toom_cook((0, 1, -1), 2, 3)
    halves, sign = np.array([[1], [2], [2], [1]]), np.array([[1], [1], [1], [-1]])
    np.testing.assert_array_equal(b * halves * sign, [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    np.testing.assert_array_equal(g / halves, [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    np.testing.assert_array_equal(a * sign.T, [[1, 1, 1, 0], [0, 1, -1, -1]])


@pytest.mark.parametrize("points", [(0, 1), (0, 1, -1, 2), (0, 1, 1), (0, 0.5, 1 / 2), ()])
def test_too_few_too_many_and_equal_points_are_refused(points):
    with pytest.raises(ValueError, match=r"F\(2, 3\) takes 3 different points, got \("):
        toom_cook(points, 2, 3)
