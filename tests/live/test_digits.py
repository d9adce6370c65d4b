"""Digits drawn in a page: the images are those of `ddpm_np.sample`, and the page's weights those of the package."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ddpm_live import calls, checking, digits
from ddpm_live.calls import CALLS, Trouble

from ddpm_np import load, sample, trained
from ddpm_np.data import to_levels
from ddpm_np.diffusion.ddim import step as ddim_step
from ddpm_np.runs import weights
from ddpm_np.runs.sample import progressive_predictions
from ddpm_np.sampling import Sampler

LIVE = Path(__file__).resolve().parents[2] / "docs" / "_live"
SETTINGS = [
    {"sampler": "ddim", "steps": 4},
    {"sampler": "ddim", "steps": 3, "eta": 0.7, "seed": 5},
    {"sampler": "ddim", "steps": 3, "label": 3, "guidance": 2.0},
    {"sampler": "ddpm", "steps": 5, "label": 0},
    {"sampler": "ddpm", "steps": 100, "count": 1},
]


def draw(**settings):
    """Return all items of a call."""
    return list(CALLS["draw_digits"](**settings))


@pytest.fixture
def packing(monkeypatch):
    """docs/_live/weights.py as a module."""
    monkeypatch.syspath_prepend(LIVE)
    yield importlib.import_module("weights")
    del sys.modules["weights"]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_digits_are_those_of_sample(settings):
    given = {"count": 2, "seed": 0, "eta": 0.0, "label": None, "guidance": 0.0} | settings
    options = {"seed": given["seed"], "labels": given["label"], "guidance": given["guidance"], "workers": 1,
               "sampler": Sampler(given["sampler"], given["steps"], eta=given["eta"])}
    items = draw(**given)
    want = to_levels(sample(load("digits"), given["count"], **options)).reshape(given["count"], -1)
    assert (items[-1]["x"] == want).all()
    seen = progressive_predictions(load("digits"), given["count"], places=given["steps"] + 1, **options)
    for item, x0 in zip(items[1:], seen[:, :-1].swapaxes(0, 1), strict=True):  # x̂₀ of each step
        assert (item["x0"] == to_levels(x0).reshape(given["count"], -1)).all()


def test_items_come_in_order_with_their_shapes():
    first, *steps = draw(count=3, steps=4)
    assert (first["size"], first["visits"], first["t"]) == ((8, 8), [100, 75, 50, 25], 100)
    assert [(item["seen"], item["t"]) for item in steps] == [(100, 75), (75, 50), (50, 25), (25, 0)]
    assert all(item[name].shape == (3, 64) for item in steps for name in ("x", "x0"))
    assert all(item[name].dtype == np.uint8 for item in steps for name in ("x", "x0"))
    for item in (first, *steps):
        json.dumps(item, default=calls.plain)


def test_an_image_is_the_same_in_any_number():
    assert (draw(count=1, steps=2)[-1]["x"][0] == draw(count=5, steps=2)[-1]["x"][0]).all()


def test_a_readers_change_shows_and_can_be_taken_back():
    before = draw(count=1, steps=2)[-1]["x"]
    source = inspect.getsource(ddim_step).replace("sqrt_alpha_bar * x0_hat", "sqrt_alpha_bar * x0_hat / 2")
    try:
        checking.put({"diffusion.ddim.step": source})
        assert not (draw(count=1, steps=2)[-1]["x"] == before).all()
    finally:
        checking.put({})
    assert (draw(count=1, steps=2)[-1]["x"] == before).all()


@pytest.mark.parametrize(("settings", "message"), [
    ({"count": 0}, "count must be from 1 to 16, got 0"),
    ({"count": 17}, "count must be from 1 to 16, got 17"),
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"steps": 101}, "101"),
    ({"label": 10, "guidance": 0.0}, "label must be from 0 to 9, got 10"),
    ({"label": "three"}, "label must be an int, got 'three'"),
    ({"guidance": 1.0}, "pass a label"),
    ({"label": 1, "guidance": -1.0}, "guidance must be at least 0, got -1"),
    ({"eta": 1.5}, "eta must be from 0 to 1, got 1.5"),
    ({"seed": "x"}, "seed must be"),
    ({"sampler": "langevin"}, "sampler must be one of 'ddim', 'ddpm', got 'langevin'"),
])
def test_a_bad_argument_is_one_line(settings, message):
    with pytest.raises(Trouble) as caught:
        draw(**settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_that_are_not_finite_are_one_line(monkeypatch):
    monkeypatch.setattr(digits.ImageGenerator, "chain", lambda *args: iter([(0, np.full((1, 8, 8, 1), np.nan), None)]))
    with pytest.raises(Trouble, match="not finite"):
        draw(count=1, steps=1)


def test_a_drawing_that_is_stopped_leaves_nothing_behind():
    calls.start(9, "draw_digits", '{"count": 1, "steps": 10}')
    assert json.loads(calls.advance(9))["t"] == 100
    assert json.loads(calls.advance(9))["t"] == 90
    calls.stop(9)
    assert 9 not in calls._running
    assert (draw(count=1, steps=2)[-1]["x"] == draw(count=1, steps=2)[-1]["x"]).all()


def test_the_pages_weights_are_the_packages(packing, tmp_path):
    files = packing.weights_for_page(trained.path_of("digits"))
    assert sum(map(len, files.values())) < 1_450_000
    assert files == packing.weights_for_page(trained.path_of("digits"))  # the same bytes in every build
    assert {Path(name).parent for name in files} == {Path("ddpm_live") / digits.FOLDER.name}
    for name, content in files.items():
        (tmp_path / Path(name).name).write_bytes(content)
    kept, want = digits.unpacked(tmp_path), weights.read(trained.path_of("digits"))
    assert (kept.config, kept.step, kept.licence, kept.credit) == (want.config, want.step, want.licence, want.credit)
    assert list(kept.tensors) == list(want.tensors)
    for name, tensor in want.tensors.items():
        assert kept.tensors[name].dtype == np.float16
        assert (kept.tensors[name] == tensor).all()
        assert kept.tensors[name].shape == tensor.shape


def test_digits_from_the_pages_weights_are_the_same(packing, tmp_path, monkeypatch):
    want = draw(count=1, steps=2)[-1]["x"]
    for name, content in packing.weights_for_page(trained.path_of("digits")).items():
        (tmp_path / Path(name).name).write_bytes(content)
    monkeypatch.setattr(digits, "FOLDER", tmp_path)
    digits.net.cache_clear()
    try:
        assert (draw(count=1, steps=2)[-1]["x"] == want).all()
    finally:
        digits.net.cache_clear()
