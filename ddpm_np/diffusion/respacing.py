"""Fewer steps than a schedule has: which steps a sampler visits, and the reverse process over those steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ddpm_np import arguments
from ddpm_np.backend import Array, Ints, get_backend, of, to_host
from ddpm_np.diffusion.reverse import Reverse
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp
SPACINGS = ("leading", "trailing", "linspace", "quadratic")


def timesteps(T: int, n: int, spacing: str = "trailing") -> list[int]:
    """Return n distinct steps of 1..T, descending, for a sampler that takes fewer than T.

    Checked as: timesteps.

    Parameters
    ----------
    T : int
        Number of steps of the schedule.
    n : int
        Number of steps to take, 1..T.
    spacing : str
        - ``"trailing"``: T·i/n for i = n..1, rounded: from T down.
        - ``"leading"``: 1 + i·⌊T/n⌋ for i = n − 1..0: down to 1, and for small n far from T.
        - ``"linspace"``: from T to 1 in equal steps, rounded.
        - ``"quadratic"``: 1 + (T − 1)·(i/(n − 1))² for i = n − 1..0, rounded, denser at small t; where two would be
          equal the larger moves up.

        A single step is T; for ``"leading"`` it is 1.

    Returns
    -------
    list of int
        The steps, from the largest to the smallest.

    Raises
    ------
    ValueError
        If `spacing` is unknown or n is out of range.

    Notes
    -----
    Section 4.2 of Song, Meng & Ermon (2021). Verified by ``ddpm-np check --equation timesteps``.

    Examples
    --------
    >>> timesteps(1000, 4), timesteps(1000, 4, "leading")
    ([1000, 750, 500, 250], [751, 501, 251, 1])
    >>> timesteps(1000, 4, "linspace"), timesteps(1000, 4, "quadratic")
    ([1000, 667, 334, 1], [1000, 445, 112, 1])
    """
    arguments.one_of("spacing", spacing, SPACINGS)
    T = arguments.count("T", T)
    n = arguments.count("the number of steps", n, 1, T)
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
    """Return a/b rounded to the nearest integer, halves up, in integer arithmetic."""
    return (2 * a + b) // (2 * b)


def respace(reverse: Reverse, steps: Sequence[int]) -> Reverse:
    """Reverse process that visits only the steps τ₁ < … < τ_n: β'_i = 1 − ᾱ_{τ_i}/ᾱ_{τ_{i−1}}, τ₀ = 0.

    Checked as: respacing, fewer-steps.

    Parameters
    ----------
    reverse : Reverse
        The reverse process over all steps.
    steps : sequence of int
        Distinct steps τ in 1..T, in any order.

    Returns
    -------
    Reverse
        A reverse process of n steps: its schedule has the old marginals at τ, its model at i is the old one at τ_i, and
        its other options are the old ones.

    Raises
    ------
    ValueError
        If the steps are not distinct ints of 1..T, or if the variance is a table, whose T + 1 rows do not fit n steps.

    Notes
    -----
    Section 4 of Nichol & Dhariwal (2021). Verified by
    ``ddpm-np check --equation respacing --equation fewer-steps``.

    Examples
    --------
    >>> from ddpm_np.diffusion import linear_schedule
    >>> fewer = respace(Reverse(linear_schedule(1000), lambda x_t, t: x_t), timesteps(1000, 50))
    >>> fewer.schedule.T
    50
    """
    schedule, model = reverse.schedule, reverse.model
    if not isinstance(reverse.variance, str):
        raise ValueError(f"a variance given as a table of T + 1 = {schedule.T + 1} numbers cannot be respaced: respace "
                         "with variance='small' or 'large', then replace it by a table for the new steps")
    given: list[Any] = list(steps) if hasattr(steps, "__iter__") else [steps]
    bad: list[Any] = [t for t in given if not (arguments.is_int(t) and 1 <= t <= schedule.T)]
    tau = [] if bad else sorted(given)
    bad += [f"{t} twice" for t, after in pairwise(tau) if t == after]
    if bad or not tau:
        raise ValueError(f"steps must be distinct ints from 1 to T = {schedule.T}, got {bad[0] if bad else 'none'}")
    index = _host.asarray([0, *tau])  # (n+1,)
    beta = to_host(schedule.beta) if of(schedule.beta).name == "tensor" else schedule.beta
    xp = of(beta)
    with _host.errstate(divide="ignore"):
        log_alpha = xp.log1p(-beta)  # (T+1,)
    gaps = xp.asarray([0.0, *(log_alpha[a + 1 : b + 1].sum() for a, b in pairwise(index))])  # (n+1,): ln α'_i

    def at_tau(x: Array, i: Ints) -> Array:
        """Evaluate the model at t = τ_i."""
        return model(x, of(i).take(of(i).asarray(index), i, axis=0))

    return replace(reverse, schedule=Schedule(-xp.expm1(gaps), gaps), model=at_tau)
