"""Mixtures of Gaussians, and small sets of images: data with an exact ε* that is not affine.

With x₀ ~ Σ_k w_k·N(m_k, S_k) every marginal q(x_t) is a mixture again. If S_k = 0 the data is a set of images, and ε*
has memorised them: a correct sampler ends on them, without any training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ddpm_np.backend import Array, Backend, Ints, dtype_name, get_backend, of, plain
from ddpm_np.diffusion.oracle.arguments import host_numbers, not_negative
from ddpm_np.diffusion.oracle.base import Oracle
from ddpm_np.diffusion.schedule import Coefficients, Schedule

_host = get_backend("numpy").xp


class Mixture(Oracle):
    """Mixture of Gaussians: x₀ ~ Σ_k w_k·N(m_k, S_k) with diagonal S_k.

    Then q(x_t) = Σ_k w_k·N(√ᾱ_t·m_k, C_k) with C_k = ᾱ_t·S_k + (1 − ᾱ_t)·I. All results follow from the
    responsibilities r_k(x_t), the posterior probabilities of the components.

    Checked as: oracle-mixture.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    weights : array of shape (K,)
        The w_k > 0, with sum 1.
    means : array of shape (K, *shape)
        The m_k, where shape is that of one image.
    variances : array of shape (K,) or (K, *shape)
        The diagonals of S_k ≥ 0, or one number for all dimensions of a component.

    Raises
    ------
    ValueError
        If the shapes do not match, a number is not finite, a weight is not positive or a variance is negative, or the
        weights do not sum to 1.

    Notes
    -----
    Efron (2011); Ho et al. (2020), section 3.2. Verified by ``ddpm-np check --equation oracle-mixture``.

    Computed in double precision; results have the dtype of x_t. With (K,) variances, squared distances are matrix
    products, |x − m|² = |x|² − 2x·m + |m|², and no array is larger than N·K or N·D. The rounding error of a log density
    is a few times 2⁻⁵³·|x|²/(1 − ᾱ_t), for x relative to the mean of the m_k. With (K, *shape) variances the components
    are taken one after the other, by differences.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import linear_schedule
    >>> data = Mixture(linear_schedule(1000), weights=[0.5, 0.5], means=[[-1.0], [1.0]], variances=[0.01, 0.01])
    >>> x_t, t = np.array([[0.3], [0.3]]), np.array([1, 1000])
    >>> data.responsibilities(x_t, t).round(3)  # certain of the second at t = 1, undecided at t = 1000
    array([[0.   , 1.   ],
           [0.499, 0.501]])
    """

    def __init__(self, schedule: Schedule, weights: Array, means: Array, variances: Array):
        weights, means = host_numbers("the weights", weights), host_numbers("the means", means)
        variances = not_negative(host_numbers("the variances", variances))
        super().__init__(schedule, variances)
        K = len(means) if means.ndim else 0
        if K == 0:
            raise ValueError(f"expected means (K, …) of at least one component, got shape {means.shape}")
        if weights.shape != (K,):
            raise ValueError(f"expected one weight per component, shape ({K},), got {weights.shape}")
        if variances.shape not in ((K,), means.shape):
            raise ValueError(f"expected variances of shape ({K},) or {means.shape}, got {variances.shape}")
        if not (weights > 0).all():
            raise ValueError(f"every weight must be positive, got {weights.min()}: leave that component out")
        if abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"the weights must sum to 1, got {weights.sum()}: divide them by their sum")
        self.weights, self.means, self.variances = weights / weights.sum(), means, variances
        self._log_weights = _host.log(self.weights)  # (K,)
        self._flat = means.reshape(K, -1)  # (K, D)
        self._spread = variances if variances.ndim == 1 else variances.reshape(K, -1)  # (K,) or (K, D)
        self._centre = self._flat.mean(axis=0)  # (D,): |x|² and |m|² are small about it
        self._about = self._flat - self._centre  # (K, D)
        self._squares = (self._about**2).sum(axis=1)  # (K,)
        self._below_largest = self._spread.max() - self._spread  # (K,) or (K, D)

    def responsibilities(self, x_t: Array, t: Ints) -> Array:
        """Posterior probabilities of the components: r_k(x_t) = w_k·N(x_t; √ᾱ_t·m_k, C_k)/q(x_t).

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N, K)
            Responsibilities; each row sums to 1.
        """
        x = self._rows(x_t)
        return _narrow(self._posterior(x, self.schedule.at(t, like=x))[0], x_t)

    def log_q(self, x_t: Array, t: Ints) -> Array:
        """Log density of the marginal: ln q(x_t) = ln Σ_k w_k·N(x_t; √ᾱ_t·m_k, C_k).

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N,)
            Nats per image, summed over its dimensions.
        """
        x = self._rows(x_t)
        return _narrow(self._posterior(x, self.schedule.at(t, like=x))[1], x_t)

    def score(self, x_t: Array, t: Ints) -> Array:
        """Score: ∇ ln q(x_t) = −Σ_k r_k·C_k⁻¹·(x_t − √ᾱ_t·m_k).

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N, …)
            Scores.
        """
        x = self._rows(x_t)
        k = self.schedule.at(t, like=x)
        r, _ = self._posterior(x, k)
        xp, signal = of(r), k.sqrt_alpha_bar
        if self._spread.ndim == 1:
            share = r / self._marginal(k, x)  # (N, K)
            y = x - signal * self._like("_centre", x)  # (N, D)
            towards = xp.matmul(share, self._like("_about", x))  # (N, D)
            score = signal * towards - xp.sum(share, axis=1, keepdims=True) * y
        else:
            score = sum(r[:, j:j + 1] * (signal * mean - x) / C for j, mean, C in self._components(k, x))
        return _narrow(xp.reshape(score, x_t.shape), x_t)

    def x0(self, x_t: Array, t: Ints) -> Array:
        """Best estimate of the data: E[x₀ | x_t] = Σ_k r_k·C_k⁻¹·((1 − ᾱ_t)·m_k + √ᾱ_t·S_k·x_t).

        Each part is m_k + √ᾱ_t·S_k·C_k⁻¹·(x_t − √ᾱ_t·m_k), as for a single Gaussian, computed without the difference.

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N, …)
            Conditional means.
        """
        x = self._rows(x_t)
        k = self.schedule.at(t, like=x)
        r, _ = self._posterior(x, k)
        xp, signal, noise = of(r), k.sqrt_alpha_bar, k.rows(self._noise)
        S = self._like("_spread", x)
        if self._spread.ndim == 1:
            share = r / self._marginal(k, x)  # (N, K)
            kept = xp.sum(share * S, axis=1, keepdims=True) * signal  # (N, 1)
            x0 = noise * xp.matmul(share, self._like("_flat", x)) + kept * x
        else:
            x0 = sum(r[:, j:j + 1] * (noise * mean + signal * S[j, :] * x) / C for j, mean, C in self._components(k, x))
        return _narrow(xp.reshape(x0, x_t.shape), x_t)

    def sample(self, n: int, *, seed: int = 0, first: int = 0, dtype: str = "float32",
               backend: str | Backend = "numpy") -> Array:
        """Draw x₀ = m_k + √S_k·z, k by the weights: the images `first` .. `first + n − 1` of a seed.

        Each image is a function of the seed and its number.

        Parameters
        ----------
        n : int
            How many images.
        seed : int
            The seed.
        first : int
            Number of the first image.
        dtype : str
            Floating dtype.
        backend : str or Backend
            Where to make the array.

        Returns
        -------
        array of shape (n, *shape)
            Images.
        """
        device, shape = get_backend(backend), self.means.shape[1:]
        xp = device.xp
        z = device.normal(seed, "oracle/x_0", 0, first, n, shape, dtype)  # (n, *shape)
        u = device.uniform(seed, "oracle/component", 0, first, n, ())  # (n,)
        ends = _host.cumsum(self.weights)  # (K,)
        k = xp.searchsorted(device.to_device(ends / ends[-1]), u, side="right")  # (n,)
        S = xp.take(self._like("variances", z), k, axis=0)  # (n,) or (n, *shape)
        if self.variances.ndim == 1:
            S = xp.reshape(S, (n, *[1] * len(shape)))
        return xp.take(self._like("means", z), k, axis=0) + xp.sqrt(S) * z

    def _rows(self, x_t: Array) -> Array:
        """Return x_t in double precision as (N, D)."""
        if tuple(x_t.shape[1:]) != self.means.shape[1:]:
            raise ValueError(f"expected images of shape {self.means.shape[1:]}, got {tuple(x_t.shape[1:])}")
        xp, dtype = of(x_t), dtype_name(x_t.dtype)
        if "float" in dtype and "64" not in dtype:
            x_t = xp.astype(x_t, of(x_t.data).float64 if xp.name == "tensor" else xp.float64)
        return xp.reshape(x_t, (x_t.shape[0], self._centre.size))

    def _marginal(self, k: Coefficients, x: Array) -> Array:
        """Return C_k = ᾱ_t·S_k + 1 − ᾱ_t for one number per component; (N, K)."""
        return k.alpha_bar * self._like("_spread", x) + k.rows(self._noise)

    def _components(self, k: Coefficients, x: Array) -> Iterator[tuple[int, Array, Array]]:
        """Yield j, m_j (D,) and C_j (N, D) for each component in turn."""
        alpha_bar, noise = k.alpha_bar, k.rows(self._noise)  # (N, 1) each
        S, means = self._like("_spread", x), self._like("_flat", x)  # (K, D) each
        for j in range(len(self.weights)):
            yield j, means[j, :], alpha_bar * S[j, :] + noise

    def _posterior(self, x: Array, k: Coefficients) -> tuple[Array, Array]:
        """Return the responsibilities (N, K) and ln q (N,) of x (N, D): softmax and log-sum-exp of the logits."""
        logits, common = self._by_products(x, k) if self._spread.ndim == 1 else (self._by_differences(x, k), 0.0)
        xp, largest = of(logits), _largest(logits)  # (N, 1)
        powers = xp.exp(logits - largest)  # (N, K)
        total = xp.sum(powers, axis=1, keepdims=True)  # (N, 1)
        return powers / total, xp.reshape(largest + xp.log(total) + common, (x.shape[0],))

    def _by_products(self, x: Array, k: Coefficients) -> tuple[Array, Array]:
        """Return ln w_k·N(x; √ᾱ·m_k, C_k) as logits (N, K) plus a common part (N, 1), for one C_k per component.

        Relative to the centre, −½|y − √ᾱ·m_k|²/C_k = (√ᾱ·y·m_k − ½ᾱ·|m_k|²)/C_k − ½|y|²/C_k. With C the largest C_k,
        the last term is −½|y|²/C, common to all, and −½|y|²/C·(C − C_k)/C_k: if all C_k are equal, a distant x costs no
        digits.
        """
        signal, alpha_bar = k.sqrt_alpha_bar, k.alpha_bar  # (N, 1) each
        C, about = self._marginal(k, x), self._like("_about", x)  # (N, K), (K, D)
        largest = alpha_bar * float(self._spread.max()) + k.rows(self._noise)  # (N, 1)
        y = x - signal * self._like("_centre", x)  # (N, D)
        xp = of(y)
        common = -0.5 * xp.sum(y * y, axis=1, keepdims=True) / largest  # (N, 1)
        towards = signal * xp.matmul(y, of(about).permute_dims(about, (1, 0)))  # (N, K)
        exponent = (towards - 0.5 * alpha_bar * self._like("_squares", x)) / C  # (N, K)
        exponent = exponent + common * (alpha_bar * self._like("_below_largest", x) / C)
        return self._like("_log_weights", x) - 0.5 * x.shape[1] * of(C).log(2 * math.pi * C) + exponent, common

    def _by_differences(self, x: Array, k: Coefficients) -> Array:
        """Return ln w_k·N(x; √ᾱ·m_k, C_k), with a C_k in every dimension; (N, K)."""
        xp, signal = of(x), k.sqrt_alpha_bar
        parts = []
        for _, mean, C in self._components(k, x):
            each = (x - signal * mean) * (x - signal * mean) / C + of(C).log(2 * math.pi * C)  # (N, D)
            parts.append(-0.5 * xp.sum(each, axis=1, keepdims=True))  # (N, 1)
        return self._like("_log_weights", x) + xp.concat(parts, axis=1)


def _largest(logits: Array) -> Array:
    """Return the largest real part in each row, as a constant; (N, 1)."""
    data = plain(logits)
    xp = of(data)
    return xp.max(xp.real(data) if "complex" in dtype_name(data.dtype) else data, axis=1, keepdims=True)


def _narrow(y: Array, x: Array) -> Array:
    """Return y in the dtype of x."""
    return y if y.dtype == x.dtype else of(y).astype(y, x.dtype)


def atoms(schedule: Schedule, images: Array, weights: Array = None) -> Mixture:
    """Data that is one of K given images: a `Mixture` with zero variance, whose ε* is a softmax over the images.

    E[x₀ | x_t] = Σ_k softmax_k(ln w_k − |x_t − √ᾱ_t·m_k|²/(2(1 − ᾱ_t)))·m_k: at small t the nearest image, at t = T an
    average of all. There is no density at t = 0.

    Checked as: oracle-mixture.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    images : array of shape (K, …)
        Images of a floating dtype.
    weights : array of shape (K,), optional
        Their probabilities; equal by default.

    Returns
    -------
    Mixture
        The data.

    Raises
    ------
    TypeError
        If the images are not floating numbers.

    Notes
    -----
    Efron (2011); Ho et al. (2020), section 3.2. Verified by ``ddpm-np check --equation oracle-mixture``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import linear_schedule
    >>> data = atoms(linear_schedule(1000), np.array([[-1.0, -1.0], [1.0, 1.0]]))
    >>> data.x0(np.array([[0.9, 1.02]]), np.array([1]))
    array([[1., 1.]])
    """
    dtype = dtype_name(getattr(images, "dtype", "float64"))
    if "float" not in dtype:
        raise TypeError(f"images must be floating numbers, got dtype {dtype}: scale them to [-1, 1] first")
    if weights is None:
        weights = [1 / len(images) for _ in images]
    return Mixture(schedule, weights, images, [0.0 for _ in images])
