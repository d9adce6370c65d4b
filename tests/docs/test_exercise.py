"""The exercise: its gaps are unverified, its solution is right, and each gap filled in turns its own equations."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from ddpm_np.check import PASS, UNVERIFIED, run
from ddpm_np.check.report import line

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "exercise"
GIVEN = {"__init__", "column"}  # of the gaps


def load(name):
    spec = importlib.util.spec_from_file_location(f"exercise_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Diffusion


def methods(name):
    """{method: (arguments, docstring, body)} of a file."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    return {f.name: (ast.dump(f.args), ast.get_docstring(f), [ast.dump(node) for node in f.body[1:]])
            for f in found.body if isinstance(f, ast.FunctionDef)}


GAPS = [name for name in methods("diffusion") if name not in GIVEN]


def test_the_solution_fills_in_the_exercise_and_changes_nothing_else():
    exercise, solution = methods("diffusion"), methods("solution")
    assert list(exercise) == list(solution)
    for name, (arguments, words, body) in exercise.items():
        assert solution[name][:2] == (arguments, words)
        assert (body == solution[name][2]) == (name in GIVEN)
    assert f"{len(GAPS)} functions" in (FOLDER / "README.md").read_text("utf-8")


def test_every_gap_is_unverified():
    assert {result.verdict for result in run(load("diffusion")).results} == {UNVERIFIED}


def test_the_solution_passes():
    results = run(load("solution")).results
    assert {result.verdict for result in results} == {PASS, UNVERIFIED}
    lacking = {method for r in results for method in GAPS if r.verdict == UNVERIFIED and method in r.hint}
    assert not lacking


def test_filling_the_gaps_one_by_one_turns_equations_to_pass_and_none_to_fail():
    exercise, solution = load("diffusion"), load("solution")
    # the solution's methods call one another, so those that are not yet filled in stay hidden, not gone
    passed = set()
    for count in range(1, len(GAPS) + 1):
        class Partly(solution):
            """The first `count` gaps are filled in."""

        for name in GAPS[count:]:
            setattr(Partly, name, getattr(exercise, name))
        report = run(Partly, examples=0)
        assert not report.failed, GAPS[count - 1]
        now = {result.equation for result in report.results if result.verdict == PASS}
        assert passed <= now
        passed = now
    assert len(passed) >= 18


def test_the_page_shows_what_the_checker_says():
    solution = load("solution")

    class Wrong(solution):
        def q_sample(self, x_0, t, noise):
            a = self.column(self.alpha_bar(), t, x_0)
            return a**0.5 * x_0 + (1 - a) * noise

    result = run(Wrong, ["4"])["4"]
    page = (FOLDER / "README.md").read_text("utf-8")
    assert result.counterexample in page
    assert result.hint in page
    assert line(result).partition("1e-09")[0] in page


@pytest.mark.parametrize("name", ["diffusion", "solution"])
def test_the_files_need_nothing_but_numpy(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    modules = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert modules == {"numpy"}
