"""The table of a project's pyproject.toml, and targets that declare other conventions by it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from ddpm_np.check import CONVENTION, FAIL, run
from ddpm_np.check.named import Declaring
from ddpm_np.check.settings import Settings, read


def written(folder, text):
    (folder / "pyproject.toml").write_text(text, "utf-8")
    return read(folder)


def test_all_keys(tmp_path):
    text = "[tool.ddpm_np.check]\ntarget = 'a.py:B'\nequations = [7, 'ddim-12']\nexamples = 3\nseed = 4\n"
    assert written(tmp_path, text + "conventions = {range = [0, 1]}") == Settings(
        tmp_path, "a.py:B", ["7", "ddim-12"], 3, 4, {"range": [0, 1]})


def test_the_target_alone(tmp_path):
    alone = written(tmp_path, "[tool.ddpm_np.check]\ntarget = 'a.py:B'")
    assert alone == Settings(tmp_path, "a.py:B", None, None, 0, {})


@pytest.mark.parametrize("text", [
    "", "[tool]", "[tool.ddpm_np]", "[tool.ddpm_np.check]", "no TOML, and none of ours",
    "[tool.ddpm_np.check.methods.q_sample]\nfunction = 'noise'"])
def test_no_settings(tmp_path, text):
    assert read(tmp_path) is None
    assert written(tmp_path, text) is None


TARGET = "[tool.ddpm_np.check]\ntarget = 'a:b'\n"
IDS = 'equations must be a list of ids such as [7, "ddim-12"], got '


@pytest.mark.parametrize(("text", "line"), [
    ("[tool.ddpm_np", "pyproject.toml cannot be read as TOML"),
    ("[tool]\nddpm_np.check = 3", "tool.ddpm_np.check must be a table, got 3"),
    ("[tool.ddpm_np.check]\nseed = 3", "tool.ddpm_np.check has no target: add target = "),
    ("[tool.ddpm_np.check]\ntarget = 3", "tool.ddpm_np.check.target must be a string, got 3"),
    (TARGET + "equation = 7", "unknown key 'equation': did you mean 'equations'?"),
    (TARGET + "equations = [true]", IDS + "[True]"),
    (TARGET + "equations = []", IDS + "[]"),
    (TARGET + "examples = -1", "tool.ddpm_np.check.examples must be at least 0, got -1"),
    (TARGET + "examples = 'x'", "tool.ddpm_np.check.examples must be an int"),
    (TARGET + "seed = 1.5", "tool.ddpm_np.check.seed must be an int from 0"),
    (TARGET + "conventions = {index_bas = 0}", "unknown key 'index_bas': did you mean 'index_base'"),
    (TARGET + "conventions = {index_base = 2}", "index_base must be one of 1, 0, got 2"),
    (TARGET + "conventions = 3", "conventions must be a dict, got int")])
def test_what_cannot_be_is_one_line(tmp_path, text, line):
    with pytest.raises(ValueError, match=rf"\A[^\n]*{re.escape(line)}[^\n]*\Z"):
        written(tmp_path, text)


class FromZero:
    """q_sample for t from 0, with another convention that it declares."""

    conventions: ClassVar = {"range": (0, 1)}

    def __init__(self, betas):
        self.a = np.cumprod(1 - betas)

    def q_sample(self, x, t, noise):
        a = self.a[t].reshape(-1, *[1] * (x.ndim - 1))
        return np.sqrt(a) * x + np.sqrt(1 - a) * noise


def test_conventions_replace_what_a_target_declares_key_by_key():
    assert run(FromZero, ["4"])["4"].verdict == FAIL
    result = run(Declaring(FromZero, {"index_base": 0}), ["4"])["4"]
    assert (result.verdict, result.hint) == (CONVENTION, "declared: index_base 0")
    made = Declaring(FromZero, {"index_base": 0})(np.array([0.1]))
    assert made.conventions == {"range": (0, 1), "index_base": 0}
    assert FromZero.conventions == {"range": (0, 1)}


def test_a_target_that_keeps_to_what_is_declared_is_told():
    told = []
    factory = Declaring(lambda betas: SimpleNamespace(conventions={"unit": "nats"}, declare=told.append),
                        {"reduction": "sum"})
    factory(np.array([0.1]))
    assert told == [{"unit": "nats", "reduction": "sum"}]


def test_a_factory_of_none_still_gets_its_advice():
    assert "the factory returned None" in run(Declaring(lambda betas: None, {"index_base": 0}), ["4"]).advice
