"""Appendix A: the bound as functionals of one trajectory x₀, x₁, …, x_T (equations 1, 2, 3 and 17–26).

Each line of the derivation is a function of a trajectory drawn from q. Lines (17) to (21) are equal on every
trajectory, because each step of algebra between them rearranges the same sum. Line (22) replaces log ratios by their
expectations, the KL divergences of (5), and is equal to them on average. Lines (23) to (25), which lead to (16), are
also equal on every trajectory; they need the marginal q(x_t), which is known only for data with a known distribution
(`oracle`).

All are in nats, summed over an image's dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.bound import decoder_log_likelihood, kl, log_normal
from ddpm_np.diffusion.forward import q_step
from ddpm_np.diffusion.images import sum_over_image, times
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule

LogMarginal = Callable[[Array, Ints], Array]  # (x_t (N, …), t (N,)) -> ln q(x_t), (N,)


def q_trajectory(schedule: Schedule, x_0: Array, noises: Array) -> Array:
    """Forward process (2), step by step: x₀, …, x_T with x_t = √(1 − β_t)·x_{t−1} + √β_t·z_t.

    Checked as: 2.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.
    noises : array of shape (T + 1, N, …)
        Standard normal noise: row t is z_t, row 0 is unused.

    Returns
    -------
    array of shape (T + 1, N, …)
        The trajectory.

    Notes
    -----
    Equation (2) of Ho et al. (2020). Verified by ``ddpm-np check --equation 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √α₁ = 4/5, √α₂ = 3/4
    >>> q_trajectory(schedule, np.array([[1.0]]), np.zeros((3, 1, 1))).ravel().round(12)
    array([1. , 0.8, 0.6])
    """
    xp, x = of(x_0), [x_0]
    for t in range(1, schedule.T + 1):
        x.append(q_step(schedule, x[-1], times(x_0, t), noises[t, ...]))
    return xp.stack(x)  # (T+1, N, …)


@dataclass(frozen=True)
class Trajectory:
    """A trajectory, a model, and the log densities from which the lines are built.

    Checked as: 3, joint, 20, 21.

    Attributes
    ----------
    reverse : Reverse
        The model p_θ(x_{t−1} | x_t).
    x : array of shape (T + 1, N, …)
        The trajectory x₀, …, x_T.
    levels : int or None
        Data levels of the decoder (13) as p_θ(x₀ | x₁); None for the density.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> tr = Trajectory(reverse, q_trajectory(reverse.schedule, np.array([[1.0]]), np.zeros((3, 1, 1))))
    >>> bool(abs(equation_17(tr) - equation_21(tr))[0] < 1e-14)
    True
    """

    reverse: Reverse
    x: Array
    levels: int | None = None

    @property
    def schedule(self) -> Schedule:
        """The schedule β₁..β_T.

        Returns
        -------
        Schedule
            The schedule of `reverse`.
        """
        return self.reverse.schedule

    def log_prior(self) -> Array:
        """Log density of the prior: ln p(x_T), p = N(0, I).

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_T = self.x[self.schedule.T, ...]
        return sum_over_image(log_normal(x_T, 0 * x_T, 0 * x_T))

    def log_p(self, t: int) -> Array:
        """Log density of the reverse step: ln p_θ(x_{t−1} | x_t), equation (1).

        Parameters
        ----------
        t : int
            The step, 1..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        mean, log_sigma2, _ = p_mean_log_variance(self.reverse, x_t, times(x_t, t))
        if t == 1 and self.levels is not None:
            return sum_over_image(decoder_log_likelihood(before, mean, 0.5 * log_sigma2, self.levels))
        return sum_over_image(log_normal(before, mean, log_sigma2))

    def log_q_step(self, t: int) -> Array:
        """Log density of the forward step: ln q(x_t | x_{t−1}), equation (2).

        Parameters
        ----------
        t : int
            The step, 1..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        k = self.schedule.at(times(x_t, t), like=x_t)
        return sum_over_image(log_normal(x_t, k.sqrt_alpha * before, k.log_beta))

    def log_q_given_x0(self, t: int) -> Array:
        """Log density of x_t given the data: ln q(x_t | x₀), equation (4).

        Parameters
        ----------
        t : int
            The step, 1..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, x_0 = self.x[t, ...], self.x[0, ...]
        k = self.schedule.at(times(x_t, t), like=x_t)
        variance = k.one_minus_alpha_bar  # (N, 1, …)
        return sum_over_image(log_normal(x_t, k.sqrt_alpha_bar * x_0, of(variance).log(variance)))

    def log_q_posterior(self, t: int) -> Array:
        """Log density of the posterior: ln q(x_{t−1} | x_t, x₀), equation (6).

        Parameters
        ----------
        t : int
            The step, 2..T.

        Returns
        -------
        array of shape (N,)
            Nats per image.
        """
        x_t, before, now = self.x[t, ...], self.x[t - 1, ...], times(self.x[t, ...], t)
        log_beta_tilde = self.schedule.at(now, like=x_t).posterior_log_variance_clipped  # (N, 1, …)
        mean = posterior_mean(self.schedule, self.x[0, ...], x_t, now)  # (N, …)
        return sum_over_image(log_normal(before, mean, log_beta_tilde))

    @property
    def steps(self) -> range:
        """The steps t = 1..T.

        Returns
        -------
        range
            From 1 to T.
        """
        return range(1, self.schedule.T + 1)


def log_p_joint(tr: Trajectory) -> Array:
    """Joint log density of the model (1): ln p_θ(x_{0:T}) = ln p(x_T) + Σ_{t≥1} ln p_θ(x_{t−1} | x_t).

    Checked as: joint.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (1) of Ho et al. (2020). Verified by ``ddpm-np check --equation joint``.
    """
    return tr.log_prior() + sum(tr.log_p(t) for t in tr.steps)


def log_q_joint(tr: Trajectory) -> Array:
    """Joint log density of the forward process (2): ln q(x_{1:T} | x₀) = Σ_{t≥1} ln q(x_t | x_{t−1}).

    Checked as: joint.

    Parameters
    ----------
    tr : Trajectory
        The trajectory.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (2) of Ho et al. (2020). Verified by ``ddpm-np check --equation joint``.
    """
    return sum(tr.log_q_step(t) for t in tr.steps)


def equation_3(tr: Trajectory) -> Array:
    """Equation (3), the bound: −ln p(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1}).

    Checked as: 3.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (3) of Ho et al. (2020). Verified by ``ddpm-np check --equation 3``.
    """
    return -tr.log_prior() - sum(tr.log_p(t) - tr.log_q_step(t) for t in tr.steps)


def equation_17(tr: Trajectory) -> Array:
    """Equation (17), the ratio of the joint densities: −ln p_θ(x_{0:T})/q(x_{1:T} | x₀).

    Checked as: 17.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (17) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 17``.
    """
    return -(log_p_joint(tr) - log_q_joint(tr))


def equation_18(tr: Trajectory) -> Array:
    """Equation (18), the products written as sums of logarithms, which is (3).

    Checked as: 18.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (18) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 18``.
    """
    return equation_3(tr)


def equation_19(tr: Trajectory) -> Array:
    """Equation (19), t = 1 split off.

    −ln p(x_T) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1}) − ln p_θ(x₀ | x₁)/q(x₁ | x₀).

    Checked as: 19.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (19) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 19``.
    """
    later = sum(tr.log_p(t) - tr.log_q_step(t) for t in tr.steps[1:])
    return -tr.log_prior() - later - (tr.log_p(1) - tr.log_q_step(1))


def equation_20(tr: Trajectory) -> Array:
    """Equation (20), Bayes' rule in each factor of (19).

    q(x_t | x_{t−1}) = q(x_t | x_{t−1}, x₀) = q(x_{t−1} | x_t, x₀)·q(x_t | x₀)/q(x_{t−1} | x₀).

    Checked as: 20.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (20) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 20``.
    """
    later = sum(tr.log_p(t) - tr.log_q_posterior(t) + tr.log_q_given_x0(t - 1) - tr.log_q_given_x0(t)
                for t in tr.steps[1:])
    return -tr.log_prior() - later - (tr.log_p(1) - tr.log_q_step(1))


def equation_21(tr: Trajectory) -> Array:
    """Equation (21), telescoped.

    −ln p(x_T)/q(x_T | x₀) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t, x₀) − ln p_θ(x₀ | x₁).

    Checked as: 21.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (21) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 21``.
    """
    later = sum(tr.log_p(t) - tr.log_q_posterior(t) for t in tr.steps[1:])
    return -(tr.log_prior() - tr.log_q_given_x0(tr.schedule.T)) - later - tr.log_p(1)


def equation_22(tr: Trajectory) -> Array:
    """Equation (22), which is (5): the log ratios of (21) replaced by their expectations, KL divergences.

    KL(q(x_T | x₀) ‖ p(x_T)) + Σ_{t>1} KL(q(x_{t−1} | x_t, x₀) ‖ p_θ(x_{t−1} | x_t)) − ln p_θ(x₀ | x₁).

    Checked as: 22.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (22) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 22``.
    """
    x_0, x_T, schedule = tr.x[0, ...], tr.x[tr.schedule.T, ...], tr.schedule
    k = schedule.at(times(x_0, schedule.T), like=x_0)
    variance = k.one_minus_alpha_bar  # (N, 1, …)
    last = kl(k.sqrt_alpha_bar * x_0, of(variance).log(variance), 0 * x_T, 0 * x_T)  # (N, …)
    total = sum_over_image(last) - tr.log_p(1)
    for t in tr.steps[1:]:
        x_t, now = tr.x[t, ...], times(x_0, t)
        mean, log_sigma2, _ = p_mean_log_variance(tr.reverse, x_t, now)
        log_beta_tilde = schedule.at(now, like=x_t).posterior_log_variance_clipped  # (N, 1, …)
        total = total + sum_over_image(kl(posterior_mean(schedule, x_0, x_t, now), log_beta_tilde, mean, log_sigma2))
    return total


def equation_23(tr: Trajectory) -> Array:
    """Equation (23), the start of the second derivation, which is (18).

    Checked as: 23.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (23) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 23``.
    """
    return equation_3(tr)


def equation_24(tr: Trajectory, log_q: LogMarginal) -> Array:
    """Equation (24), Bayes' rule without x₀: q(x_t | x_{t−1}) = q(x_{t−1} | x_t)·q(x_t)/q(x_{t−1}).

    −ln p(x_T) − Σ_{t≥1} [ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) + ln q(x_{t−1})/q(x_t)].

    Checked as: 24.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.
    log_q : callable
        Maps x_t of shape (N, …) and t of shape (N,) to ln q(x_t) of shape (N,).

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (24) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 24``.
    """
    marginal = log_marginals(tr, log_q)
    return -tr.log_prior() - sum(tr.log_p(t) - log_q_reverse(tr, marginal, t) + marginal[t - 1] - marginal[t]
                                 for t in tr.steps)


def equation_25(tr: Trajectory, log_q: LogMarginal) -> Array:
    """Equation (25), telescoped: −ln p(x_T)/q(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) − ln q(x₀).

    Its expectation is (26), which is (16): KL(q(x_T) ‖ p(x_T)) + E Σ KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)) + H(x₀).

    Checked as: 25.

    Parameters
    ----------
    tr : Trajectory
        The trajectory and the model.
    log_q : callable
        Maps x_t of shape (N, …) and t of shape (N,) to ln q(x_t) of shape (N,).

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equation (25) of Ho et al. (2020), appendix A. Verified by ``ddpm-np check --equation 25``.
    """
    marginal = log_marginals(tr, log_q)
    ratios = sum(tr.log_p(t) - log_q_reverse(tr, marginal, t) for t in tr.steps)
    return -(tr.log_prior() - marginal[tr.schedule.T]) - ratios - marginal[0]


def log_marginals(tr: Trajectory, log_q: LogMarginal) -> list[Array]:
    """Log densities of the marginals: ln q(x_t) for t = 0..T.

    Checked as: 24, 25.

    Parameters
    ----------
    tr : Trajectory
        The trajectory.
    log_q : callable
        Maps x_t of shape (N, …) and t of shape (N,) to ln q(x_t) of shape (N,).

    Returns
    -------
    list of T + 1 arrays of shape (N,)
        Nats per image.

    Notes
    -----
    Equations (24) and (25) of Ho et al. (2020). Verified by ``ddpm-np check --equation 24 --equation 25``.
    """
    return [log_q(tr.x[t, ...], times(tr.x[0, ...], t)) for t in range(tr.schedule.T + 1)]


def log_q_reverse(tr: Trajectory, marginal: list[Array], t: int) -> Array:
    """Log density of the exact reverse step: ln q(x_{t−1} | x_t) = ln q(x_t | x_{t−1})·q(x_{t−1})/q(x_t).

    By Bayes' rule. It is a density of x_{t−1} only for the true q(x_t); in (24) and (25) any q cancels.

    Checked as: 24, 25.

    Parameters
    ----------
    tr : Trajectory
        The trajectory.
    marginal : list of T + 1 arrays of shape (N,)
        The ln q(x_t) of `log_marginals`.
    t : int
        The step, 1..T.

    Returns
    -------
    array of shape (N,)
        Nats per image.

    Notes
    -----
    Equations (24) and (25) of Ho et al. (2020). Verified by ``ddpm-np check --equation 24 --equation 25``.
    """
    return tr.log_q_step(t) + marginal[t - 1] - marginal[t]
