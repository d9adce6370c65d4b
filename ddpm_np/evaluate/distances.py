"""Distances between two sets of feature vectors, each with its standard error: FID, KID, IS, precision and recall.

Every one of them depends on the features and on how many vectors there are, so a number from here means something only
with those beside it: `ddpm_np.evaluate.compare` makes such figures. Threads take the pieces of the work; the numbers
are the same bits with any number of them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh, svdvals
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from ddpm_np.parallel.threads import default_workers, map_in_order

_ROWS = 1000  # of a table of pairs at a time


class Estimate(NamedTuple):
    """A number, its standard error, and how that error was found."""

    value: float
    error: float
    method: str


def frechet_distance(mean_1: Any, cov_1: Any, mean_2: Any, cov_2: Any) -> float:
    """|m₁ − m₂|² + tr(S₁ + S₂ − 2(S₁S₂)^½): the squared 2-Wasserstein distance of N(m₁, S₁) and N(m₂, S₂).

    S₁S₂ has the eigenvalues of the symmetric √S₁ S₂ √S₁ = M Mᵀ, M = √S₁√S₂, so tr (S₁S₂)^½ is the sum of M's singular
    values. They are taken of F₁ᵀF₂, Sᵢ = FᵢFᵢᵀ (a factor of Sᵢ is √Sᵢ but for a rotation, which leaves them alone).
    Singular covariances (a pixel that is always black, fewer vectors than features) cost no digits: M is not squared,
    and what rounding leaves of an eigenvalue that is 0 is taken out of F. (A root of S₁S₂ itself, which is not
    symmetric, may come out complex there.)

    Parameters
    ----------
    mean_1, mean_2
        (F,).
    cov_1, cov_2
        (F, F), symmetric, positive semidefinite.

    Raises
    ------
    ValueError
        For shapes that do not fit, numbers that are not finite, or a matrix that is no covariance.

    Examples
    --------
    >>> frechet_distance([0.0, 1.0], [[1.0, 0.0], [0.0, 4.0]], [3.0, 1.0], [[4.0, 0.0], [0.0, 4.0]])
    10.0
    """
    means = [np.asarray(mean, np.float64) for mean in (mean_1, mean_2)]  # (F,) each
    covs = [np.asarray(cov, np.float64) for cov in (cov_1, cov_2)]  # (F, F) each
    f = means[0].shape
    if len(f) != 1 or means[1].shape != f or any(cov.shape != f * 2 for cov in covs):
        raise ValueError("expected two means (F,) and two covariances (F, F), got shapes "
                         f"{means[0].shape}, {covs[0].shape}, {means[1].shape}, {covs[1].shape}")
    if not all(np.isfinite(array).all() for array in (*means, *covs)):
        raise ValueError("a mean or covariance is not finite: look for NaN or infinity in the features")
    f_1, f_2 = (_factor(cov) for cov in covs)
    cross = svdvals(f_1.T @ f_2).sum()
    distance = np.sum((means[0] - means[1]) ** 2) + np.trace(covs[0]) + np.trace(covs[1]) - 2 * cross
    return max(float(distance), 0.0)  # below 0 by rounding alone


def _factor(cov: np.ndarray) -> np.ndarray:
    """F with F Fᵀ = cov, (F, F): V√Λ of cov = V Λ Vᵀ, eigenvalues below rounding taken as 0."""
    values, vectors = eigh(cov)  # (F,) ascending, (F, F)
    top = np.abs(cov).max()
    if values[0] < -1e-6 * top or np.abs(cov - cov.T).max() > 1e-6 * top:
        raise ValueError(f"expected a covariance, symmetric with no negative eigenvalue, got one of {values[0]:.3g}: "
                         "use numpy.cov(features, rowvar=False)")
    rounding = len(cov) * np.finfo(np.float64).eps * top
    return vectors * np.sqrt(np.where(values > rounding, values, 0))


def fid(x: Any, y: Any, generator: np.random.Generator, resamples: int = 50) -> Estimate:
    """The Fréchet distance of the Gaussians with the means and covariances of two sets (Heusel et al. 2017).

    The covariances are unbiased, Σ(x − m)(x − m)ᵀ/(n − 1), as in the authors' code. The distance itself is biased up,
    by about c/n: only figures of as many vectors can be compared. The error is the spread of the distance over sets
    drawn with replacement from both; where both sets are of one law it is rather too large than too small.

    Parameters
    ----------
    x, y
        (N, F) and (M, F).
    generator
        Of the bootstrap.
    resamples
        How many sets the bootstrap draws, at least 2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((1000, 2)), rng.standard_normal((1000, 2)) + [2, 0]
    >>> value, error, method = fid(x, y, rng)
    >>> round(value, 1), 0 < error < 0.5, method
    (4.1, True, 'bootstrap of 50')
    """
    x, y = _pair(x, y)
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, got {resamples}: a spread needs two")

    def distance(places: tuple[Any, Any]) -> float:
        chosen = (x[places[0]], y[places[1]])
        moments = [(z.mean(axis=0), np.atleast_2d(np.cov(z, rowvar=False))) for z in chosen]  # (F,), (F, F)
        return frechet_distance(*moments[0], *moments[1])

    n, m, everything = len(x), len(y), slice(None)
    draws = [(generator.integers(n, size=n), generator.integers(m, size=m)) for _ in range(resamples)]
    value, *spread = map_in_order(distance, [(everything, everything), *draws], default_workers())
    return Estimate(value, float(np.std(spread, ddof=1)), f"bootstrap of {resamples}")


def polynomial_mmd2(x: Any, y: Any) -> float:
    """The unbiased MMD² of the kernel k(a, b) = (a·b/F + 1)³ on two whole sets (Bińkowski et al. 2018).

    Σ_{i≠j} k(xᵢ, xⱼ)/(n(n − 1)) + Σ_{i≠j} k(yᵢ, yⱼ)/(m(m − 1)) − 2 Σᵢⱼ k(xᵢ, yⱼ)/(nm). No pair of a vector with itself:
    that is what makes it unbiased, and so it may be negative.

    Parameters
    ----------
    x, y
        (N, F) and (M, F).

    Examples
    --------
    >>> polynomial_mmd2([[0.0], [1.0]], [[1.0], [2.0]])  # 1 + 27 − (1 + 1 + 8 + 27)/2
    9.5
    """
    x, y = _pair(x, y)
    n, m = len(x), len(y)
    within = _kernel_sum(x, x, others=True) / (n * (n - 1)) + _kernel_sum(y, y, others=True) / (m * (m - 1))
    return within - 2 * _kernel_sum(x, y) / (n * m)


def _kernel_sum(x: np.ndarray, y: np.ndarray, others: bool = False) -> float:
    """Σ k(xᵢ, yⱼ) over all pairs, or over those of different places."""
    def of_part(part: slice) -> float:
        k = (x[part] @ y.T / x.shape[1] + 1) ** 3  # (rows, M)
        if others:
            np.fill_diagonal(k[:, part], 0)
        return float(k.sum())

    return sum(map_in_order(of_part, _parts(len(x)), default_workers()))


def kid(x: Any, y: Any, generator: np.random.Generator, subset_size: int = 1000) -> Estimate:
    """The mean of `polynomial_mmd2` over subsets of two sets, and its standard error.

    The subsets are disjoint, as many as there are vectors for, so their values are independent and the error is theirs,
    s/√count. (Subsets that share vectors, as are often drawn, make it look smaller than it is.) Published figures are
    this number times 1, or times 1,000.

    Parameters
    ----------
    x, y
        (N, F) and (M, F), at least 2·subset_size each.
    generator
        Of the subsets.
    subset_size
        At least 2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((2000, 4)), rng.standard_normal((2000, 4)) + 1
    >>> value, error, method = kid(x, y, rng, subset_size=100)
    >>> value > 10 * error, method
    (True, '20 disjoint subsets of 100')
    """
    x, y = _pair(x, y)
    least = min(len(x), len(y))
    if not 2 <= subset_size <= least // 2:
        raise ValueError(f"subset_size must be from 2 to half of the smaller set, {least // 2}, got {subset_size}: "
                         "choose another, or draw more images")
    count = least // subset_size
    places = [generator.permutation(len(z))[: count * subset_size].reshape(count, subset_size) for z in (x, y)]
    pairs = list(zip(*places, strict=True))
    values = list(map_in_order(lambda pair: polynomial_mmd2(x[pair[0]], y[pair[1]]), pairs, default_workers()))
    return _mean(values, f"{count} disjoint subsets of {subset_size:,}")


def inception_score(p: Any, generator: np.random.Generator, splits: int = 10) -> Estimate:
    """exp(mean_x KL(p(y|x) ‖ p(y))), p(y) the mean of p(y|x) (Salimans et al. 2016): 1 to K; the mean over splits.

    The splits are random and as equal as can be; the error is the standard error of their mean. (Published figures give
    the standard deviation over ten splits, √10 times as much.) It is the Inception Score only if p is Inception's.

    Parameters
    ----------
    p
        (N, K), rows of probabilities; N at least 2·splits.
    generator
        Of the splits.
    splits
        At least 2.

    Examples
    --------
    >>> p = np.tile([[1.0, 0.0], [0.5, 0.5]], (5000, 1))  # half are sure of class 0: exp(½ ln 4/3 + ½ ln √4/3)
    >>> value, error, _ = inception_score(p, np.random.default_rng(0))
    >>> round(value, 2), error < 0.01
    (1.24, True)
    """
    p = _checked("p", p)
    if splits < 2 or len(p) < 2 * splits:
        raise ValueError(f"splits must be from 2 to half of the {len(p)} images, got {splits}: choose another, or draw "
                         "more images")
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError(f"rows of p must be probabilities that sum to 1, got sums from {p.sum(axis=1).min():.6g} to "
                         f"{p.sum(axis=1).max():.6g}: give softmax outputs in float64")
    parts = np.array_split(p[generator.permutation(len(p))], splits)
    values = [np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in parts]
    return _mean(values, f"{splits} splits")


def precision_recall(x: Any, y: Any, k: int = 3) -> tuple[Estimate, Estimate]:
    """Improved precision and recall of samples x against a reference y (Kynkäänniemi et al. 2019).

    A set's manifold is the union of balls around its vectors, each as far as the k-th nearest other vector of the set.
    Precision is the share of the samples in the reference's manifold, recall that of the reference in the samples'. The
    errors are binomial, √(p(1 − p)/n), with the manifold held fixed.

    Parameters
    ----------
    x, y
        (N, F) and (M, F), more than k each.
    k
        The paper's 3.

    Returns
    -------
    precision, recall

    Examples
    --------
    >>> y = np.arange(10.0)[:, None]
    >>> precision, recall = precision_recall(y[:5], y, k=1)
    >>> precision.value, recall.value  # 0 to 4 are covered, and 5 by the ball around 4
    (1.0, 0.6)
    """
    x, y = _pair(x, y)
    if not 1 <= k < min(len(x), len(y)):
        raise ValueError(f"k must be at least 1 and below the size of the smaller set, {min(len(x), len(y))}, got {k}: "
                         "choose another, or draw more images")
    radii_x, radii_y = _radii(x, k), _radii(y, k)  # (N,), (M,)

    def covered(part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Which of these samples are in a ball of y, and which of y are in a ball of one of these."""
        d = cdist(x[part], y, "sqeuclidean")  # (rows, M)
        return (d <= radii_y).any(axis=1), (d <= radii_x[part, None]).any(axis=0)

    parts = list(map_in_order(covered, _parts(len(x)), default_workers()))
    of_x = np.concatenate([samples for samples, _ in parts])  # (N,)
    of_y = np.any([reference for _, reference in parts], axis=0)  # (M,)
    precision, recall = (_share(inside) for inside in (of_x, of_y))
    return precision, recall


def _share(inside: np.ndarray) -> Estimate:
    """The share of true entries, and its binomial error."""
    share = float(inside.mean())
    return Estimate(share, math.sqrt(share * (1 - share) / len(inside)), "binomial")


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each vector to the k-th nearest of the others: (N,)."""
    def of_part(part: slice) -> np.ndarray:
        d = cdist(x[part], x, "sqeuclidean")  # (rows, N), by differences: products would lose digits
        return np.partition(d, k, axis=1)[:, k]  # place 0 is the vector itself

    return np.concatenate(list(map_in_order(of_part, _parts(len(x)), default_workers())))


def _parts(n: int) -> list[slice]:
    """Slices over n rows."""
    return [slice(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS)]


def _mean(values: list[float], method: str) -> Estimate:
    """The mean of independent values and its standard error."""
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values))), method)


def _checked(name: str, x: Any) -> np.ndarray:
    """Rows of finite numbers as float64, at least two."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or x.shape[1] < 1:
        raise ValueError(f"{name} must be of shape (N, F), N at least 2, got {x.shape}: give one row an image")
    if not np.isfinite(x).all():
        row = int(np.argmin(np.isfinite(x).all(axis=1)))
        raise ValueError(f"row {row} of {name} is not finite: look at image {row}, or at the net that made it")
    return x


def _pair(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two checked sets of the same number of features."""
    x, y = _checked("x", x), _checked("y", y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} features and y {y.shape[1]}: take both from the same net")
    return x, y
