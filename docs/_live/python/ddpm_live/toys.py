"""A small net that learns points of the plane while the reader looks on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_live.calls import Items, Trouble, call
from ddpm_live.line import in_one_line
from ddpm_np import arguments, toys
from ddpm_np.diffusion import draw
from ddpm_np.training.trainer import TrainingDiverged

LEAST, MOST = 100, 1000  # training steps; 400 take a laptop ten seconds
BATCH, T = 256, 50  # half those of `toys.Settings`: a third of the time, and nearly as good
EMA = 0.98  # decay of the average of the weights: for hundreds of steps, not for thousands
POINTS = 300  # drawn from the data, and from the net
PICTURES = 4  # times in a run that points are drawn from the net, none before step LEAST: they would be far away
SHOWN = 5  # steps of the chain between two of its states that are shown
SMOOTHING = 0.95  # decay of the moving average of the loss


@call
@in_one_line
def train_toy(name: str = "moons", steps: int = 400, seed: int = 0) -> Items:
    """Train a net on a toy by L_simple, and draw points from it now and then, always from the same noise.

    Parameters
    ----------
    name : str
        A name in `toys.TOYS`.
    steps : int
        Training steps.
    seed : int
        Seed of data, weights and noise.

    Yields
    ------
    dict
        At first ``data`` [[x, y], …] with ``steps`` and ``T``. After each training step ``step`` and ``loss``, a moving
        average. While points are drawn, ``step``, ``t`` and ``points``, the chain's state x_t. At last ``achieved``,
        L_simple of the net on fresh draws, and ``floor``, that of the exact ε* on the same draws.

    Raises
    ------
    Trouble
        If an argument is out of range, or the training diverged.
    """
    toy = toys.toy(name)
    arguments.count("steps", steps, LEAST, MOST, "fewer do not suffice, more take long")
    settings = toys.Settings(steps=steps, batch=BATCH, T=T, seed=seed, ema=EMA, learn_variance=False)
    yield {"data": toy.sample(POINTS, seed).round(3), "steps": steps, "T": T}
    every, loss, weight = max(LEAST, steps // PICTURES), 0.0, 0.0
    try:
        for trained in toys.train_stepwise(toy, settings):
            record = trained.records[-1]
            loss = SMOOTHING * loss + (1 - SMOOTHING) * record.loss
            weight = SMOOTHING * weight + (1 - SMOOTHING)  # the share of the losses so far; the rest is the 0 before
            yield {"step": record.step, "loss": loss / weight}
            if record.step % every == 0 and record.step < steps:
                yield from drawn(trained, seed)
    except TrainingDiverged as error:
        raise Trouble(str(error)) from error
    yield from drawn(trained, seed)
    found = toys.judge(trained, n=2000, points=20)
    yield {"achieved": found.loss, "floor": found.floor}


def drawn(trained: toys.Trained, seed: int) -> Items:
    """Draw points by Algorithm 2; yields some of the chain's states, and an empty dict for the others."""
    step = trained.records[-1].step
    for t, x, _ in draw(trained.reverse, POINTS, (2,), seed=seed):
        yield state(step, t, x) if t % SHOWN == 0 else {}


def state(step: int, t: int, x: np.ndarray) -> dict[str, Any]:
    """Return the item for the points x_t, to three decimals."""
    return {"step": step, "t": t, "points": x.round(3)}
