"""The schedules of the literature, by name.

β_t runs from `start` to `end` as in the authors' code, unless a schedule is defined by ᾱ_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ddpm_np import arguments
from ddpm_np.backend import get_backend
from ddpm_np.diffusion.schedule import Schedule

MOST_STEPS = 1_000_000  # T of a schedule
_host = get_backend("numpy").xp


def _check(T: int) -> None:
    """Raise unless T is an int from 1 to a million."""
    arguments.count("T", T, 1, MOST_STEPS)


def linear_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Linear schedule: β_t from `start` at t = 1 to `end` at t = T in equal steps.

    The paper's is ``linear_schedule(1000)``.

    Checked as: linear-schedule.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        The value of β₁.
    end : float
        The value of β_T.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or a β_t is not between 0 and 1.

    Notes
    -----
    Section 4 of Ho et al. (2020). Verified by ``ddpm-np check --equation linear-schedule``.

    Examples
    --------
    >>> linear_schedule(3, 0.1, 0.3).beta.round(12)
    array([0. , 0.1, 0.2, 0.3])
    >>> round(float(linear_schedule(1000).alpha_bar[1000]), 9)
    4.0358e-05
    """
    _check(T)
    return Schedule.from_betas(_host.linspace(start, end, T))


def quadratic_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Quadratic schedule: √β_t from √`start` to √`end` in equal steps.

    Checked as: named-schedules.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        The value of β₁.
    end : float
        The value of β_T.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or a β_t is not between 0 and 1.

    Notes
    -----
    The code of Ho et al. (2020), "quad". Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> quadratic_schedule(3, 0.01, 0.09).beta.round(12)  # 0.1², 0.2², 0.3²
    array([0.  , 0.01, 0.04, 0.09])
    """
    _check(T)
    return Schedule.from_betas(_host.linspace(math.sqrt(start), math.sqrt(end), T) ** 2)


def sigmoid_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Sigmoid schedule: β_t = start + (end − start)·σ(u_t), u_t from −6 to 6 in equal steps.

    β₁ lies 0.25 % of the way up, β_T 99.75 %.

    Checked as: named-schedules.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        Value of β at u = −∞.
    end : float
        Value of β at u = ∞.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or a β_t is not between 0 and 1.

    Notes
    -----
    The schedule of GeoDiff (Xu et al. 2022). Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> sigmoid_schedule(3, 0.1, 0.3).beta.round(4)
    array([0.    , 0.1005, 0.2   , 0.2995])
    """
    _check(T)
    u = _host.linspace(-6, 6, T)  # (T,)
    return Schedule.from_betas(start + (end - start) / (1 + _host.exp(-u)))


def constant_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Constant schedule: β_t = `end` at every t.

    Checked as: named-schedules.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        Not used.
    end : float
        Every β_t.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or a β_t is not between 0 and 1.

    Notes
    -----
    The code of Ho et al. (2020), "const". Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> constant_schedule(3).beta
    array([0.  , 0.02, 0.02, 0.02])
    """
    _check(T)
    return Schedule.from_betas(_host.full(T, end))


def jsd_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Harmonic schedule: β_t = 1/(T − t + 1), and therefore ᾱ_t = 1 − t/T ("jsd" in the authors' code).

    α_t = (T − t)/(T − t + 1), so ᾱ_t falls in equal steps, to ᾱ_T = 0. There x_T is pure noise, L_T is 0, and x̂₀
    does not follow from a prediction of the noise: a net for this schedule predicts x₀ or v.

    Checked as: named-schedules.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        Not used.
    end : float
        Not used.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1.

    Notes
    -----
    The code of Ho et al. (2020), "jsd". Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> jsd_schedule(4).alpha_bar
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """
    _check(T)
    return Schedule.from_betas(1 / _host.arange(T, 0, -1))


def _warm_up(T: int, start: float, end: float, part: float) -> Schedule:
    """Return the schedule of β_t from `start` to `end` over a part of the steps, and `end` from there on."""
    _check(T)
    count = int(T * part)
    return Schedule.from_betas(_host.concat((_host.linspace(start, end, count), _host.full(T - count, end))))


def warmup10_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Warm-up schedule: β_t from `start` to `end` in equal steps over the first ⌊T/10⌋ steps, then `end`.

    Checked as: named-schedules.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        The value of β₁.
    end : float
        The β_t from t = ⌊T/10⌋ on.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or a β_t is not between 0 and 1.

    Notes
    -----
    The code of Ho et al. (2020), "warmup10". Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> warmup10_schedule(20, 0.1, 0.2).beta[:5]
    array([0. , 0.1, 0.2, 0.2, 0.2])
    """
    return _warm_up(T, start, end, 0.1)


def warmup50_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Warm-up schedule: β_t from `start` to `end` in equal steps over the first ⌊T/2⌋ steps, then `end`.

    Checked as: named-schedules.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        The value of β₁.
    end : float
        The β_t from t = ⌊T/2⌋ on.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or a β_t is not between 0 and 1.

    Notes
    -----
    The code of Ho et al. (2020), "warmup50". Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> warmup50_schedule(4, 0.1, 0.2).beta[:5]
    array([0. , 0.1, 0.2, 0.2, 0.2])
    """
    return _warm_up(T, start, end, 0.5)


def cosine_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Cosine schedule: ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + s)/(1 + s)·π/2), s = 0.008.

    β_t = min(1 − ᾱ_t/ᾱ_{t−1}, 0.999): f(T) = 0, so the last β is clipped. 1 − cos²b/cos²a is computed as
    sin(b − a)·sin(b + a)/cos²a, because the difference would lose four digits at small t.

    Checked as: cosine-schedule.

    Parameters
    ----------
    T : int
        Number of steps.
    start : float
        Not used.
    end : float
        Not used.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1.

    Notes
    -----
    Equation (17) of Nichol & Dhariwal (2021). Verified by ``ddpm-np check --equation cosine-schedule``.

    Examples
    --------
    >>> cosine_schedule(1000).alpha_bar[[0, 500, 1000]].round(4)
    array([1.    , 0.4938, 0.    ])
    """
    _check(T)
    s = 0.008
    angle = (_host.arange(T + 1) / T + s) / (1 + s) * (math.pi / 2)  # (T+1,)
    a, b = angle[:-1], angle[1:]
    step = math.pi / (2 * T * (1 + s))  # b − a
    return Schedule.from_betas(_host.minimum(math.sin(step) * _host.sin(a + b) / _host.cos(a) ** 2, 0.999))


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "linear": linear_schedule, "quadratic": quadratic_schedule, "sigmoid": sigmoid_schedule,
    "constant": constant_schedule, "jsd": jsd_schedule, "warmup10": warmup10_schedule, "warmup50": warmup50_schedule,
    "cosine": cosine_schedule,
}


def named_schedule(name: str, T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Return the schedule of a given name.

    Checked as: named-schedules.

    Parameters
    ----------
    name : str
        A key of `SCHEDULES`.
    T : int
        Number of steps.
    start : float
        The value of β₁, where it applies.
    end : float
        The value of β_T, where it applies.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    TypeError
        If T is not an int.
    ValueError
        If T is less than 1, or the name is unknown, or a β_t is not between 0 and 1.

    Notes
    -----
    The code of Ho et al. (2020). Verified by ``ddpm-np check --equation named-schedules``.

    Examples
    --------
    >>> named_schedule("jsd", 4).alpha_bar
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """
    arguments.known([name], SCHEDULES, "schedule")
    return SCHEDULES[name](T, start, end)
