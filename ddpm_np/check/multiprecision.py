"""A namespace of 50 digits: `diffusion` computes in it what it computes in float64, which shows its rounding error.

NumPy's functions reject arrays of mpmath numbers, so `MpArray` provides the few that the mathematics uses. Ints and
bools (t, masks, results of comparisons) stay NumPy arrays. Digits are never lost silently: neither NumPy nor ``float``
accepts an MpArray; `rounded` converts back.

The exceptions from 50 digits are the floating constants in `diffusion`: 1/ln 2 and ln 2π, half a level's width
1/(levels − 1) (exact for 17 levels), √δ of a Python number δ, and the series of `exp_excess`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ddpm_np.backend import Namespace, get_backend
from ddpm_np.check.exact import mp50
from ddpm_np.diffusion.schedule import Schedule

MPF = "mpf"  # the only dtype; a str, since only a dtype's name is used
_OPERANDS = (int, float, Fraction, mp50.mpf, np.ndarray, np.generic)


def _number(x: Any) -> Any:
    return mp50.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mp50.mpf(x)


def _numbers(values: Any) -> np.ndarray:
    """Convert values to an object array of 50-digit numbers, exactly."""
    if isinstance(values, MpArray):
        return values.values
    if isinstance(values, (list, tuple)):
        return np.stack([_numbers(v) for v in values])
    plain = np.asarray(values).astype(object)  # of Python's own ints and floats
    with np.errstate(invalid="ignore"):  # nan stays nan
        return np.asarray(np.frompyfunc(_number, 1, 1)(plain), dtype=object)


def _binary(f: Callable[[Any, Any], Any]) -> tuple[Callable, Callable]:
    """Return an operator and its reflected version."""

    def forward(self: MpArray, other: Any) -> Any:
        return _wrap(f(self.values, _numbers(other))) if isinstance(other, (MpArray, *_OPERANDS)) else NotImplemented

    def reflected(self: MpArray, other: Any) -> Any:
        return _wrap(f(_numbers(other), self.values)) if isinstance(other, _OPERANDS) else NotImplemented

    return forward, reflected


def _comparison(f: Callable[[Any, Any], Any]) -> Callable[[MpArray, Any], Any]:
    def compare(self: MpArray, other: Any) -> Any:
        if not isinstance(other, (MpArray, *_OPERANDS)):
            return NotImplemented
        return np.asarray(f(self.values, _numbers(other)), dtype=bool)

    return compare


class MpArray:
    """An array of mpmath numbers with 50 digits.

    Parameters
    ----------
    values : array_like
        Ints, floats, Fractions, mpmath numbers, strings such as ``"0.1"``; lists and NumPy arrays of them.

    Attributes
    ----------
    values : object array
        The numbers.

    Examples
    --------
    >>> MpArray([Fraction(1, 3)]) + 0.5
    MpArray([0.83333333333333333333333333333333333333333333333333])
    """

    __array_ufunc__ = None  # NumPy's operators defer to the ones below
    __hash__ = None  # type: ignore[assignment]
    dtype = MPF

    def __init__(self, values: Any):
        self.values = _numbers(values)

    __add__, __radd__ = _binary(operator.add)
    __sub__, __rsub__ = _binary(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv)
    __pow__, __rpow__ = _binary(operator.pow)
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __eq__ = _comparison(operator.eq)  # type: ignore[assignment]
    __ne__ = _comparison(operator.ne)  # type: ignore[assignment]

    def __neg__(self) -> MpArray:
        return _wrap(-self.values)

    def __abs__(self) -> MpArray:
        return _wrap(abs(self.values))

    def __getitem__(self, index: Any) -> MpArray:
        return _wrap(self.values[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.values[index] = _numbers(value)

    def __len__(self) -> int:
        return len(self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("converting an MpArray to a NumPy array would lose digits: use `rounded`, or its `values`")

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return MPMATH

    def __repr__(self) -> str:
        return f"MpArray({np.array2string(self.values, separator=', ', formatter={'all': str})})"

    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    flags = property(lambda self: self.values.flags)

    def copy(self) -> MpArray:
        return _wrap(self.values.copy())

    def setflags(self, write: bool) -> None:
        self.values.setflags(write=write)

    def sum(self, axis: Any = None) -> MpArray:
        return _wrap(self.values.sum(axis=axis))


def _wrap(numbers: Any) -> MpArray:
    """Wrap an object array of 50-digit numbers, or a single one, in an MpArray."""
    new = MpArray.__new__(MpArray)
    new.values = np.asarray(numbers, dtype=object)
    return new


def _elementwise(f: Callable[[Any], Any]) -> Callable[[Any], MpArray]:
    """Apply f to each number; nan where the result is complex, as in NumPy."""

    def real(x: Any) -> Any:
        y = f(x)
        return y if isinstance(y, mp50.mpf) else mp50.nan

    each = np.frompyfunc(real, 1, 1)
    return lambda x: _wrap(each(_numbers(x)))


def _structural(f: Callable[..., Any]) -> Callable[..., Any]:
    """Extend a NumPy function that only moves elements to MpArrays; NumPy arrays stay NumPy arrays."""
    return lambda x, *args, **options: (
        _wrap(f(x.values, *args, **options)) if isinstance(x, MpArray) else f(x, *args, **options))


def _joining(f: Callable[..., Any]) -> Callable[..., MpArray]:
    return lambda arrays, **options: _wrap(f([_numbers(a) for a in arrays], **options))


def _reduction(f: Callable[..., Any]) -> Callable[..., MpArray]:
    return lambda x, **options: _wrap(f(x.values, **options))


def _log_ndtr(x: Any) -> Any:
    """Return ln Φ(x) with full precision in both tails."""
    tail = mp50.erfc(abs(x) / mp50.sqrt(2)) / 2  # Φ(−|x|)
    return mp50.log1p(-tail) if x > 0 else mp50.log(tail)


def _is_mpf(dtype: Any) -> bool:
    return dtype is None or dtype == MPF


class _Functions:
    """The namespace functions that `diffusion` uses; every real dtype stands for the 50 digits."""

    float64 = float32 = mpf = MPF
    int64 = np.int64

    exp, expm1, tanh = _elementwise(mp50.exp), _elementwise(mp50.expm1), _elementwise(mp50.tanh)
    log, log1p, log_ndtr = _elementwise(mp50.log), _elementwise(mp50.log1p), _elementwise(_log_ndtr)
    sqrt = _elementwise(mp50.sqrt)
    reshape, permute_dims = _structural(np.reshape), _structural(np.permute_dims)
    take = _structural(get_backend().xp.take)
    concat, stack = _joining(np.concat), _joining(np.stack)
    sum, mean, max, cumsum = _reduction(np.sum), _reduction(np.mean), _reduction(np.max), _reduction(np.cumsum)

    @staticmethod
    def square(x: MpArray) -> MpArray:
        return x * x

    @staticmethod
    def clip(x: MpArray, low: float, high: float) -> MpArray:
        return _wrap(np.clip(x.values, _numbers(low), _numbers(high)))

    @staticmethod
    def where(condition: np.ndarray, x: Any, y: Any) -> MpArray:
        return _wrap(np.where(condition, _numbers(x), _numbers(y)))

    @staticmethod
    def matmul(x: MpArray, y: MpArray) -> MpArray:
        return _wrap(np.matmul(x.values, y.values))

    @staticmethod
    def full(shape: Any, value: Any, dtype: Any = None) -> Any:
        return _wrap(np.full(shape, _number(value), dtype=object)) if _is_mpf(dtype) else np.full(shape, value, dtype)

    @staticmethod
    def zeros_like(x: MpArray) -> MpArray:
        return _Functions.full(x.shape, 0)

    @staticmethod
    def ones_like(x: MpArray) -> MpArray:
        return _Functions.full(x.shape, 1)

    @staticmethod
    def asarray(x: Any, dtype: Any = None) -> Any:
        if not _is_mpf(dtype):
            raise TypeError(f"an array of 50-digit numbers has dtype {MPF!r}, got {dtype!r}")
        return x if isinstance(x, MpArray) else MpArray(x)

    @staticmethod
    def astype(x: Any, dtype: Any, copy: bool = True) -> Any:
        return _Functions.asarray(x, dtype)


MPMATH = Namespace("mpmath", _Functions)


def schedule_50(betas: Any) -> Schedule:
    """Return a schedule whose tables have 50 digits; with it and MpArrays, all of `diffusion` computes in 50 digits.

    Parameters
    ----------
    betas : array_like of shape (T,)
        β₁..β_T: floats, Fractions or mpmath numbers, converted exactly.

    Returns
    -------
    Schedule
        The schedule.

    Examples
    --------
    >>> schedule_50([Fraction(9, 25), Fraction(7, 16)]).sqrt_alpha_bar[2]
    MpArray(0.6)
    """
    return _schedule_50(tuple(betas))


@functools.lru_cache(maxsize=4)
def _schedule_50(betas: tuple[Any, ...]) -> Schedule:
    return Schedule(MPMATH.concat(([0], MpArray(betas))))


def fifty(x: Any) -> Any:
    """Convert a floating NumPy array to an MpArray of the same numbers; return ints and bools unchanged.

    Parameters
    ----------
    x : array
        The array.

    Returns
    -------
    MpArray or array
        The 50-digit numbers, or `x`.
    """
    return MpArray(x) if np.issubdtype(np.asarray(x).dtype, np.floating) else x


def rounded(x: MpArray) -> np.ndarray:
    """Round an MpArray to the nearest float64 numbers.

    Parameters
    ----------
    x : MpArray
        The 50-digit numbers.

    Returns
    -------
    float64 array
        The rounded numbers.
    """
    with np.errstate(invalid="ignore"):  # nan stays nan
        return x.values.astype(np.float64)


def rounding(call: Callable[[Schedule, Mapping[str, Any]], Any], betas: Any, arrays: Mapping[str, np.ndarray]) -> float:
    """Measure the rounding error of a call: the largest difference between its results in NumPy and in 50 digits.

    Parameters
    ----------
    call : callable
        (schedule, arrays) -> an array or a sequence of arrays, computed through `ddpm_np.backend.of`.
    betas : float64 array of shape (T,)
        β₁..β_T.
    arrays : dict
        The call's inputs by name, float64 or float32, which are converted to 50 digits exactly.

    Returns
    -------
    float
        The largest |difference| in a row (an index of the first axis, an image) over the largest magnitude in that row;
        inf if a result is nan.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule, q_sample
    >>> values = {"x": np.array([[0.3], [-0.8]]), "t": np.array([1, 1000])}
    >>> error = rounding(lambda s, a: q_sample(s, a["x"], a["t"], a["x"]), linear_schedule(1000).beta[1:], values)
    >>> 0 < error < 1e-15
    True
    """
    found = _parts(call(Schedule.from_betas(betas), arrays))
    exact = _parts(call(schedule_50(betas), _Twins(arrays)))
    return max(difference(new, old) for new, old in zip(found, exact, strict=True))


class _Twins(dict):
    """The arrays in 50 digits, each converted at its first use."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = arrays

    def __missing__(self, name: str) -> Any:
        self[name] = fifty(self._arrays[name])
        return self[name]


def _parts(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else [result]


def difference(found: Any, exact: MpArray) -> float:
    """Return the largest |found − exact| in a row over the largest |exact| in that row (over 1 if that is 0).

    Parameters
    ----------
    found : array
        Results in floating point; a row is an index of the first axis.
    exact : MpArray
        Results in 50 digits, of the same shape.

    Returns
    -------
    float
        The rounding error; inf if a result is nan.

    Raises
    ------
    TypeError
        If `exact` is not an MpArray of that shape.
    """
    if not isinstance(exact, MpArray) or exact.shape != found.shape:
        raise TypeError(f"expected 50 digits of shape {found.shape}, got {type(exact).__name__} of {exact.shape}")
    rows = (len(exact), -1) if exact.ndim else (1, 1)
    distance = abs(exact - found).values.reshape(rows).max(axis=1)
    scale = abs(exact).values.reshape(rows).max(axis=1)
    errors = rounded(_wrap(distance / np.where(scale == 0, 1, scale)))
    return float(np.where(np.isnan(errors), np.inf, errors).max())
