"""The schedules that the literature uses, by name.

β_t from `start` to `end` as in Ho et al.'s code, unless a schedule is defined by ᾱ_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches

from ddpm_np.backend import get_backend
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


def _check(T: int) -> None:
    if not hasattr(T, "__index__"):
        raise TypeError(f"T must be an int, got {T!r}")
    if T < 1:
        raise ValueError(f"T must be at least 1, got {T}")


def linear_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t from `start` at t = 1 to `end` at t = T in equal steps; the paper's is ``linear_schedule(1000)``.

    Checked as: linear-schedule.
    """
    _check(T)
    return Schedule.from_betas(_host.linspace(start, end, T))


def quadratic_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """√β_t from √`start` to √`end` in equal steps (Ho et al.'s code: "quad").

    Checked as: named-schedules.
    """
    _check(T)
    return Schedule.from_betas(_host.linspace(math.sqrt(start), math.sqrt(end), T) ** 2)


def sigmoid_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t = start + (end − start)·σ(u), u from −6 to 6 in equal steps: β₁ lies 0.25 % of the way up, β_T 99.75 %.

    Checked as: named-schedules.
    """
    _check(T)
    u = _host.linspace(-6, 6, T)  # (T,)
    return Schedule.from_betas(start + (end - start) / (1 + _host.exp(-u)))


def constant_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t = `end` at every t (Ho et al.'s code: "const"); `start` is not used.

    Checked as: named-schedules.
    """
    _check(T)
    return Schedule.from_betas(_host.full(T, end))


def jsd_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t = 1/(T − t + 1) (Ho et al.'s code: "jsd"); `start` and `end` are not used.

    α_t = (T − t)/(T − t + 1), so ᾱ_t = 1 − t/T: it falls in equal steps, to ᾱ_T = 0. There x_T is noise and holds
    nothing of x₀, L_T is 0, and x̂₀ does not follow from a prediction of the noise: a net for this schedule predicts
    x₀ or v.

    Checked as: named-schedules.
    """
    _check(T)
    return Schedule.from_betas(1 / _host.arange(T, 0, -1))


def _warm_up(T: int, start: float, end: float, part: float) -> Schedule:
    _check(T)
    count = int(T * part)
    return Schedule.from_betas(_host.concat((_host.linspace(start, end, count), _host.full(T - count, end))))


def warmup10_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t from `start` to `end` in equal steps over the first ⌊T/10⌋ steps, then `end` (Ho et al.'s code).

    Checked as: named-schedules.
    """
    return _warm_up(T, start, end, 0.1)


def warmup50_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """β_t from `start` to `end` in equal steps over the first ⌊T/2⌋ steps, then `end` (Ho et al.'s code).

    Checked as: named-schedules.
    """
    return _warm_up(T, start, end, 0.5)


def cosine_schedule(T: int, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + s)/(1 + s)·π/2), s = 0.008; β_t = min(1 − ᾱ_t/ᾱ_{t−1}, 0.999).

    Nichol & Dhariwal 2021, equation 17. f(T) = 0, so the last β is clipped. `start` and `end` are not used.
    1 − cos²b/cos²a is computed as sin(b − a)·sin(b + a)/cos²a: the difference would lose four digits at small t.

    Checked as: cosine-schedule.
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
    """The schedule of a name in `SCHEDULES`.

    Checked as: named-schedules.

    >>> named_schedule("jsd", 4).alpha_bar
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """
    if name not in SCHEDULES:
        close = get_close_matches(str(name), SCHEDULES, 1)
        raise ValueError(f"no schedule is called {name!r}: "
                         + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SCHEDULES)}"))
    return SCHEDULES[name](T, start, end)
