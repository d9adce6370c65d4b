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
from typing import Any

from ddpm_np.backend import of
from ddpm_np.diffusion.bound import decoder_log_likelihood, kl, log_normal
from ddpm_np.diffusion.forward import q_step
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import Predictor, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule

LogMarginal = Callable[[Any, Any], Any]  # (x_t (N, …), t (N,)) -> ln q(x_t), (N,)


def q_trajectory(schedule: Schedule, x_0: Any, noises: Any) -> Any:
    """Equation (2), all of it: x₀..x_T by T steps of q(x_t | x_{t−1}); `noises` (T + 1, N, …), row 0 unused.

    Checked as: 2.
    """
    xp, x = of(x_0), [x_0]
    for t in range(1, schedule.T + 1):
        x.append(q_step(schedule, x[-1], _all(x_0, t), noises[t, ...]))
    return xp.stack(x)  # (T+1, N, …)


def _all(x: Any, t: int) -> Any:
    """t for every image: (N,)."""
    return of(x).full((x.shape[0],), t, dtype=of(x).int64)


def _total(x: Any) -> Any:
    """Σ over an image's dimensions: (N,)."""
    return of(x).sum(x, axis=tuple(range(1, x.ndim)))


@dataclass(frozen=True)
class Trajectory:
    """A trajectory, the model it is judged by, and the log densities that the lines are made of.

    Checked as: 3, joint, 20, 21.

    Attributes
    ----------
    schedule : Schedule
    model : callable
        As in `p_mean_variance`, with `predicts` and `variance`.
    x : array (T + 1, N, …)
    levels : int or None
        Of the decoder (13) as p_θ(x₀ | x₁); None for the density.
    """

    schedule: Schedule
    model: Predictor
    x: Any
    predicts: str = "eps"
    variance: Any = "small"
    levels: int | None = None

    def log_prior(self) -> Any:
        """ln p(x_T), p = N(0, I)."""
        x_T = self.x[self.schedule.T, ...]
        return _total(log_normal(x_T, 0 * x_T, 0 * x_T))

    def log_p(self, t: int) -> Any:
        """ln p_θ(x_{t−1} | x_t)."""
        x_t, before = self.x[t, ...], self.x[t - 1, ...]
        mean, log_sigma2, _ = p_mean_log_variance(self.schedule, self.model, x_t, _all(x_t, t), predicts=self.predicts,
                                                  variance=self.variance)
        if t == 1 and self.levels is not None:
            return _total(decoder_log_likelihood(before, mean, 0.5 * log_sigma2, self.levels))
        return _total(log_normal(before, mean, log_sigma2))

    def log_q_step(self, t: int) -> Any:
        """ln q(x_t | x_{t−1}), equation (2)."""
        x_t, before, s = self.x[t, ...], self.x[t - 1, ...], self.schedule
        return _total(log_normal(x_t, s.at(s.sqrt_alpha, _all(x_t, t), x_t) * before,
                                 s.at(s.log_beta, _all(x_t, t), x_t)))

    def log_q_given_x0(self, t: int) -> Any:
        """ln q(x_t | x₀), equation (4)."""
        x_t, s = self.x[t, ...], self.schedule
        variance = s.at(s.one_minus_alpha_bar, _all(x_t, t), x_t)
        mean = s.at(s.sqrt_alpha_bar, _all(x_t, t), x_t) * self.x[0, ...]
        return _total(log_normal(x_t, mean, of(variance).log(variance)))

    def log_q_posterior(self, t: int) -> Any:
        """ln q(x_{t−1} | x_t, x₀), equation (6), t ≥ 2."""
        x_t, s = self.x[t, ...], self.schedule
        mean = posterior_mean(s, self.x[0, ...], x_t, _all(x_t, t))
        return _total(log_normal(self.x[t - 1, ...], mean,
                                 s.at(s.posterior_log_variance_clipped, _all(x_t, t), x_t)))

    @property
    def steps(self) -> range:
        """t = 1..T."""
        return range(1, self.schedule.T + 1)


def log_p_joint(tr: Trajectory) -> Any:
    """Equation (1): ln p_θ(x_{0:T}) = ln p(x_T) + Σ_{t≥1} ln p_θ(x_{t−1} | x_t).

    Checked as: joint.
    """
    return tr.log_prior() + sum(tr.log_p(t) for t in tr.steps)


def log_q_joint(tr: Trajectory) -> Any:
    """Equation (2): ln q(x_{1:T} | x₀) = Σ_{t≥1} ln q(x_t | x_{t−1}).

    Checked as: joint.
    """
    return sum(tr.log_q_step(t) for t in tr.steps)


def equation_3(tr: Trajectory) -> Any:
    """Equation (3): −ln p(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1}).

    Checked as: 3.
    """
    return -tr.log_prior() - sum(tr.log_p(t) - tr.log_q_step(t) for t in tr.steps)


def equation_17(tr: Trajectory) -> Any:
    """Equation (17): −ln p_θ(x_{0:T})/q(x_{1:T} | x₀).

    Checked as: 17.
    """
    return -(log_p_joint(tr) - log_q_joint(tr))


def equation_18(tr: Trajectory) -> Any:
    """Equation (18), the products taken apart: it is (3).

    Checked as: 18.
    """
    return equation_3(tr)


def equation_19(tr: Trajectory) -> Any:
    """Equation (19), t = 1 split off.

    −ln p(x_T) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_t | x_{t−1}) − ln p_θ(x₀ | x₁)/q(x₁ | x₀).

    Checked as: 19.
    """
    later = sum(tr.log_p(t) - tr.log_q_step(t) for t in tr.steps[1:])
    return -tr.log_prior() - later - (tr.log_p(1) - tr.log_q_step(1))


def equation_20(tr: Trajectory) -> Any:
    """Equation (20), Bayes' rule in each factor of (19).

    q(x_t | x_{t−1}) = q(x_t | x_{t−1}, x₀) = q(x_{t−1} | x_t, x₀)·q(x_t | x₀)/q(x_{t−1} | x₀).

    Checked as: 20.
    """
    later = sum(tr.log_p(t) - tr.log_q_posterior(t) + tr.log_q_given_x0(t - 1) - tr.log_q_given_x0(t)
                for t in tr.steps[1:])
    return -tr.log_prior() - later - (tr.log_p(1) - tr.log_q_step(1))


def equation_21(tr: Trajectory) -> Any:
    """Equation (21), telescoped.

    −ln p(x_T)/q(x_T | x₀) − Σ_{t>1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t, x₀) − ln p_θ(x₀ | x₁).

    Checked as: 21.
    """
    later = sum(tr.log_p(t) - tr.log_q_posterior(t) for t in tr.steps[1:])
    return -(tr.log_prior() - tr.log_q_given_x0(tr.schedule.T)) - later - tr.log_p(1)


def equation_22(tr: Trajectory) -> Any:
    """Equation (22), which is (5): KL divergences given x_t and x₀ for the log ratios of (21).

    Checked as: 22.
    """
    s, x_0 = tr.schedule, tr.x[0, ...]
    x_T = tr.x[s.T, ...]
    variance = s.at(s.one_minus_alpha_bar, _all(x_0, s.T), x_0)
    mean = s.at(s.sqrt_alpha_bar, _all(x_0, s.T), x_0) * x_0
    total = _total(kl(mean, of(variance).log(variance), 0 * x_T, 0 * x_T)) - tr.log_p(1)
    for t in tr.steps[1:]:
        x_t, now = tr.x[t, ...], _all(x_0, t)
        mean, log_sigma2, _ = p_mean_log_variance(s, tr.model, x_t, now, predicts=tr.predicts, variance=tr.variance)
        log_beta_tilde = s.at(s.posterior_log_variance_clipped, now, x_t)
        total = total + _total(kl(posterior_mean(s, x_0, x_t, now), log_beta_tilde, mean, log_sigma2))
    return total


def equation_23(tr: Trajectory) -> Any:
    """Equation (23), where the second derivation begins: it is (18).

    Checked as: 23.
    """
    return equation_3(tr)


def equation_24(tr: Trajectory, log_q: LogMarginal) -> Any:
    """Equation (24), Bayes' rule without x₀: q(x_t | x_{t−1}) = q(x_{t−1} | x_t)·q(x_t)/q(x_{t−1}).

    −ln p(x_T) − Σ_{t≥1} [ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) + ln q(x_{t−1})/q(x_t)].

    Checked as: 24.
    """
    marginal = log_marginals(tr, log_q)
    return -tr.log_prior() - sum(tr.log_p(t) - log_q_reverse(tr, marginal, t) + marginal[t - 1] - marginal[t]
                                 for t in tr.steps)


def equation_25(tr: Trajectory, log_q: LogMarginal) -> Any:
    """Equation (25), telescoped: −ln p(x_T)/q(x_T) − Σ_{t≥1} ln p_θ(x_{t−1} | x_t)/q(x_{t−1} | x_t) − ln q(x₀).

    Its expectation is (26), which is (16): KL(q(x_T) ‖ p(x_T)) + E Σ KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)) + H(x₀).

    Checked as: 25.
    """
    marginal = log_marginals(tr, log_q)
    ratios = sum(tr.log_p(t) - log_q_reverse(tr, marginal, t) for t in tr.steps)
    return -(tr.log_prior() - marginal[tr.schedule.T]) - ratios - marginal[0]


def log_marginals(tr: Trajectory, log_q: LogMarginal) -> list[Any]:
    """ln q(x_t) for t = 0..T.

    Checked as: 24, 25.
    """
    return [log_q(tr.x[t, ...], _all(tr.x[0, ...], t)) for t in range(tr.schedule.T + 1)]


def log_q_reverse(tr: Trajectory, marginal: list[Any], t: int) -> Any:
    """ln q(x_{t−1} | x_t) by Bayes' rule: a density of x_{t−1} for the right q; in (24) and (25) any q cancels.

    Checked as: 24, 25.
    """
    return tr.log_q_step(t) + marginal[t - 1] - marginal[t]
