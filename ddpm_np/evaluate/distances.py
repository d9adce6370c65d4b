"""Distances between two sets of feature vectors, each with its standard error: FID, KID, IS, precision and recall.

Each depends on the features and on the number of vectors, so report these with the value, as the figures of
`ddpm_np.evaluate.compare` do. The work is split among threads; any number of threads gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh, svdvals
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from ddpm_np import arguments
from ddpm_np.backend import Array
from ddpm_np.parallel.threads import default_workers, map_in_order

_MORE = "choose another, or draw more images"
_ROWS = 1000  # rows of a pairwise table held at a time


class Estimate(NamedTuple):
    """An estimate with its standard error.

    Attributes
    ----------
    value : float
        The estimate.
    error : float
        Its standard error.
    method : str
        How the standard error was found, such as ``"bootstrap of 50"``.
    """

    value: float
    error: float
    method: str


def frechet_distance(mean_1: Array, cov_1: Array, mean_2: Array, cov_2: Array) -> float:
    """Return the squared 2-Wasserstein distance of N(m₁, S₁) and N(m₂, S₂).

    It is |m₁ − m₂|² + tr(S₁ + S₂ − 2(S₁S₂)^½).

    Parameters
    ----------
    mean_1 : array of shape (F,)
        The mean m₁.
    cov_1 : array of shape (F, F)
        The covariance S₁: symmetric, positive semidefinite.
    mean_2 : array of shape (F,)
        The mean m₂.
    cov_2 : array of shape (F, F)
        The covariance S₂: symmetric, positive semidefinite.

    Returns
    -------
    float
        The squared distance, at least 0.

    Raises
    ------
    ValueError
        If the shapes do not match, a number is not finite, or a matrix is not a covariance.

    Notes
    -----
    S₁S₂ has the eigenvalues of the symmetric √S₁ S₂ √S₁ = M Mᵀ, M = √S₁√S₂, so tr (S₁S₂)^½ is the sum of M's singular
    values. These are computed from F₁ᵀF₂, where Sᵢ = FᵢFᵢᵀ: Fᵢ is √Sᵢ times a rotation, which leaves them unchanged.
    Singular covariances (a pixel that is always black, fewer vectors than features) cost no digits: M is not squared,
    and eigenvalues that are 0 up to rounding are set to 0 in F. A root of S₁S₂ itself, which is not symmetric, can come
    out complex there.

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
    return max(float(distance), 0.0)  # only rounding makes it negative


def _factor(cov: np.ndarray) -> np.ndarray:
    """Return F with F Fᵀ = cov, (F, F): V√Λ of cov = V Λ Vᵀ, eigenvalues below the rounding error set to 0."""
    values, vectors = eigh(cov)  # (F,) ascending, (F, F)
    top = np.abs(cov).max()
    if values[0] < -1e-6 * top or np.abs(cov - cov.T).max() > 1e-6 * top:
        raise ValueError("expected a covariance, symmetric with no negative eigenvalue, got a matrix with the "
                         f"eigenvalue {values[0]:.3g}: use numpy.cov(features, rowvar=False)")
    rounding = len(cov) * np.finfo(np.float64).eps * top
    return vectors * np.sqrt(np.where(values > rounding, values, 0))


def fid(x: Array, y: Array, generator: np.random.Generator, resamples: int = 50) -> Estimate:
    """Return the Fréchet distance between the Gaussians fitted to two sets of features.

    Parameters
    ----------
    x : array of shape (N, F)
        Features of one set.
    y : array of shape (M, F)
        Features of the other.
    generator : numpy.random.Generator
        Source of the bootstrap's draws.
    resamples : int
        Number of bootstrap sets, at least 2.

    Returns
    -------
    Estimate
        The distance; its error is the standard deviation over sets drawn with replacement from both.

    Raises
    ------
    ValueError
        If `resamples` is below 2, or the features are not finite rows of one length.

    Notes
    -----
    Heusel et al. (2017). The covariances are unbiased, Σ(x − m)(x − m)ᵀ/(n − 1), as in the authors' code. The distance
    is biased upwards by about c/n, so compare only values from equally many vectors. If both sets come from one
    distribution, the bootstrap's error tends to be too large rather than too small.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((1000, 2)), rng.standard_normal((1000, 2)) + [2, 0]
    >>> value, error, method = fid(x, y, rng)
    >>> round(value, 1), 0 < error < 0.5, method
    (4.1, True, 'bootstrap of 50')
    """
    x, y = _pair(x, y)
    arguments.count("resamples", resamples, 2, advice="a spread needs two")

    def distance(places: tuple[Any, Any]) -> float:
        chosen = (x[places[0]], y[places[1]])
        moments = [(z.mean(axis=0), np.atleast_2d(np.cov(z, rowvar=False))) for z in chosen]  # (F,), (F, F)
        return frechet_distance(*moments[0], *moments[1])

    n, m, everything = len(x), len(y), slice(None)
    draws = [(generator.integers(n, size=n), generator.integers(m, size=m)) for _ in range(resamples)]
    value, *spread = map_in_order(distance, [(everything, everything), *draws], default_workers())
    return Estimate(value, float(np.std(spread, ddof=1)), f"bootstrap of {resamples}")


def polynomial_mmd2(x: Array, y: Array) -> float:
    """Return the unbiased MMD² of two sets under the kernel k(a, b) = (a·b/F + 1)³.

    It is Σ_{i≠j} k(xᵢ, xⱼ)/(n(n − 1)) + Σ_{i≠j} k(yᵢ, yⱼ)/(m(m − 1)) − 2 Σᵢⱼ k(xᵢ, yⱼ)/(nm).

    Parameters
    ----------
    x : array of shape (N, F)
        Features of one set.
    y : array of shape (M, F)
        Features of the other.

    Returns
    -------
    float
        MMD², which can be negative: leaving out the pairs i = j makes it unbiased.

    Raises
    ------
    ValueError
        If the features are not finite rows of one length, or a set has fewer than 2.

    Notes
    -----
    Bińkowski et al. (2018).

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
    """Return Σ k(xᵢ, yⱼ) over all pairs, or over those with i ≠ j if `others`."""
    def of_part(part: slice) -> float:
        k = (x[part] @ y.T / x.shape[1] + 1) ** 3  # (rows, M)
        if others:
            np.fill_diagonal(k[:, part], 0)
        return float(k.sum())

    return sum(map_in_order(of_part, _parts(len(x)), default_workers()))


def kid(x: Array, y: Array, generator: np.random.Generator, subset_size: int = 1000) -> Estimate:
    """Return the Kernel Inception Distance: the mean of `polynomial_mmd2` over pairs of subsets.

    Parameters
    ----------
    x : array of shape (N, F)
        Features of one set, N ≥ 2·subset_size.
    y : array of shape (M, F)
        Features of the other, M ≥ 2·subset_size.
    generator : numpy.random.Generator
        Source of the random subsets.
    subset_size : int
        Vectors in a subset, at least 2.

    Returns
    -------
    Estimate
        The mean over the subsets and its standard error, s/√count.

    Raises
    ------
    ValueError
        If `subset_size` is out of range, or the features are not finite rows of one length.

    Notes
    -----
    The subsets are disjoint and use as many vectors as possible, so their values are independent. (Overlapping subsets,
    the usual choice, make the error look smaller than it is.) Published values are this number times 1 or times 1,000.

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
    if least < 4:
        raise ValueError(f"two subsets of 2 images need 4, got {least}: {_MORE}")
    arguments.count("subset_size", subset_size, 2, least // 2, _MORE)
    count = least // subset_size
    places = [generator.permutation(len(z))[: count * subset_size].reshape(count, subset_size) for z in (x, y)]
    pairs = list(zip(*places, strict=True))
    values = list(map_in_order(lambda pair: polynomial_mmd2(x[pair[0]], y[pair[1]]), pairs, default_workers()))
    return _mean(values, f"{count} disjoint subsets of {subset_size:,}")


def inception_score(p: Array, generator: np.random.Generator, splits: int = 10) -> Estimate:
    """Return exp(mean_x KL(p(y|x) ‖ p(y))) as a mean over splits, p(y) being the mean of p(y|x) in a split.

    Parameters
    ----------
    p : array of shape (N, K)
        Class probabilities p(y|x), one image a row; N ≥ 2·splits.
    generator : numpy.random.Generator
        Source of the random splits.
    splits : int
        Number of splits, at least 2.

    Returns
    -------
    Estimate
        The mean over the splits, from 1 to K, and its standard error.

    Raises
    ------
    ValueError
        If `splits` is out of range, or a row of `p` is not a probability distribution.

    Notes
    -----
    Salimans et al. (2016). It is the Inception Score only if p comes from the Inception network. The splits are random
    and as equal as possible. Published values give the standard deviation over ten splits, √10 times this error.

    Examples
    --------
    >>> p = np.tile([[1.0, 0.0], [0.5, 0.5]], (5000, 1))  # half are certain of class 0: exp(½ ln 4/3 + ½ ln √4/3)
    >>> value, error, _ = inception_score(p, np.random.default_rng(0))
    >>> round(value, 2), error < 0.01
    (1.24, True)
    """
    p = _checked("p", p)
    if len(p) < 4:
        raise ValueError(f"two splits of 2 images need 4, got {len(p)}: {_MORE}")
    arguments.count("splits", splits, 2, len(p) // 2, _MORE)
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError(f"rows of p must be probabilities that sum to 1, got sums from {p.sum(axis=1).min():.6g} to "
                         f"{p.sum(axis=1).max():.6g}: give softmax outputs in float64")
    parts = np.array_split(p[generator.permutation(len(p))], splits)
    values = [np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in parts]
    return _mean(values, f"{splits} splits")


def precision_recall(x: Array, y: Array, k: int = 3) -> tuple[Estimate, Estimate]:
    """Return the improved precision and recall of samples x against a reference y.

    A set's manifold is the union of balls around its vectors, each reaching to the k-th nearest other vector of the
    set. Precision is the share of samples inside the reference's manifold; recall is the share of the reference inside
    the samples' manifold.

    Parameters
    ----------
    x : array of shape (N, F)
        Features of the samples, N > k.
    y : array of shape (M, F)
        Features of the reference, M > k.
    k : int
        The neighbour that a ball reaches; 3 in the paper.

    Returns
    -------
    precision : Estimate
        The precision, with the binomial error √(p(1 − p)/n) for a fixed manifold.
    recall : Estimate
        The recall, likewise.

    Raises
    ------
    ValueError
        If `k` is out of range, or the features are not finite rows of one length.

    Notes
    -----
    Kynkäänniemi et al. (2019).

    Examples
    --------
    >>> y = np.arange(10.0)[:, None]
    >>> precision, recall = precision_recall(y[:5], y, k=1)
    >>> precision.value, recall.value  # 0 to 4 are covered, and 5 by the ball around 4
    (1.0, 0.6)
    """
    x, y = _pair(x, y)
    arguments.count("k", k, 1, min(len(x), len(y)) - 1, _MORE)
    radii_x, radii_y = _radii(x, k), _radii(y, k)  # (N,), (M,)

    def covered(part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return which of these samples lie in a ball of y, and which of y lie in a ball of these samples."""
        d = cdist(x[part], y, "sqeuclidean")  # (rows, M)
        return (d <= radii_y).any(axis=1), (d <= radii_x[part, None]).any(axis=0)

    parts = list(map_in_order(covered, _parts(len(x)), default_workers()))
    of_x = np.concatenate([samples for samples, _ in parts])  # (N,)
    of_y = np.any([reference for _, reference in parts], axis=0)  # (M,)
    precision, recall = (_share(inside) for inside in (of_x, of_y))
    return precision, recall


def _share(inside: np.ndarray) -> Estimate:
    """Return the share of true entries and its binomial error."""
    share = float(inside.mean())
    return Estimate(share, math.sqrt(share * (1 - share) / len(inside)), "binomial")


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance of each vector to the k-th nearest other vector, (N,)."""
    def of_part(part: slice) -> np.ndarray:
        d = cdist(x[part], x, "sqeuclidean")  # (rows, N), by differences: products would lose digits
        return np.partition(d, k, axis=1)[:, k]  # place 0 is the vector itself

    return np.concatenate(list(map_in_order(of_part, _parts(len(x)), default_workers())))


def _parts(n: int) -> list[slice]:
    """Return slices that cut n rows into blocks of at most `_ROWS`."""
    return [slice(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS)]


def _mean(values: list[float], method: str) -> Estimate:
    """Return the mean of independent values and its standard error."""
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values))), method)


def _checked(name: str, x: Array) -> np.ndarray:
    """Return x as float64 after checking that it has at least two rows of finite numbers."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or x.shape[1] < 1:
        raise ValueError(f"{name} must be of shape (N, F), N at least 2, got {x.shape}: give one row for each image")
    if not np.isfinite(x).all():
        row = int(np.argmin(np.isfinite(x).all(axis=1)))
        raise ValueError(f"row {row} of {name} is not finite: look at image {row}, or at the net that made it")
    return x


def _pair(x: Array, y: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets as float64 after checking that they have equally many features."""
    x, y = _checked("x", x), _checked("y", y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} features and y {y.shape[1]}: take both from the same net")
    return x, y
