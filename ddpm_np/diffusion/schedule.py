"""The variance schedule β₁..β_T, the tables that follow from it, and a step's coefficients by name.

t is the paper's t, 1..T. Tables have T + 1 entries, float64, on the host; entry 0 is the data: β₀ = 0,
α₀ = ᾱ₀ = 1. `Schedule.at` brings their rows t to the images; no other code indexes a table inside arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ddpm_np.arguments import described
from ddpm_np.backend import (
    Array,
    Ints,
    Namespace,
    dtype_name,
    dtype_of,
    freeze,
    get_backend,
    of,
    place_of,
    plain,
    real_dtype,
    to_host,
)
from ddpm_np.diffusion.images import check_batch

_host = get_backend("numpy").xp
TABLES = (  # the tables of a schedule, (T + 1,) each
    "beta", "alpha", "alpha_bar", "beta_tilde", "one_minus_alpha_bar", "sqrt_alpha", "sqrt_beta", "sqrt_alpha_bar",
    "sqrt_one_minus_alpha_bar", "posterior_x0", "posterior_xt", "posterior_log_variance_clipped", "log_beta",
    "log_beta_clipped",
)


def _table(values: Array) -> Array:
    """Return a read-only float64 table on the host."""
    array = _host.array(values, dtype=_host.float64)
    array.setflags(write=False)
    return array


def _running_sum(x: Array) -> Array:
    """Return Σ_{s≤t} x_s of a table, an array or a Tensor; (T + 1,)."""
    if of(x).name != "tensor":
        return of(x).cumsum(x)
    xp = of(x.data)
    lower = xp.tril(xp.ones((x.shape[0],) * 2))  # (T+1, T+1)
    return of(x).reshape(lower @ of(x).reshape(x, (-1, 1)), x.shape)


def _sqrt_after_zero(x: Array) -> Array:
    """Return √ of a table whose entry 0 is 0, without the infinite derivative of √ there."""
    return of(x).concat((_like(x, 0.0), of(x).sqrt(x[1:])))


def _like(x: Array, value: float) -> Array:
    """Return an array of one number on the device of `x`; (1,)."""
    return of(plain(x)).full((1,), value)


class Schedule:
    """The schedule β₁..β_T with α_t = 1 − β_t, ᾱ_t = Π_{s≤t} α_s and β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t).

    Make one by `from_betas`, by a function of ``schedules.py`` such as `linear_schedule`, or by `learned`.

    Checked as: alpha-bar, 7, log-variance, learned-schedule.

    Parameters
    ----------
    beta : float64 array or Tensor of shape (T + 1,)
        The table β₀..β_T, β₀ = 0.
    log_alpha : array of shape (T + 1,), optional
        The table ln α_t, if it is known more precisely than 1 − β_t gives it (`respace`).

    Attributes
    ----------
    T : int
        Number of steps.
    beta, alpha, alpha_bar, beta_tilde : float64 arrays of shape (T + 1,)
        Indexed by the paper's t; index 0 is the data. β̃₁ = 0. All tables are Tensors if β is learned.
    one_minus_alpha_bar : float64 array of shape (T + 1,)
        1 − ᾱ_t as −expm1(Σ log1p(−β)): the plain difference would lose digits at small t.
    sqrt_alpha, sqrt_beta, sqrt_alpha_bar, sqrt_one_minus_alpha_bar : float64 arrays of shape (T + 1,)
        Square roots.
    posterior_x0, posterior_xt : float64 arrays of shape (T + 1,)
        The coefficients of x₀ and x_t in (7); nan at index 0.
    posterior_log_variance_clipped : float64 array of shape (T + 1,)
        ln β̃_t, with ln β̃₂ at t = 1, where β̃₁ = 0 has no logarithm (the authors' code); nan at index 0.
    log_beta, log_beta_clipped : float64 arrays of shape (T + 1,)
        ln β_t, and the same with ln β̃₂ at t = 1; nan at index 0.

    Notes
    -----
    Section 2 of Ho et al. (2020). Verified by
    ``ddpm-np check --equation alpha-bar --equation 7 --equation log-variance --equation learned-schedule``.

    Examples
    --------
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])
    >>> (schedule.alpha_bar * 25).round(12)  # ᾱ₁ = 16/25 and ᾱ₂ = 16/25·9/16 = 9/25
    array([25., 16., 9.])
    >>> round(float(schedule.beta_tilde[2]) * 256, 12)  # 7/16·(9/25)/(16/25) = 63/256
    63.0
    """

    def __init__(self, beta: Array, log_alpha: Array = None):
        """Make all tables from β₀..β_T, and from ln α_t if it is known to more digits than 1 − β_t."""
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
        self.copies: dict[tuple[Any, ...], tuple[Array, Array]] = {}  # tables on a device, and the tables themselves

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: not the copies on devices, which are found by the tables' ids."""
        return {**vars(self), "copies": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in TABLES:
            freeze(state[name])  # as `_table` does

    @classmethod
    def from_betas(cls, betas: Sequence[float] | Array) -> Schedule:
        """Return the schedule of given β₁..β_T.

        Parameters
        ----------
        betas : sequence or array of shape (T,)
            The β_t, each strictly between 0 and 1. β_T may be 1, and then ᾱ_T = 0.

        Returns
        -------
        Schedule
            The schedule.

        Raises
        ------
        ValueError
            If there are no β, or one is out of range.

        Examples
        --------
        >>> Schedule.from_betas([0.25, 1.0]).alpha_bar
        array([1.  , 0.75, 0.  ])
        """
        try:
            betas = _host.asarray(to_host(betas), dtype=_host.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"betas must be a sequence of numbers, got {described(betas)}") from error
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
    def learned(cls, logits: Array) -> Schedule:
        """Return a learned schedule: β_t = σ(w_t) for a Tensor of w₁..w_T, with gradients.

        Its tables are Tensors. Ho et al. (section 2) mention that the forward variances can be learned by
        reparametrisation, but hold them fixed; the objective for learning them is the bound with L_T. To sample, make a
        fixed schedule of the result: ``Schedule.from_betas(schedule.beta[1:])``.

        Parameters
        ----------
        logits : Tensor of shape (T,)
            The w_t = ln β_t/(1 − β_t).

        Returns
        -------
        Schedule
            The schedule.

        Raises
        ------
        TypeError
            If `logits` is not a Tensor.
        ValueError
            If it is empty or not one-dimensional, or if a β_t rounds to 0 or 1 (not checked on CuPy, to avoid a device
            sync).

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
        if of(logits.data).name == "numpy":  # not checked on CuPy, to avoid a device sync
            bad = ~((beta.data > 0) & (beta.data < 1))
            if bad.any():
                t = int(bad.argmax()) + 1
                raise ValueError(f"every beta must be strictly between 0 and 1, got beta_{t} = {beta.data[t - 1]} of "
                                 f"the logit {logits.data[t - 1]}: keep the logits from -700 to 36")
        return cls(xp.concat((_like(beta, 0.0), beta)))

    def at(self, t: Ints, *, like: Array, dtype: Any = None, least: int = 0) -> Coefficients:
        """Return the coefficients of each image's step by name: ``k = schedule.at(t, like=x)``, ``k.sqrt_beta * x``.

        Out-of-range values raise on NumPy; on CuPy they are not checked, to avoid a device sync.

        Parameters
        ----------
        t : int array of shape (N,)
            Steps, 0..T, on the device of `like`; 1..T for coefficients that do not exist at t = 0.
        like : array or Tensor of shape (N, …)
            Images, whose device, real dtype and number of dimensions the coefficients take.
        dtype : dtype, optional
            Another dtype, such as ``"float64"``; `like` may then have any dtype. ``like=t`` gives coefficients of shape
            (N,).
        least : int
            The smallest allowed step: 1 for an equation that divides by 1 − ᾱ_t.

        Returns
        -------
        Coefficients
            Each of shape (N, 1, …), with as many dimensions as `like`.

        Raises
        ------
        TypeError
            If `t` is not an int array, `like` is not an array, or it is neither floating nor complex and no `dtype` is
            given.
        ValueError
            If `t` has another shape than (N,), or is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> k = Schedule.from_betas([9 / 25, 7 / 16]).at(np.array([2]), like=np.zeros((1, 1)))
        >>> k.sqrt_alpha_bar.round(12), k.sqrt_one_minus_alpha_bar.round(12)
        (array([[0.6]]), array([[0.8]]))
        """
        if like is not t:
            check_batch(like)
        n = getattr(like, "shape", ("N",))[0]
        if "int" not in dtype_name(getattr(t, "dtype", "")) or of(t).name == "tensor":
            raise TypeError(f"t must be an int array of shape ({n},), got {described(t)}")
        x = plain(like)
        xp = of(x, plain(self.beta))
        if dtype is None:
            if any(kind in dtype_name(x.dtype) for kind in ("int", "bool", "object")):
                raise TypeError(f"images must be floating numbers, got dtype {x.dtype}: scale them to [-1, 1] first")
            dtype = real_dtype(x)
        if tuple(t.shape) != (n,):
            raise ValueError(f"expected one t for each image, shape ({n},), got {tuple(t.shape)}")
        lowest = 1
        if xp.name == "numpy" and n:
            lowest = t.min()
            if lowest < least or t.max() > self.T:
                raise out_of_range(t, self.T)
        return Coefficients(self, t, xp, dtype_of(xp, dtype), (n,) + (1,) * (x.ndim - 1), lowest == 0)


class Coefficients:
    """The coefficients of each image's step t, as attributes; made by `Schedule.at`.

    ``k.sqrt_alpha_bar`` is √ᾱ_t: the rows t of ``schedule.sqrt_alpha_bar``, of shape (N, 1, …) to multiply images of
    shape (N, …), on their device and in their real dtype. Each is looked up when it is used. A learned schedule gives
    Tensors.

    Parameters
    ----------
    schedule : Schedule
        The schedule.
    t : int array of shape (N,)
        Steps.
    xp : Namespace
        Namespace of the images.
    dtype : dtype
        Dtype of the coefficients.
    shape : tuple of int
        Shape of the coefficients, (N, 1, …).
    from_zero : bool
        Whether a t is known to be 0.

    Raises
    ------
    AttributeError
        For a name that is not in `TABLES`.
    ValueError
        For a coefficient that begins at t = 1, if a t is 0 (not checked on CuPy, to avoid a device sync).

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
        """Return the coefficient of a name in `TABLES`; (N, 1, …)."""
        if name not in TABLES:
            raise AttributeError(f"no coefficient is called {name!r}: there are {', '.join(TABLES)}")
        return self.rows(getattr(self.schedule, name))

    def rows(self, table: Array) -> Array:
        """Return the rows t of any table of T + 1 numbers, such as a caller's σ².

        Parameters
        ----------
        table : array or Tensor of shape (T + 1,)
            On the host or on the images' device. If its entry 0 is nan, t = 0 is out of range.

        Returns
        -------
        array of shape (N, 1, …)
            The rows; a Tensor if the table is one.

        Raises
        ------
        ValueError
            If the table has another shape, or a t is out of range.
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
        """Return the whole table on the images' device in their dtype; read-only tables are copied there once."""
        kept, key = self.schedule.copies, (id(table), *place_of(self._xp), self._dtype)
        if key not in kept:
            copy = self._xp.asarray(table, dtype=self._dtype)
            if getattr(table.flags, "writeable", True):
                return copy
            kept[key] = (copy, table)  # holding the table keeps its id its own
        return kept[key][0]


def out_of_range(t: Ints, T: int) -> ValueError:
    """Return the error for a t that is not a step.

    Parameters
    ----------
    t : int array of shape (N,)
        The values given.
    T : int
        Number of steps.

    Returns
    -------
    ValueError
        The error, to be raised.
    """
    return ValueError(f"t counts from 1 to T = {T}, got values from {t.min()} to {t.max()}")
