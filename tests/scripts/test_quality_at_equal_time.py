"""scripts/quality_at_equal_time.py at a tiny setting: both nets are trained, drawn from and judged."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from ddpm_np.data import Batches, digits
from ddpm_np.evaluate import train_classifier
from ddpm_np.models import UNet
from ddpm_np.nn import count_parameters

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.delitem(sys.modules, "tune_digits", raising=False)
    spec = importlib.util.spec_from_file_location("quality_at_equal_time", SCRIPTS / "quality_at_equal_time.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_judge_of_real_digits_is_the_floor_of_the_docs(script):
    found = script.tune_digits.figures(digits().scaled(slice(None)), leave_one_out=True)
    assert found["confidence"] == pytest.approx(0.971, abs=5e-4)
    assert found["nine or ten agree"] == pytest.approx(0.928, abs=2e-3)  # equal distances, in any order
    assert found["distance"] == pytest.approx(2.02, abs=5e-3)


@pytest.mark.parametrize(("given", "words"), [
    (["--images", "10"], "--images must be from 20 to 898, half of the digits, got 10"),
    (["--seconds", "0"], "--seconds must be above 0, got 0"),
])
def test_bad_arguments_are_refused(script, capsys, given, words):
    with pytest.raises(SystemExit):
        script.main(given)
    assert words in capsys.readouterr().err


@pytest.mark.peers
def test_both_nets_are_trained_for_the_same_time_and_judged(script, monkeypatch, capsys):
    pytest.importorskip("diffusers")
    monkeypatch.setattr(script, "classifier_features", lambda data, say: train_classifier(data, steps=2))
    script.main(["--seconds", "0.5", "--images", "20"])
    *_, head, ours, theirs, floor = capsys.readouterr().out.splitlines()
    assert all(name in head for name in script.COLUMNS)
    assert ours.split()[0] == "ddpm_np"
    assert theirs.split()[0] == "PyTorch"
    assert min(int(line.split()[1]) for line in (ours, theirs)) >= 1
    assert floor.startswith("real digits")
    assert " 0.971 " in floor


@pytest.mark.peers
def test_their_training_is_the_presets(script):
    """The same number of parameters, warm-up, clip and average; and the loss falls."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    config = script.tune_digits.variant("")
    net = script.Theirs(config, "contiguous_format")
    assert sum(p.numel() for p in net.side.parameters) == count_parameters(UNet(config.model))[0]
    images = Batches(digits(), 16, 0)[0][0]
    rates = []
    for _ in range(3):
        rates.append(net.adam.param_groups[0]["lr"])
        before = [average.clone() for average in net.average]
        net.step(images)
    assert rates == pytest.approx([config.training.learning_rate * k / config.training.warmup for k in (0, 1, 2)])
    decay = config.training.ema
    for old, new, p in zip(before, net.average, net.side.parameters, strict=True):
        assert torch.allclose(new, decay * old + (1 - decay) * p, atol=1e-6)
    drawn = net.draw(2)
    assert drawn.shape == (2, 8, 8, 1)
    assert np.abs(drawn).max() <= 1
    assert all(torch.equal(p, average) for p, average in zip(net.side.parameters, net.average, strict=True))
