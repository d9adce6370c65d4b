"""docs/trained-digits.md: its tables are those of the file's metadata, and its code runs."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

import ddpm_np
from ddpm_np import trained
from ddpm_np.runs import weights

ROOT = Path(ddpm_np.__file__).parent.parent
PAGE = (ROOT / "docs" / "trained-digits.md").read_text("utf-8")


@pytest.fixture
def script(monkeypatch):
    """scripts/train_digits.py as a module."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    yield importlib.import_module("train_digits")
    del sys.modules["train_digits"]


def test_the_tables_are_those_of_the_measured_figures(script):
    assert script.tables(weights.read(trained.path_of("digits")).figures) in PAGE


def test_the_page_states_size_steps_and_time(script):
    path = trained.path_of("digits")
    kept = weights.read(path)
    for number in (path.stat().st_size, kept.step, kept.figures["training"]["seconds"]):
        assert f"{number:,}" in PAGE
    assert kept.figures["training"]["machine"] in PAGE


def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], "docs/trained-digits.md", "exec"), {})
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.size[0] > 400
