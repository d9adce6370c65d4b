"""Fast kernels change no results: training by them and by the definitions agrees to rounding, step by step."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ddpm_np.autograd.ops import kernels
from ddpm_np.cli import main
from ddpm_np.data import Batches, digits
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.training.trainer import Trainer


@pytest.mark.parametrize(("dtype", "steps", "tolerance"), [("float64", 6, 1e-9), ("float32", 10, 2e-4)])
def test_training_with_kernels_equals_training_with_the_definitions(dtype, steps, tolerance):
    """Loss for loss and norm for norm; rounding grows as training goes on, in float64 from 1e-16."""
    config = UNetConfig(8, 1, 32, (1, 2), 1, (4,), dropout=0.1)
    batches, logs = Batches(digits(), 16), {}
    for choice in ("fast", "reference"):
        trainer = Trainer(UNet(config, seed=3, dtype=dtype), linear_schedule(100), lr=1e-3, warmup=0, workers=1)
        with kernels(choice):
            found = [trainer.step(batches[k][0]) for k in range(steps)]
        logs[choice] = np.array([[float(x["loss"]), float(x["grad_norm"])] for x in found])
    np.testing.assert_allclose(logs["fast"], logs["reference"], rtol=tolerance)
    assert not np.array_equal(logs["fast"], logs["reference"])  # they are two computations
    assert logs["fast"][-1, 0] < logs["fast"][0, 0]


def test_the_command_line_can_train_with_the_definitions(tmp_path, capsys):
    losses = {}
    for choice in ("fast", "reference"):
        out = tmp_path / choice
        values = [word for value in ("log_every=1", "T=20", "warmup=0") for word in ("--set", value)]
        options = ["--steps", "4", "--batch-size", "8", *values, "--quiet"]
        assert main(["train", "--kernels", choice, *options, "--out", str(out)]) == 0
        losses[choice] = [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert main(["sample", str(out), "-n", "2", "--kernels", choice, "--out", str(out / "x.npz"), "--quiet"]) == 0
    np.testing.assert_allclose(losses["fast"], losses["reference"], rtol=1e-4)
    assert losses["fast"] != losses["reference"]
    images = [np.load(tmp_path / choice / "x.npz")["images"].astype(int) for choice in losses]
    assert np.abs(images[0] - images[1]).max() <= 1
    with pytest.raises(SystemExit):
        main(["train", "--kernels", "quick", "--out", str(tmp_path / "no")])
    assert "invalid choice: 'quick'" in capsys.readouterr().err
