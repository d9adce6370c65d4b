"""A small net on points of the plane: mean and variance learned, and the forward variances too if one likes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import get_backend, to_host
from ddpm_np.diffusion import (
    Denoiser,
    Reverse,
    Schedule,
    ancestral,
    bound_loss,
    first_noise,
    hybrid_loss,
    linear_schedule,
    p_mean_variance,
    posterior_mean,
    prior_kl,
    q_sample,
    respace,
    step_noise,
    timesteps,
    vlb_terms,
)
from ddpm_np.models import MLP, MLPConfig
from ddpm_np.nn import Module
from ddpm_np.sampling.predictor import predictor
from ddpm_np.toys.data import Toy
from ddpm_np.training.trainer import Record, Trainer

NATS = math.log(2)  # bits to nats


def toy_schedule(T: int = 100) -> Schedule:
    """T of the paper's 1,000 steps: a chain of fewer, larger steps with the paper's marginals at those.

    β₁..β_T would have to grow in any case for x_T to be noise; this says how, for any T from 2 to 1,000.

    >>> s = toy_schedule(100)
    >>> bool(abs(s.alpha_bar[50] - linear_schedule(1000).alpha_bar[500]) < 1e-15)
    True
    """
    if not 2 <= T <= 1000:
        raise ValueError(f"T must be from 2 to 1000, steps of the paper's schedule, got {T}")
    schedule = linear_schedule(1000)
    return respace(Reverse(schedule, lambda x, t: x), timesteps(1000, T)).schedule


@dataclass(frozen=True)
class Settings:
    """How a net is trained on a toy.

    Attributes
    ----------
    steps, batch, T, seed : int
    learn_beta : bool
        Whether β₁..β_T are learned, from the toy schedule's on.
    lr : float
        The learning rate of the first step; it falls to 0 along a straight line.
    ema : float
        Decay of the weights' average.
    model : MLPConfig
        With 2·D outputs: a mean and a variance.
    """

    steps: int = 1000
    batch: int = 512
    T: int = 100
    seed: int = 0
    learn_beta: bool = False
    lr: float = 1e-2
    ema: float = 0.99
    model: MLPConfig = field(default_factory=partial(MLPConfig, outputs=4))

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class LearnedForward(Module):
    """A net and the forward variances that it is trained with: β_t = σ(w_t), the w_t being parameters like others.

    Parameters
    ----------
    net
        ``net(x, t)``.
    schedule
        β₁..β_T to begin with.
    """

    def __init__(self, net: Module, schedule: Schedule):
        self.net = net
        beta = schedule.beta[1:]
        self.logits: Any = Tensor(np.log(beta / (1 - beta)).astype(np.float32), requires_grad=True)  # (T,)

    def __call__(self, x: Any, t: Any) -> Tensor:
        return self.net(x, t)

    def schedule(self) -> Schedule:
        """The schedule with gradients to the logits."""
        return Schedule.learned(self.logits)

    def numbers(self) -> Schedule:
        """The same schedule as plain numbers, to evaluate and to sample with."""
        return Schedule.from_betas(to_host(self.schedule().beta)[1:])


def learned_forward_loss(schedule: Schedule, model: LearnedForward, x_0: Any, t: Any, noise: Any) -> Any:
    """The bound (5), L_T with it, at the model's own schedule instead of the one given; (N,) bits per dimension.

    x_t is drawn through the learned ᾱ_t, so the gradient by w is that of all of (5): of the noise that x₀ is seen
    through, of the posteriors that the net is compared with, of the range of σ², and of L_T.
    """
    return bound_loss(model.schedule(), model, x_0, t, noise, variance="learned_range", levels=None)


class Draws(Sequence[Any]):
    """Fresh points for every step: batch k is the points k·size .. (k + 1)·size − 1 of a seed."""

    def __init__(self, toy: Toy, size: int, seed: int):
        self.toy, self.size, self.seed = toy, size, seed

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, step: Any) -> tuple[np.ndarray, None]:
        return self.toy.sample(self.size, self.seed, step * self.size), None


@dataclass(frozen=True)
class Trained:
    """A net that has learned a toy.

    Attributes
    ----------
    toy : Toy
    settings : Settings
    start, schedule : Schedule
        β before and after training: the same unless they were learned.
    predict : callable
        (x_t, t) -> (N, 4): ε_θ, and the place of ln σ² between ln β̃_t and ln β_t.
    records : list of Record
    """

    toy: Toy
    settings: Settings
    start: Schedule
    schedule: Schedule
    predict: Denoiser
    records: list[Record]

    @property
    def reverse(self) -> Reverse:
        """The reverse process with the learned mean and variance."""
        return Reverse(self.schedule, self.predict, variance="learned_range")

    def chain(self, n: int, seed: int = 0) -> np.ndarray:
        """x₀, x₁, …, x_T of Algorithm 2 with the learned variance: (T + 1, n, 2), row t being x_t."""
        device = get_backend()
        x_T = first_noise(device, seed, self.schedule, 0, n, (2,))
        noise_at = step_noise(device, seed, 0, n, (2,))
        return np.stack([x_T, *(x for _, x, _ in ancestral(self.reverse, x_T, noise_at))])[::-1]

    def variances(self, t: int, n: int = 600, seed: int = 1) -> tuple[float, float]:
        """σ_t² that the net learned, and the best there is: both as means over x_t and the dimensions.

        The best is E[Var(x_{t−1} | x_t)] = β̃_t + E(μ̃_t(x₀, x_t) − μ*(x_t))², μ* being (7) at E[x₀ | x_t]: figures of
        the exact posterior, by draws of (x₀, x_t).
        """
        s, (x_0, noise) = self.schedule, fresh(self.toy, n, seed)
        steps = np.full(n, t)
        x_t = q_sample(s, x_0, steps, noise)
        learned = p_mean_variance(self.reverse, x_t, steps)[1]
        x_0, x_t = x_0.astype(np.float64), x_t.astype(np.float64)
        known = self.toy.oracle(s, 400).x0(x_t, steps)  # (n, 2)
        missed = posterior_mean(s, x_0, x_t, steps) - posterior_mean(s, known, x_t, steps)
        return float(learned.mean()), float(s.beta_tilde[t] + np.square(missed).mean())


def fresh(toy: Toy, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x₀ and ε of an evaluation, (n, 2) each: draws that training did not see."""
    noise = get_backend().normal(seed, "toy/evaluation", 0, 0, n, (2,), "float32")
    return toy.sample(n, seed, first=2**48), noise


def train(toy: Toy, settings: Settings | None = None,
          on_step: Callable[[int, Record | None], Any] = lambda step, record: None) -> Trained:
    """Train a net on a toy by Algorithm 1.

    Mean and variance by `hybrid_loss` with λ = 1/T: L_simple, and for the variance the mean of the bound's terms. With
    `learn_beta` all by the bound: L_simple says nothing of which β are good.

    Parameters
    ----------
    on_step
        (step, the record of the last steps or None), called after each step.
    """
    settings = settings or Settings()
    start = toy_schedule(settings.T)
    net = MLP(settings.model, seed=settings.seed)
    model: Module = LearnedForward(net, start) if settings.learn_beta else net
    objective: Any = learned_forward_loss if settings.learn_beta else partial(
        hybrid_loss, weight=1 / settings.T, levels=None)
    trainer = Trainer(model, start, objective, lr=settings.lr, warmup=50, ema=settings.ema, seed=settings.seed,
                      workers=1)
    records: list[Record] = []

    def after(step: int) -> None:
        trainer.adam.lr = settings.lr * (1 - step / settings.steps)
        on_step(step, records[-1] if records else None)

    draws = Draws(toy, settings.batch, settings.seed)
    records.extend(trainer.run(draws, settings.steps, max(1, settings.steps // 20), after))
    average = trainer.ema.model
    schedule = average.numbers() if isinstance(average, LearnedForward) else start
    return Trained(toy, settings, start, schedule, predictor(trainer), records)


@dataclass(frozen=True)
class Judgement:
    """What a net achieves on fresh draws, beside what can be achieved.

    Attributes
    ----------
    loss, loss_error : float
        L_simple and its standard error.
    floor : float
        L_simple of the exact ε* on the same draws: no net has less, but for chance.
    excess : float
        E‖ε_θ − ε*‖² per dimension, which is the loss's expectation above the floor's: the noise falls out.
    bound : float
        The bound (5), in nats per dimension.
    gap, gap_error : float
        The bound less −ln q(x₀) of the same points, which is the entropy on average: what the bound loses; and its
        standard error. No model's is below 0, but for chance.
    prior : float
        L_T, in nats per dimension: a part of the gap.
    """

    loss: float
    loss_error: float
    floor: float
    excess: float
    bound: float
    gap: float
    gap_error: float
    prior: float


def judge(trained: Trained, n: int = 5000, points: int = 500, seed: int = 2) -> Judgement:
    """Losses of a trained net on `n` fresh draws of (x₀, t, ε), and the bound on `points` fresh x₀."""
    s, oracle = trained.schedule, trained.toy.oracle(trained.schedule, 400)
    x_0, noise = fresh(trained.toy, n, seed)
    t = get_backend().integers(seed, "toy/t", 0, 0, n, 1, s.T)  # (n,)
    x_t = q_sample(s, x_0, t, noise)
    eps, best = trained.predict(x_t, t)[:, :2], oracle.eps(x_t, t)  # (n, 2) each
    losses = np.square(noise - eps).mean(axis=1)  # (n,)
    per_point = np.sum([term for _, term in bound_terms(trained, points, seed)], axis=0)  # (points,)
    some = fresh(trained.toy, points, seed)[0]  # (points, 2)
    gap = per_point + trained.toy.oracle(s).log_q(some.astype(np.float64), np.zeros(points, np.int64)) / 2  # (points,)
    return Judgement(
        loss=float(losses.mean()), loss_error=standard_error(losses),
        floor=float(np.square(noise - best).mean()), excess=float(np.square(eps - best).mean()),
        bound=float(per_point.mean()), gap=float(gap.mean()), gap_error=standard_error(gap),
        prior=float(prior_kl(s, some).mean()) * NATS)


def bound_terms(trained: Trained, n: int, seed: int) -> list[tuple[int, np.ndarray]]:
    """(T + 1, L_T), …, (1, L₀) of n fresh points: (n,) each, nats per dimension."""
    device, x_0 = get_backend(), fresh(trained.toy, n, seed)[0]
    found = vlb_terms(trained.reverse, x_0, lambda t: device.normal(seed, "toy/bound", t, 0, n, (2,), "float32"),
                      levels=None)
    return [(t, term.astype(np.float64) * NATS) for t, term in found]


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent draws (n,): s/√n."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))
