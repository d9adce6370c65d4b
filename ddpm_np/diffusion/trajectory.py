"""Appendix A: the bound as functionals of one trajectory x₀, x₁, …, x_T (equations 1, 2, 3 and 17–26).

Each line of the derivation is a function of a trajectory drawn from q. Lines (17) to (21) are equal at every
trajectory, for each step of algebra between them rearranges the same sum; (22) replaces log ratios by their
expectations, the KL divergences of (5), and equals them on average. Lines (23) to (25), which lead to (16), are equal
at every trajectory too; they need the marginal q(x_t), which is known only for data that is (`oracle`).

All are in nats, summed over an image's dimensions: (N,). `x` is a trajectory, an array (T + 1, N, …).
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
    """Equation (2), all of it: x₀..x_T by T steps of q(x_t | x_{t−1}); `noises` (T + 1, N, …), row 0 unused.

    Checked as: 2.
    """
    xp, x = of(x_0), [x_0]
    for t in range(1, schedule.T + 1):
        x.append(q_step(schedule, x[-1], times(x_0, t), noises[t, ...]))
    return xp.stack(x)  # (T+1, N, …)


@dataclass(frozen=True)
class Trajectory:
    """A trajectory, the model it is judged by, and the log densities that the lines are made of.

    Checked as: 3, joint, 20, 21.

    Attributes
    ----------
    reverse : Reverse
        The model.
    x : array (T + 1, N, …)
    levels : int or None
        Of the decoder (13) as p_θ(x₀ | x₁); None for the density.
    """

    reverse: Reverse
    x: Array
    levels: int | None = None

    @property
    def schedule(self) -> Schedule:
        """β₁..β_T."""
        return self.reverse.schedule

    def log_prior(self) -> Array:
        """ln p(x_T), p = N(0, I)."""
        x_T = self.x[self.schedule.T, ...]
        return sum_over_image(log_normal(x_T, 0 * x_T, 0 * x_T))

    def log_p(self, t: int) -> Array:
        """ln p_θ(x_{t−1} | x_t)."""
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        mean, log_sigma2, _ = p_mean_log_variance(self.reverse, x_t, times(x_t, t))
        if t == 1 and self.levels is not None:
            return sum_over_image(decoder_log_likelihood(before, mean, 0.5 * log_sigma2, self.levels))
        return sum_over_image(log_normal(before, mean, log_sigma2))

    def log_q_step(self, t: int) -> Array:
        """ln q(x_t | x_{t−1}), equation (2)."""
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        k = self.schedule.at(times(x_t, t), like=x_t)
        return sum_over_image(log_normal(x_t, k.sqrt_alpha * before, k.log_beta))

    def log_q_given_x0(self, t: int) -> Array:
        """ln q(x_t | x₀), equation (4)."""
        x_t, x_0 = self.x[t, ...], self.x[0, ...]
        k = self.schedule.at(times(x_t, t), like=x_t)
        variance = k.one_minus_alpha_bar  # (N, 1, …)
        return sum_over_image(log_normal(x_t, k.sqrt_alpha_bar * x_0, of(variance).log(variance)))

    def log_q_posterior(self, t: int) -> Array:
        """ln q(x_{t−1} | x_t, x₀), equation (6), t ≥ 2."""
        x_t, before, now = self.x[t, ...], self.x[t - 1, ...], times(self.x[t, ...], t)
        log_beta_tilde = self.schedule.at(now, like=x_t).posterior_log_variance_clipped  # (N, 1, …)
        mean = posterior_mean(self.schedule, self.x[0, ...], x_t, now)  # (N, …)
        return sum_over_image(log_normal(before, mean, log_beta_tilde))

    @property
    def steps(self) -> range:
        """t = 1..T."""
        return range(1, self.schedule.T + 1)


def log_p_joint(tr: Trajectory) -> Array:
    """Equation (1): ln p_θ(x_{0:T}) = ln p(x_T) + Σ_{t≥1} ln p_θ(x_{t−1} | x_t).

    Checked as: joint.
    """
    return tr.log_prior() + sum(tr.log_p(t) for t in tr.steps)


def log_q_joint(tr: Trajectory) -> Array:
    """Equation (2): ln q(x_{1:T} | x₀) = Σ_{t≥1} ln q(x_t | x_{t−1}).

    Checked as: joint.
    """
    return sum(tr.log_q_step(t) for t in tr.steps)


def equation_3(tr: Trajectory) -> Array:
    """Equation (3): −ln p(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1}).

    Checked as: 3.
    """
    return -tr.log_prior() - sum(tr.log_p(t) - tr.log_q_step(t) for t in tr.steps)


def equation_17(tr: Trajectory) -> Array:
    """Equation (17): −ln p_θ(x_{0:T})/q(x_{1:T} | x₀).

    Checked as: 17.
    """
    return -(log_p_joint(tr) - log_q_joint(tr))


def equation_18(tr: Trajectory) -> Array:
    """Equation (18), the products taken apart: it is (3).

    Checked as: 18.
    """
    return equation_3(tr)


def equation_19(tr: Trajectory) -> Array:
    """Equation (19), t = 1 split off.

    −ln p(x_T) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1}) − ln p_θ(x₀ | x₁)/q(x₁ | x₀).

    Checked as: 19.
    """
    later = sum(tr.log_p(t) - tr.log_q_step(t) for t in tr.steps[1:])
    return -tr.log_prior() - later - (tr.log_p(1) - tr.log_q_step(1))


def equation_20(tr: Trajectory) -> Array:
    """Equation (20), Bayes' rule in each factor of (19).

    q(x_t | x_{t−1}) = q(x_t | x_{t−1}, x₀) = q(x_{t−1} | x_t, x₀)·q(x_t | x₀)/q(x_{t−1} | x₀).

    Checked as: 20.
    """
    later = sum(tr.log_p(t) - tr.log_q_posterior(t) + tr.log_q_given_x0(t - 1) - tr.log_q_given_x0(t)
                for t in tr.steps[1:])
    return -tr.log_prior() - later - (tr.log_p(1) - tr.log_q_step(1))


def equation_21(tr: Trajectory) -> Array:
    """Equation (21), telescoped.

    −ln p(x_T)/q(x_T | x₀) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t, x₀) − ln p_θ(x₀ | x₁).

    Checked as: 21.
    """
    later = sum(tr.log_p(t) - tr.log_q_posterior(t) for t in tr.steps[1:])
    return -(tr.log_prior() - tr.log_q_given_x0(tr.schedule.T)) - later - tr.log_p(1)


def equation_22(tr: Trajectory) -> Array:
    """Equation (22), which is (5): KL divergences given x_t and x₀ for the log ratios of (21).

    Checked as: 22.
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
    """Equation (23), where the second derivation begins: it is (18).

    Checked as: 23.
    """
    return equation_3(tr)


def equation_24(tr: Trajectory, log_q: LogMarginal) -> Array:
    """Equation (24), Bayes' rule without x₀: q(x_t | x_{t−1}) = q(x_{t−1} | x_t)·q(x_t)/q(x_{t−1}).

    −ln p(x_T) − Σ_{t≥1} [ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) + ln q(x_{t−1})/q(x_t)].

    Checked as: 24.
    """
    marginal = log_marginals(tr, log_q)
    return -tr.log_prior() - sum(tr.log_p(t) - log_q_reverse(tr, marginal, t) + marginal[t - 1] - marginal[t]
                                 for t in tr.steps)


def equation_25(tr: Trajectory, log_q: LogMarginal) -> Array:
    """Equation (25), telescoped: −ln p(x_T)/q(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) − ln q(x₀).

    Its expectation is (26), which is (16): KL(q(x_T) ‖ p(x_T)) + E Σ KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)) + H(x₀).

    Checked as: 25.
    """
    marginal = log_marginals(tr, log_q)
    ratios = sum(tr.log_p(t) - log_q_reverse(tr, marginal, t) for t in tr.steps)
    return -(tr.log_prior() - marginal[tr.schedule.T]) - ratios - marginal[0]


def log_marginals(tr: Trajectory, log_q: LogMarginal) -> list[Array]:
    """ln q(x_t) for t = 0..T.

    Checked as: 24, 25.
    """
    return [log_q(tr.x[t, ...], times(tr.x[0, ...], t)) for t in range(tr.schedule.T + 1)]


def log_q_reverse(tr: Trajectory, marginal: list[Array], t: int) -> Array:
    """ln q(x_{t−1} | x_t) by Bayes' rule: a density of x_{t−1} for the right q; in (24) and (25) any q cancels.

    Checked as: 24, 25.
    """
    return tr.log_q_step(t) + marginal[t - 1] - marginal[t]
