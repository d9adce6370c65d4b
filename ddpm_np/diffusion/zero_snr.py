"""Schedules whose last step is pure noise (Lin et al. 2023)."""

from __future__ import annotations

from ddpm_np.backend import get_backend, of, to_host
from ddpm_np.diffusion.schedule import Schedule

_host = get_backend("numpy").xp


def zero_terminal_snr(schedule: Schedule) -> Schedule:
    """Schedule with ᾱ'_T = 0: √ᾱ'_t = (√ᾱ_t − √ᾱ_T)·√ᾱ₁/(√ᾱ₁ − √ᾱ_T), t = 1..T.

    ᾱ₁ stays as it is and β'_T is 1. √ᾱ_t − √ᾱ_T is computed as the sum of √ᾱ_{s−1}·β_s/(1 + √α_s) over s > t, because
    the difference would lose digits at large t.

    Checked as: zero-terminal-snr.

    Parameters
    ----------
    schedule : Schedule
        A schedule of at least two steps; β learned as a Tensor are taken as the numbers they are.

    Returns
    -------
    Schedule
        The rescaled schedule. At T a prediction of the noise does not determine x̂₀: a net for it predicts x₀ or v.

    Raises
    ------
    ValueError
        If the schedule has a single step, which cannot be both ᾱ₁ and 0.

    Notes
    -----
    Algorithm 1 of Lin et al. (2023). Verified by ``ddpm-np check --equation zero-terminal-snr``.

    Examples
    --------
    >>> zero_terminal_snr(Schedule.from_betas([9 / 25, 7 / 16, 5 / 9])).sqrt_alpha_bar.round(12)  # 4/5, 3/5, 2/5 before
    array([1. , 0.8, 0.4, 0. ])
    """
    if schedule.T < 2:
        raise ValueError("a schedule of one step cannot keep its first step and end without signal: it needs T ≥ 2")
    root, alpha, beta = (to_host(table) if of(table).name == "tensor" else table
                         for table in (schedule.sqrt_alpha_bar, schedule.sqrt_alpha, schedule.beta))
    falls = root[1:-1] * beta[2:] / (1 + alpha[2:])  # (T−1,): √ᾱ_{t−1} − √ᾱ_t for t = 2..T
    left = _host.concat((_host.cumsum(falls[::-1])[::-1], [0.0]))  # (T,): √ᾱ_t − √ᾱ_T for t = 1..T
    later = falls * (left[:-1] + left[1:]) / left[:-1] ** 2  # (T−1,): 1 − (left_t/left_{t−1})²
    return Schedule.from_betas(_host.concat((beta[1:2], later[:-1], [1.0])))
