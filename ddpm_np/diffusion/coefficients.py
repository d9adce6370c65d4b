"""The coefficients of a step by name: rows of the schedule's float64 tables, brought to the images they multiply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddpm_np.backend import Array, Ints, Namespace, of, to_host

if TYPE_CHECKING:
    from ddpm_np.diffusion.schedule import Schedule

TABLES = (  # the tables of a schedule, (T + 1,) each
    "beta", "alpha", "alpha_bar", "beta_tilde", "one_minus_alpha_bar", "sqrt_alpha", "sqrt_beta", "sqrt_alpha_bar",
    "sqrt_one_minus_alpha_bar", "posterior_x0", "posterior_xt", "posterior_log_variance_clipped", "log_beta",
    "log_beta_clipped",
)


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
