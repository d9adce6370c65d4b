"""Gaussian data, for which all of diffusion is known in closed form: no net, no training, no Monte Carlo.

With x₀ ~ N(m, s²) in each dimension, every marginal, the best prediction ε*, the exact reverse step, the end of every
chain and both forms of the bound are short formulas (Pierret & Galerne, arXiv:2405.14250). They are the expected
results of the code of the paper's equations. Mixtures and small sets of images are in `mixture`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ddpm_np import arguments
from ddpm_np.backend import Array, Backend, Ints, get_backend, of
from ddpm_np.diffusion.oracle.affine import chain_end, entropy, exact_step, expected_nll, marginal_variance, terms_of_5
from ddpm_np.diffusion.oracle.arguments import columns, from_one, host_numbers, not_negative, parameters, rows
from ddpm_np.diffusion.oracle.base import Oracle
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


class Gaussian(Oracle):
    """Gaussian data x₀ ~ N(m, s²), independent in each dimension; `Gaussian.full` is x₀ ~ N(m, Σ).

    Then q(x_t) = N(√ᾱ_t·m, v_t) with v_t = ᾱ_t·s² + 1 − ᾱ_t. The tables of this class are float64, on the host, of
    shape (T + 1, *dims), where dims is the shape of the parameters (empty for numbers) and index 0 the data.

    Checked as: oracle-gaussian.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    mean : float or array
        The mean m; broadcasts over one image's dimensions.
    variance : float or array
        The variance s² ≥ 0; broadcasts over one image's dimensions.

    Attributes
    ----------
    mean, variance : float64 arrays of shape (*dims)
        m and s²; for `full` along the eigenvectors of Σ.
    basis : float64 array of shape (d, d) or None
        The eigenvectors of Σ, one per column; None for independent dimensions.

    Notes
    -----
    Pierret & Galerne (2024), arXiv:2405.14250. `full` rotates into the eigenbasis of Σ, where the noise has the same
    distribution, and back. Verified by ``ddpm-np check --equation oracle-gaussian``.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule
    >>> data = Gaussian(linear_schedule(1000), mean=0.3, variance=0.5**2)
    >>> round(data.simple_loss_floor(), 5)  # no ε_θ has a smaller L_simple
    0.17305
    >>> mean, variance = data.ancestral_end(data.schedule.beta)
    >>> round(float(variance) ** 0.5, 5)  # Algorithm 2 with σ_t² = β_t ends at almost s = 0.5
    0.50075
    """

    basis: Array = None

    def __init__(self, schedule: Schedule, mean: float | Array, variance: float | Array):
        self.mean, self.variance = parameters(mean, variance)
        super().__init__(schedule, self.variance)

    @classmethod
    def full(cls, schedule: Schedule, mean: Array, covariance: Array) -> Gaussian:
        """Return data x₀ ~ N(m, Σ), for images of d numbers and any shape.

        Parameters
        ----------
        schedule : Schedule
            The schedule β₁..β_T.
        mean : array of shape (d,)
            The mean m.
        covariance : array of shape (d, d)
            The covariance Σ, symmetric and without negative eigenvalues.

        Returns
        -------
        Gaussian
            The data.

        Raises
        ------
        ValueError
            If the shapes do not match, or Σ is not symmetric or has a negative eigenvalue.
        """
        mean, covariance = host_numbers("the mean", mean), host_numbers("the covariance", covariance)
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
            raise ValueError(f"expected a mean (d,) and a covariance (d, d), got {mean.shape} and {covariance.shape}")
        tolerance = 1e-12 * abs(covariance).max()
        if (abs(covariance - covariance.T) > tolerance).any():
            raise ValueError(f"a covariance must be symmetric, got one whose Σ − Σᵀ reaches "
                             f"{abs(covariance - covariance.T).max():.3g}: give (Σ + Σᵀ)/2")
        variance, basis = _host.linalg.eigh(covariance)  # (d,) and (d, d)
        if variance[0] < -tolerance:
            raise ValueError(f"a covariance must have no negative eigenvalue, got {variance[0]:.3g}")
        data = cls(schedule, mean @ basis, _host.maximum(variance, 0.0))
        data.basis = host_numbers("the eigenvectors", basis)
        return data

    # Images.

    def _fits(self, shape: tuple[int, ...]) -> None:
        """Raise if images of this shape do not match the parameters."""
        dims = self.mean.shape
        if self.basis is not None:
            fits = math.prod(shape) == dims[0]
        else:
            fits = len(dims) <= len(shape) and all(d in (1, n) for d, n in zip(dims[::-1], shape[::-1], strict=False))
        if not fits:
            raise ValueError(f"expected images that go with parameters of shape {dims}, got images of shape {shape}")

    def _into(self, x: Array) -> Array:
        """Return x along the parameters' dimensions: itself, or (N, d) along the eigenvectors."""
        self._fits(tuple(x.shape[1:]))
        if self.basis is None:
            return x
        xp, n, d = of(x), x.shape[0], self.mean.size
        stack = xp.reshape(x, (n, 1, d))  # (N, 1, d): one product an image, so the same bits in any batch on a CPU
        return xp.reshape(xp.matmul(stack, self._like("basis", x)), (n, d))

    def _back(self, y: Array, shape: tuple[int, ...]) -> Array:
        """Return y in the images' dimensions: the inverse of `_into`."""
        if self.basis is None:
            return y
        xp, basis = of(y), self._like("basis", y)  # (d, d)
        stack = xp.reshape(y, (y.shape[0], 1, self.mean.size))  # (N, 1, d)
        return xp.reshape(xp.matmul(stack, of(basis).permute_dims(basis, (1, 0))), shape)

    def _deviation(self, x_t: Array, t: Ints) -> tuple[Array, Array]:
        """Return x_t − √ᾱ_t·m and v_t, both (N, …) along the parameters' dimensions."""
        y = self._into(x_t)
        k = self.schedule.at(t, like=y)
        v = k.alpha_bar * self._like("variance", y) + k.rows(self._noise)  # (N, …)
        return y - k.sqrt_alpha_bar * self._like("mean", y), v

    def score(self, x_t: Array, t: Ints) -> Array:
        """Score: ∇ ln q(x_t) = −(x_t − √ᾱ_t·m)/v_t.

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
        y, v = self._deviation(x_t, t)
        return self._back(-y / v, x_t.shape)

    def x0(self, x_t: Array, t: Ints) -> Array:
        """Best estimate of the data: E[x₀ | x_t] = m + √ᾱ_t·s²/v_t·(x_t − √ᾱ_t·m).

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

        Examples
        --------
        >>> import numpy as np
        >>> data = Gaussian(Schedule.from_betas([9 / 25, 7 / 16]), mean=0.0, variance=1.0)  # √ᾱ₂ = 3/5, v_t = 1
        >>> data.x0(np.array([[1.0]]), np.array([2])).round(12)
        array([[0.6]])
        """
        y, v = self._deviation(x_t, t)
        gain = self.schedule.at(t, like=y).sqrt_alpha_bar * self._like("variance", y) / v  # (N, …)
        return self._back(self._like("mean", y) + gain * y, x_t.shape)

    def log_q(self, x_t: Array, t: Ints) -> Array:
        """Log density of the marginal: ln q(x_t) = −½·Σ [(x_t − √ᾱ_t·m)²/v_t + ln 2πv_t], over an image's dimensions.

        Parameters
        ----------
        x_t : array or Tensor of shape (N, …)
            Noisy images.
        t : int array of shape (N,)
            Steps, 1..T, or 0 if the data has a density.

        Returns
        -------
        array or Tensor of shape (N,)
            Nats per image.
        """
        y, v = self._deviation(x_t, t)
        each = y * y / v + of(v).log(2 * math.pi * v)  # (N, …)
        return -0.5 * of(each).sum(of(each).reshape(each, (y.shape[0], math.prod(y.shape[1:]))), axis=1)

    def sample(self, n: int, shape: tuple[int, ...] | None = None, *, seed: int = 0, first: int = 0,
               dtype: str = "float32", backend: str | Backend = "numpy") -> Array:
        """Draw x₀ = m + s·z: the images `first` .. `first + n − 1` of a seed.

        Each image is a function of the seed and its number.

        Parameters
        ----------
        n : int
            How many images.
        shape : tuple of int, optional
            Shape of one image; by default that of the parameters.
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

        Raises
        ------
        ValueError
            If the shape does not match the parameters.
        """
        shape = self.mean.shape if shape is None else tuple(shape)
        self._fits(shape)
        z = get_backend(backend).normal(seed, "oracle/x_0", 0, first, n, shape, dtype)  # (n, *shape)
        if self.basis is not None:
            z = of(z).reshape(z, (n, self.mean.size))
        s = of(z).sqrt(self._like("variance", z))  # (*dims)
        return self._back(self._like("mean", z) + s * z, (n, *shape))

    # Tables.

    @property
    def marginal_variance(self) -> Array:
        """Variance of x_t: v_t = ᾱ_t·s² + 1 − ᾱ_t.

        Returns
        -------
        array of shape (T + 1, *dims)
            The table v_t.
        """
        return marginal_variance(self.schedule, self.variance)

    @property
    def x0_variance(self) -> Array:
        """Conditional variance of the data: Var[x₀ | x_t] = s²·(1 − ᾱ_t)/v_t, for any x_t.

        Returns
        -------
        array of shape (T + 1, *dims)
            A table; 0 at t = 0.
        """
        (noise,) = columns(self.schedule, self.variance, "one_minus_alpha_bar")
        return from_one(0.0, self.variance * noise[1:] / self.marginal_variance[1:])

    @property
    def eps_variance(self) -> Array:
        """Conditional variance of the noise: Var[ε | x_t] = ᾱ_t·s²/v_t, the least L_simple at step t.

        Returns
        -------
        array of shape (T + 1, *dims)
            A table; 1 at t = 0.
        """
        (alpha_bar,) = columns(self.schedule, self.variance, "alpha_bar")
        return from_one(1.0, alpha_bar[1:] * self.variance / self.marginal_variance[1:])

    def simple_loss_floor(self) -> float:
        """Least L_simple (14): the mean of `eps_variance` over t = 1..T and the dimensions.

        No net can go below it in expectation without having seen the noise.

        Returns
        -------
        float
            The least loss.
        """
        return float(self.eps_variance[1:].mean())

    @property
    def affine_eps(self) -> tuple[Array, Array]:
        """Best noise prediction as an affine map: ε*(x, t) = a_t·x + b_t, a_t = √(1 − ᾱ_t)/v_t, b_t = −a_t·√ᾱ_t·m.

        Returns
        -------
        a : array of shape (T + 1, *dims)
            The table a_t.
        b : array of shape (T + 1, *dims)
            The table b_t.
        """
        root, signal = columns(self.schedule, self.mean, "sqrt_one_minus_alpha_bar", "sqrt_alpha_bar")
        a = from_one(0.0, root[1:] / self.marginal_variance[1:])
        return a, -a * signal * self.mean

    @property
    def reverse_mean(self) -> tuple[Array, Array]:
        """Mean of the exact reverse step: E[x_{t−1} | x_t] = A_t·x_t + B_t.

        A_t = √α_t·v_{t−1}/v_t and B_t = √ᾱ_{t−1}·β_t/v_t·m. It is the posterior mean (7) at E[x₀ | x_t], and μ_θ of
        (11) for ε*.

        Returns
        -------
        gain : array of shape (T + 1, *dims)
            The table A_t; nan at 0.
        shift : array of shape (T + 1, *dims)
            The table B_t; nan at 0.
        """
        return exact_step(self.schedule, self.mean, self.variance)[:2]

    @property
    def reverse_variance(self) -> Array:
        """Variance of the exact reverse step: r_t = Var[x_{t−1} | x_t] = β_t·v_{t−1}/v_t, the best σ_t².

        The two choices of section 3.2 are its extremes: β_t for s = 1, β̃_t for s = 0.

        Returns
        -------
        array of shape (T + 1, *dims)
            The table r_t; nan at 0.
        """
        return exact_step(self.schedule, self.mean, self.variance)[2]

    # The ends of chains.

    def ancestral_end(self, variance: Array) -> tuple[Array, Array]:
        """Mean and variance of x₀ by Algorithm 2 with ε* and the σ_t² of a table.

        M_{t−1} = A_t·M_t + B_t and V_{t−1} = A_t²·V_t + σ_t² from M_T = 0 and V_T = 1, without noise in the last step.

        Parameters
        ----------
        variance : array of shape (T + 1,) or (T + 1, *dims)
            The table σ_t² ≥ 0; rows 0 and 1 are not used.

        Returns
        -------
        mean : array of shape (*dims)
            The mean M₀.
        variance : array of shape (*dims)
            The variance V₀.

        Raises
        ------
        ValueError
            If the table has another shape, or a number in use is negative or not finite.
        """
        sigma2 = not_negative(rows(self.schedule, self.mean, "σ²", variance, first=2))
        sigma2[1] = 0.0
        return chain_end(*self.reverse_mean, sigma2)

    def ddim_end(self, eta: float = 0.0, timesteps: Sequence[int] | None = None) -> tuple[Array, Array]:
        """Mean and variance of x₀ by DDIM with ε*, for any η and any subsequence of the steps.

        A step from t to t' is x' = √ᾱ'·x̂₀ + √(1 − ᾱ' − σ²)·ε* + σ·z, σ² = η²·(1 − ᾱ')/(1 − ᾱ)·(1 − ᾱ/ᾱ'). It takes the
        deviation u = x − √ᾱ·m to g·u + σ·z, g = (√(ᾱ'ᾱ)·s² + √(1 − ᾱ' − σ²)·√(1 − ᾱ))/v.

        Parameters
        ----------
        eta : float
            The amount of noise η, 0..1.
        timesteps : sequence of int, optional
            Steps τ of 1..T in descending order; T, …, 1 by default. The chain starts from x ~ N(0, 1) at the first, and
            ends at 0.

        Returns
        -------
        mean : array of shape (*dims)
            The mean of x₀.
        variance : array of shape (*dims)
            The variance of x₀.

        Raises
        ------
        ValueError
            If `eta` is out of range or the steps do not descend within T..1.

        Notes
        -----
        Equations (12) and (16) of Song, Meng & Ermon (2021). Verified by ``ddpm-np check --equation oracle-gaussian``.
        """
        arguments.number("eta", eta, least=0, most=1)
        s, steps = self.schedule, self._steps(timesteps)
        log_alpha_bar = _host.cumsum(_host.log1p(-s.beta))  # (T+1,)
        v = self.marginal_variance
        mean, variance = -s.sqrt_alpha_bar[steps[0]] * self.mean, _host.ones_like(self.variance)
        for t, to in pairwise(steps):
            share = eta**2 * -math.expm1(log_alpha_bar[t] - log_alpha_bar[to]) / s.one_minus_alpha_bar[t]  # σ²/(1 − ᾱ')
            kept = math.sqrt(s.one_minus_alpha_bar[to] * max(1 - share, 0.0))  # √(1 − ᾱ' − σ²)
            signal = s.sqrt_alpha_bar[to] * s.sqrt_alpha_bar[t] * self.variance  # (*dims)
            gain = (signal + kept * s.sqrt_one_minus_alpha_bar[t]) / v[t]
            mean, variance = gain * mean, gain**2 * variance + share * s.one_minus_alpha_bar[to]
        return self.mean + mean, variance

    def ddim_closed_form(self, timesteps: Sequence[int] | None = None) -> tuple[Array, Array]:
        """Mean and variance of x₀ by DDIM at η = 0 without a recursion: `ddim_end` as a product of cosines.

        With φ_t = arctan(√(1 − ᾱ_t)/(s·√ᾱ_t)), a step multiplies u/√v by cos(φ_t − φ_t'). So for steps τ that start at
        t, Var[x₀] = s²/v_t·Π cos² and E[x₀] = m − m·s·√(ᾱ_t/v_t)·Π cos.

        Parameters
        ----------
        timesteps : sequence of int, optional
            Steps τ, as in `ddim_end`.

        Returns
        -------
        mean : array of shape (*dims)
            The mean of x₀.
        variance : array of shape (*dims)
            The variance of x₀.

        Raises
        ------
        ValueError
            If the steps do not descend within T..1.
        """
        s, steps = self.schedule, self._steps(timesteps)
        root, signal = columns(s, self.mean, "sqrt_one_minus_alpha_bar", "sqrt_alpha_bar")
        deviation = _host.sqrt(self.variance)  # (*dims): s
        phi = _host.arctan2(root, deviation * signal)  # (T+1, *dims)
        ratio = deviation / _host.sqrt(self.marginal_variance[steps[0]])  # (*dims): s/√v
        for t, to in pairwise(steps):
            ratio = ratio * _host.cos(phi[t] - phi[to])
        return self.mean - self.mean * s.sqrt_alpha_bar[steps[0]] * ratio, ratio**2

    def _steps(self, timesteps: Sequence[int] | None) -> list[int]:
        """Return the steps τ and then 0, checked to descend."""
        T = self.schedule.T
        given = list(range(T, 0, -1) if timesteps is None else timesteps)
        steps = [*map(int, given), 0]
        if not given or steps[:-1] != given or steps[0] > T or any(t <= to for t, to in pairwise(steps)):
            raise ValueError(f"timesteps must be ints that descend within {T}..1, got {given}")
        return steps

    # The likelihood.

    def entropy(self) -> Array:
        """Entropy of the data: H(x₀) = ½·ln 2πe·s².

        Returns
        -------
        array of shape (*dims)
            Nats per dimension.

        Raises
        ------
        ValueError
            If a variance is 0.
        """
        return entropy(self.variance)

    def vlb(self, sigma2: Array) -> Array:
        """Bound (5) by its terms for the model with ε* and a given σ_t², as `affine_vlb`.

        Parameters
        ----------
        sigma2 : array of shape (T + 1,) or (T + 1, *dims)
            The table σ_t² > 0; row 0 is not used.

        Returns
        -------
        array of shape (T + 1, *dims)
            The terms L₀, L₁, …, L_T, in nats per dimension.
        """
        return terms_of_5(self.schedule, self.mean, self.variance, *self.reverse_mean, sigma2)

    def nll(self, sigma2: Array) -> Array:
        """Expected negative log likelihood E[−ln p_θ(x₀)] of the model with ε* and a given σ_t², as `affine_nll`.

        Parameters
        ----------
        sigma2 : array of shape (T + 1,) or (T + 1, *dims)
            The table σ_t² > 0; row 0 is not used.

        Returns
        -------
        array of shape (*dims)
            Nats per dimension.
        """
        return expected_nll(self.schedule, self.mean, self.variance, *self.reverse_mean, sigma2)
