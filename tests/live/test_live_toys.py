"""A toy trained in a page: what is streamed, that it learns, and that it is the package's own training."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ddpm_live import calls, toys
from ddpm_live.calls import CALLS, Trouble

import ddpm_np.toys
from ddpm_np.training.trainer import Trainer, TrainingDiverged

STEPS = 2 * toys.LEAST


def train(**settings):
    """Return all items of a call."""
    return list(CALLS["train_toy"](**settings))


@pytest.fixture(scope="module")
def items():
    return train(name="moons", steps=STEPS, seed=3)


def test_items_come_in_order_with_their_shapes(items):
    first, last = items[0], items[-1]
    assert (first["steps"], first["T"], first["data"].shape) == (STEPS, toys.T, (toys.POINTS, 2))
    assert [item["step"] for item in items if "loss" in item] == list(range(1, STEPS + 1))
    states = [(item["step"], item["t"]) for item in items if "points" in item]
    shown = [t for t in range(toys.T) if t % toys.SHOWN == 0][::-1]
    assert states == [(step, t) for step in (toys.LEAST, STEPS) for t in shown]
    assert all(item["points"].shape == (toys.POINTS, 2) for item in items if "points" in item)
    assert set(last) == {"achieved", "floor"}


def test_every_item_is_json(items):
    for item in items:
        json.dumps(item, default=calls.plain, allow_nan=False)


def test_the_loss_falls_and_the_points_come_near_the_data(items):
    losses = [item["loss"] for item in items if "loss" in item]
    assert losses[-1] < losses[0] / 3
    data, points = items[0]["data"], [item["points"] for item in items if "points" in item][-1]
    nearest = np.sqrt(np.square(points[:, None] - data).sum(axis=2)).min(axis=1)  # (N,)
    assert np.median(nearest) < 0.3  # of noise beside the moons it is 0.6
    assert items[-1]["floor"] < items[-1]["achieved"] < 2 * items[-1]["floor"]


def test_losses_and_points_are_those_of_the_packages_training(items):
    settings = ddpm_np.toys.Settings(steps=STEPS, batch=toys.BATCH, T=toys.T, seed=3, ema=toys.EMA,
                                     learn_variance=False)
    trained = ddpm_np.toys.train(ddpm_np.toys.toy("moons"), settings)
    losses = [state.records[-1].loss for state in ddpm_np.toys.train_stepwise(ddpm_np.toys.toy("moons"), settings)]
    weights = toys.SMOOTHING ** np.arange(STEPS)[::-1]  # the definition of the average
    want = np.dot(weights, losses) / weights.sum()
    assert [item["loss"] for item in items if "loss" in item][-1] == pytest.approx(want, rel=1e-12)
    points = [item["points"] for item in items if "points" in item][-1]
    assert (points == trained.chain(toys.POINTS, seed=3)[0].round(3)).all()


def test_another_seed_gives_other_points():
    first, second = (next(CALLS["train_toy"](seed=seed))["data"] for seed in (0, 1))
    assert not (first == second).any()


@pytest.mark.parametrize(("settings", "message"), [
    ({"name": "moon"}, "no toy is called 'moon': did you mean 'moons'?"),
    ({"steps": 5}, "steps must be from 100 to 1,000, got 5"),
    ({"steps": 10**6}, "steps must be from 100 to 1,000, got 1000000"),
    ({"steps": 150.5}, "steps must be an int, got 150.5"),
    ({"seed": -1}, "seed must be"),
])
def test_a_bad_argument_is_one_line(settings, message):
    with pytest.raises(Trouble) as caught:
        train(**settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_training_that_diverges_is_one_line(monkeypatch):
    def diverged(*args):
        raise TrainingDiverged("a loss was not finite: try a smaller learning_rate")
        yield

    monkeypatch.setattr(Trainer, "run", diverged)
    with pytest.raises(Trouble, match="not finite"):
        train()


def test_a_training_that_is_stopped_leaves_nothing_behind():
    calls.start(7, "train_toy", '{"steps": 100}')
    for _ in range(5):
        assert json.loads(calls.advance(7))
    calls.stop(7)
    assert 7 not in calls._running
    calls.start(7, "train_toy", '{"steps": 100, "seed": 3}')
    assert json.loads(calls.advance(7))["steps"] == 100
    calls.stop(7)
