"""The variance schedule β₁..β_T, every table that follows from it, and a step's coefficients by name.

t is the paper's t, 1..T. Tables have T + 1 entries, float64, on the host; entry 0 is the data: β₀ = 0,
α₀ = ᾱ₀ = 1. `Schedule.at` brings their rows t to the images; nobody else indexes one inside arithmetic.
"""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import Array, Ints, Namespace, dtype_of, get_backend, of, plain, real_dtype, to_host

_host = get_backend("numpy").xp
TABLES = (  # the tables of a schedule, (T + 1,) each
    "beta", "alpha", "alpha_bar", "beta_tilde", "one_minus_alpha_bar", "sqrt_alpha", "sqrt_beta", "sqrt_alpha_bar",
    "sqrt_one_minus_alpha_bar", "posterior_x0", "posterior_xt", "posterior_log_variance_clipped", "log_beta",
    "log_beta_clipped",
)


def _table(values: Any) -> Any:
    """A float64 host table that nothing can change."""
    array = _host.array(values, dtype=_host.float64)
    array.setflags(write=False)
    return array


def _running_sum(x: Any) -> Any:
    """Σ_{s≤t} x_s of a table or of a Tensor (T+1,)."""
    if of(x).name != "tensor":
        return of(x).cumsum(x)
    xp = of(x.data)
    lower = xp.tril(xp.ones((x.shape[0],) * 2))  # (T+1, T+1)
    return of(x).reshape(lower @ of(x).reshape(x, (-1, 1)), x.shape)


def _sqrt_after_zero(x: Any) -> Any:
    """√ of a table whose entry 0 is 0, where √ has no derivative."""
    return of(x).concat((_like(x, 0.0), of(x).sqrt(x[1:])))


def _like(x: Any, value: float) -> Any:
    """An array of one number, where x is; (1,)."""
    return of(plain(x)).full((1,), value)


class Schedule:
    """β₁..β_T and what follows: α_t = 1 − β_t, ᾱ_t = Π_{s≤t} α_s, β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t).

    Make one with `from_betas`, by name (schedules.py), or with β that are `learned`.

    Checked as: alpha-bar, 7, log-variance, learned-schedule.

    Attributes
    ----------
    T : int
        Number of steps.
    beta, alpha, alpha_bar, beta_tilde : float64 array (T + 1,)
        Indexed by the paper's t; index 0 is the data. β̃₁ = 0.  (Tensors where β is `learned`.)
    one_minus_alpha_bar : float64 array (T + 1,)
        1 − ᾱ_t, computed as −expm1(Σ log1p(−β)): the difference itself would lose digits at small t.
    posterior_log_variance_clipped : float64 array (T + 1,)
        ln β̃_t, with ln β̃₂ at t = 1, where β̃₁ = 0 has no logarithm (Ho et al.'s code). Index 0 is not used: nan.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule
    >>> schedule = linear_schedule(1000)
    >>> round(float(schedule.alpha_bar[1000]), 9)
    4.0358e-05
    """

    def __init__(self, beta: Any, log_alpha: Any = None):
        """β₀..β_T; and ln α_t, where it is known to more digits than 1 − β_t has (`respace`)."""
        xp, table = of(beta), _table if of(beta).name == "numpy" else lambda values: values
        zero, nan = _like(beta, 0.0), _like(beta, float("nan"))  # entry 0; nan where t = 0 has no step
        self.T = beta.shape[0] - 1
        self.beta = table(beta)
        self.alpha = table(1 - self.beta if log_alpha is None else xp.exp(log_alpha))
        with _host.errstate(divide="ignore"):  # β_T = 1: ln 0 = −∞, and from there ᾱ_T = 0
            log_alpha_bar = _running_sum(xp.log1p(-self.beta) if log_alpha is None else log_alpha)  # (T+1,)
        self.alpha_bar = table(xp.exp(log_alpha_bar))
        # 1 − ᾱ₁ is β₁ to the last bit, so that (7) at t = 1 is x₀.
        self.one_minus_alpha_bar = table(xp.concat((zero, self.beta[1:2], -xp.expm1(log_alpha_bar[2:]))))
        self.sqrt_alpha = table(xp.sqrt(self.alpha))
        self.sqrt_beta = table(_sqrt_after_zero(self.beta))
        self.sqrt_alpha_bar = table(xp.exp(0.5 * log_alpha_bar))
        self.sqrt_one_minus_alpha_bar = table(_sqrt_after_zero(self.one_minus_alpha_bar))
        # β̃_t and the coefficients of (7)
        previous, here = self.one_minus_alpha_bar[:-1], self.one_minus_alpha_bar[1:]  # (T,): 1 − ᾱ_{t−1}, 1 − ᾱ_t
        self.beta_tilde = table(xp.concat((zero, self.beta[1:] * previous / here)))
        self.posterior_x0 = table(xp.concat((nan, self.sqrt_alpha_bar[:-1] * self.beta[1:] / here)))
        self.posterior_xt = table(xp.concat((nan, self.sqrt_alpha[1:] * previous / here)))
        first = self.beta_tilde[2:3] if self.T > 1 else self.beta[1:2]  # for t = 1, where β̃₁ = 0 has no logarithm
        self.posterior_log_variance_clipped = table(xp.concat((nan, xp.log(xp.concat((first, self.beta_tilde[2:]))))))
        self.log_beta_clipped = table(xp.concat((nan, xp.log(xp.concat((first, self.beta[2:]))))))
        self.log_beta = table(xp.concat((nan, xp.log(self.beta[1:]))))
        self.copies: dict[tuple, tuple[Array, Array]] = {}  # tables on a device, and the tables themselves

    @classmethod
    def from_betas(cls, betas: Any) -> Schedule:
        """The schedule of any β₁..β_T, each strictly between 0 and 1; β_T may be 1, and then ᾱ_T = 0.

        Parameters
        ----------
        betas
            Sequence or array (T,).
        """
        betas = _host.asarray(to_host(betas) if not isinstance(betas, (list, tuple)) else betas, dtype=_host.float64)
        if betas.ndim != 1 or betas.size == 0:
            raise ValueError(f"betas must be a sequence of at least one number, got shape {betas.shape}")
        bad = ~((betas > 0) & (betas < 1))
        bad[-1] &= betas[-1] != 1
        if bad.any():
            t = int(bad.argmax()) + 1
            raise ValueError(f"every beta must be strictly between 0 and 1 (the last may be 1), got beta_{t} = "
                             f"{betas[t - 1]}")
        return cls(_host.concat(([0.0], betas)))

    @classmethod
    def learned(cls, logits: Any) -> Schedule:
        """The schedule of β_t = σ(w_t) for a Tensor of w₁..w_T: its tables are Tensors, and gradients reach w.

        Ho et al. (section 2) mention that the forward variances can be learned by reparametrisation and hold them
        fixed; the bound, L_T with it, is the objective that they would be learned by. To sample, take the numbers
        alone: ``Schedule.from_betas(schedule.beta[1:])``.

        Parameters
        ----------
        logits
            Tensor (T,): ln β_t/(1 − β_t).

        Examples
        --------
        >>> from ddpm_np import Tensor
        >>> schedule = Schedule.learned(Tensor([-2.0, -1.0, 0.0], requires_grad=True))
        >>> print(schedule.alpha_bar[3].data.round(4))
        0.322
        """
        xp = of(logits)
        if xp.name != "tensor":
            raise TypeError(f"logits must be a Tensor of shape (T,), got {type(logits).__name__}")
        if logits.ndim != 1 or logits.size == 0:
            raise ValueError(f"logits must be a Tensor of at least one number, got shape {tuple(logits.shape)}")
        beta = xp.sigmoid(xp.astype(logits, of(logits.data).float64))  # (T,)
        if of(logits.data).name == "numpy":  # a device is not asked
            bad = ~((beta.data > 0) & (beta.data < 1))
            if bad.any():
                t = int(bad.argmax()) + 1
                raise ValueError(f"every beta must be strictly between 0 and 1, got beta_{t} = {beta.data[t - 1]} of "
                                 f"the logit {logits.data[t - 1]}: keep the logits from -700 to 36")
        return cls(xp.concat((_like(beta, 0.0), beta)))

    def at(self, t: Ints, *, like: Array, dtype: Any = None) -> Coefficients:
        """The coefficients of each image's step, by name: ``k = schedule.at(t, like=x)``, ``k.sqrt_alpha_bar * x``.

        Parameters
        ----------
        t
            Int array (N,) in 0..T, on the device of `like`; in 1..T for coefficients that t = 0 does not have.
        like
            Array or Tensor (N, …) of a floating or complex dtype, whose device, real dtype and number of dimensions
            the coefficients take.
        dtype
            Another dtype, such as ``"float64"``; `like` may then be of any, `t` itself for coefficients (N,).

        Returns
        -------
        Coefficients
            Each (N, 1, …), with as many dimensions as `like`.

        Raises
        ------
        TypeError
            Where `like` or `t` has the wrong kind of dtype.
        ValueError
            Where `t` has another shape than (N,), or is out of range (on NumPy; on CuPy the range is not checked, to
            avoid a device sync).
        """
        x = plain(like)
        xp, n = of(x, plain(self.beta)), x.shape[0]
        if dtype is None:
            if "int" in str(x.dtype) or "bool" in str(x.dtype):
                raise TypeError(f"images must be floating numbers, got dtype {x.dtype}: scale them to [-1, 1] first")
            dtype = real_dtype(x)
        if "int" not in str(getattr(t, "dtype", "")):
            raise TypeError(f"t must be an int array of shape ({n},), got {t!r}")
        if tuple(t.shape) != (n,):
            raise ValueError(f"expected one t an image, shape ({n},), got {tuple(t.shape)}")
        lowest = 1
        if xp.name == "numpy" and n:
            lowest = t.min()
            if lowest < 0 or t.max() > self.T:
                raise out_of_range(t, self.T)
        return Coefficients(self, t, xp, dtype_of(xp, dtype), (n,) + (1,) * (x.ndim - 1), lowest == 0)


class Coefficients:
    """The coefficients of each image's step t, as attributes. `Schedule.at` makes one.

    ``k.sqrt_alpha_bar`` is √ᾱ_t: the rows t of ``schedule.sqrt_alpha_bar``, shaped (N, 1, …) to multiply images
    (N, …), on their device, in their real dtype. Each is looked up when it is asked for. Of a learned schedule they
    are Tensors.

    Attributes
    ----------
    schedule : Schedule
    t : int array (N,)

    Raises
    ------
    AttributeError
        For a name that is not in `TABLES`.
    ValueError
        For a coefficient that begins at t = 1, where a t is 0 (found on NumPy; on CuPy it is not checked, to avoid a
        device sync).

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])
    >>> k = schedule.at(np.array([1, 2]), like=np.zeros((2, 8, 8, 1)))
    >>> k.sqrt_alpha_bar.shape, k.sqrt_alpha_bar.ravel().round(12)
    ((2, 1, 1, 1), array([0.8, 0.6]))
    """

    __slots__ = ("_dtype", "_from_zero", "_shape", "_xp", "schedule", "t")

    def __init__(self, schedule: Schedule, t: Ints, xp: Namespace, dtype: Any, shape: tuple[int, ...],
                 from_zero: bool):
        self.schedule, self.t = schedule, t
        self._xp, self._dtype, self._shape = xp, dtype, shape
        self._from_zero = from_zero  # whether a t is known to be 0

    def __getattr__(self, name: str) -> Array:
        if name not in TABLES:
            raise AttributeError(f"no coefficient is called {name!r}: there are {', '.join(TABLES)}")
        return self.rows(getattr(self.schedule, name))

    def rows(self, table: Array) -> Array:
        """The rows t of any table of T + 1 numbers, such as a caller's σ²; (N, 1, …).

        Parameters
        ----------
        table
            An array (T + 1,), on the host or on the images' device; or a Tensor, and then the rows are one. Where its
            entry 0 is nan, t begins at 1.
        """
        T = self.schedule.T
        if getattr(table, "shape", None) != (T + 1,):
            raise ValueError(f"expected a table of T + 1 = {T + 1} numbers, got "
                             f"{f'shape {table.shape}' if hasattr(table, 'shape') else repr(table)}")
        if self._from_zero:
            start = float(to_host(table)[0])
            if start != start:
                raise out_of_range(self.t, T)
        table_space, xp = of(table), self._xp
        if table_space.name == "tensor":
            chosen = self.t[:, None] == xp.arange(T + 1)  # (N, T+1): one true a row
            rows = table_space.where(chosen, table_space.reshape(table, (1, -1)), 0.0).sum(axis=1)  # (N,)
            return table_space.astype(table_space.reshape(rows, self._shape), self._dtype)
        return xp.reshape(xp.take(self._on_device(table), self.t, axis=0), self._shape)

    def _on_device(self, table: Array) -> Array:
        """The whole table on the images' device in their dtype; kept for tables that cannot change."""
        kept, key = self.schedule.copies, (id(table), self._xp.name, self._dtype)
        if key not in kept:
            copy = self._xp.asarray(table, dtype=self._dtype)
            if getattr(table.flags, "writeable", True):
                return copy
            kept[key] = (copy, table)  # holding the table keeps its id its own
        return kept[key][0]


def out_of_range(t: Ints, T: int) -> ValueError:
    """The error for a t that is not a step."""
    return ValueError(f"t counts from 1 to T = {T}, got values from {t.min()} to {t.max()}")
