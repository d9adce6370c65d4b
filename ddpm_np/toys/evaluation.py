"""What a net trained on a toy achieves, beside what can be achieved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ddpm_np.backend import get_backend
from ddpm_np.diffusion import prior_kl, q_sample, vlb_terms
from ddpm_np.toys.training import NATS, Trained, fresh


@dataclass(frozen=True)
class Judgement:
    """A net's losses on fresh draws, beside the optimal ones.

    Parameters
    ----------
    loss : float
        L_simple.
    loss_error : float
        Its standard error.
    floor : float
        L_simple of the exact ε* on the same draws: no net's expected loss is lower.
    excess : float
        E‖ε_θ − ε*‖² per dimension, the expectation of loss − floor: the noise cancels in it.
    bound : float
        The bound (5), in nats per dimension.
    gap : float
        The bound minus the data's entropy per dimension, estimated on the same points: its expectation is at least 0.
    gap_error : float
        Its standard error.
    prior : float
        L_T in nats per dimension, a part of the gap.
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
    """Compute a trained net's losses on `n` fresh draws of (x₀, t, ε), and the bound on `points` fresh x₀.

    Parameters
    ----------
    trained : Trained
        The trained net.
    n : int
        Draws for the losses.
    points : int
        Points for the bound.
    seed : int
        Seed of the draws.

    Returns
    -------
    Judgement
        The losses and the bound, beside the optimal ones.
    """
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
    """Compute the terms of the bound on fresh points.

    Parameters
    ----------
    trained : Trained
        The trained net.
    n : int
        Number of points.
    seed : int
        Seed of the points and the noise.

    Returns
    -------
    list of (int, array of shape (n,))
        The terms (T + 1, L_T), …, (1, L₀) in nats per dimension.
    """
    device, x_0 = get_backend(), fresh(trained.toy, n, seed)[0]
    found = vlb_terms(trained.reverse, x_0, lambda t: device.normal(seed, "toy/bound", t, 0, n, (2,), "float32"),
                      levels=None)
    return [(t, term.astype(np.float64) * NATS) for t, term in found]


def standard_error(values: np.ndarray) -> float:
    """Return the standard error s/√n of the mean of independent draws.

    Parameters
    ----------
    values : array of shape (n,)
        The draws.

    Returns
    -------
    float
        The standard error.
    """
    return float(values.std(ddof=1) / math.sqrt(len(values)))
