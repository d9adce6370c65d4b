"""The schedules that the literature uses, by name; and fewer steps of one: respacing.

β_t from `start` to `end` as in Ho et al.'s code, unless a schedule is defined by ᾱ_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from ddpm_np.backend import get_backend, of, to_host
from ddpm_np.diffusion.reverse import Predictor
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp
SPACINGS = ("leading", "trailing", "linspace", "quadratic")


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


def timesteps(T: int, n: int, spacing: str = "trailing") -> list[int]:
    """n distinct steps of 1..T, descending, for a sampler that takes fewer than T.

    Checked as: timesteps.

    Parameters
    ----------
    spacing
        ``"trailing"``: T·i/n for i = n..1, rounded: from T down. ``"leading"``: 1 + i·⌊T/n⌋ for i = n−1..0: down to 1,
        and for small n far from T. ``"linspace"``: from T to 1 in equal steps, rounded. ``"quadratic"``: from T to 1,
        1 + (T − 1)·(i/(n − 1))² rounded, more of them at small t; where two would be equal the larger moves up.
        One step alone is T, except of ``"leading"``, where it is 1.

    Examples
    --------
    >>> timesteps(1000, 4), timesteps(1000, 4, "leading")
    ([1000, 750, 500, 250], [751, 501, 251, 1])
    >>> timesteps(1000, 4, "linspace"), timesteps(1000, 4, "quadratic")
    ([1000, 667, 334, 1], [1000, 445, 112, 1])
    """
    if spacing not in SPACINGS:
        raise ValueError(f"spacing must be one of {', '.join(SPACINGS)}, got {spacing!r}")
    if not 1 <= n <= T:
        raise ValueError(f"the number of steps must be from 1 to T = {T}, got {n}")
    if spacing == "leading":
        return [1 + i * (T // n) for i in reversed(range(n))]
    if spacing == "trailing":
        return [_nearest(i * T, n) for i in range(n, 0, -1)]
    if n == 1:
        return [T]
    power = 1 if spacing == "linspace" else 2
    rising: list[int] = []
    for i in range(n):
        t = 1 + _nearest((T - 1) * i**power, (n - 1) ** power)
        rising.append(max(t, rising[-1] + 1) if rising else t)
    return rising[::-1]


def _nearest(a: int, b: int) -> int:
    """a/b rounded to the nearest integer, halves up, without a floating number."""
    return (2 * a + b) // (2 * b)


def respace(schedule: Schedule, model: Predictor, steps: Sequence[int]) -> tuple[Schedule, Predictor]:
    """The diffusion that visits only some steps τ of another: β'_i = 1 − ᾱ_τi/ᾱ_τ(i−1), τ_0 = 0.

    Checked as: respacing.

    Parameters
    ----------
    steps
        Distinct ints in 1..T, in any order: τ₁ < … < τ_n once sorted.

    Returns
    -------
    schedule, model
        The schedule of n steps, whose marginals are those of the old one at τ; and the model asked at i for what it
        predicts at τ_i, to be used with it.
    """
    tau = sorted(steps)
    bad: list[Any] = [t for t in tau if not (hasattr(t, "__index__") and 1 <= t <= schedule.T)]
    bad += [f"{t} twice" for t, after in pairwise(tau) if t == after]
    if bad or not tau:
        raise ValueError(f"steps must be distinct ints from 1 to T = {schedule.T}, got {bad[0] if bad else 'none'}")
    index = _host.asarray([0, *tau])  # (n+1,)
    beta = to_host(schedule.beta) if of(schedule.beta).name == "tensor" else schedule.beta
    xp = of(beta)
    with _host.errstate(divide="ignore"):
        log_alpha = xp.log1p(-beta)  # (T+1,)
    gaps = xp.asarray([0.0, *(log_alpha[a + 1 : b + 1].sum() for a, b in pairwise(index))])  # (n+1,): ln α'_i

    def at_tau(x: Any, i: Any) -> Any:
        """The model at t = τ_i."""
        return model(x, of(i).take(of(i).asarray(index), i, axis=0))

    return Schedule(-xp.expm1(gaps), gaps), at_tau
