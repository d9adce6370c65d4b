"""Train a small net on points of the plane: mean and variance, optionally the forward variances as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ddpm_np import arguments
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
    q_sample,
    respace,
    simple_loss,
    step_noise,
    timesteps,
)
from ddpm_np.models import MLP, MLPConfig
from ddpm_np.nn import Module
from ddpm_np.sampling.predictor import predictor
from ddpm_np.toys.data import Toy
from ddpm_np.training.trainer import Record, Trainer

NATS = math.log(2)  # nats in a bit
_STEPS = "the chain takes some of the 1,000 steps of the paper's schedule"


def toy_schedule(T: int = 100) -> Schedule:
    """Return a schedule of T of the paper's 1,000 steps: larger steps with the paper's marginals.

    With fewer steps, β₁..β_T must be larger for x_T to be noise; respacing fixes them for any T from 2 to 1,000.

    Parameters
    ----------
    T : int
        Number of steps.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    ValueError
        If T is not from 2 to 1,000.

    Examples
    --------
    >>> s = toy_schedule(100)
    >>> bool(abs(s.alpha_bar[50] - linear_schedule(1000).alpha_bar[500]) < 1e-15)
    True
    """
    arguments.count("T", T, 2, 1000, _STEPS)
    schedule = linear_schedule(1000)
    return respace(Reverse(schedule, lambda x, t: x), timesteps(1000, T)).schedule


@dataclass(frozen=True)
class Settings:
    """Settings of a training run on a toy.

    Parameters
    ----------
    steps : int
        Training steps.
    batch : int
        Points in a batch.
    T : int
        Steps of the chain.
    seed : int
        Seed of data, weights and noise.
    learn_beta : bool
        Learn β₁..β_T too, starting from the toy schedule.
    learn_variance : bool
        Learn σ_t² too; without, the loss is L_simple and σ_t² = β̃_t, as in the paper.
    lr : float
        Learning rate at the first step; it falls linearly to 0.
    ema : float
        Decay of the weights' moving average.
    model : MLPConfig
        The net, with 2·D outputs: a mean and a variance. Without `learn_variance` it has D outputs all the same.

    Raises
    ------
    ValueError
        If a number is out of range, or β is learned without the variance.
    TypeError
        If a number has another type.
    """

    steps: int = 1000
    batch: int = 512
    T: int = 100
    seed: int = 0
    learn_beta: bool = False
    learn_variance: bool = True
    lr: float = 1e-2
    ema: float = 0.99
    model: MLPConfig = field(default_factory=partial(MLPConfig, outputs=4))

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            arguments.count(name, getattr(self, name))
        arguments.count("T", self.T, 2, 1000, _STEPS)
        arguments.seed(self.seed)
        arguments.number("lr", self.lr, above=0)
        arguments.number("ema", self.ema, least=0, most=1)
        if self.learn_beta and not self.learn_variance:
            raise ValueError("learn_beta trains by the bound, which trains the variance too: leave "
                             "learn_variance = False out")


class LearnedForward(Module):
    """A net together with learned forward variances β_t = σ(w_t), the w_t being trained like other parameters.

    Parameters
    ----------
    net : Module
        The net, ``net(x, t)``.
    schedule : Schedule
        The initial β₁..β_T.
    """

    def __init__(self, net: Module, schedule: Schedule):
        self.net = net
        beta = schedule.beta[1:]
        self.logits: Any = Tensor(np.log(beta / (1 - beta)).astype(np.float32), requires_grad=True)  # (T,)

    def __call__(self, x: Any, t: Any) -> Tensor:
        return self.net(x, t)

    def schedule(self) -> Schedule:
        """Return the schedule as Tensors, with gradients to the logits w.

        Returns
        -------
        Schedule
            The schedule.
        """
        return Schedule.learned(self.logits)

    def numbers(self) -> Schedule:
        """Return the schedule as plain arrays, for evaluation and sampling.

        Returns
        -------
        Schedule
            The schedule.
        """
        return Schedule.from_betas(to_host(self.schedule().beta)[1:])


def learned_forward_loss(schedule: Schedule, model: LearnedForward, x_0: Any, t: Any, noise: Any) -> Any:
    """Return the bound (5), including L_T, at the model's own schedule.

    x_t is drawn with the learned ᾱ_t, so the gradient by w is that of all of (5): of x_t, of the posteriors that the
    net is compared with, of the range of σ², and of L_T.

    Parameters
    ----------
    schedule : Schedule
        Ignored: the loss uses the model's schedule.
    model : LearnedForward
        The net and its forward variances.
    x_0 : array of shape (N, D)
        The data.
    t : int array of shape (N,)
        The steps.
    noise : array of shape (N, D)
        The noise ε.

    Returns
    -------
    Tensor of shape (N,)
        The bound in bits per dimension.
    """
    return bound_loss(model.schedule(), model, x_0, t, noise, variance="learned_range", levels=None)


class Draws(Sequence[Any]):
    """Batches of fresh points: batch k holds the points k·size .. (k + 1)·size − 1 of a seed.

    Parameters
    ----------
    toy : Toy
        The toy.
    size : int
        Points in a batch.
    seed : int
        The seed.
    """

    def __init__(self, toy: Toy, size: int, seed: int):
        self.toy, self.size, self.seed = toy, size, seed

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, step: Any) -> tuple[np.ndarray, None]:
        return self.toy.sample(self.size, self.seed, step * self.size), None


@dataclass(frozen=True)
class Trained:
    """A net that has learned a toy.

    Parameters
    ----------
    toy : Toy
        The toy.
    settings : Settings
        The settings of its training.
    start : Schedule
        The schedule before training.
    schedule : Schedule
        The schedule after training; the same unless β was learned.
    predict : callable
        The net's output (x_t, t) -> (N, 4): ε_θ, and the position of ln σ² between ln β̃_t and ln β_t; where the
        variance is not learned, ε_θ alone, (N, 2).
    records : list of Record
        The training log.
    """

    toy: Toy
    settings: Settings
    start: Schedule
    schedule: Schedule
    predict: Denoiser
    records: list[Record]

    @property
    def reverse(self) -> Reverse:
        """The reverse process with the learned mean, and the learned variance or β̃_t."""
        return Reverse(self.schedule, self.predict,
                       variance="learned_range" if self.settings.learn_variance else "small")

    def chain(self, n: int, seed: int = 0) -> np.ndarray:
        """Sample by Algorithm 2 with the learned variance.

        Parameters
        ----------
        n : int
            Number of points.
        seed : int
            Seed of the noise.

        Returns
        -------
        array of shape (T + 1, n, 2)
            The chain x₀, x₁, …, x_T; row t is x_t.
        """
        device = get_backend()
        x_T = first_noise(device, seed, self.schedule, 0, n, (2,))
        noise_at = step_noise(device, seed, 0, n, (2,))
        return np.stack([x_T, *(x for _, x, _ in ancestral(self.reverse, x_T, noise_at))])[::-1]

    def variances(self, t: int, n: int = 600, seed: int = 1) -> tuple[float, float]:
        """Return the learned σ_t² and the optimal one, each a mean over x_t and the dimensions.

        The optimal one is E[Var(x_{t−1} | x_t)] = β̃_t + E(μ̃_t(x₀, x_t) − μ*(x_t))², where μ* is (7) at E[x₀ | x_t],
        estimated from draws of (x₀, x_t) with the exact posterior.

        Parameters
        ----------
        t : int
            The step.
        n : int
            Number of draws.
        seed : int
            Seed of the draws.

        Returns
        -------
        learned : float
            The mean of the learned σ_t².
        best : float
            The mean of the optimal one.
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
    """Draw x₀ and ε for an evaluation, which training has not seen.

    Parameters
    ----------
    toy : Toy
        The toy.
    n : int
        Number of points.
    seed : int
        The seed.

    Returns
    -------
    x_0 : array of shape (n, 2)
        The points.
    noise : array of shape (n, 2)
        The noise.
    """
    noise = get_backend().normal(seed, "toy/evaluation", 0, 0, n, (2,), "float32")
    return toy.sample(n, seed, first=2**48), noise


def train(toy: Toy, settings: Settings | None = None,
          on_step: Callable[[int, Record | None], Any] = lambda step, record: None) -> Trained:
    """Train a net on a toy by Algorithm 1.

    The loss is `hybrid_loss` with λ = 1/T: L_simple for the mean, the average of the bound's terms for the variance.
    With `learn_beta` the loss is the bound, because L_simple does not rank choices of β. Without `learn_variance` it is
    L_simple.

    Parameters
    ----------
    toy : Toy
        The toy.
    settings : Settings or None
        The settings; None: the defaults.
    on_step : callable
        Called after each step with the step and the latest record, or None before the first.

    Returns
    -------
    Trained
        The trained net with its average weights.
    """
    settings = settings or Settings()
    *_, trained = train_stepwise(toy, settings, max(1, settings.steps // 20), on_step)
    return trained


def train_stepwise(toy: Toy, settings: Settings | None = None, every: int = 1,
                   on_step: Callable[[int, Record | None], Any] = lambda step, record: None) -> Iterator[Trained]:
    """Train a net on a toy as `train` does, and yield it as it is after every few steps.

    Parameters
    ----------
    toy : Toy
        The toy.
    settings : Settings or None
        The settings; None: the defaults.
    every : int
        Steps between two records of the log, at each of which the net is yielded.
    on_step : callable
        As in `train`.

    Yields
    ------
    Trained
        The net with its average weights, and the log so far. Its `predict` uses the weights as they are when it is
        called, so what is asked of it later is asked of a net that has learned more.

    Raises
    ------
    ValueError
        If `every` is below 1.

    Examples
    --------
    >>> from ddpm_np.toys import toy
    >>> [trained.records[-1].step for trained in train_stepwise(toy("moons"), Settings(steps=5, batch=8), every=2)]
    [2, 4, 5]
    """
    arguments.count("every", every)
    settings = settings or Settings()
    start = toy_schedule(settings.T)
    net = MLP(settings.model if settings.learn_variance else replace(settings.model, outputs=None), seed=settings.seed)
    model: Module = LearnedForward(net, start) if settings.learn_beta else net
    objective: Any = simple_loss
    if settings.learn_variance:
        objective = learned_forward_loss if settings.learn_beta else partial(
            hybrid_loss, weight=1 / settings.T, levels=None)
    trainer = Trainer(model, start, objective, lr=settings.lr, warmup=50, ema=settings.ema, seed=settings.seed,
                      workers=1)
    predict, average, records = predictor(trainer), trainer.ema.model, list[Record]()

    def after(step: int) -> None:
        trainer.adam.lr = settings.lr * (1 - step / settings.steps)
        on_step(step, records[-1] if records else None)

    draws = Draws(toy, settings.batch, settings.seed)
    for record in trainer.run(draws, settings.steps, every, after):
        records.append(record)
        schedule = average.numbers() if isinstance(average, LearnedForward) else start
        yield Trained(toy, settings, start, schedule, predict, [*records])
