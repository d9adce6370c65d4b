"""FID, KID, IS, precision and recall against their definitions, SciPy and closed forms."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from gradient_inputs import generator
from scipy import linalg, stats
from scipy.spatial import cKDTree
from strategies import FALSE_ALARM, assert_close

from ddpm_np.evaluate import distances, fid, frechet_distance, inception_score, kid, polynomial_mmd2, precision_recall

SIGMAS = stats.norm.isf(FALSE_ALARM / 2)  # a mean of many draws is further off only with that chance


def covariance(rng, f, n=None):
    """Return a random covariance of f features, estimated from n vectors."""
    return np.cov(rng.standard_normal((n or 3 * f, f)) @ rng.standard_normal((f, f)), rowvar=False)


def rotation(rng, f):
    return stats.ortho_group(f, seed=rng).rvs()


class InOrder:
    """A stand-in for a generator that takes subsets and splits in the order of the rows."""

    permutation = staticmethod(np.arange)


@pytest.fixture(params=[1, 3])
def few_workers(request, monkeypatch):
    """Work in blocks of 7 rows with one or three threads."""
    monkeypatch.setattr(distances, "_ROWS", 7)
    monkeypatch.setattr(distances, "default_workers", lambda: request.param)


# The Fréchet distance.

@pytest.mark.parametrize("f", [1, 2, 5, 30])
def test_frechet_distance_equals_scipys_matrix_square_root(f):
    rng = generator("frechet", f)
    m_1, m_2 = rng.standard_normal((2, f))
    s_1, s_2 = np.atleast_2d(covariance(rng, f)), np.atleast_2d(covariance(rng, f))
    root = linalg.sqrtm(s_1 @ s_2)
    expected = np.sum((m_1 - m_2) ** 2) + np.trace(s_1 + s_2 - 2 * root.real)
    scale = np.sum((m_1 - m_2) ** 2) + np.trace(s_1 + s_2)
    assert_close(frechet_distance(m_1, s_1, m_2, s_2), expected, 1e-12, scale)
    assert_close(frechet_distance(m_2, s_2, m_1, s_1), expected, 1e-12, scale)


@pytest.mark.parametrize("seed", range(5))
def test_frechet_distance_of_rotated_diagonal_gaussians(seed):
    """|m₁ − m₂|² + Σ(σ₁ − σ₂)² in any basis; a third of the variances are 0."""
    rng = np.random.default_rng(seed)
    f = 12
    s_1, s_2 = rng.uniform(0.1, 3, (2, f))
    s_1[:4], s_2[2:6] = 0, 0
    m_1, m_2 = rng.standard_normal((2, f))
    turn = rotation(rng, f)
    expected = np.sum((m_1 - m_2) ** 2) + np.sum((s_1 - s_2) ** 2)
    covs = [(turn * s**2) @ turn.T for s in (s_1, s_2)]
    got = frechet_distance(turn @ m_1, (covs[0] + covs[0].T) / 2, turn @ m_2, (covs[1] + covs[1].T) / 2)
    assert_close(got, expected, 1e-12)


def test_frechet_distance_of_a_gaussian_to_itself_is_zero():
    rng = generator("itself")
    for cov in (covariance(rng, 6), covariance(rng, 20, n=8)):  # the second of rank 7
        assert 0 <= frechet_distance(np.ones(len(cov)), cov, np.ones(len(cov)), cov) <= 1e-12 * np.trace(cov)


@pytest.mark.parametrize(("change", "message"), [
    ({"mean_2": [0.0]}, r"expected two means \(F,\) and two covariances \(F, F\), got shapes \(2,\), .*\(1,\)"),
    ({"cov_2": [1.0, 1.0]}, "expected two means"), ({"mean_1": [[0.0, 1.0]]}, "expected two means"),
    ({"mean_1": [0.0, np.nan]}, "not finite: look for NaN"), ({"cov_1": [[1.0, 0.0], [0.0, np.inf]]}, "not finite"),
    ({"cov_1": [[1.0, 0.0], [0.0, -0.5]]}, "got a matrix with the eigenvalue -0.5: use numpy.cov"),
    ({"cov_2": [[1.0, 0.5], [0.0, 1.0]]}, "expected a covariance, symmetric")])
def test_frechet_distance_refuses_invalid_gaussians(change, message):
    right = {"mean_1": [0.0, 1.0], "cov_1": np.eye(2), "mean_2": [0.0, 1.0], "cov_2": np.eye(2)}
    with pytest.raises(ValueError, match=message):
        frechet_distance(**{**right, **change})


# FID.

def test_fid_uses_the_unbiased_covariance():
    """Means 2 and 5; deviations 2 and 1 with n − 1 in the denominator, as in the authors' numpy.cov."""
    assert_close(fid([[0.0], [2.0], [4.0]], [[4.0], [5.0], [6.0]], generator()).value, 9 + 1)


def test_fid_is_the_frechet_distance_of_the_moments():
    rng = generator("fid")
    x, y = rng.standard_normal((40, 3)), 2 * rng.standard_normal((30, 3)) + 1
    moments = [(z.mean(axis=0), (z - z.mean(axis=0)).T @ (z - z.mean(axis=0)) / (len(z) - 1)) for z in (x, y)]
    value, error, method = fid(x, y, rng, resamples=7)
    assert_close(value, frechet_distance(*moments[0], *moments[1]))
    assert error > 0
    assert method == "bootstrap of 7"
    assert fid(x, y, np.random.default_rng(1)) == fid(x, y, np.random.default_rng(1))
    assert fid(x, y, np.random.default_rng(1)) != fid(x, y, np.random.default_rng(2))
    assert fid(x, x, rng).value < 1e-12


def test_fid_error_is_its_spread_over_redrawn_data():
    rng = generator("fid error")
    found = [fid(rng.standard_normal((80, 2)), 2 + rng.standard_normal((40, 2)), rng, resamples=20) for _ in range(150)]
    spread = np.std([e.value for e in found])
    assert 0.8 < np.sqrt(np.mean([e.error**2 for e in found])) / spread < 1.25


def test_fid_error_includes_both_sets():
    same = np.tile([[0.0], [1.0]], (500, 1))
    small = np.array([[3.0], [4.0], [7.0]])
    assert fid(same, small, generator()).error > 10 * fid(same, np.tile(small, (500, 1)), generator()).error
    assert fid(small, same, generator()).error > 10 * fid(np.tile(small, (500, 1)), same, generator()).error


# KID.

def kernel(a, b):
    return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3


def mmd2_by_loops(x, y):
    """Return the definition, pair by pair."""
    within = [sum(kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j)
              / (len(z) * (len(z) - 1)) for z in (x, y)]
    return sum(within) - 2 * sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.usefixtures("few_workers")
@pytest.mark.parametrize(("n", "m", "f"), [(2, 2, 1), (14, 9, 3), (8, 23, 5)])
def test_mmd2_equals_the_sum_over_all_pairs(n, m, f):
    rng = generator("mmd2", n, m, f)
    x, y = rng.standard_normal((n, f)), rng.standard_normal((m, f)) + 0.5
    expected = mmd2_by_loops(x.tolist(), y.tolist())
    assert_close(polynomial_mmd2(x, y), expected, 1e-12, scale=10.0)
    assert_close(polynomial_mmd2(y, x), expected, 1e-12, scale=10.0)


def test_mmd2_is_unbiased_over_every_outcome():
    """Its mean over all draws of 2 and 3 vectors is the distance of the two distributions, in fractions."""
    values = [(Fraction(-1), Fraction(1)), (Fraction(2), Fraction(0)), (Fraction(1), Fraction(1))]
    p, q = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)], [Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)]
    law = [a - b for a, b in zip(p, q, strict=True)]
    distance = sum(law[i] * law[j] * kernel(values[i], values[j]) for i in range(3) for j in range(3))
    mean = 0.0
    for i in itertools.product(range(3), repeat=2):
        for j in itertools.product(range(3), repeat=3):
            chance = math.prod(p[a] for a in i) * math.prod(q[b] for b in j)
            x, y = ([[float(v) for v in values[a]] for a in places] for places in (i, j))
            mean += float(chance) * polynomial_mmd2(x, y)
    assert_close(mean, float(distance), 1e-12)


def test_kid_of_one_law_is_zero_on_average_and_its_error_is_its_spread():
    """400 draws; the mean exceeds SIGMAS of its spread with probability FALSE_ALARM."""
    rng = generator("kid")
    found = [kid(rng.uniform(-1, 1, (60, 2)), rng.uniform(-1, 1, (60, 2)), rng, subset_size=6) for _ in range(400)]
    values = np.array([e.value for e in found])
    assert abs(values.mean()) <= SIGMAS * values.std() / np.sqrt(len(values))
    assert 0.85 < np.sqrt(np.mean([e.error**2 for e in found])) / values.std() < 1.15
    assert found[0].method == "10 disjoint subsets of 6"


def test_kid_is_the_mean_over_disjoint_subsets():
    rng = generator("subsets")
    x, y = rng.standard_normal((23, 3)), rng.standard_normal((31, 3))
    each = [polynomial_mmd2(x[i : i + 5], y[i : i + 5]) for i in (0, 5, 10, 15)]
    value, error, _ = kid(x, y, InOrder(), subset_size=5)
    assert_close(value, np.mean(each))
    assert_close(error, stats.sem(each))
    marks = np.arange(20.0)[:, None]  # every vector is used once: the sums of each subset's are those of all
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "polynomial_mmd2", lambda x, y: seen.append((x, y)) or 0.0)
        kid(marks, marks, rng, subset_size=5)
    for side in zip(*seen, strict=True):
        assert sorted(np.concatenate(side).ravel()) == list(range(20))
        assert np.concatenate(side).ravel().tolist() != list(range(20))
    assert kid(x, y, np.random.default_rng(1), 5) == kid(x, y, np.random.default_rng(1), 5)


# The Inception Score.

@pytest.mark.parametrize("k", [2, 10])
def test_inception_score_of_certain_and_of_uniform_classifiers(k):
    sure = np.tile(np.eye(k), (20, 1))
    assert_close(inception_score(sure, InOrder(), splits=4)[:2], (k, 0), 1e-12, scale=1.0)
    clueless = np.full((100, k), 1 / k)
    assert_close(inception_score(clueless, generator())[:2], (1, 0), 1e-12, scale=1.0)
    assert_close(inception_score(np.eye(k)[np.zeros(40, int)], generator())[:2], (1, 0), 1e-12, scale=1.0)  # collapse


def test_inception_score_equals_its_definition():
    p = generator("is").dirichlet(np.full(4, 0.5), 31)
    each = []
    for part in (p[:11], p[11:21], p[21:]):
        marginal = [sum(row[j] for row in part) / len(part) for j in range(4)]
        kl = [sum(row[j] * math.log(row[j] / marginal[j]) for j in range(4)) for row in part]
        each.append(math.exp(sum(kl) / len(kl)))
    value, error, method = inception_score(p, InOrder(), splits=3)
    assert_close(value, np.mean(each))
    assert_close(error, stats.sem(each))
    assert method == "3 splits"


def test_inception_score_of_images_sorted_by_class():
    """Splits are random; a split of a single class would score 1."""
    score = inception_score(np.repeat(np.eye(10), 200, axis=0), generator("order"))
    assert 9.5 < score.value < 10
    assert score == inception_score(np.repeat(np.eye(10), 200, axis=0), generator("order"))


# Precision and recall.

def by_trees(x, y, k):
    """Return precision and recall by SciPy's k-d trees; the k-th neighbour is beside the vector itself."""
    radii = cKDTree(y).query(y, k + 1)[0][:, k]
    return np.mean([any(math.dist(a, b) <= r for b, r in zip(y, radii, strict=True)) for a in x])


@pytest.mark.usefixtures("few_workers")
@pytest.mark.parametrize(("k", "n", "m"), [(1, 30, 19), (3, 25, 40), (3, 4, 4)])
def test_precision_and_recall_against_kd_trees(k, n, m):
    rng = generator("precision", k, n, m)
    x, y = rng.standard_normal((n, 3)), 1.5 * rng.standard_normal((m, 3)) + 0.5
    precision, recall = precision_recall(x, y, k)
    assert (precision.value, recall.value) == (by_trees(x, y, k), by_trees(y, x, k))
    for p, size in ((precision, n), (recall, m)):
        assert_close(p.error, math.sqrt(p.value * (1 - p.value) / size))


@pytest.mark.usefixtures("few_workers")
def test_precision_and_recall_with_equal_distances():
    """On a lattice with repeated vectors: a ball includes its surface."""
    rng = generator("lattice")
    x, y = rng.integers(0, 4, (20, 2)).astype(float), rng.integers(1, 5, (17, 2)).astype(float)
    precision, recall = precision_recall(x, y, 2)
    assert (precision.value, recall.value) == (by_trees(x, y, 2), by_trees(y, x, 2))
    assert 0 < precision.value != recall.value < 1


def test_precision_and_recall_distinguish_kinds_of_faults():
    rng = generator("faults")
    y = np.concatenate([rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 50])
    dropped = precision_recall(rng.standard_normal((200, 2)), y)  # one of two modes
    assert dropped[0].value > 0.9
    assert dropped[1].value < 0.6
    strays = np.concatenate([y + 0.01, rng.standard_normal((200, 2)) - 99])  # both, and rubbish
    precision, recall = precision_recall(strays, y)
    assert precision.value == 0.5
    assert recall.value == 1


# What all of them refuse, and share.

def all_of(x, y):
    """Return each distance as a function without arguments."""
    return [lambda: fid(x, y, generator()), lambda: kid(x, y, generator(), 2), lambda: polynomial_mmd2(x, y),
            lambda: precision_recall(x, y, 1)]


@pytest.mark.parametrize(("x", "y", "message"), [
    (np.zeros((1, 3)), np.zeros((9, 3)), r"x must be of shape \(N, F\), N at least 2, got \(1, 3\): give one row"),
    (np.zeros((9, 3)), np.zeros((0, 3)), r"y must be of shape \(N, F\), N at least 2, got \(0, 3\)"),
    (np.zeros(9), np.zeros((9, 1)), r"x must be of shape \(N, F\)"),
    (np.zeros((9, 0)), np.zeros((9, 0)), r"x must be of shape \(N, F\)"),
    (np.zeros((9, 3)), np.zeros((9, 4)), "x has 3 features and y 4: take both from the same net"),
    (np.array([[0.0], [1.0], [np.nan], [2.0]]), np.zeros((9, 1)), "row 2 of x is not finite: look at image 2"),
    (np.zeros((9, 1)), np.array([[0.0], [-np.inf], [np.nan], [2.0]]), "row 1 of y is not finite")])
def test_incomparable_feature_sets_are_refused(x, y, message):
    for call in all_of(x, y):
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_invalid_numbers_of_subsets_are_refused():
    x = generator("pieces").standard_normal((12, 2))
    p = np.full((12, 2), 0.5)
    for call, message in [
        (lambda: fid(x, x, generator(), resamples=1), "resamples must be at least 2, got 1"),
        (lambda: kid(x, x, generator(), 7), "subset_size must be from 2 to 6, got 7"),
        (lambda: kid(x, x[:5], generator(), 1), "subset_size must be from 2 to 2, got 1"),
        (lambda: precision_recall(x, x[:3], 3), "k must be from 1 to 2, got 3: choose another"),
        (lambda: precision_recall(x, x, 0), "k must be from 1 to 11, got 0"),
        (lambda: inception_score(p, generator(), 7), "splits must be from 2 to 6, got 7"),
        (lambda: inception_score(p, generator(), 1), "splits must be from 2 to 6, got 1"),
        (lambda: inception_score(2 * p, generator(), 2), "probabilities that sum to 1, got sums from 2 to 2: give"),
        (lambda: inception_score(p * [3, -1], generator(), 2), "rows of p must be probabilities"),
        (lambda: inception_score(p[:1], generator(), 2), r"p must be of shape \(N, F\), N at least 2, got \(1, 2\)"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_any_number_of_workers_gives_the_same_bits(monkeypatch):
    rng = generator("workers")
    x, y = rng.standard_normal((90, 30)), rng.standard_normal((80, 30))
    monkeypatch.setattr(distances, "_ROWS", 16)
    found = []
    for workers in (1, 2, 3):
        monkeypatch.setattr(distances, "default_workers", lambda workers=workers: workers)
        found.append([fid(x, y, np.random.default_rng(0), 9), kid(x, y, np.random.default_rng(0), 20),
                      polynomial_mmd2(x, y), precision_recall(x, y)])
    assert found[0] == found[1] == found[2]


def test_float32_features_are_taken_in_float64():
    rng = generator("float32")
    x, y = rng.standard_normal((50, 4)).astype(np.float32) + 100, rng.standard_normal((50, 4)).astype(np.float32) + 100
    wide = (x.astype(np.float64), y.astype(np.float64))
    assert [call() for call in all_of(x, y)] == [call() for call in all_of(*wide)]
