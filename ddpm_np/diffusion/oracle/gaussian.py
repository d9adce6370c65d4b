"""Gaussian data, for which all of diffusion is known in closed form: no net, no training, no Monte Carlo.

With x₀ ~ N(m, s²) in each dimension every marginal, the best prediction ε*, the exact reverse step, the end of every
chain and both forms of the bound are short formulas (Pierret & Galerne, arXiv:2405.14250). They say what the code
of the paper's equations has to give. Mixtures and small sets of images are in `mixture`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ddpm_np.backend import Array, Backend, Ints, get_backend, of
from ddpm_np.diffusion.oracle.affine import (
    chain_end,
    columns,
    entropy,
    exact_step,
    expected_nll,
    from_one,
    host_numbers,
    marginal_variance,
    not_negative,
    parameters,
    rows,
    terms_of_5,
)
from ddpm_np.diffusion.oracle.base import Oracle
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


class Gaussian(Oracle):
    """x₀ ~ N(m, s²), each dimension on its own; `Gaussian.full` is x₀ ~ N(m, Σ).

    Then q(x_t) = N(√ᾱ_t·m, v_t) with v_t = ᾱ_t·s² + 1 − ᾱ_t. Tables of this class are (T + 1, *dims), float64, on the
    host, dims being the shape of the parameters (none for numbers), and index 0 the data.

    Checked as: oracle-gaussian.

    Parameters
    ----------
    schedule
        β₁..β_T.
    mean, variance
        m and s² ≥ 0: numbers, or arrays that broadcast over one image's dimensions.

    Attributes
    ----------
    mean, variance : float64 array (*dims)
        m and s²; for `full` along the eigenvectors of Σ.
    basis : float64 array (d, d) or None
        The eigenvectors of Σ, one a column; None where dimensions are independent as they are.

    Notes
    -----
    Pierret & Galerne, arXiv:2405.14250. `full` turns into the eigenbasis of Σ, where noise looks as it did, and back.

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

    basis: Any = None

    def __init__(self, schedule: Schedule, mean: Any, variance: Any):
        self.mean, self.variance = parameters(mean, variance)
        super().__init__(schedule, self.variance)

    @classmethod
    def full(cls, schedule: Schedule, mean: Any, covariance: Any) -> Gaussian:
        """x₀ ~ N(m, Σ), for images of d numbers of any shape.

        Parameters
        ----------
        mean, covariance
            (d,) and (d, d), symmetric and without negative eigenvalues.
        """
        mean, covariance = host_numbers("the mean", mean), host_numbers("the covariance", covariance)
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
            raise ValueError(f"expected a mean (d,) and a covariance (d, d), got {mean.shape} and {covariance.shape}")
        tolerance = 1e-12 * abs(covariance).max()
        if (abs(covariance - covariance.T) > tolerance).any():
            raise ValueError(f"a covariance is symmetric, got one whose Σ − Σᵀ reaches "
                             f"{abs(covariance - covariance.T).max():.3g}: give (Σ + Σᵀ)/2")
        variance, basis = _host.linalg.eigh(covariance)  # (d,) and (d, d)
        if variance[0] < -tolerance:
            raise ValueError(f"a covariance has no negative eigenvalue, got {variance[0]:.3g}")
        data = cls(schedule, mean @ basis, _host.maximum(variance, 0.0))
        data.basis = host_numbers("the eigenvectors", basis)
        return data

    # Images.

    def _fits(self, shape: tuple[int, ...]) -> None:
        """Raise where one image's shape does not go with the parameters."""
        dims = self.mean.shape
        if self.basis is not None:
            fits = math.prod(shape) == dims[0]
        else:
            fits = len(dims) <= len(shape) and all(d in (1, n) for d, n in zip(dims[::-1], shape[::-1], strict=False))
        if not fits:
            raise ValueError(f"expected images that go with parameters of shape {dims}, got images of shape {shape}")

    def _into(self, x: Array) -> Array:
        """x as the parameters see it: itself, or (N, d) along the eigenvectors."""
        self._fits(tuple(x.shape[1:]))
        if self.basis is None:
            return x
        xp, n, d = of(x), x.shape[0], self.mean.size
        stack = xp.reshape(x, (n, 1, d))  # (N, 1, d): one product an image, so the same bits in any batch
        return xp.reshape(xp.matmul(stack, self._like("basis", x)), (n, d))

    def _back(self, y: Array, shape: tuple[int, ...]) -> Array:
        """The way back from `_into`."""
        if self.basis is None:
            return y
        xp, basis = of(y), self._like("basis", y)  # (d, d)
        stack = xp.reshape(y, (y.shape[0], 1, self.mean.size))  # (N, 1, d)
        return xp.reshape(xp.matmul(stack, of(basis).permute_dims(basis, (1, 0))), shape)

    def _deviation(self, x_t: Array, t: Ints) -> tuple[Array, Array]:
        """x_t − √ᾱ_t·m and v_t, both (N, …) along the parameters' dimensions."""
        y = self._into(x_t)
        k = self.schedule.at(t, like=y)
        v = k.alpha_bar * self._like("variance", y) + k.rows(self._noise)  # (N, …)
        return y - k.sqrt_alpha_bar * self._like("mean", y), v

    def score(self, x_t: Array, t: Ints) -> Array:
        """∇ log q(x_t) = −(x_t − √ᾱ_t·m)/v_t; (N, …)."""
        y, v = self._deviation(x_t, t)
        return self._back(-y / v, x_t.shape)

    def x0(self, x_t: Array, t: Ints) -> Array:
        """E[x₀ | x_t] = m + √ᾱ_t·s²/v_t·(x_t − √ᾱ_t·m); (N, …)."""
        y, v = self._deviation(x_t, t)
        gain = self.schedule.at(t, like=y).sqrt_alpha_bar * self._like("variance", y) / v  # (N, …)
        return self._back(self._like("mean", y) + gain * y, x_t.shape)

    def log_q(self, x_t: Array, t: Ints) -> Array:
        """ln q(x_t) = −½·Σ [(x_t − √ᾱ_t·m)²/v_t + ln 2πv_t], summed over an image's dimensions, in nats; (N,)."""
        y, v = self._deviation(x_t, t)
        each = y * y / v + of(v).log(2 * math.pi * v)  # (N, …)
        return -0.5 * of(each).sum(of(each).reshape(each, (y.shape[0], math.prod(y.shape[1:]))), axis=1)

    def sample(self, n: int, shape: tuple[int, ...] | None = None, *, seed: int = 0, first: int = 0,
               dtype: str = "float32", backend: str | Backend = "numpy") -> Any:
        """x₀ = m + s·z: the images `first` .. `first + n − 1` of a seed, each a function of the seed and its number.

        `shape` is one image's; None: the parameters' own. (n, *shape).
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
    def marginal_variance(self) -> Any:
        """v_t = Var[x_t] = ᾱ_t·s² + 1 − ᾱ_t; (T + 1, *dims)."""
        return marginal_variance(self.schedule, self.variance)

    @property
    def x0_variance(self) -> Any:
        """Var[x₀ | x_t] = s²·(1 − ᾱ_t)/v_t, whatever x_t is; (T + 1, *dims)."""
        (noise,) = columns(self.schedule, self.variance, "one_minus_alpha_bar")
        return from_one(0.0, self.variance * noise[1:] / self.marginal_variance[1:])

    @property
    def eps_variance(self) -> Any:
        """Var[ε | x_t] = ᾱ_t·s²/v_t, the least L_simple at step t; 1 at t = 0; (T + 1, *dims)."""
        (alpha_bar,) = columns(self.schedule, self.variance, "alpha_bar")
        return from_one(1.0, alpha_bar[1:] * self.variance / self.marginal_variance[1:])

    def simple_loss_floor(self) -> float:
        """The least L_simple (14): the mean of `eps_variance` over t = 1..T and the dimensions.

        A net that goes below it has seen the noise.
        """
        return float(self.eps_variance[1:].mean())

    @property
    def affine_eps(self) -> tuple[Any, Any]:
        """a_t = √(1 − ᾱ_t)/v_t and b_t = −a_t·√ᾱ_t·m of ε*(x, t) = a_t·x + b_t; (T + 1, *dims) each."""
        root, signal = columns(self.schedule, self.mean, "sqrt_one_minus_alpha_bar", "sqrt_alpha_bar")
        a = from_one(0.0, root[1:] / self.marginal_variance[1:])
        return a, -a * signal * self.mean

    @property
    def reverse_mean(self) -> tuple[Any, Any]:
        """A_t = √α_t·v_{t−1}/v_t and B_t = √ᾱ_{t−1}·β_t/v_t·m of E[x_{t−1} | x_t] = A_t·x_t + B_t.

        That is the posterior mean (7) at x₀ = E[x₀ | x_t], and μ_θ (11) with ε*; (T + 1, *dims) each, nan at 0.
        """
        return exact_step(self.schedule, self.mean, self.variance)[:2]

    @property
    def reverse_variance(self) -> Any:
        """r_t = Var[x_{t−1} | x_t] = β_t·v_{t−1}/v_t, the best σ_t²; (T + 1, *dims), nan at 0.

        Section 3.2's two choices are its ends: β_t for s = 1, β̃_t for s = 0.
        """
        return exact_step(self.schedule, self.mean, self.variance)[2]

    # Where chains end.

    def ancestral_end(self, variance: Any) -> tuple[Any, Any]:
        """Mean and variance of Algorithm 2's x₀ with ε* and σ_t² from a table; (*dims) each.

        M_{t−1} = A_t·M_t + B_t and V_{t−1} = A_t²·V_t + σ_t² from M_T = 0 and V_T = 1, without noise in the last step.

        Parameters
        ----------
        variance
            σ_t² ≥ 0, (T + 1,) or (T + 1, *dims); rows 0 and 1 are not used.
        """
        sigma2 = not_negative(rows(self.schedule, self.mean, "σ²", variance, first=2))
        sigma2[1] = 0.0
        return chain_end(*self.reverse_mean, sigma2)

    def ddim_end(self, eta: float = 0.0, timesteps: Sequence[int] | None = None) -> tuple[Any, Any]:
        """Mean and variance of DDIM's x₀ with ε*, for any η and any subsequence of the steps; (*dims) each.

        A step from t to t' is x' = √ᾱ'·x̂₀ + √(1 − ᾱ' − σ²)·ε* + σ·z, σ² = η²·(1 − ᾱ')/(1 − ᾱ)·(1 − ᾱ/ᾱ') (Song et
        al. 2021, equations 12 and 16). It takes the deviation u = x − √ᾱ·m to g·u + σ·z,
        g = (√(ᾱ'ᾱ)·s² + √(1 − ᾱ' − σ²)·√(1 − ᾱ))/v.

        Parameters
        ----------
        eta
            η, 0..1.
        timesteps
            τ descending, in 1..T; the chain begins with x ~ N(0, 1) at τ's first and ends at 0. None: T..1.
        """
        if not 0 <= eta <= 1:
            raise ValueError(f"eta must be from 0 (no noise) to 1 (as much as Algorithm 2), got {eta}")
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

    def ddim_closed_form(self, timesteps: Sequence[int] | None = None) -> tuple[Any, Any]:
        """`ddim_end` for η = 0 without a recursion: a product of cosines.

        With φ_t = arctan(√(1 − ᾱ_t)/(s·√ᾱ_t)), a step multiplies u/√v by cos(φ_t − φ_t'). So over τ, begun at t,
        Var[x₀] = s²/v_t·Π cos² and E[x₀] = m − m·s·√(ᾱ_t/v_t)·Π cos.
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
        """τ and then 0."""
        T = self.schedule.T
        given = list(range(T, 0, -1) if timesteps is None else timesteps)
        steps = [*map(int, given), 0]
        if not given or steps[:-1] != given or steps[0] > T or any(t <= to for t, to in pairwise(steps)):
            raise ValueError(f"timesteps must be whole and descend within {T}..1, got {given}")
        return steps

    # The likelihood.

    def entropy(self) -> Any:
        """H(x₀) = ½·ln 2πe·s², nats; (*dims)."""
        return entropy(self.variance)

    def vlb(self, sigma2: Any) -> Any:
        """The bound (5) of the model with ε* and σ_t² > 0, by terms L₀, L₁, …, L_T: as `affine_vlb`."""
        return terms_of_5(self.schedule, self.mean, self.variance, *self.reverse_mean, sigma2)

    def nll(self, sigma2: Any) -> Any:
        """E[−ln p_θ(x₀)] of the model with ε* and σ_t² > 0: as `affine_nll`."""
        return expected_nll(self.schedule, self.mean, self.variance, *self.reverse_mean, sigma2)
