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

from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.images import sum_over_image, times
from ddpm_np.diffusion.normal import kl
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import p_mean_log_variance
from ddpm_np.diffusion.trajectory import Trajectory

LogMarginal = Callable[[Array, Ints], Array]  # (x_t (N, …), t (N,)) -> ln q(x_t), (N,)


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
