"""scripts/measure_winograd.py at a small size: the errors it prints; runs that differ by their convolutions alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import measure_winograd

    yield measure_winograd
    sys.modules.pop("measure_winograd")


def test_the_errors_are_those_of_float32(script, capsys):
    script.errors(16)
    rows = {line[9:35].strip(): float(line[35:46]) for line in capsys.readouterr().out.splitlines()}
    assert 1e-8 < rows["patches"] < rows["F(4×4)"] < rows["F(4×4), points 0, ±1, ±2"] < 3e-6
    assert 1e-8 < rows["F(2×2)"] < rows["F(4×4)"]


def test_runs_differ_by_rounding_alone_unless_by_their_seed(script):
    runs = {choice: script.losses("8", choice, 4) for choice in (0, 2, 4)}
    assert len({run.tobytes() for run in runs.values()}) > 1
    for run in runs.values():
        assert np.abs(run - runs[0]).max() <= 1e-6
    assert np.abs(script.losses("8", 0, 4, seed=1) - runs[0]).max() > 1e-4
