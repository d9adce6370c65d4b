"""Methods of this package beyond the protocol of a check target, through which the checker reaches every equation.

Most functions are available under their own names: those of (schedule, …) in `ddpm_np.diffusion` as they are, those of
(reverse, …) with a model and the options of a `Reverse`. Chains are returned as lists. The methods below need more than
that. t is the paper's t, and numbers are in this package's units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np import diffusion
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Backend, to_host
from ddpm_np.diffusion import Reverse, Schedule, Trajectory, appendix_a
from ddpm_np.nn import Module
from ddpm_np.training.trainer import Trainer

OF_SCHEDULE = (
    "bound_loss", "bound_weight", "ddim_sigma", "eps_from_mean", "eps_from_score", "hybrid_loss",
    "learned_range_log_variance", "min_snr_weight", "mismatch_constant", "optimal_variance", "p2_weight",
    "posterior_mean", "q_trajectory", "score_matching_loss", "target", "x0_from_mean",
)
OF_REVERSE = (
    "ancestral", "annealed_langevin", "ddim", "ddim_invert", "dpm_solver_1_step", "inpaint", "interpolate",
    "mean_mismatch", "mean_mismatch_from_noise", "mean_mismatch_simplified", "p_mean_log_variance", "predict", "send",
    "weighted_noise_loss",
)
LINES = ("log_p_joint", "log_q_joint", *(f"equation_{i}" for i in (3, *range(17, 26))))


class Zero(Module):
    """A net with one parameter, from which a loss can be built."""

    def __init__(self, zeros: Any):
        self.weight = Tensor(zeros, requires_grad=True)


class BeyondProtocol:
    """The methods of `Ours` that no other target has."""

    backend: Backend
    dtype: str
    _schedule: Schedule
    _carry: Callable[[Any], Any]
    _back: Callable[[Any], Any]
    _reverse: Callable[[Callable, dict[str, Any]], tuple[Reverse, dict[str, Any]]]

    def _drawn(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return t (N,) and ε (N, …) as a step of `Trainer` draws them for a batch, with a seed from the generator.

        On a device the step comes last, in one or more shards, after images that measure its memory.
        """
        seen: list[tuple[np.ndarray, np.ndarray]] = []

        def objective(schedule: Schedule, model: Any, x_0: Any, t: Any, noise: Any) -> Tensor:
            seen.append((to_host(t), to_host(noise)))
            return model.weight * self.backend.xp.ones(t.shape, dtype=x_0.dtype)

        zeros = self.backend.to_device(np.zeros(1), self.dtype)
        Trainer(Zero(zeros), self._schedule, objective, seed=int(rng.integers(2**63)), shards=1).step(np.zeros(shape))
        found = [seen.pop()]
        while sum(len(t) for t, _ in found) < shape[0]:
            found.insert(0, seen.pop())
        return np.concatenate([t for t, _ in found]), np.concatenate([noise for _, noise in found])

    def _line(self, name: str, model: Callable, x: np.ndarray, *log_q: Callable, **options: Any) -> Any:
        """Compute a line of appendix A on a trajectory (T + 1, N, …); (24) and (25) also take log_q(x_t, t)."""
        reverse, rest = self._reverse(model, options)
        drawn = Trajectory(reverse, self._carry(x), **rest)
        return self._back(getattr(appendix_a, name)(drawn, *map(self._carry, log_q)))

    def _without_schedule(self, function: Callable, *args: Any, **options: Any) -> Any:
        return self._back(function(*map(self._carry, args), **options))

    def log_variance(self, variance: Any, *args: Any) -> Any:
        """Call `log_variance`, whose `variance` may be a table, which stays on the host."""
        return self._back(diffusion.log_variance(self._schedule, variance, *map(self._carry, args)))

    def log_normal(self, *args: Any) -> Any:
        return self._without_schedule(diffusion.log_normal, *args)

    def langevin_step(self, *args: Any) -> Any:
        return self._without_schedule(diffusion.langevin_step, *args)

    def distortion(self, *args: Any) -> Any:
        return self._without_schedule(diffusion.distortion, *args)

    def guided(self, model: Callable, label: np.ndarray, none: int, weight: float, x: np.ndarray, t: np.ndarray) -> Any:
        """Return ε̃(x, t)."""
        mixed = diffusion.guided(self._carry(model), self._carry(label), none, weight)
        return self._back(mixed(self._carry(x), self._carry(t)))

    def respace(self, model: Callable, steps: list[int]) -> tuple[np.ndarray, np.ndarray, Callable]:
        """Return β'₁..β'_n, ᾱ'₀..ᾱ'_n, and the respaced model, called at i."""
        fewer = diffusion.respace(Reverse(self._schedule, self._carry(model)), steps)
        betas, alpha_bar = fewer.schedule.beta[1:], fewer.schedule.alpha_bar
        return betas, alpha_bar, lambda x, i: self._back(fewer.model(self._carry(x), self._carry(i)))

    def sample_fewer(self, model: Callable, x_T: np.ndarray, noises: np.ndarray, n: int, **options: Any) -> Any:
        """Return x₀ of Algorithm 2 over n steps."""
        reverse, _ = self._reverse(model, options)
        fewer = diffusion.respace(reverse, diffusion.timesteps(reverse.schedule.T, n))
        return self._back(diffusion.sample_with(fewer, self._carry(x_T), self._carry(noises)))

    def hybrid_gradient(self, output: np.ndarray, *args: np.ndarray, **options: Any) -> Any:
        """Return the gradient of Σ `hybrid_loss` of (x_0, t, noise) by the net's output, (N, …, 2C)."""
        said = Tensor(self._carry(output), requires_grad=True)
        loss = diffusion.hybrid_loss(self._schedule, lambda x, t: said, *map(self._carry, args), **options)
        loss.sum().backward()
        return to_host(said.grad)

    def learned_prior(self, logits: np.ndarray, x_0: np.ndarray) -> Any:
        """Return Σ L_T of a schedule with β_t = σ(w_t), its ᾱ_t, and the gradient of the sum by w."""
        w = Tensor(logits, requires_grad=True)
        schedule = Schedule.learned(w)
        total = diffusion.prior_kl(schedule, x_0).sum()
        total.backward()
        return to_host(total), to_host(schedule.alpha_bar), to_host(w.grad)

    def edm_preconditioning(self, *args: Any) -> Any:
        return self._without_schedule(diffusion.edm_preconditioning, *args)

    # What is computed on the host

    def zero_terminal_snr(self) -> Any:
        """Return β'₁..β'_T."""
        return diffusion.zero_terminal_snr(self._schedule).beta[1:]

    def named_schedule(self, name: str, T: int) -> Any:
        return diffusion.named_schedule(name, T).beta[1:]

    def affine_vlb(self, *args: Any) -> Any:
        return diffusion.affine_vlb(self._schedule, *args)

    def affine_bound_16(self, *args: Any) -> Any:
        return diffusion.affine_bound_16(self._schedule, *args)

    def affine_nll(self, *args: Any) -> Any:
        return np.asarray(diffusion.affine_nll(self._schedule, *args))

    # Data where everything is known: what an object of a class says, by the attribute's name

    def gaussian(self, what: str, mean: Any, variance: Any, *args: Any) -> Any:
        return self._known(diffusion.Gaussian(self._schedule, mean, variance), what, *args)

    def gaussian_full(self, what: str, mean: Any, covariance: Any, *args: Any) -> Any:
        return self._known(diffusion.Gaussian.full(self._schedule, mean, covariance), what, *args)

    def mixture(self, what: str, weights: Any, means: Any, variances: Any, *args: Any) -> Any:
        return self._known(diffusion.Mixture(self._schedule, weights, means, variances), what, *args)

    def atoms(self, what: str, images: Any, weights: Any, *args: Any) -> Any:
        return self._known(diffusion.atoms(self._schedule, images, weights), what, *args)

    def _known(self, data: Any, what: str, *args: Any) -> Any:
        found = getattr(data, what)
        if callable(found):
            of_images = what in ("eps", "x0", "score", "log_q", "responsibilities")  # the rest takes tables on the host
            found = found(*(self._carry(a) if of_images else a for a in args))
        return self._back(found)
