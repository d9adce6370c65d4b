"""`ddpm-np check`: targets by module and by file, exit status, JSON, plain errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ddpm_np.cli import main

EXERCISE = Path(__file__).resolve().parents[2] / "docs" / "exercise"
TARGET = """
import numpy as np
from helper import root

class Right:
    def __init__(self, betas):
        self.a = np.cumprod(np.concatenate(([1.0], 1 - betas)))
    def alpha_bar(self):
        return self.a
    def q_sample(self, x, t, noise):
        a = self.a[t].reshape(-1, *[1] * (x.ndim - 1))
        return root(a) * x + root(1 - a) * noise

class Wrong(Right):
    def q_sample(self, x, t, noise):
        return Right.q_sample(self, x, t, -noise)

class Stops(Right):
    def q_sample(self, x, t, noise):
        raise KeyboardInterrupt

class Nothing:
    def __init__(self, betas):
        pass
    def q_samples(self, x, t, noise):
        return x

class Needs(Right):
    def __init__(self, betas, T):
        pass

class Raises:
    def __init__(self, betas):
        raise RuntimeError("no device")

nothing = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with somebody's code in it."""
    (tmp_path / "their_code.py").write_text(TARGET, "utf-8")
    (tmp_path / "helper.py").write_text("def root(x):\n    return x ** 0.5\n", "utf-8")
    (tmp_path / "broken.py").write_text("import no_such_module\n", "utf-8")
    (tmp_path / "exits.py").write_text("raise SystemExit('usage: …')\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("their_code", "helper", "broken", "exits"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("target", ["their_code:Right", "their_code.py:Right"])
def test_correct_code_passes_by_module_and_by_file(folder, capsys, target):
    before = list(sys.path)
    assert main(["check", "--target", target, "--json", "report.json"]) == 0
    out = capsys.readouterr().out
    assert f"{target}: 2 PASS, " in out
    assert "UNVERIFIED" in out
    assert "\x1b[" not in out  # no terminal
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["target"] == target
    assert not report["failed"]
    assert {r["equation"] for r in report["results"] if r["verdict"] == "PASS"} == {"alpha-bar", "4"}
    assert sys.path == before


def test_a_target_file_in_another_folder(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert main(["check", "--target", f"{folder / 'their_code.py'}:Right", "--equation", "4"]) == 0
    assert ": 1 PASS; " in capsys.readouterr().out


def test_wrong_code_exits_1_and_shows_the_numbers(folder, capsys):
    assert main(["check", "--target", "their_code:Wrong", "--equation", "4", "--equation", "alpha-bar"]) == 1
    out = capsys.readouterr().out
    assert "T=2, β=(9/25, 7/16), t=2, x₀=0, ε=1: x_t got -4/5, expected 4/5" in out
    assert "a minus before the noise" in out
    assert "1 PASS, 1 FAIL" in out


def test_a_factory_that_raises_is_a_failure_and_not_unverified(folder, capsys):
    assert main(["check", "--target", "their_code:Raises"]) == 1
    out = capsys.readouterr().out
    assert "7                         FAIL" in out
    assert "the factory raised RuntimeError: no device" in out
    assert "UNVERIFIED" not in out


def test_a_run_that_verifies_nothing_exits_2_and_its_report_is_written(folder, capsys):
    assert main(["check", "--target", "their_code:Nothing", "--json", "report.json"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ddpm-np: error: --target: no equation could be verified: the factory returned an object")
    assert error.endswith("q_samples: did you mean 'q_sample'?\n")
    assert json.loads((folder / "report.json").read_text("utf-8"))["verdicts"]["UNVERIFIED"] > 50
    assert main(["check", "--target", "their_code:Right", "--equation", "7"]) == 2
    assert "expected an object with a method q_posterior" in capsys.readouterr().err


def test_files_for_other_programs_are_written_whatever_the_verdicts(folder, capsys):
    files = ["--json", "report.json", "--junit", "report.xml", "--badge", "equations.svg"]
    for target, status, value in ("Right", 0, ">1/1<"), ("Wrong", 1, ">0/1<"), ("Nothing", 2, ">none verified<"):
        assert main(["check", "--target", f"their_code:{target}", "--equation", "4", *files]) == status
        suite, = ElementTree.parse("report.xml").getroot()
        assert (suite.get("name"), suite.get("tests")) == (f"their_code:{target}", "1")
        assert json.loads((folder / "report.json").read_text("utf-8"))["target"] == f"their_code:{target}"
        assert value in (folder / "equations.svg").read_text("utf-8")
    assert sorted(path.name for path in folder.iterdir() if path.suffix not in (".py", "")) == [
        "equations.svg", "report.json", "report.xml"]
    capsys.readouterr()


def test_the_target_of_this_folders_project(folder, capsys):
    (folder / "pyproject.toml").write_text(
        "[tool.ddpm_np.check]\ntarget = 'their_code.py:Right'\nequations = [4]\nseed = 5\n", "utf-8")
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("[tool.ddpm_np.check] in pyproject.toml: target their_code.py:Right\n")
    assert "their_code.py:Right: 1 PASS; " in out
    assert out.rstrip().endswith("seed 5")
    assert main(["check", "--equation", "alpha-bar", "--seed", "6"]) == 0
    out = capsys.readouterr().out
    assert "alpha-bar                 PASS" in out
    assert out.rstrip().endswith("seed 6")
    assert main(["check", "--equation", "7"]) == 2
    assert capsys.readouterr().err.startswith("ddpm-np: error: target in pyproject.toml: no equation could be verified")
    assert main(["check", "--dtype", "float32"]) == 2
    assert "--backend and --dtype apply to this package only" in capsys.readouterr().err


def test_ctrl_c_exits_with_130(folder, capsys):
    assert main(["check", "--target", "their_code:Stops"]) == 130
    assert "stopped by Ctrl-C" in capsys.readouterr().err


@pytest.mark.parametrize(("args", "words"), [
    (["--target", "their_code"], "--target must be MODULE:FACTORY, FILE.py:FACTORY, openai:PATH"),
    (["--target", "their_code:"], "--target must be MODULE:FACTORY"),
    (["--target", "their_code:right"], "their_code has no right: did you mean Right?"),
    (["--target", "their_code:nothing"], "their_code:nothing must be a factory, betas -> object, got int"),
    (["--target", "no_such_file.py:Mine"], "there is no file no_such_file.py"),
    (["--target", "no_such_module_:Mine"], "importing no_such_module_ raised ModuleNotFoundError"),
    (["--target", "broken:Mine"], "importing broken raised ModuleNotFoundError: No module named 'no_such_module'"),
    (["--target", "exits.py:Mine"], "importing exits.py raised SystemExit: usage: …"),
    (["--target", "their_code:Needs"], "the factory Needs(betas, T) must take betas and nothing else: missing a requ"),
    (["--equation", "77"], "no equation is called '77'"),
    (["--equation", "grad-conv"], "no equation is called 'grad-conv'"),
    (["--examples", "-1", "--equation", "4"], "examples must be at least 0, got -1"),
    (["--target", "their_code:Right", "--dtype", "float32"], "--backend and --dtype apply to this package only"),
    (["--json", "nowhere/report.json"], "--json: there is no folder nowhere to write in"),
    (["--junit", "nowhere/report.xml"], "--junit: there is no folder nowhere to write in"),
    (["--badge", "nowhere/equations.svg"], "--badge: there is no folder nowhere to write in"),
    (["--junit", "."], ".: Is a directory"),
    (["--badge", "helper.py/equations.svg"], "helper.py: Not a directory"),
    (["--backend", "torch"], "invalid choice: 'torch'")])
def test_bad_input_is_one_line_and_exit_status_2(folder, capsys, args, words):
    try:
        status = main(["check", *args])
    except SystemExit as stopped:  # of the parser
        status = stopped.code
    assert status == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("ddpm-np: error: ")
    assert error.count("\n") == 1


def test_ours_some_equations_and_some_gradients(capsys):
    assert main(["check", "--equation", "(7)", "--equation", "grad-silu"]) == 0
    out = capsys.readouterr().out
    assert "ddpm_np (numpy, float64): 2 PASS; " in out
    assert main(["check", "--equation", "grad-silu"]) == 0
    assert "ddpm_np (numpy, float64): 1 PASS; " in capsys.readouterr().out


def test_ours_in_single_precision(capsys):
    assert main(["check", "--dtype", "float32", "--equation", "7", "--equation", "4"]) == 0
    assert "ddpm_np (numpy, float32): 2 PRECISION; " in capsys.readouterr().out


def test_derivations_and_lines_by_their_ids(tmp_path, capsys):
    report = tmp_path / "r.json"
    assert main(["check", "--equation", "posterior.mean", "--equation", "winograd", "--json", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "posterior.mean            PASS" in shown
    assert "21 of 21 lines proved" in shown
    results = json.loads(report.read_text("utf-8"))["results"]
    assert [result["equation"] for result in results[:2]] == ["posterior.mean", "winograd.middle"]
    assert results[0]["method"].startswith("an identity of rational functions")


def test_a_wrong_line_exits_1_and_shows_both_sides_and_a_point(capsys, monkeypatch):
    from ddpm_np.check.derivations import Relation, book

    monkeypatch.setattr(book()["flow"], "relations", [Relation("flow.wrong", r"\al(1-\abp) = 1-\ab", "A wrong line.")])
    assert main(["check", "--equation", "flow"]) == 1
    shown = capsys.readouterr().out
    assert "0 of 1 lines proved" in shown
    assert "flow.wrong                FAIL" in shown
    assert r"\bar\alpha_t: α_t·(1 − ᾱ_{t−1}) = 0.124929, 1 − ᾱ_t = 0.913329 at √ᾱ_{t−1} = 0.64, √α_t = 0.46" in shown


def test_derivations_are_exact_and_this_packages(folder, capsys):
    assert main(["check", "--derivations", "--dtype", "float32"]) == 2
    assert "leave it out with --target, --backend and --dtype" in capsys.readouterr().err
    assert main(["check", "--equation", "posterior.meen"]) == 2
    assert "did you mean 'posterior.mean'?" in capsys.readouterr().err


def test_the_list_names_equations_and_gradients(capsys):
    assert main(["check", "--list"]) == 0
    out = capsys.readouterr().out
    assert "diffusion.posterior.q_posterior" in out
    assert "Ho et al. 2020, (7)" in out
    assert "grad-conv2d" in out


def test_the_exercise_from_its_folder(capsys, monkeypatch):
    monkeypatch.chdir(EXERCISE)
    assert main(["check", "--target", "diffusion.py:Diffusion", "--equation", "4"]) == 2  # its gaps
    out, error = capsys.readouterr()
    assert "the target lacks q_sample" in out
    assert "no equation could be verified: q_step, q_sample are not implemented" in error
    sys.modules.pop("diffusion", None)


def test_colour_where_the_terminal_has_it(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main(["check", "--target", "their_code:Wrong", "--equation", "4"])
    assert "\x1b[1;31mFAIL" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    main(["check", "--target", "their_code:Wrong", "--equation", "4"])
    assert "\x1b[" not in capsys.readouterr().out
