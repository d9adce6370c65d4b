"""The variance schedule β₁..β_T, and every table that follows from it.

t is the paper's t, 1..T. Tables have T + 1 entries, float64, on the host; entry 0 is the data: β₀ = 0,
α₀ = ᾱ₀ = 1. `Schedule.at` brings rows of a table to the images; nobody else indexes one inside arithmetic.
"""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import get_backend, of, real_dtype, to_host

_host = get_backend("numpy").xp


def _table(values: Any) -> Any:
    """A float64 host table that nothing can change."""
    array = _host.array(values, dtype=_host.float64)
    array.setflags(write=False)
    return array


class Schedule:
    """β₁..β_T and what follows: α_t = 1 − β_t, ᾱ_t = Π_{s≤t} α_s, β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t).

    Make one with `from_betas` or `linear_schedule`.

    Attributes
    ----------
    T : int
        Number of steps.
    beta, alpha, alpha_bar, beta_tilde : float64 array (T + 1,)
        Indexed by the paper's t; index 0 is the data. β̃₁ = 0.
    one_minus_alpha_bar : float64 array (T + 1,)
        1 − ᾱ_t, computed as −expm1(Σ log1p(−β)): the difference itself would lose digits at small t.
    posterior_log_variance_clipped : float64 array (T + 1,)
        ln β̃_t, with ln β̃₂ at t = 1, where β̃₁ = 0 has no logarithm (Ho et al.'s code). Index 0 is not used: nan.

    Examples
    --------
    >>> schedule = linear_schedule(1000)
    >>> round(float(schedule.alpha_bar[1000]), 9)
    4.0358e-05
    """

    def __init__(self, beta: Any):
        self.T = len(beta) - 1
        self.beta = _table(beta)
        self.alpha = _table(1 - self.beta)
        log_alpha_bar = _host.cumsum(_host.log1p(-self.beta))  # (T+1,)
        self.alpha_bar = _table(_host.exp(log_alpha_bar))
        one_minus_alpha_bar = -_host.expm1(log_alpha_bar)
        one_minus_alpha_bar[1] = self.beta[1]  # to the last bit, so that (7) at t = 1 is x₀
        self.one_minus_alpha_bar = _table(one_minus_alpha_bar)
        self.sqrt_alpha = _table(_host.sqrt(self.alpha))
        self.sqrt_beta = _table(_host.sqrt(self.beta))
        self.sqrt_alpha_bar = _table(_host.exp(0.5 * log_alpha_bar))
        self.sqrt_one_minus_alpha_bar = _table(_host.sqrt(self.one_minus_alpha_bar))
        # β̃_t and the coefficients of (7); at t = 0 there is no step: nan.
        previous, here = self.one_minus_alpha_bar[:-1], self.one_minus_alpha_bar[1:]  # (T,): 1 − ᾱ_{t−1}, 1 − ᾱ_t
        nan = [float("nan")]
        self.beta_tilde = _table(_host.concat(([0.0], self.beta[1:] * previous / here)))
        self.posterior_mean_x0 = _table(_host.concat((nan, self.sqrt_alpha_bar[:-1] * self.beta[1:] / here)))
        self.posterior_mean_xt = _table(_host.concat((nan, self.sqrt_alpha[1:] * previous / here)))
        clipped = self.beta_tilde[1:].copy()  # (T,)
        clipped[0] = self.beta_tilde[2] if self.T > 1 else self.beta[1]
        self.posterior_log_variance_clipped = _table(_host.concat((nan, _host.log(clipped))))
        large = self.beta[1:].copy()
        large[0] = clipped[0]
        self.log_beta_clipped = _table(_host.concat((nan, _host.log(large))))
        self._rows: dict[tuple, tuple[Any, Any]] = {}

    @classmethod
    def from_betas(cls, betas: Any) -> Schedule:
        """The schedule of any β₁..β_T, each strictly between 0 and 1.

        Parameters
        ----------
        betas
            Sequence or array (T,).
        """
        betas = _host.asarray(to_host(betas) if not isinstance(betas, (list, tuple)) else betas, dtype=_host.float64)
        if betas.ndim != 1 or betas.size == 0:
            raise ValueError(f"betas must be a sequence of at least one number, got shape {betas.shape}")
        bad = ~((betas > 0) & (betas < 1))
        if bad.any():
            t = int(bad.argmax()) + 1
            raise ValueError(f"every beta must be strictly between 0 and 1, got beta_{t} = {betas[t - 1]}")
        return cls(_host.concat(([0.0], betas)))

    def at(self, table: Any, t: Any, x: Any) -> Any:
        """The rows t of a table, on x's device, in x's real dtype, shaped (N, 1, …) to multiply x (N, …).

        Parameters
        ----------
        table
            A float64 host table (T + 1,): one of this schedule's, or any other of that length.
        t
            Int array (N,) in 0..T, on x's device; in 1..T where the table's entry 0 is nan. Values outside raise on
            the host; a device is not asked.
        x
            Array or Tensor (N, …) of a floating or complex dtype.

        Returns
        -------
        array (N, 1, …)
            As many dimensions as x.
        """
        if getattr(table, "shape", None) != (self.T + 1,):
            raise ValueError(f"expected a table of T + 1 = {self.T + 1} numbers, got "
                             f"{f'shape {table.shape}' if hasattr(table, 'shape') else repr(table)}")
        x = x.data if of(x).name == "tensor" else x
        xp = of(x)
        if "int" in str(x.dtype) or "bool" in str(x.dtype):
            raise TypeError(f"images must be floating numbers, got dtype {x.dtype}: scale them to [-1, 1] first")
        if "int" not in str(getattr(t, "dtype", "")):
            raise TypeError(f"t must be an int array of shape ({x.shape[0]},), got {t!r}")
        if tuple(t.shape) != (x.shape[0],):
            raise ValueError(f"expected one t an image, shape ({x.shape[0]},), got {tuple(t.shape)}")
        first = 0 if table[0] == table[0] else 1  # nan: this table begins at t = 1
        if xp.name == "numpy" and t.size and (t.min() < first or t.max() > self.T):
            raise ValueError(f"t counts from 1 to T = {self.T}, got values from {t.min()} to {t.max()}")
        rows = xp.take(self._on_device(table, x), t, axis=0)  # (N,)
        return xp.reshape(rows, (x.shape[0],) + (1,) * (x.ndim - 1))

    def _on_device(self, table: Any, x: Any) -> Any:
        """The whole table on x's device in x's real dtype; kept for tables that cannot change."""
        dtype = real_dtype(x)
        key = (id(table), of(x).name, str(dtype))
        if key not in self._rows:
            copy = of(x).asarray(table, dtype=dtype)
            if getattr(table.flags, "writeable", True):
                return copy
            self._rows[key] = (copy, table)  # holding the table keeps its id its own
        return self._rows[key][0]


def same_shape(name: str, y: Any, x: Any) -> None:
    """Raise where `y` has another shape than `x`: what broadcasts would give wrong numbers without a word."""
    if tuple(y.shape) != tuple(x.shape):
        raise ValueError(f"expected {name} of shape {tuple(x.shape)}, got {tuple(y.shape)}")


def linear_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t from `start` at t = 1 to `end` at t = T in equal steps; the paper's is ``linear_schedule(1000)``."""
    if T < 1:
        raise ValueError(f"T must be at least 1, got {T}")
    return Schedule.from_betas(_host.linspace(start, end, T))
