"""The pytest plugin in other people's projects, and the command beside it: runs in copies of an example repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ddpm_np
import ddpm_np.check.equations
from ddpm_np.check.registry import EQUATIONS

ROOT = Path(ddpm_np.__file__).resolve().parents[1]
EXAMPLE = Path(__file__).parent / "example_repository"
PLUGIN = "ddpm_np.check.pytest_plugin"
COUNT = len(EQUATIONS)
TABLE = "[tool.ddpm_np.check]\n"
NUMBERS = "T=2, β=(9/25, 7/16), t=2, x₀=0, ε=1: x_t got 16/25, expected 4/5"
MINE = """
import numpy as np

class Mine:
    def __init__(self, betas):
        self.a = np.cumprod(np.concatenate(([1.0], 1 - betas)))
    def alpha_bar(self):
        return self.a
    def q_sample(self, x, t, noise):
        a = self.a[t].reshape(-1, *[1] * (x.ndim - 1))
        return np.sqrt(a) * x + (1 - a) * noise

class Nothing:
    def __init__(self, betas):
        pass

class Needs:
    def __init__(self, betas, T):
        pass
"""


def python(folder, *words, **more):
    """Run Python in a folder, with this checkout and no plugin of pytest that may be installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUTF8": "1",
                   "COLUMNS": "200", **more}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True,
                          encoding="utf-8", timeout=300, check=False)


def run_pytest(folder, *words):
    """Return pytest's status and what it printed, with the plugin."""
    done = python(folder, "-m", "pytest", "-p", "no:cacheprovider", "-p", PLUGIN, *words)
    return done.returncode, done.stdout + done.stderr


def outcomes(shown):
    """Return {id: outcome} of what -v prints."""
    return dict(re.findall(r"^(\S.*?::\S+)(?: <- \S+)? (PASSED|FAILED|SKIPPED|ERROR)", shown, re.MULTILINE))


@pytest.fixture
def mine(tmp_path):
    """A folder without tests and without a pyproject.toml."""
    (tmp_path / "mine.py").write_text(MINE, "utf-8")
    return tmp_path


@pytest.fixture
def repository(tmp_path):
    """A copy of the example repository."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "repository"))


def test_the_entry_point_is_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
    assert callable(import_module(PLUGIN).pytest_addoption)


def test_installed_and_named_by_p_it_is_one_plugin(mine):
    """An entry point of another name than the module's would be a second plugin, which pytest refuses."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["pytest11"]
    about = mine / "installed" / "ddpm_np-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ddpm_np\nVersion: 0\n", "utf-8")
    (about / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {module}\n" for name, module in points.items()), "utf-8")
    words = ["-m", "pytest", "-v", "--ddpm-target", "mine.py:Mine", "--ddpm-equation", "alpha-bar"]
    installed = {"PYTHONPATH": os.pathsep.join([str(about.parent), str(ROOT)]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""}
    for more in [], ["-p", PLUGIN]:
        done = python(mine, *words, *more, **installed)
        assert outcomes(done.stdout) == {"ddpm_np::alpha-bar": "PASSED"}, done.stderr


def test_a_target_in_a_folder_without_tests(mine):
    status, shown = run_pytest(mine, "-v", "-rs", "--ddpm-target", "mine.py:Mine")
    assert status == 1
    found = outcomes(shown)
    assert len(found) == len(set(found)) == COUNT
    assert found["ddpm_np::alpha-bar"] == "PASSED"
    assert found["ddpm_np::4"] == "FAILED"
    assert found["ddpm_np::7"] == "SKIPPED"
    assert "the target lacks q_posterior" in shown
    assert f"{NUMBERS}\nthese are the numbers of (1 − ᾱ_t)·ε: a missing root\n" in shown
    assert "Traceback" not in shown
    assert ".py:1: " not in shown  # no place in code
    assert f"ddpm_np: mine.py:Mine: 1 PASS, 1 FAIL, {COUNT - 2} UNVERIFIED" in shown
    assert f"1 failed, 1 passed, {COUNT - 2} skipped" in shown


def test_equations_are_chosen_by_option_and_by_k(mine):
    target = ["-v", "--ddpm-target", "mine.py:Mine"]
    status, shown = run_pytest(mine, *target, "--ddpm-equation", "alpha-bar", "--ddpm-equation", "(4)")
    assert status == 1
    assert outcomes(shown) == {"ddpm_np::4": "FAILED", "ddpm_np::alpha-bar": "PASSED"}
    status, shown = run_pytest(mine, *target, "-k", "alpha-bar")
    assert status == 0
    assert outcomes(shown) == {"ddpm_np::alpha-bar": "PASSED"}
    assert f"{COUNT - 1} deselected" in shown
    status, shown = run_pytest(mine, *target, "-k", "not ddpm_np")
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED


def test_x_stops_at_the_first_failure(mine):
    status, shown = run_pytest(mine, "-v", "-x", "--ddpm-target", "mine.py:Mine")
    assert status == 1
    assert list(outcomes(shown))[-1] == "ddpm_np::4"


def test_what_failed_last_runs_alone(mine):
    words = ["-m", "pytest", "-p", PLUGIN, "-v", "--ddpm-target", "mine.py:Mine"]
    python(mine, *words)
    assert outcomes(python(mine, *words, "--lf").stdout) == {"ddpm_np::4": "FAILED"}


def test_collect_only_checks_nothing(mine):
    status, shown = run_pytest(mine, "-q", "--collect-only", "--ddpm-target", "mine.py:Mine")
    assert status == 0
    assert shown.splitlines()[:4] == ["ddpm_np::1", "ddpm_np::2", "ddpm_np::3", "ddpm_np::4"]
    assert f"{COUNT} tests collected" in shown
    assert "UNVERIFIED" not in shown


def test_side_by_side_with_xdist(mine):
    pytest.importorskip("xdist")
    status, shown = run_pytest(mine, "-p", "xdist.plugin", "-n", "2", "-q", "--ddpm-target", "mine.py:Mine")
    assert status == 1
    assert NUMBERS in shown
    assert f"ddpm_np: mine.py:Mine: 1 PASS, 1 FAIL, {COUNT - 2} UNVERIFIED" in shown


def test_pytests_own_junit_xml_has_verdicts(mine):
    run_pytest(mine, "--junitxml", "report.xml", "--ddpm-target", "mine.py:Mine", "--ddpm-equation", "4",
               "--ddpm-equation", "7")
    wrong, lacking = ElementTree.parse(mine / "report.xml").iter("testcase")
    assert (wrong.get("classname"), wrong.get("name")) == ("ddpm_np", "4")
    assert wrong.find("failure").text.splitlines()[0] == NUMBERS
    assert wrong.find("properties/property").attrib == {"name": "verdict", "value": "FAIL"}
    assert "q_posterior" in lacking.find("skipped").get("message")


@pytest.mark.peers
def test_a_library_has_an_item_for_each_target(tmp_path):
    pytest.importorskip("diffusers")
    words = ["--ddpm-target", "diffusers", "--ddpm-equation", "4", "-k", "DDIMScheduler"]
    status, shown = run_pytest(tmp_path, "-v", *words)
    assert status == 0, shown
    assert "ddpm_np::DDIMScheduler leading::4 PASSED" in shown
    assert "DDPMScheduler" not in shown


def test_single_precision_and_conventions_pass(mine):
    single = MINE.replace("(1 - a) * noise", "np.sqrt(1 - a) * noise") + (
        "\nclass Single(Mine):\n    conventions = {'precision': 'float32'}\n    def q_sample(self, x, t, noise):\n"
        "        return super().q_sample(x, t, noise).astype('float32')\n")
    (mine / "single.py").write_text(single, "utf-8")
    words = ["--ddpm-target", "single.py:Single", "--ddpm-equation", "4", "--ddpm-examples", "0"]
    status, shown = run_pytest(mine, *words)
    assert status == 0
    assert "ddpm_np: single.py:Single: 1 PRECISION" in shown


def test_a_run_in_which_nothing_could_be_verified_fails(mine):
    status, shown = run_pytest(mine, "--ddpm-target", "mine.py:Nothing")
    assert status == 1
    assert "no equation could be verified, so the run fails: -rs shows what is lacking" in shown


@pytest.mark.parametrize(("words", "line"), [
    (["--ddpm-target", "mine.py"], "--ddpm-target must be MODULE:FACTORY, FILE.py:FACTORY"),
    (["--ddpm-target", "mine.py:mine"], "--ddpm-target: mine.py has no mine: did you mean Mine?"),
    (["--ddpm-target", "none.py:Mine"], "--ddpm-target: there is no file none.py"),
    (["--ddpm-target", "mine.py:Needs"], "the factory Needs(betas, T) must take betas and nothing else"),
    (["--ddpm-target", "openai:nowhere"], "nowhere"),
    (["--ddpm-target", "mine.py:Mine", "--ddpm-equation", "77"], "no equation is called '77'"),
    (["--ddpm-target", "mine.py:Mine", "--ddpm-examples", "-1"], "--ddpm-examples must be at least 0, got -1"),
    (["--ddpm-target", "mine.py:Mine", "--ddpm-seed", "-1"], "--ddpm-seed must be an int from 0 to 2**64 - 1, got -1"),
    (["--ddpm-seed", "1"], "--ddpm-seed needs a target: give --ddpm-target FILE.py:FACTORY")])
def test_bad_input_is_one_line_and_an_error_of_usage(mine, words, line):
    status, shown = run_pytest(mine, *words)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert line in shown
    assert shown.startswith("ERROR: ")
    assert shown.strip().count("\n") == 0


@pytest.mark.parametrize("project", ["", "[project]\nname = 'other'\n"])
def test_without_a_target_nothing_of_the_checker_is_imported(tmp_path, project):
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n", "utf-8")
    (tmp_path / "pyproject.toml").write_text(project, "utf-8")
    (tmp_path / "probe.py").write_text("import sys\n\n\ndef pytest_unconfigure():\n"
                                       "    print('\\nIMPORTED', *sys.modules)\n", "utf-8")
    done = python(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "-p", PLUGIN, "-p", "probe", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    loaded = set(re.search(r"IMPORTED (.*)", done.stdout)[1].split())
    assert {name for name in loaded if name.startswith("ddpm_np")} == {
        "ddpm_np", "ddpm_np.arguments", "ddpm_np.check", PLUGIN, "ddpm_np.check.settings"}
    assert not loaded & {"numpy", "scipy", "mpmath", "sympy", "hypothesis", "torch"}


def test_the_plugin_takes_milliseconds():
    """Processor time beyond pytest's own imports; the least of several processes, since other load only adds to it."""
    code = ("import pytest, tomllib, difflib, time; start = time.process_time(); import ddpm_np.check.pytest_plugin, "
            "ddpm_np.check.settings; print(time.process_time() - start)")
    assert min(float(python(ROOT, "-c", code).stdout) for _ in range(5)) < 0.05


def test_the_example_repository_under_pytest(repository):
    status, shown = run_pytest(repository, "-v")
    assert status == 0
    assert outcomes(shown) == {
        "tests/test_diffusion.py::test_the_script_has_a_docstring": "PASSED", "ddpm_np::score": "SKIPPED",
        **{f"ddpm_np::{equation}": "PASSED" for equation in ("4", "7", "11", "15", "time-embedding")}}
    assert "ddpm_np: checked.py:Script: 5 CONVENTION, 1 UNVERIFIED" in shown


def test_the_example_repository_with_a_mistake(repository):
    script = repository / "diffusion.py"
    text = script.read_text("utf-8")
    assert text.count("+ np.sqrt(1 - a) * noise") == 1
    script.write_text(text.replace("+ np.sqrt(1 - a) * noise", "+ (1 - a) * noise"), "utf-8")
    status, shown = run_pytest(repository, "-v")
    assert status == 1
    assert [name for name, outcome in outcomes(shown).items() if outcome == "FAILED"] == ["ddpm_np::4"]
    assert "these are the numbers of (1 − ᾱ_t)·ε: a missing root" in shown
    done = python(repository, "-m", "ddpm_np", "check", "--badge", "equations.svg")
    assert done.returncode == 1
    assert NUMBERS in done.stdout
    assert ">4/5</text>" in (repository / "equations.svg").read_text("utf-8")


def test_equations_of_the_project_are_for_folders_and_not_for_single_files(repository):
    status, shown = run_pytest(repository, "-v", "tests/test_diffusion.py")
    assert (status, list(outcomes(shown))) == (0, ["tests/test_diffusion.py::test_the_script_has_a_docstring"])
    assert len(outcomes(run_pytest(repository, "-v", "tests")[1])) == 7
    assert len(outcomes(run_pytest(repository / "tests", "-v")[1])) == 7  # found from the project's folder
    status, shown = run_pytest(repository, "-v", "tests/test_diffusion.py", "--ddpm-equation", "15")
    assert (status, len(outcomes(shown))) == (0, 2)


def test_a_target_on_the_command_line_is_taken_as_it_is(repository):
    status, shown = run_pytest(repository, "--ddpm-target", "checked.py:Script", "--ddpm-equation", "4")
    assert status == 1
    assert "if it counts t from 0, declare conventions = {'index_base': 0}" in shown


def test_the_example_repository_under_the_command(repository):
    done = python(repository, "-m", "ddpm_np", "check", "--json", "report.json", "--badge", "equations.svg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[tool.ddpm_np.check] in pyproject.toml: target checked.py:Script\n")
    assert "checked.py:Script: 5 CONVENTION, 1 UNVERIFIED" in done.stdout
    report = json.loads((repository / "report.json").read_text("utf-8"))
    assert [result["equation"] for result in report["results"]] == ["4", "7", "11", "15", "score", "time-embedding"]
    assert (repository / "equations.svg").is_file()
    done = python(repository, "-m", "ddpm_np", "check", "--target", "ddpm_np", "--equation", "4")
    assert done.stdout.startswith("equation ")
    assert "ddpm_np (numpy, float64): 1 PASS" in done.stdout


@pytest.mark.parametrize(("table", "line"), [
    (TABLE + "target = 'none.py:Mine'", "target in pyproject.toml: there is no file none.py"),
    (TABLE + "targets = 'mine.py:Mine'", "tool.ddpm_np.check has an unknown key 'targets': did you mean 'target'?"),
    (TABLE + "target = 'mine.py:Mine'\nequations = [77]", "no equation is called '77'")])
def test_bad_settings_are_one_line_in_both(mine, table, line):
    (mine / "pyproject.toml").write_text(table, "utf-8")
    status, shown = run_pytest(mine)
    assert (status, shown.strip().count("\n")) == (pytest.ExitCode.USAGE_ERROR, 0)
    assert line in shown
    done = python(mine, "-m", "ddpm_np", "check")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert line in done.stderr
